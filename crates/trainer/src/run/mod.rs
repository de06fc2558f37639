//! A run's folder: where it is, what is in it, and how each of its files is written and read back.
//!
//! | file | what it holds |
//! | --- | --- |
//! | `artifacts` | which folders are runs, and which is the newest |
//! | `folder` | creates a run's folder and knows the path of every file in it |
//! | `find` | which folder the user means by `latest`, a name or a path |
//! | `list` | all runs of an artifacts folder |
//! | `lock` | keeps a second process out of a run |
//! | `environment` | `environment.json`: what the run ran on |
//! | `result` | `result.json`: what the run gave |
//! | `metrics` | `metrics.csv` and `steps.csv`, which grow as the run goes |
//! | `events`, `tensorboard` | `events.jsonl` and TensorBoard's events, which grow too |
//! | `grow` | a file that grows, and is cut back at a resumption |
//! | `predictions` | `predictions.csv` and `confusion.csv` |
//! | `write` | files that are either old or new, never half written |

mod artifacts;
mod environment;
mod error;
mod events;
mod find;
mod folder;
mod grow;
mod list;
mod lock;
mod metrics;
mod predictions;
mod result;
mod tensorboard;
#[cfg(test)]
mod tests;
mod write;

pub(crate) use artifacts::{SWEEP, TASK};
pub use environment::{BURN, DataRecord, Environment, InitialWeights, Resumption, cpu_model};
pub use error::RunError;
pub(crate) use events::LONGEST_EVENT;
pub use events::{Event, EventLog, has_saved};
pub use find::resolve;
pub use folder::RunFolder;
pub(crate) use folder::create_artifacts;
pub use list::{RunSummary, list};
pub use lock::RunLock;
pub use metrics::{CsvLog, LogRow, MetricsRow, StepRow, read_rows};
pub use predictions::{
    CLASSES, ConfusionMatrix, Prediction, confusion, read_predictions, write_confusion,
    write_predictions,
};
pub use result::{RunResult, RunState};
pub use tensorboard::TensorBoardLog;
pub use write::write_atomic;
pub(crate) use write::{if_there, read_json, read_short, sync_folder, write_json};
