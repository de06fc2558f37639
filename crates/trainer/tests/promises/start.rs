//! A run that cannot start says why in one message, and leaves nothing.

use std::fs::{self, File};
use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::{SMALL, command, finished, program, text, trainer};

/// Exactly one message that says what is wrong.
pub fn assert_one_message(message: &str) {
    assert_eq!(message.matches("error:").count(), 1, "{message}");
    assert!(!message.contains("panicked"), "{message}");
}

#[test]
fn a_folder_that_is_no_run_is_not_resumed_and_stays_as_it_was() {
    let artifacts = tempfile::tempdir().unwrap();
    let folder = artifacts.path().join("photos");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("cat.jpg"), "a cat").unwrap();
    let output = trainer(artifacts.path(), &["--resume", "photos"]);
    let message = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert_one_message(&message);
    assert!(message.contains("photos: this is no run"), "{message}");
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
}

#[test]
fn a_run_that_was_cut_off_before_it_began_is_begun_anew_from_its_recipe() {
    let artifacts = tempfile::tempdir().unwrap();
    let run = finished(artifacts.path(), &[]);
    let folder = artifacts.path().join("cut off");
    fs::create_dir(&folder).unwrap();
    fs::copy(run.join("config.toml"), folder.join("config.toml")).unwrap();
    let output = trainer(artifacts.path(), &["--resume", folder.to_str().unwrap()]);
    let message = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert_one_message(&message);
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
    // What is advised is done as a user would do it, quotes included.
    let (_, advice) = message.split_once('`').unwrap();
    let words = shlex::split(advice.split('`').next().unwrap()).unwrap();
    assert_eq!(words[..2], ["trainer", "train"]);
    let words: Vec<&str> = words[2..].iter().map(String::as_str).collect();
    let output = trainer(artifacts.path(), &words);
    assert!(output.status.success(), "{}", text(&output.stderr));
}

#[test]
fn a_latest_that_is_a_folder_is_named_with_what_to_do() {
    let artifacts = tempfile::tempdir().unwrap();
    fs::create_dir(artifacts.path().join("latest")).unwrap();
    let output = trainer(artifacts.path(), &["--resume", "latest"]);
    let message = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert_one_message(&message);
    assert!(message.contains("move it away"), "{message}");
}

/// Root may write everywhere but where the system itself makes the files.
#[test]
#[cfg(target_os = "linux")]
fn an_artifacts_folder_that_cannot_be_made_is_named_with_what_to_do() {
    let output = trainer("/proc/runs".as_ref(), &SMALL);
    let message = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert_one_message(&message);
    assert!(message.contains("/proc/runs: cannot"), "{message}");
    assert!(message.contains("with --artifacts"), "{message}");
}

/// A proxy that is not there stands for a network that is not.
#[test]
fn without_any_source_the_message_names_each_once_and_says_what_can_be_done() {
    let (cache, artifacts) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let absent = tempfile::tempdir().unwrap();
    let output = command(artifacts.path(), &["--config", "tutorial"])
        .env_remove("CIFAR10_DIR")
        .env("XDG_CACHE_HOME", cache.path())
        .env("HOME", cache.path())
        .envs(["ALL_PROXY", "HTTPS_PROXY", "https_proxy"].map(|name| (name, "http://127.0.0.1:9")))
        .env("PATH", absent.path())
        .output()
        .unwrap();
    let message = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{message}");
    assert_one_message(&message);
    assert_eq!(
        message.matches("there is no such program").count(),
        1,
        "{message}"
    );
    for words in [
        "\n  archive: ",
        "\n  npm: ",
        "--data-dir",
        "--dataset synthetic",
    ] {
        assert!(message.contains(words), "{message}");
    }
    assert_eq!(fs::read_dir(artifacts.path()).unwrap().count(), 0);
}

/// Waits until `child` ends, at most for ten seconds.
#[cfg(unix)]
fn code(child: &mut Child) -> Option<i32> {
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(10) {
        if let Some(status) = child.try_wait().unwrap() {
            return status.code();
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill().unwrap();
    None
}

/// Another process that fetches stands for a slow fetch: this one waits for its lock.
#[test]
#[cfg(unix)]
fn the_first_interrupt_ends_a_fetch_at_once_and_no_run_is_made() {
    let (cache, artifacts) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let data = cache.path().join("burn-dataset/cifar-10-batches-bin");
    fs::create_dir_all(&data).unwrap();
    let lock = File::create(data.join(".lock")).unwrap();
    lock.lock().unwrap();
    let mut child = command(artifacts.path(), &["--config", "tutorial"])
        .env_remove("CIFAR10_DIR")
        .env("XDG_CACHE_HOME", cache.path())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut errors = child.stderr.take().unwrap();
    let mut said = Vec::new();
    while !text(&said).contains("waiting for another process") {
        let mut byte = [0];
        assert_eq!(errors.read(&mut byte).unwrap(), 1, "{}", text(&said));
        said.push(byte[0]);
    }
    let sent = Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status()
        .unwrap();
    assert!(sent.success());
    assert_eq!(code(&mut child), Some(130));
    errors.read_to_end(&mut said).unwrap();
    assert!(text(&said).contains("no run was made"), "{}", text(&said));
    assert_eq!(fs::read_dir(artifacts.path()).unwrap().count(), 0);
}

#[test]
#[cfg(feature = "wgpu")]
fn a_machine_without_a_gpu_is_told_so_and_how_to_train_on_its_processor() {
    let artifacts = tempfile::tempdir().unwrap();
    for device in [&[][..], &["--device", "discrete:7"]] {
        let output = Command::new(env!("CARGO_BIN_EXE_trainer"))
            .args(device)
            .args(["--dataset", "synthetic", "--artifacts"])
            .arg(artifacts.path())
            .env("XDG_RUNTIME_DIR", artifacts.path())
            // The drivers' loader finds none here.
            .env("VK_DRIVER_FILES", "/no/such/driver.json")
            .env("VK_ICD_FILENAMES", "/no/such/driver.json")
            .output()
            .unwrap();
        let message = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{message}");
        assert_one_message(&message);
        assert!(message.contains("--backend ndarray"), "{message}");
        assert!(!message.contains("AdapterInfo"), "{message}");
        assert_eq!(fs::read_dir(artifacts.path()).unwrap().count(), 0);
    }
}

#[test]
fn a_program_without_a_command_reads_like_train() {
    let output = program(&["--config", "tutoral", "--backend", "ndarray"]);
    let message = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert_one_message(&message);
    assert!(message.contains("did you mean `tutorial`"), "{message}");
}
