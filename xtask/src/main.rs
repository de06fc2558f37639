//! Thin commands for people who work on the project: `cargo xtask train-cpu`, `cargo xtask test`,
//! `cargo xtask bench`, `cargo xtask kernels`, `cargo xtask fuzz`, `cargo xtask chaos`.

mod arguments;
mod bench;
#[cfg(unix)]
mod chaos;
mod fuzz;
mod program;

use std::process::{Command, ExitCode};

const USAGE: &str = "usage: cargo xtask train-cpu [-- TRAINER OPTIONS]
       cargo xtask test [--wgpu | --valgrind]
       cargo xtask bench [--help]
       cargo xtask kernels [PART OF A NAME]
       cargo xtask fuzz [--help]
       cargo xtask chaos [--help]";

fn main() -> ExitCode {
    if std::env::var_os(fuzz::wrapper::VARIABLE).is_some() {
        let arguments: Vec<_> = std::env::args_os().skip(1).collect();
        return fuzz::wrapper::compile(&arguments);
    }
    let mut arguments = std::env::args().skip(1);
    let command = arguments.next();
    let rest: Vec<String> = arguments.skip_while(|argument| argument == "--").collect();
    let done = match command.as_deref() {
        Some("train-cpu") => {
            // The dev profile is optimised, so that this build also serves `cargo run`.
            let mut line = vec!["run", "--package", "trainer", "--", "train"];
            line.extend(["--backend", "ndarray"]);
            line.extend(rest.iter().map(String::as_str));
            cargo(&line)
        }
        Some("bench") => reported(bench::run(&rest)),
        Some("fuzz") => reported(fuzz::run(&rest)),
        #[cfg(unix)]
        Some("chaos") => reported(chaos::run(&rest)),
        Some("kernels") => {
            let manifest = "bench/kernels/Cargo.toml";
            let mut line = vec![
                "bench",
                "--manifest-path",
                manifest,
                "--target-dir",
                "target/kernels",
                "--",
            ];
            line.extend(rest.iter().map(String::as_str));
            cargo(&line)
        }
        Some("test") if rest.iter().any(|argument| argument == "--valgrind") => valgrind(),
        Some("test") => test(rest.iter().any(|argument| argument == "--wgpu")),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    if done {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Says what failed, and whether all went well.
fn reported(outcome: Result<(), String>) -> bool {
    if let Err(message) = &outcome {
        eprintln!("error: {message}");
    }
    outcome.is_ok()
}

/// Formatting, lints, every test and the documentation; with `wgpu` the tests that need an
/// adapter instead, for which a software one is enough.
fn test(wgpu: bool) -> bool {
    if wgpu {
        return cargo(&[
            "test",
            "--package",
            "model",
            "--package",
            "trainer",
            "--features",
            "wgpu",
        ]);
    }
    [
        &["fmt", "--all", "--check"][..],
        &[
            "clippy",
            "--workspace",
            "--all-targets",
            "--",
            "--deny",
            "warnings",
        ],
        &["test", "--workspace"],
        &[
            "doc",
            "--workspace",
            "--no-deps",
            "--document-private-items",
        ],
    ]
    .iter()
    .all(|line| cargo(line))
}

/// The tests of the kernels under valgrind, which knows the portable and the AVX2 ones. It takes a
/// hundred times as long, so that operations meet fewer random shapes.
fn valgrind() -> bool {
    let runner = r#"target."cfg(all())".runner = "valgrind --quiet --error-exitcode=9""#;
    let line = ["test", "--package", "cpu-kernels", "--test", "operations"];
    cargo_with(
        &[&["--config", runner][..], &line].concat(),
        &[("CPU_KERNELS_CASES", "4")],
    )
}

/// Runs cargo and says whether it succeeded.
fn cargo(arguments: &[&str]) -> bool {
    cargo_with(arguments, &[])
}

/// As [`cargo`], with variables in its environment.
fn cargo_with(arguments: &[&str], variables: &[(&str, &str)]) -> bool {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    match Command::new(program)
        .args(arguments)
        .env("RUSTDOCFLAGS", "--deny warnings")
        .envs(variables.iter().copied())
        .status()
    {
        Ok(status) => status.success(),
        Err(error) => {
            eprintln!("error: cargo could not be started: {error}");
            false
        }
    }
}
