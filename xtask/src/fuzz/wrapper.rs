//! The compiler with coverage for the readers. cargo calls it in place of the compiler for the
//! crates of this workspace only, so that coverage is that of the readers themselves.
//!
//! `-C passes` is stable. What libFuzzer needs of it is what cargo-fuzz asks for as well.

use std::ffi::OsString;
use std::process::{Command, ExitCode};

/// Set where this program is to act as the compiler.
pub const VARIABLE: &str = "XTASK_FUZZ_COMPILER";

/// The crates whose coverage guides the fuzzer.
const READERS: [&str; 3] = ["cifar10", "trainer", "fuzz"];

/// What they are compiled with. Overflow of integers, which the ordinary profile lets pass, is a
/// finding too.
const OPTIONS: [&str; 8] = [
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Ccodegen-units=1",
    "-Coverflow-checks=yes",
    "-Cdebug-assertions=yes",
];

/// Calls the compiler, the first of `arguments`, with the rest of them.
pub fn compile(arguments: &[OsString]) -> ExitCode {
    let Some((compiler, arguments)) = arguments.split_first() else {
        eprintln!("error: no compiler was named");
        return ExitCode::from(2);
    };
    let mut command = Command::new(compiler);
    command.args(arguments);
    let crate_name = arguments
        .iter()
        .skip_while(|argument| *argument != "--crate-name")
        .nth(1);
    if crate_name.is_some_and(|name| READERS.iter().any(|reader| name == reader)) {
        command.args(OPTIONS);
    }
    match command.status() {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: the compiler could not be started: {error}");
            ExitCode::FAILURE
        }
    }
}
