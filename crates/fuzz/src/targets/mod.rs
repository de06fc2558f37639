//! The targets. A new one is a function from bytes to [`Read`], a line in [`TARGETS`], and a
//! folder of seeds with its name.
//!
//! A target panics where a reader breaks a promise, for instance where what was read and written
//! again reads differently.

mod checksums;
mod data_files;
mod recipes;
mod run_files;
mod weight_files;

pub use run_files::{FILE_SEPARATOR, saved_network};
pub use weight_files::saved_export;

/// What a reader made of an input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Read {
    /// The input was read to its end.
    Whole,
    /// The input was refused with an error.
    Refused,
}

impl Read {
    fn of<T, E>(result: &Result<T, E>) -> Self {
        match result {
            Ok(_) => Self::Whole,
            Err(_) => Self::Refused,
        }
    }
}

/// A reader under the fuzzer.
#[derive(Debug)]
pub struct Target {
    /// Its name, and that of its seeds' folder and its dictionary.
    pub name: &'static str,
    /// Gives the input to the reader. Panics where the reader breaks a promise.
    pub read: fn(&[u8]) -> Read,
    /// Inputs that the smoke test gives it: as many as take about a second.
    pub smoke_runs: u32,
}

/// Every target.
pub const TARGETS: &[Target] = &[
    target("records", data_files::records, 5_000),
    target("pickle", data_files::pickle, 20_000),
    target("sheet", data_files::sheet, 5_000),
    target("archive", data_files::archive, 2_000),
    target("package", data_files::package, 300),
    target("recipe", recipes::recipe, 10_000),
    target("overrides", recipes::overrides, 10_000),
    target("result", run_files::result, 10_000),
    target("runs", run_files::runs, 2_000),
    target("weights", run_files::weights, 500),
    target("manifest", run_files::manifest, 10_000),
    target("predictions", run_files::predictions, 5_000),
    target("weight_file", weight_files::weight_file, 10_000),
    target("exported", weight_files::exported, 500),
];

const fn target(name: &'static str, read: fn(&[u8]) -> Read, smoke_runs: u32) -> Target {
    Target {
        name,
        read,
        smoke_runs,
    }
}
