use std::fs;
use std::process::Command;

use super::start::assert_one_message;
use super::{finished, program, text, trainer};

/// Each wrong input, with words that its one message must have.
const REFUSED: [(&[&str], &str); 26] = [
    (&["--set", "bach_size=3"], "did you mean `batch_size`"),
    (&["--set", "batch_size=\"many\""], "batch_size"),
    (&["--batch-size", "0"], "batch_size"),
    (&["--batch-size", "29801"], "batch_size"),
    (&["--epochs", "0"], "epochs"),
    (&["--lr", "nan"], "lr"),
    (&["--lr=-1"], "lr"),
    (&["--lr", "-1"], "lr"),
    (&["--batch-size", "-5"], "batch_size"),
    (
        &["--dataset", "cifar10", "--set", "validation=50000"],
        "validation",
    ),
    (&["--threads", "0"], "`--threads`"),
    (&["--threads", "100000"], "from 1 to 1024"),
    (&["--network", "resnet21"], "resnet20"),
    (&["--config", "tutoral"], "tutorial"),
    (&["--config", "absent.toml"], "absent.toml"),
    (&["--backend", "cuda"], "ndarray"),
    (
        &["--dataset", "cifar10", "--data-dir", "/no/such/folder"],
        "/no/such/folder does not exist; check the path",
    ),
    (
        &["--set", "data.train_images=99999999999"],
        "at most 500000",
    ),
    (&["--device", "discrete:9"], "--device"),
    (&["--device", "nonsense"], "integrated:N"),
    (
        &["--init-from", "/no/such/file"],
        "/no/such/file: cannot read this",
    ),
    (&["--epochs", "1e300"], "at most 1000000, found 1e300"),
    (&["--batch-size", "99999999999999999999"], "is too large"),
    (&["--resume", "no-such-run"], "no-such-run"),
    (&["--set", "epochs"], "epochs"),
    (&["--token-file", "token"], "`--token-file` is for a worker"),
];

#[test]
fn every_wrong_input_gets_one_message_and_leaves_no_folder() {
    for (arguments, words) in REFUSED {
        let artifacts = tempfile::tempdir().unwrap();
        let mut line = vec![];
        if !["--config", "--resume"].contains(&arguments[0]) {
            line.extend(["--config", "smoke"]);
        }
        line.extend(arguments);
        // The helper names a backend, and clap refuses two.
        let line: Vec<&str> = line;
        let output = trainer(artifacts.path(), &line);
        let message = text(&output.stderr);
        assert!(
            matches!(output.status.code(), Some(1 | 2)),
            "{arguments:?}: {:?} {message}",
            output.status
        );
        assert!(message.contains(words), "{arguments:?}: {message}");
        assert_one_message(&message);
        let left: Vec<_> = fs::read_dir(artifacts.path()).unwrap().collect();
        assert!(left.is_empty(), "{arguments:?} left {left:?}");
    }
}

#[test]
fn a_recipe_file_that_is_wrong_is_named_with_line_and_column() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("mine.toml");
    fs::write(&file, "network = \"simple_cnn\"\nbach_size = 3\n").unwrap();
    let output = trainer(folder.path(), &["--config", file.to_str().unwrap()]);
    let message = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert!(message.contains("mine.toml:2:1"), "{message}");
    fs::write(&file, b"network = \"\xff\"").unwrap();
    let output = trainer(folder.path(), &["--config", file.to_str().unwrap()]);
    assert!(
        text(&output.stderr).contains("UTF-8"),
        "{}",
        text(&output.stderr)
    );
}

#[test]
fn an_artifacts_path_that_is_a_file_is_refused_before_any_data_is_looked_for() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    for artifacts in [file.clone(), file.join("below")] {
        let output = trainer(&artifacts, &["--data-dir", "/no/such/folder"]);
        let message = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1));
        assert!(
            message.contains("choose another folder with --artifacts"),
            "{message}"
        );
    }
    let output = program(&["runs", "--artifacts", file.to_str().unwrap()]);
    let message = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        message.contains("choose another folder with --artifacts"),
        "{message}"
    );
}

#[test]
fn every_command_takes_the_options_of_every_command() {
    let folder = tempfile::tempdir().unwrap();
    let artifacts = folder.path().to_str().unwrap();
    for command in [
        &["backends"][..],
        &["recipes"],
        &["recipes", "smoke"],
        &["runs"],
        &["completions", "bash"],
        &[
            "bench",
            "--network",
            "simple_cnn",
            "--batch",
            "1",
            "--seconds",
            "0.01",
        ],
    ] {
        let everywhere = [
            "--backend",
            "ndarray",
            "--device",
            "default",
            "--threads",
            "1",
            "--data-dir",
            artifacts,
            "--artifacts",
            artifacts,
            "--json",
            "-q",
        ];
        let output = program(&[command, &everywhere].concat());
        assert!(
            output.status.success(),
            "{command:?}: {}",
            text(&output.stderr)
        );
        if command[0] != "completions" {
            let last = text(&output.stdout)
                .lines()
                .last()
                .unwrap_or_default()
                .to_owned();
            let parsed: Result<serde_json::Value, _> = serde_json::from_str(&last);
            assert!(parsed.is_ok(), "{command:?} printed {last}");
        }
    }
}

#[test]
fn a_resumed_run_with_other_settings_is_refused_with_the_keys_that_differ() {
    let folder = tempfile::tempdir().unwrap();
    finished(folder.path(), &[]);
    let output = trainer(folder.path(), &["--resume", "latest", "--lr", "0.5"]);
    let message = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        message.contains("optimizer.lr = 0.02, not 0.5"),
        "{message}"
    );
    assert!(!message.contains("batch_size"), "{message}");
}

#[test]
fn a_run_whose_result_is_broken_is_listed_as_damaged_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let run = finished(folder.path(), &[]);
    fs::write(run.join("result.json"), "{").unwrap();
    let output = program(&["runs", "--artifacts", folder.path().to_str().unwrap()]);
    assert!(output.status.success());
    assert!(text(&output.stdout).contains("damaged"));
    assert!(text(&output.stderr).contains("result.json: cannot be understood"));
}

/// The six files with `size` bytes each, and a change to the first.
fn data_folder(folder: &std::path::Path, size: usize) {
    for name in ["1", "2", "3", "4", "5"] {
        fs::write(folder.join(format!("data_batch_{name}.bin")), vec![0; size]).unwrap();
    }
    fs::write(folder.join("test_batch.bin"), vec![0; size]).unwrap();
}

#[test]
fn data_that_is_short_altered_or_no_file_is_named_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let artifacts = folder.path().join("runs");
    let data = folder.path().join("data");
    fs::create_dir(&data).unwrap();
    let refused = || {
        let output = trainer(&artifacts, &["--data-dir", data.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(1));
        assert!(!artifacts.exists());
        text(&output.stderr)
    };
    data_folder(&data, 1_000);
    let message = refused();
    assert!(
        message.contains("has 1000 bytes instead of 30730000"),
        "{message}"
    );
    data_folder(&data, 30_730_000);
    let message = refused();
    assert!(
        message.contains("SHA-256") && message.contains("fetch it again"),
        "{message}"
    );
    fs::remove_file(data.join("data_batch_1.bin")).unwrap();
    fs::create_dir(data.join("data_batch_1.bin")).unwrap();
    let message = refused();
    assert!(
        message.contains("data_batch_1.bin: it is not a file"),
        "{message}"
    );
    assert!(message.contains("--data-dir"), "{message}");
}

#[test]
#[cfg(not(feature = "wgpu"))]
fn a_backend_that_is_not_compiled_in_is_refused_with_how_to_build_it() {
    let folder = tempfile::tempdir().unwrap();
    let artifacts = folder.path().to_str().unwrap();
    let options = ["train", "--config", "smoke", "--backend", "wgpu"];
    let output = program(&[&options[..], &["--artifacts", artifacts]].concat());
    let message = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert!(message.contains("--features wgpu"), "{message}");
    assert!(fs::read_dir(folder.path()).unwrap().next().is_none());
}

#[test]
fn a_reader_that_has_seen_enough_ends_a_command_quietly() {
    for command in [
        &["recipes"][..],
        &["recipes", "--json"],
        &["completions", "bash"],
        &["backends"],
    ] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = Command::new(env!("CARGO_BIN_EXE_trainer"))
            .args(command)
            .env("XDG_RUNTIME_DIR", std::env::temp_dir())
            .stdout(writer)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(0), "{command:?}");
        assert_eq!(text(&output.stderr), "", "{command:?}");
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_standard_output_that_is_full_is_an_error_that_says_so() {
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_trainer"))
        .arg("recipes")
        .stdout(full)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let message = text(&output.stderr);
    assert!(
        message.starts_with("error: standard output cannot be written"),
        "{message}"
    );
}

#[test]
fn a_run_of_another_network_is_not_resumed() {
    let folder = tempfile::tempdir().unwrap();
    let run = finished(folder.path(), &[]);
    fs::remove_file(run.join("result.json")).unwrap();
    let output = trainer(
        folder.path(),
        &["--resume", "latest", "--network", "resnet20"],
    );
    let message = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        message.contains("began with other settings (network"),
        "{message}"
    );
    assert!(!run.join("result.json").exists());
}

#[test]
fn a_run_without_weights_cannot_be_evaluated_and_says_what_it_lacks() {
    let folder = tempfile::tempdir().unwrap();
    let run = finished(folder.path(), &[]);
    for gone in ["model.bpk", "model.safetensors"] {
        fs::remove_file(run.join(gone)).unwrap();
    }
    fs::remove_dir_all(run.join("checkpoints")).unwrap();
    let output = program(&[
        "eval",
        "--backend",
        "ndarray",
        "--run",
        run.to_str().unwrap(),
    ]);
    let message = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert!(message.contains(run.to_str().unwrap()), "{message}");
    assert!(
        message.contains("--resume") || message.contains("--weights"),
        "{message}"
    );
}
