//! Starts cargo, and builds the trainer.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

/// The cargo that runs this program, as a user would start it. Cargo describes this package to the program
/// that it runs in variables. Build scripts of dependencies that look at these would run again, and with them
/// much of the build.
pub fn cargo() -> Command {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if ["CARGO_PKG_", "CARGO_MANIFEST_"]
            .iter()
            .any(|start| text.starts_with(start))
        {
            command.env_remove(&name);
        }
    }
    command
}

/// Builds the trainer as `cargo run` would, in the optimised dev profile, with `features`, and returns the
/// program's path.
///
/// # Errors
/// A message where cargo cannot be started, the build fails or cargo names no program.
pub fn build(root: &Path, features: &[&str]) -> Result<PathBuf, String> {
    // Warnings, errors and progress go to the terminal as usual; only messages for programs come here.
    let output = cargo()
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
    fn cargo_does_not_see_what_it_told_this_program_about_its_package() {
        let command = cargo();
        for name in ["CARGO_PKG_NAME", "CARGO_PKG_VERSION", "CARGO_MANIFEST_DIR"] {
            let mut seen = command.get_envs();
            assert!(
                std::env::var_os(name).is_none()
                    || seen.any(|found| found == (name.as_ref(), None)),
                "{name}"
            );
        }
    }

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
