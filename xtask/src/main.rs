//! Thin commands for people who work on the project: `cargo xtask train-cpu`, `cargo xtask test`,
//! `cargo xtask bench`, `cargo xtask reproduce`, `cargo xtask kernels`, `cargo xtask fuzz`,
//! `cargo xtask chaos`, `cargo xtask check-scripts`.

mod arguments;
mod bench;
#[cfg(unix)]
mod chaos;
mod fuzz;
mod program;
mod reproduce;
mod scripts;
mod test;

use std::process::ExitCode;

const USAGE: &str = "usage: cargo xtask train-cpu [-- TRAINER OPTIONS]
       cargo xtask test [--wgpu] [--remote] | --valgrind
       cargo xtask bench [--help]
       cargo xtask reproduce [ROW] [--help]
       cargo xtask kernels [PART OF A NAME]
       cargo xtask fuzz [--help]
       cargo xtask chaos [--help]
       cargo xtask check-scripts [--help]";

fn main() -> ExitCode {
    if std::env::var_os(fuzz::wrapper::VARIABLE).is_some() {
        let arguments: Vec<_> = std::env::args_os().skip(1).collect();
        return fuzz::wrapper::compile(&arguments);
    }
    let mut arguments = std::env::args().skip(1);
    let command = arguments.next();
    let rest: Vec<String> = arguments.skip_while(|argument| argument == "--").collect();
    let code = match command.as_deref() {
        Some("train-cpu") => {
            // The dev profile is optimised, so that this build also serves `cargo run`.
            let mut line = vec!["run", "--package", "trainer", "--", "train"];
            line.extend(["--backend", "ndarray"]);
            line.extend(rest.iter().map(String::as_str));
            cargo(&line)
        }
        Some("bench") => reported(bench::run(&rest)),
        Some("reproduce") => reported(reproduce::run(&rest)),
        Some("fuzz") => reported(fuzz::run(&rest)),
        Some("check-scripts") => reported(scripts::run(&rest)),
        #[cfg(unix)]
        Some("chaos") => reported(chaos::run(&rest)),
        Some("kernels") => kernels("bench", &rest),
        Some("test") => match rest.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            [] => test::all(),
            ["--valgrind"] => test::valgrind(),
            ref features => test::with_features(features).unwrap_or_else(wrong_usage),
        },
        _ => wrong_usage(),
    };
    ExitCode::from(code)
}

fn wrong_usage() -> u8 {
    eprintln!("{USAGE}");
    2
}

/// Says what failed, and gives the exit code.
fn reported(outcome: Result<(), String>) -> u8 {
    if let Err(message) = &outcome {
        eprintln!("error: {message}");
    }
    u8::from(outcome.is_err())
}

/// Runs one of cargo's commands on the benchmarks of the kernels, which are a workspace of their own
/// and share no build with this one.
fn kernels(command: &str, rest: &[String]) -> u8 {
    let target = std::env::var("CARGO_TARGET_DIR").unwrap_or_else(|_| "target".to_owned());
    let target = format!("{target}/kernels");
    let mut line = vec![command, "--manifest-path", "bench/kernels/Cargo.toml"];
    line.extend(["--target-dir", &target, "--"]);
    line.extend(rest.iter().map(String::as_str));
    cargo(&line)
}

/// Runs cargo and gives its exit code, which is that of the program that it ran.
fn cargo(arguments: &[&str]) -> u8 {
    cargo_with(arguments, &[])
}

/// As [`cargo`], with variables in its environment.
fn cargo_with(arguments: &[&str], variables: &[(&str, &str)]) -> u8 {
    let mut command = program::cargo();
    command
        .args(arguments)
        .env("RUSTDOCFLAGS", "--deny warnings");
    match command.envs(variables.iter().copied()).status() {
        Ok(status) => status
            .code()
            .and_then(|code| u8::try_from(code).ok())
            .unwrap_or(1),
        Err(error) => {
            eprintln!("error: cargo could not be started: {error}");
            1
        }
    }
}
