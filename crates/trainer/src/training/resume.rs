//! Finds where an interrupted run goes on.

use std::fs;
use std::path::Path;

use super::TrainError;
use crate::run::{self, RunFolder, RunResult, RunState};

/// A run to go on with.
pub struct Resumed {
    /// Its folder.
    pub folder: RunFolder,
    /// The last epoch that was saved, from 1.
    pub epoch: usize,
    /// Seconds that its earlier parts trained.
    pub seconds: f64,
}

impl Resumed {
    /// The run `name` of `artifacts`, if it has something left to train.
    ///
    /// # Errors
    /// [`TrainError`] where there is no such run, it is finished or it has no checkpoint.
    pub fn find(artifacts: &Path, name: &str) -> Result<Self, TrainError> {
        let folder = RunFolder::open(run::resolve(artifacts, name)?)?;
        let result = RunResult::read(&folder.result()).ok();
        if result
            .as_ref()
            .is_some_and(|r| r.state == RunState::Finished)
        {
            return Err(TrainError::AlreadyFinished(folder.path().to_owned()));
        }
        let epoch = last_checkpoint(&folder.checkpoints())
            .ok_or_else(|| TrainError::NoCheckpoint(folder.path().to_owned()))?;
        Ok(Self {
            folder,
            epoch,
            seconds: result.map_or(0.0, |result| result.seconds),
        })
    }
}

/// The latest epoch of which model, optimiser and schedule were all saved.
fn last_checkpoint(folder: &Path) -> Option<usize> {
    let whole = |epoch: &usize| {
        ["model", "optim", "scheduler"]
            .iter()
            .all(|part| folder.join(format!("{part}-{epoch}.bpk")).is_file())
    };
    fs::read_dir(folder)
        .ok()?
        .filter_map(|entry| {
            let name = entry.ok()?.file_name();
            name.to_str()?
                .strip_prefix("model-")?
                .strip_suffix(".bpk")?
                .parse()
                .ok()
        })
        .filter(whole)
        .max()
}
