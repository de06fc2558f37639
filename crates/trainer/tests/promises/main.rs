//! What the program promises, checked through its front door: the built binary.
#![allow(clippy::unwrap_used)]

mod beyond;
mod compare;
mod damage;
mod devices;
mod documents;
#[cfg(unix)]
mod faults;
#[cfg(target_os = "linux")]
mod flushes;
#[cfg(unix)]
mod logs;
#[cfg(target_os = "linux")]
mod memory;
mod network;
mod refusals;
#[cfg(all(unix, feature = "remote"))]
mod remote;
mod report;
#[cfg(unix)]
mod resume;
mod runs;
#[cfg(target_os = "linux")]
mod screen;
#[cfg(unix)]
mod serve;
mod start;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

/// Runs the trainer with `arguments`, run folders in `artifacts`, no terminal.
fn trainer(artifacts: &Path, arguments: &[&str]) -> Output {
    command(artifacts, arguments).output().unwrap()
}

fn command(artifacts: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_trainer"));
    command
        .arg("train")
        .args(["--backend", "ndarray"])
        .arg("--artifacts")
        .arg(artifacts)
        .args(arguments)
        .stdin(std::process::Stdio::null());
    command
}

/// Runs the program with `arguments`, whatever the command.
fn program(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_trainer"))
        .args(arguments)
        // Mesa's drivers look for a screen there, and complain on standard error where a session has no
        // such folder.
        .env("XDG_RUNTIME_DIR", std::env::temp_dir())
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The smoke recipe with fewer images and epochs.
const SMALL: [&str; 8] = [
    "--config",
    "smoke",
    "--set",
    "data.train_images=600",
    "--set",
    "data.test_images=100",
    "--epochs",
    "3",
];

fn result(run: &Path) -> Value {
    serde_json::from_slice(&fs::read(run.join("result.json")).unwrap()).unwrap()
}

/// The weights in both formats, whose every byte is promised.
fn weights(run: &Path) -> [Vec<u8>; 2] {
    ["model.safetensors", "model.bpk"].map(|file| fs::read(run.join(file)).unwrap())
}

/// A table without its columns of times, which stand last.
fn table(run: &Path, name: &str, times: usize) -> Vec<Vec<String>> {
    fs::read_to_string(run.join(name))
        .unwrap()
        .lines()
        .map(|line| {
            let mut cells: Vec<String> = line.split(',').map(str::to_owned).collect();
            cells.truncate(cells.len() - times);
            cells
        })
        .collect()
}

fn finished(artifacts: &Path, extra: &[&str]) -> PathBuf {
    let output = trainer(artifacts, &[&SMALL[..], extra].concat());
    assert!(output.status.success(), "{}", text(&output.stderr));
    fs::canonicalize(artifacts.join("latest")).unwrap()
}

fn assert_equal_runs(a: &Path, b: &Path) {
    assert_eq!(weights(a), weights(b), "weights");
    assert_eq!(table(a, "steps.csv", 1), table(b, "steps.csv", 1));
    assert_eq!(table(a, "metrics.csv", 2), table(b, "metrics.csv", 2));
    for file in ["predictions.csv", "confusion.csv"] {
        assert_eq!(table(a, file, 0), table(b, file, 0), "{file}");
    }
    for field in [
        "steps",
        "train_loss",
        "valid_accuracy",
        "test_accuracy",
        "best_epoch",
        "best_valid_accuracy",
        "temperature",
        "test_calibration_error_scaled",
        "state",
    ] {
        assert_eq!(result(a)[field], result(b)[field], "{field}");
    }
}
