//! The program `trainer`; everything is in its library.

use std::process::ExitCode;

/// It keeps the pages of freed tensors, where the system's gives them back and faults them in again
/// at every step.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    trainer::cli::main()
}
