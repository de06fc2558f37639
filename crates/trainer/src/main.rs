//! The program `trainer`; everything is in its library.

use std::process::ExitCode;

fn main() -> ExitCode {
    trainer::cli::main()
}
