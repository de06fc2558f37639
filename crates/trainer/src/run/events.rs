//! `events.jsonl`: everything that happens in a run, a JSON object a line.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use cifar10::file;
use serde::Serialize;

use super::error::RunError;
use super::grow::GrowingFile;
use super::metrics::{MetricsRow, StepRow};
use super::result::RunResult;

/// Something that happens in a run. The key `event` names it, and the keys of its figures are those of
/// the tables and of `result.json`.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event<'a> {
    /// The run begins.
    Started {
        /// The recipe's name.
        recipe: &'a str,
        /// The recipe's own name, where the run has another.
        #[serde(skip_serializing_if = "Option::is_none")]
        based_on: Option<&'a str>,
        /// The network's name.
        network: &'a str,
        /// Steps of the whole run.
        steps: u64,
    },
    /// The run goes on from a checkpoint of this step.
    Resumed {
        /// Steps done.
        step: u64,
    },
    /// A step, as in `steps.csv`.
    Step(&'a StepRow),
    /// An epoch, as in `metrics.csv`.
    Epoch(&'a MetricsRow),
    /// A checkpoint. A run that is resumed from it says `resumed` in its place.
    Saved {
        /// Steps done.
        step: u64,
        /// Its folder's name.
        checkpoint: String,
        /// How long training waited for it.
        seconds: f64,
    },
    /// The run's end, an interrupt or an error, as in `result.json`.
    Ended(&'a RunResult),
}

/// Whether the events in `path` tell of a checkpoint.
#[must_use]
pub fn has_saved(path: &Path) -> bool {
    let Ok((file, _)) = file::open(path) else {
        return false;
    };
    let (mut reader, mut line) = (BufReader::new(file), Vec::new());
    // A line that is longer than any such line is read in pieces, so that it takes no memory.
    while let Ok(1..) = (&mut reader)
        .take(LONGEST_EVENT)
        .read_until(b'\n', &mut line)
    {
        if line.starts_with(SAVED) {
            return true;
        }
        line.clear();
    }
    false
}

/// The longest line of `events.jsonl` that is read as one, in bytes.
pub(crate) const LONGEST_EVENT: u64 = 1 << 16;

/// How a line of [`Event::Saved`] begins.
const SAVED: &[u8] = b"{\"event\":\"saved\"";

/// `events.jsonl`.
#[derive(Debug)]
pub struct EventLog(GrowingFile);

impl EventLog {
    /// Begins the file, or goes on with it after its first `length` bytes.
    ///
    /// # Errors
    /// [`RunError`] where it cannot be used.
    pub fn resume(path: &Path, length: u64) -> Result<Self, RunError> {
        GrowingFile::resume(path, length, &[]).map(Self)
    }

    /// Adds a line. Numbers that are not finite become `null`.
    ///
    /// # Errors
    /// [`RunError::Io`] with the path.
    pub fn append(&mut self, event: &Event<'_>) -> Result<(), RunError> {
        let mut line = serde_json::to_vec(event).map_err(|error| RunError::Io {
            action: "write",
            path: "events.jsonl".into(),
            source: error.into(),
        })?;
        line.push(b'\n');
        self.0.append(&line)
    }

    /// Hands all lines to the system.
    ///
    /// # Errors
    /// [`RunError::Io`] with the path.
    pub fn flush(&mut self) -> Result<(), RunError> {
        self.0.flush()
    }

    /// Flushes all lines to the disk, and gives the file's length in bytes.
    ///
    /// # Errors
    /// [`RunError::Io`] with the path.
    pub fn sync(&mut self) -> Result<u64, RunError> {
        self.0.sync()
    }
}
