//! What can end a run.

use std::fmt::Display;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::checkpoint::{CheckpointError, Name};
use crate::evaluation::EvaluationError;
use crate::run::RunError;
use crate::shell;

/// What usually helps where training diverges.
const REMEDIES: &str = "start a new run with a lower learning rate (`--lr`), a longer warm-up (`--set \
    schedule.warmup=0.3`) or another seed (`--seed`)";

/// The part of a message that has a gradient's norm.
fn with_norm(norm: Option<f64>) -> String {
    norm.map_or_else(String::new, |norm| {
        format!(", with a gradient of norm {norm:e}")
    })
}

/// Words of drivers, of wgpu and of Burn for a device whose memory is full, or that has no buffer so large, of the
/// system and of Rust for this machine's, and of this program for either.
const OUT_OF_MEMORY: [&str; 7] = [
    "out of memory",
    "outofmemory",
    "not enough memory",
    "can't allocate buffer",
    "cannot allocate memory",
    "memory allocation of",
    "memory does not hold a batch",
];

/// Whether `words` say that memory is full, a device's or this machine's.
pub(crate) fn tells_of_full_memory(words: &str) -> bool {
    let words = words.to_lowercase();
    OUT_OF_MEMORY.iter().any(|full| words.contains(full))
}

/// What to do first where the system refused to write.
fn remedy(kind: Option<ErrorKind>) -> Option<&'static str> {
    match kind? {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
            Some("make room")
        }
        ErrorKind::ReadOnlyFilesystem | ErrorKind::PermissionDenied => {
            Some("make the folder writable")
        }
        _ => None,
    }
}

/// What a run that ended has saved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// Nothing yet.
    Nothing,
    /// Everything up to this checkpoint.
    UpTo(Name),
    /// Everything up to this checkpoint, which somebody has deleted or moved since.
    Gone(Name),
}

/// What to do after a run ended: make room, or go on, where going on would help.
fn advice(source: &TrainError, kept: Kept, folder: &Path) -> String {
    let run = shell::path(folder);
    let back =
        format!("put it back and go on with `trainer train --resume {run}`, or start a new run");
    if !folder.is_dir() {
        return format!("\nThe run's folder is gone since; {back}");
    }
    let kept = match kept {
        Kept::UpTo(name) => format!("\nThe run is saved up to {name}"),
        Kept::Nothing => "\nThe run had not saved anything yet".to_owned(),
        Kept::Gone(name) => {
            return format!("\nThe run was saved up to {name}, which is gone since; {back}");
        }
    };
    let first = match source {
        TrainError::Loss { .. } | TrainError::Weights { .. } | TrainError::OutOfMemory { .. } => {
            return format!("{kept} in {run}");
        }
        other => {
            remedy(other.io_kind()).map_or_else(String::new, |first| format!("{first}, then "))
        }
    };
    format!("{kept}; {first}go on with:\n  trainer train --resume {run}")
}

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
    /// The device computes wrongly.
    #[error(transparent)]
    Distrust(#[from] crate::check::trust::Distrust),
    /// A batch cannot be cut into equal parts.
    #[error(
        "a batch of {batch_size} images does not divide among {devices} devices; take `--batch-size {}`",
        batch_size.next_multiple_of(*devices)
    )]
    Indivisible {
        /// Images in a batch.
        batch_size: usize,
        /// Devices.
        devices: usize,
    },
    /// The device failed while computing.
    #[error("the device failed: {0}")]
    Device(String),
    /// Burn's Learner stopped with an error.
    #[error("training stopped: {0}")]
    Learner(String),
    /// The loss is no number any more.
    #[error("the loss became {loss} at step {step}{}; {REMEDIES}", with_norm(*norm))]
    Loss {
        /// The step, from 1.
        step: u64,
        /// The loss.
        loss: f64,
        /// The Euclidean norm of the step's gradient, where the loss was seen before the weights moved.
        norm: Option<f64>,
    },
    /// A weight is no number any more.
    #[error("weights became infinite or no numbers at step {step}; {REMEDIES}")]
    Weights {
        /// The step, from 1.
        step: u64,
    },
    /// A checkpoint could not be written or read.
    #[error(transparent)]
    Checkpoint(#[from] super::checkpoint::CheckpointError),
    /// The user wanted no more of it.
    #[error("interrupted")]
    Interrupted,
    /// The user ended the run from the dashboard, at once.
    #[error("the run was ended from the dashboard, without saving first")]
    Killed,
    /// A part of the program panicked.
    #[error("a part of the program panicked, which is a defect: {0}")]
    Panicked(String),
    /// The device has too little memory.
    #[error(
        "the device's memory does not hold a batch of {batch_size} images; try a smaller one, such as \
         --batch-size {}", (batch_size / 2).max(1)
    )]
    OutOfMemory {
        /// Images in a batch.
        batch_size: usize,
    },
    /// A run that was under way ended.
    #[error("{source}{}", advice(.source, *.kept, .folder))]
    Ended {
        /// What ended it.
        source: Box<TrainError>,
        /// What is saved.
        kept: Kept,
        /// The run's folder.
        folder: PathBuf,
    },
    /// The system refused a file before the first step.
    #[error("{source}; {first}, then give the same command again")]
    NotStarted {
        /// What it refused.
        source: Box<TrainError>,
        /// What to do first.
        first: &'static str,
    },
    /// The checkpoints of a run that had saved some are gone.
    #[error(
        "{}: this run's checkpoints are gone, so it cannot go on; put them back, or start a new run with \
         `trainer train --config {}`",
        .folder.display(),
        shell::path(.config)
    )]
    CheckpointsGone {
        /// The run's folder.
        folder: PathBuf,
        /// Its recipe.
        config: PathBuf,
    },
    /// A run that ended has nothing left to train.
    #[error("{} is finished; there is nothing to resume", .0.display())]
    AlreadyFinished(PathBuf),
    /// A network could not be written in another format.
    #[error("the network could not be exported: {0}")]
    Export(String),
    /// Weights could not be taken from a file.
    #[error(transparent)]
    WeightFile(#[from] crate::weight_file::WeightFileError),
    /// A run that begins again does not find the weights that it began with.
    #[error("{}: this is not the file that the run began with, so it cannot begin again; start a new run", .0.display())]
    InitialWeights(PathBuf),
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

impl From<EvaluationError> for TrainError {
    fn from(error: EvaluationError) -> Self {
        match error {
            EvaluationError::Data(error) => Self::Data(error),
            EvaluationError::Network(error) => Self::Network(error),
            EvaluationError::Device(reason) => Self::Device(reason),
            EvaluationError::Interrupted => Self::Interrupted,
        }
    }
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

    /// This error with what to do, where it kept a run from its first step.
    pub(super) fn before_the_first_step(self) -> Self {
        match remedy(self.io_kind()) {
            Some(first) => Self::NotStarted {
                source: Box::new(self),
                first,
            },
            None => self,
        }
    }

    /// What kind of failure of the system it is, if it is one.
    fn io_kind(&self) -> Option<ErrorKind> {
        match self {
            Self::Run(RunError::Io { source, .. })
            | Self::Checkpoint(CheckpointError::Io { source, .. }) => Some(source.kind()),
            _ => None,
        }
    }

    /// The error of a run of batches of `batch_size` whose device, or any part, gave this reason.
    pub(super) fn of_reason(reason: String, batch_size: usize, other: fn(String) -> Self) -> Self {
        if tells_of_full_memory(&reason) {
            Self::OutOfMemory { batch_size }
        } else {
            other(reason)
        }
    }

    /// What failed while batches of `batch_size` images were computed, as a user may read it.
    pub(crate) fn at_batch(self, batch_size: usize) -> Self {
        match self {
            Self::Device(reason) => Self::of_reason(reason, batch_size, Self::Device),
            other => other,
        }
    }

    pub(crate) fn device(reason: impl std::fmt::Debug) -> Self {
        Self::Device(format!("{reason:?}"))
    }
}
