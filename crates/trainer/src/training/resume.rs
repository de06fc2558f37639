//! Finds where an interrupted run goes on.

use super::TrainError;
use super::checkpoint::{Checkpoint, Store};
use crate::run::{self, RunError, RunFolder, RunLock, RunResult, RunState};

/// A run to go on with.
pub struct Resumed {
    /// Its folder.
    pub folder: RunFolder,
    /// Keeps other processes out of it.
    pub lock: RunLock,
    /// Where it goes on; none where it was cut off before its first checkpoint, and begins again.
    pub checkpoint: Option<Checkpoint>,
    /// A line for each thing that the user should know.
    pub remarks: Vec<String>,
}

impl Resumed {
    /// The run `name` of `artifacts`, if it has something left to train.
    ///
    /// # Errors
    /// [`TrainError`] where there is no such run, another process trains it, it is finished or none of
    /// its checkpoints is whole.
    pub fn find(artifacts: &std::path::Path, name: &str) -> Result<Self, TrainError> {
        let folder = RunFolder::open(run::resolve(artifacts, name)?)?;
        let store = Store::new(folder.checkpoints());
        if !folder.environment().exists() && store.names()?.is_empty() {
            return Err(RunError::NotBegun {
                path: folder.path().to_owned(),
                config: folder.config(),
            }
            .into());
        }
        let lock = RunLock::take(&folder)?;
        if folder.result().exists()
            && RunResult::read(&folder.result())
                .is_ok_and(|result| result.state == RunState::Finished)
        {
            return Err(TrainError::AlreadyFinished(folder.path().to_owned()));
        }
        let found = store.latest()?;
        let mut remarks: Vec<String> = found.refused.iter().map(ToString::to_string).collect();
        match &found.checkpoint {
            Some(checkpoint) => {
                store.set_aside(&found.refused)?;
                remarks.extend(missing_tables(&folder, checkpoint));
                remarks.push(format!("going on from {}", checkpoint.path.display()));
            }
            None if run::has_saved(&folder.events()) => {
                return Err(TrainError::CheckpointsGone {
                    folder: folder.path().to_owned(),
                    config: folder.config(),
                });
            }
            None => remarks.push(format!(
                "{} was cut off before its first checkpoint and begins again",
                folder.path().display()
            )),
        }
        Ok(Self {
            folder,
            lock,
            checkpoint: found.checkpoint,
            remarks,
        })
    }
}

/// A line for each table that has been deleted since `checkpoint`, which knows its length alone.
fn missing_tables(folder: &RunFolder, checkpoint: &Checkpoint) -> Vec<String> {
    let manifest = &checkpoint.manifest;
    [
        (folder.metrics(), manifest.tables.metrics),
        (folder.steps(), manifest.tables.steps),
        (folder.events(), manifest.tables.events),
        (folder.tensorboard(), manifest.tables.tensorboard),
    ]
    .into_iter()
    .filter(|(table, length)| *length > 0 && !table.exists())
    .map(|(table, _)| {
        format!(
            "{} is gone; its rows up to step {} are lost, and it is begun again",
            table.display(),
            manifest.record.steps
        )
    })
    .collect()
}
