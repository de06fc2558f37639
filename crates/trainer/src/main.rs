//! The program `trainer`; everything is in its library.

use std::process::ExitCode;

use cpu_kernels::allocator::{self, Allocator};

#[global_allocator]
static ALLOCATOR: Allocator = Allocator;

fn main() -> ExitCode {
    allocator::keep_pages();
    trainer::cli::main()
}
