//! A worker on another machine, for which this machine's loopback stands: the same run as on the device
//! itself, and one clear error for everything that can go wrong between the two.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use burn::tensor::Device;
use serde_json::Value;
use trainer::device::Computing;
use trainer::remote::{self, About};

use super::resume::last_step;
use super::start::assert_one_message;
use super::{SMALL, assert_equal_runs, finished, result, text};

/// How soon an error is there.
const SOON: Duration = Duration::from_secs(20);
const OFTEN: [&str; 4] = ["--set", "checkpoint.every_steps=3", "--epochs", "100"];

/// A worker in a process of its own, which dies with this value.
struct Worker {
    child: Child,
    url: String,
    said: PathBuf,
}

impl Worker {
    /// Serves ndarray on `listen`, and writes what it says to a file in `folder`.
    fn on(folder: &Path, listen: &str, extra: &[&str]) -> Self {
        let said = folder.join("worker");
        let mut child = program(&["worker", "--json", "--backend", "ndarray"])
            .args(["--listen", listen])
            .args(extra)
            .stdout(Stdio::piped())
            .stderr(File::create(&said).unwrap())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        output.read_line(&mut line).unwrap();
        let line: Value = serde_json::from_str(&line).unwrap_or_else(|_| {
            let _ = child.wait();
            unreachable!("no worker: {}", fs::read_to_string(&said).unwrap())
        });
        let url = line["url"].as_str().unwrap().to_owned();
        Self { child, url, said }
    }

    fn start(folder: &Path, extra: &[&str]) -> Self {
        Self::on(folder, "127.0.0.1:0", extra)
    }

    /// What `--listen` was, where the system chose the port.
    fn place(&self) -> &str {
        self.url.strip_prefix("ws://").unwrap()
    }

    fn options(&self) -> [&str; 4] {
        ["--backend", "remote", "--device", &self.url]
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_trainer"));
    command.args(arguments).stdin(Stdio::null());
    command
}

/// A run of the small recipe on a worker.
fn train(artifacts: &Path, worker: &Worker, extra: &[&str]) -> Command {
    let mut command = program(&["train", "--artifacts"]);
    command.arg(artifacts).args(worker.options());
    command.args(SMALL).args(extra);
    command
}

fn resume(artifacts: &Path) -> Command {
    let mut command = program(&["train", "--resume", "latest", "--artifacts"]);
    command.arg(artifacts);
    command
}

/// The one message of a command that fails soon.
fn refused(mut command: Command) -> String {
    let start = Instant::now();
    let output = command.output().unwrap();
    failed_soon(start, &output)
}

fn failed_soon(start: Instant, output: &Output) -> String {
    let message = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{message}");
    assert!(start.elapsed() < SOON, "{:?}: {message}", start.elapsed());
    assert_one_message(&message);
    message
}

fn latest(artifacts: &Path) -> PathBuf {
    fs::canonicalize(artifacts.join("latest")).unwrap()
}

/// `SimpleCnn` has layers with biases, ResNet-20 normalisations, residual blocks and running statistics.
#[test]
fn a_run_on_a_worker_is_the_run_on_its_device_bit_for_bit() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let worker = Worker::start(folder, &[]);
    for network in ["simple_cnn", "resnet20"] {
        let settings = ["--network", network, "--epochs", "1"];
        let here = finished(folder, &settings);
        let output = train(folder, &worker, &settings).output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        let there = latest(folder);
        assert_ne!(here, there);
        assert_equal_runs(&here, &there);
        // What a save read at once is what one device gives, byte for byte. Burn writes the optimiser's state in
        // the order of a hash table.
        for checkpoint in fs::read_dir(here.join("checkpoints")).unwrap() {
            let name = checkpoint.unwrap().file_name();
            for part in ["model.bpk", "best.bpk", "schedule.bpk"] {
                let [a, b] = [&here, &there]
                    .map(|run| fs::read(run.join("checkpoints").join(&name).join(part)).unwrap());
                assert!(a == b, "{name:?}: {part}");
            }
        }
        let environment = fs::read_to_string(there.join("environment.json")).unwrap();
        assert!(environment.contains("\"remote\""), "{environment}");
        assert!(environment.contains("ndarray on "), "{environment}");
    }
    let said = fs::read_to_string(&worker.said).unwrap();
    assert_eq!(said.matches("computes here").count(), 2, "{said}");
    assert_eq!(said.lines().count(), 2, "{said}");
}

#[test]
fn other_commands_give_on_a_worker_what_they_give_here() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let worker = Worker::start(folder, &[]);
    finished(folder, &["--epochs", "1"]);
    let photo = format!("{}/tests/files/turned.png", env!("CARGO_MANIFEST_DIR"));
    for line in [
        &["eval", "--json"][..],
        &["predict", "--json", &photo],
        &["check", "--short", "--json"],
        &[
            "bench",
            "--network",
            "simple_cnn",
            "--seconds",
            "0.1",
            "--json",
        ],
    ] {
        let on = |device: &[&str]| {
            let mut command = program(line);
            command.args(device).arg("--artifacts").arg(folder);
            let output = command.output().unwrap();
            assert!(
                output.status.success(),
                "{line:?}: {}",
                text(&output.stderr)
            );
            output.stdout
        };
        let there = on(&worker.options());
        if ["eval", "predict"].contains(&line[0]) {
            assert_eq!(text(&there), text(&on(&["--backend", "ndarray"])));
        }
    }
}

#[test]
fn a_worker_that_dies_ends_the_run_with_one_error_and_another_process_goes_on_exactly() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let recipe = [&OFTEN[..], &["--epochs", "4"]].concat();
    let whole = finished(folder, &recipe);
    let token = folder.join("token");
    fs::write(&token, "a secret").unwrap();
    let token = ["--token-file", token.to_str().unwrap()];
    let mut worker = Worker::start(folder, &token);
    let place = worker.place().to_owned();
    // It comes back at once the first time, and only for the resumption the second time.
    for (steps, comes_back) in [(4, true), (20, false)] {
        let mut command = match steps {
            4 => train(folder, &worker, &[&recipe[..], &token].concat()),
            _ => resume(folder),
        };
        let before = fs::canonicalize(folder.join("latest")).unwrap();
        let child = command.stderr(Stdio::piped()).spawn().unwrap();
        while latest(folder) == whole || last_step(&latest(folder)) < steps {
            std::thread::sleep(Duration::from_millis(1));
        }
        worker.child.kill().unwrap();
        worker.child.wait().unwrap();
        let start = Instant::now();
        let restarted = comes_back.then(|| Worker::on(folder, &place, &token));
        let message = failed_soon(start, &child.wait_with_output().unwrap());
        for words in [&*worker.url, "is gone", "saved up to step-", "--resume"] {
            assert!(message.contains(words), "{message}");
        }
        let run = latest(folder);
        assert_eq!(result(&run)["state"], "failed");
        assert!(steps == 4 || run == before);
        worker = restarted.unwrap_or_else(|| Worker::on(folder, &place, &token));
    }
    // The run knows its worker and the file of its token.
    let output = resume(folder).output().unwrap();
    let said = text(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(
        said.contains("as the run began: --backend remote"),
        "{said}"
    );
    assert_equal_runs(&whole, &latest(folder));
}

#[test]
fn an_absent_worker_a_wrong_token_and_another_program_are_each_named_and_no_run_is_made() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let artifacts = folder.join("artifacts");
    let (token, other) = (folder.join("token"), folder.join("other"));
    fs::write(&token, "a secret").unwrap();
    fs::write(&other, "another").unwrap();
    let token = ["--token-file", token.to_str().unwrap()];
    let worker = Worker::start(folder, &token);
    let wrong = refused(train(
        &artifacts,
        &worker,
        &["--token-file", other.to_str().unwrap()],
    ));
    assert!(wrong.contains("refuses the token"), "{wrong}");
    assert!(wrong.contains("which names another one"), "{wrong}");
    let none = refused(train(&artifacts, &worker, &[]));
    assert!(none.contains("name the file with its token"), "{none}");
    let said = fs::read_to_string(&worker.said).unwrap();
    assert_eq!(said.matches("refused").count(), 2, "{said}");
    assert!(
        !said.contains("secret") && !said.contains("another\n"),
        "{said}"
    );

    let url = worker.url.clone();
    drop(worker);
    for line in [&["train", "--config", "smoke"][..], &["bench"], &["check"]] {
        let mut command = program(line);
        command.args(["--backend", "remote", "--device", &url]);
        command.arg("--artifacts").arg(&artifacts);
        let message = refused(command);
        assert!(message.contains("no worker answers at"), "{message}");
        assert!(message.contains(&url), "{message}");
        assert!(message.contains("trainer worker"), "{message}");
    }

    // It takes connections and says nothing, or ends each at once.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap();
    for ends in [false, true] {
        if ends {
            let listener = silent.try_clone().unwrap();
            std::thread::spawn(move || listener.incoming().for_each(drop));
        }
        let url = format!("ws://{address}");
        let message = refused({
            let mut command = program(&["bench", "--backend", "remote", "--device", &url]);
            command.arg("--artifacts").arg(&artifacts);
            command
        });
        assert!(message.contains("is no worker"), "{message}");
    }
    assert!(!artifacts.exists());
}

#[test]
fn a_worker_of_another_version_is_refused_with_both_versions() {
    let artifacts = tempfile::tempdir().unwrap();
    let place: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let computing = Computing {
        precision: "fast".to_owned(),
        isa: None,
        threads: 1,
    };
    let ours = About::new("flex", "a processor".to_owned(), computing);
    let program_differs = About {
        program: "0.0.1 of commit abc".to_owned(),
        ..ours.clone()
    };
    let burn_differs = About {
        burn: "0.21.0".to_owned(),
        ..ours
    };
    for about in [program_differs, burn_differs] {
        let worker = remote::Worker::bind(place, None).unwrap();
        let url = format!("ws://{}", worker.address());
        let versions = about.versions();
        std::thread::spawn(move || {
            let (_end, ended) = tokio::sync::watch::channel(false);
            worker.run(&Device::flex(), &about, |_| {}, ended)
        });
        let mut command = program(&["train", "--backend", "remote", "--device", &url]);
        command.args(SMALL).arg("--artifacts").arg(artifacts.path());
        let message = refused(command);
        assert!(message.contains(&versions), "{message}");
        assert!(
            message.contains("build both from the same sources"),
            "{message}"
        );
        assert_eq!(fs::read_dir(artifacts.path()).unwrap().count(), 0);
    }
}

#[test]
fn a_worker_is_closed_to_other_machines_without_a_token_and_ends_at_an_interrupt() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let open = refused(program(&[
        "worker",
        "--listen",
        "0.0.0.0:0",
        "--backend",
        "flex",
    ]));
    assert!(open.contains("a token is needed"), "{open}");
    let empty = folder.join("empty");
    fs::write(&empty, "\n").unwrap();
    let mut command = program(&["worker", "--listen", "0.0.0.0:0", "--token-file"]);
    command.arg(&empty);
    assert!(refused(command).contains("cannot be used"));

    let mut worker = Worker::start(folder, &[]);
    let mut taken = program(&["worker", "--backend", "flex", "--listen"]);
    taken.arg(worker.place());
    assert!(refused(taken).contains("choose another address with --listen"));

    // With a client that computes.
    let artifacts = folder.join("artifacts");
    fs::create_dir(&artifacts).unwrap();
    let client = train(&artifacts, &worker, &OFTEN)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    while !artifacts.join("latest").exists() || last_step(&latest(&artifacts)) == 0 {
        std::thread::sleep(Duration::from_millis(1));
    }
    let id = worker.child.id().to_string();
    let start = Instant::now();
    assert!(
        Command::new("kill")
            .args(["-INT", &id])
            .status()
            .unwrap()
            .success()
    );
    assert_eq!(worker.child.wait().unwrap().code(), Some(0));
    let message = failed_soon(start, &client.wait_with_output().unwrap());
    assert!(message.contains("is gone"), "{message}");
}

#[test]
fn what_names_no_worker_or_several_is_refused_with_the_way_out() {
    let one = ["--backend", "remote"];
    let url = ["--device", "ws://127.0.0.1:9"];
    for (line, words) in [
        (&one[..], "--device ws://HOST:PORT"),
        (&[&one[..], &url, &url].concat(), "give `--device` once"),
        (&url, "reached with `--backend remote`"),
        (&["--device", "ws://nowhere"], "ws://HOST:PORT"),
    ] {
        let mut command = program(&["train", "--config", "smoke"]);
        if !line.contains(&"--backend") {
            command.args(["--backend", "ndarray"]);
        }
        let message = refused({
            command.args(line);
            command
        });
        assert!(message.contains(words), "{message}");
    }
}

#[test]
fn a_token_for_a_device_of_this_machine_is_refused_by_whatever_computes() {
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    fs::write(&token, "a secret").unwrap();
    finished(folder.path(), &["--epochs", "1"]);
    for line in [
        &["train", "--resume", "latest"][..],
        &["eval"],
        &["bench"],
        &["check", "--short"],
    ] {
        let mut command = program(line);
        command.args(["--backend", "ndarray", "--token-file"]);
        command.arg(&token).arg("--artifacts").arg(folder.path());
        let message = refused(command);
        assert!(
            message.contains("the backend `ndarray` computes on this machine; leave it out"),
            "{line:?}: {message}"
        );
    }
}

#[test]
fn a_worker_of_a_worker_is_refused_before_it_connects() {
    let line = ["worker", "--backend", "remote", "--listen", "127.0.0.1:0"];
    let mut command = program(&line);
    command.args(["--device", "ws://127.0.0.1:9"]);
    let message = refused(command);
    assert!(
        message.contains("leave `--backend remote` out"),
        "{message}"
    );
}

/// A signal to a worker's process.
#[cfg(unix)]
fn signal(worker: &Worker, name: &str) {
    let sent = Command::new("kill")
        .args([name, &worker.child.id().to_string()])
        .status()
        .unwrap();
    assert!(sent.success());
}

#[cfg(unix)]
#[test]
fn a_worker_that_falls_silent_ends_the_run_with_one_error_and_the_run_goes_on_when_it_answers() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let worker = Worker::start(folder, &[]);
    let mut child = train(folder, &worker, &OFTEN)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    while !folder.join("latest").exists() || last_step(&latest(folder)) < 4 {
        assert!(child.try_wait().unwrap().is_none(), "the run ended early");
        std::thread::sleep(Duration::from_millis(20));
    }
    signal(&worker, "-STOP");
    let start = Instant::now();
    let output = child.wait_with_output().unwrap();
    let message = failed_soon(start, &output);
    assert!(message.contains("has fallen silent"), "{message}");
    signal(&worker, "-CONT");
    let run = latest(folder);
    let before = last_step(&run);
    let output = resume(folder).output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(last_step(&run) > before);
}

#[test]
fn how_a_worker_computes_is_its_own_affair_and_stands_in_the_record() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let worker = Worker::start(folder, &["--precision", "exact", "--threads", "1"]);
    let message = refused(train(folder, &worker, &["--precision", "exact"]));
    assert!(message.contains("computes as it was started"), "{message}");
    let output = train(folder, &worker, &["--epochs", "1"]).output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    let environment = fs::read_to_string(latest(folder).join("environment.json")).unwrap();
    let environment: Value = serde_json::from_str(&environment).unwrap();
    assert_eq!(environment["precision"], "exact");
    assert_eq!(environment["threads"], 1);
    let said = text(&output.stdout);
    let next = format!("--backend remote --device {}", worker.url);
    assert!(said.contains(&next), "{said}");
}
