//! A checkpoint: everything that the rest of a run depends on, in one folder that is there whole or
//! not at all.
//!
//! | file | what it holds |
//! | --- | --- |
//! | `manifest` | `manifest.json`: where the run stood, and size and SHA-256 of every part |
//! | `name` | `step-390`, and the names of what is no checkpoint yet or no more |
//! | `files` | the operations on files that a checkpoint is made with, in a trait that tests watch |
//! | `commit` | the order of these operations, and which checkpoints are kept |
//! | `restore` | the newest checkpoint that is whole |
//! | `learner` | the state of Burn's Learner as bytes, and back |
//!
//! A checkpoint `checkpoints/step-390` holds `model.bpk` (weights and running statistics),
//! `optimizer.bpk`, `schedule.bpk`, from the first validation on `best.bpk` (the best epoch's
//! weights), where the recipe asks for them `average.bpk` and `lookahead.bpk`, `manifest.json`, and `manifest.sha256`, which `sha256sum -c` understands.

mod commit;
mod error;
mod files;
mod learner;
mod manifest;
mod name;
mod restore;
#[cfg(test)]
mod tests;

pub use commit::{Keep, Store};
pub use error::{CheckpointError, Problem};
pub use files::{Disk, FileSystem};
pub(crate) use learner::{Mailbox, ReadLearner, give, instead_of_training, load_learner};
pub use manifest::{Identity, Manifest, Part, TableLengths};
pub use name::Name;
pub use restore::{Checkpoint, Found, Refused};

/// The format of checkpoints that this program writes and reads.
pub const FORMAT: u32 = 1;

/// The parts' files, in the order in which they are written.
pub const PARTS: [&str; 6] = [MODEL, OPTIMIZER, SCHEDULE, BEST, AVERAGE, LOOKAHEAD];
/// Weights and running statistics.
pub const MODEL: &str = "model.bpk";
/// The optimiser's state, such as velocities.
pub const OPTIMIZER: &str = "optimizer.bpk";
/// The schedule's state.
pub const SCHEDULE: &str = "schedule.bpk";
/// The best epoch's weights; absent before the first validation.
pub const BEST: &str = "best.bpk";
/// The averaged weights and running statistics; absent where the recipe averages none.
pub const AVERAGE: &str = "average.bpk";
/// The slow weights and running statistics; absent where the recipe has none.
pub const LOOKAHEAD: &str = "lookahead.bpk";
