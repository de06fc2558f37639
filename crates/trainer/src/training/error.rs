//! What can end a run.

use std::fmt::Display;
use std::path::{Path, PathBuf};

/// A run failed.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// The data could not be had.
    #[error(transparent)]
    Data(#[from] cifar10::Error),
    /// The network could not be built.
    #[error(transparent)]
    Network(#[from] model::NetworkError),
    /// The run's folder could not be made or written.
    #[error(transparent)]
    Run(#[from] crate::run::RunError),
    /// No device.
    #[error(transparent)]
    DeviceOpen(#[from] crate::device::DeviceError),
    /// The optimiser's groups could not be made.
    #[error("the optimiser cannot be made: {0}")]
    Optimizer(String),
    /// The device failed while computing.
    #[error("the device failed: {0}")]
    Device(String),
    /// Burn's Learner stopped with an error.
    #[error("training stopped: {0}")]
    Learner(String),
    /// The loss is no number any more.
    #[error(
        "the loss became {loss} at step {step}; the last checkpoint is kept. Try a lower \
         learning rate (`--lr`), a longer warm-up (`--set schedule.warmup=0.3`) or another seed"
    )]
    Loss {
        /// The step, from 1.
        step: u64,
        /// The loss.
        loss: f64,
    },
    /// A run that ended has nothing left to train.
    #[error("{} is finished; there is nothing to resume", .0.display())]
    AlreadyFinished(PathBuf),
    /// A run was cut off before its first checkpoint.
    #[error("{} has no checkpoint to resume from; start the run anew", .0.display())]
    NoCheckpoint(PathBuf),
    /// The weights could not be saved.
    #[error("the weights could not be saved in {}: {reason}", path.display())]
    Save {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The weights could not be loaded.
    #[error("the weights in {} could not be loaded: {reason}", path.display())]
    Load {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
}

impl TrainError {
    pub(super) fn save(path: &Path, reason: impl Display) -> Self {
        Self::Save {
            path: path.to_owned(),
            reason: reason.to_string(),
        }
    }

    pub(super) fn load(path: &Path, reason: impl Display) -> Self {
        Self::Load {
            path: path.to_owned(),
            reason: reason.to_string(),
        }
    }

    pub(crate) fn device(reason: impl std::fmt::Debug) -> Self {
        Self::Device(format!("{reason:?}"))
    }
}
