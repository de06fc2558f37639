//! Damaged input for every reader of the project.
//!
//! libFuzzer makes the inputs, guided by the coverage of the readers; `cargo xtask fuzz` builds
//! the readers with that coverage and starts the program. The smoke test needs neither: it
//! mutates the seeds. See `docs/fuzzing.md`.
//!
//! | file | what it holds |
//! | --- | --- |
//! | `targets` | the list of targets: one function each, from bytes to [`Read`] |
//! | `limits` | memory, time, and the slowest input |
//! | `scratch` | a folder for readers that take a path |
//! | `seeds/NAME` | inputs that a target's mutations begin with; `examples/seeds.rs` makes them |
//! | `dictionaries/NAME.dict` | words that a target's mutations put in |

#![warn(missing_docs)]

pub mod limits;
pub mod scratch;
pub mod targets;

use std::process::exit;
use std::sync::OnceLock;

pub use targets::{Read, TARGETS, Target};

/// The environment variable that names the target.
pub const TARGET_VARIABLE: &str = "FUZZ_TARGET";
/// The environment variable that names the file for the slowest input. The time in microseconds
/// stands beside it, in a file of the same name with the extension `us`.
pub const SLOWEST_VARIABLE: &str = "FUZZ_SLOWEST";

static TARGET: OnceLock<&'static Target> = OnceLock::new();

/// Prepares the process: finds the target, limits memory. Without a target it ends the process
/// with the list of targets, since libFuzzer has no way to report wrong usage.
pub fn start() {
    let name = std::env::var(TARGET_VARIABLE).unwrap_or_default();
    let Some(target) = TARGETS.iter().find(|target| target.name == name) else {
        let names: Vec<_> = TARGETS.iter().map(|target| target.name).collect();
        eprintln!(
            "error: {TARGET_VARIABLE} names no target: `{name}`; there are {}",
            names.join(", ")
        );
        exit(2);
    };
    TARGET.get_or_init(|| target);
    limits::refuse_large_allocations();
}

/// Gives `input` to the target within its limits.
pub fn run(input: &[u8]) {
    if let Some(target) = TARGET.get() {
        limits::watch(input, || (target.read)(input));
    }
}
