//! Every `cargo xtask` that a document shows is one that there is.
#![allow(clippy::unwrap_used)]

mod shown;

use std::process::Command;

/// The arguments of a command of this program; nothing where `text` is no such command.
fn arguments(text: &str) -> Option<Vec<&str>> {
    let rest = text.strip_prefix("cargo xtask ")?;
    Some(rest.split_whitespace().collect())
}

/// Reads a command line as the program does, and does nothing: `--help` comes last.
fn is_understood(arguments: &[&str]) -> bool {
    match arguments {
        // The trainer's own tests read the rest.
        ["train-cpu", ..]
        | ["kernels" | "test"]
        | ["test", "--wgpu" | "--remote" | "--valgrind"] => true,
        [
            "bench" | "chaos" | "check-scripts" | "fuzz" | "reproduce",
            ..,
        ] => {
            let options = arguments.iter().take_while(|word| **word != "--");
            let output = Command::new(env!("CARGO_BIN_EXE_xtask"))
                .args(options)
                .arg("--help")
                .output()
                .unwrap();
            output.status.success()
        }
        _ => false,
    }
}

#[test]
fn every_command_of_this_program_in_a_document_is_understood() {
    let code = shown::code();
    let commands: Vec<_> = code
        .iter()
        .filter_map(|code| Some((&code.place, arguments(&code.text)?)))
        .collect();
    assert!(commands.len() > 10, "{commands:?}");
    for (place, arguments) in commands {
        assert!(is_understood(&arguments), "{place}: {arguments:?}");
    }
    for wrong in [
        &["bench", "--fast"][..],
        &["chaos", "--kill", "3"],
        &["check-scripts", "absent"],
        &["fuzz", "--target", "absent"],
        &["reproduce", "absent"],
        &["test", "--gpu"],
        &["absent"],
    ] {
        assert!(!is_understood(wrong), "{wrong:?}");
    }
}
