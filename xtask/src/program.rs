//! Builds the trainer.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

/// Builds the trainer as `cargo run` would, in the optimised dev profile, with `features`, and returns the
/// program's path.
///
/// # Errors
/// A message where cargo cannot be started, the build fails or cargo names no program.
pub fn build(root: &Path, features: &[&str]) -> Result<PathBuf, String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    // Warnings, errors and progress go to the terminal as usual; only messages for programs come here.
    let output = Command::new(cargo)
        .args(["build", "--package", "trainer", "--bin", "trainer"])
        .arg("--message-format=json-render-diagnostics")
        .args(features.iter().flat_map(|feature| ["--features", feature]))
        .current_dir(root)
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| format!("cargo could not be started: {error}"))?;
    if !output.status.success() {
        return Err("the trainer does not build: see `cargo build --package trainer`".to_owned());
    }
    program_in(&String::from_utf8_lossy(&output.stdout))
        .ok_or_else(|| "`cargo build --package trainer` names no program called trainer".to_owned())
}

/// The path of the trainer in cargo's messages, one JSON object a line.
fn program_in(messages: &str) -> Option<PathBuf> {
    messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|message| {
            message
                .pointer("/target/name")
                .is_some_and(|n| n == "trainer")
        })
        .find_map(|message| message.get("executable")?.as_str().map(PathBuf::from))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_is_found_beside_the_library_of_the_same_name() {
        let messages = r#"{"reason":"compiler-artifact","target":{"name":"model"},"executable":null}
{"reason":"compiler-artifact","target":{"name":"trainer","kind":["lib"]},"executable":null}
{"reason":"compiler-artifact","target":{"name":"trainer","kind":["bin"]},"executable":"/t/debug/trainer"}
{"reason":"build-finished","success":true}"#;
        assert_eq!(
            program_in(messages),
            Some(PathBuf::from("/t/debug/trainer"))
        );
        assert_eq!(program_in("{\"reason\":\"build-finished\"}"), None);
    }
}
