//! What the program promises, checked through its front door: the built binary.
#![allow(clippy::unwrap_used)]

mod refusals;
mod runs;

use std::path::Path;
use std::process::{Command, Output};

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

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
