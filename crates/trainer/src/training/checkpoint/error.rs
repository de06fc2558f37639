//! What can go wrong with checkpoints.

use std::io;
use std::path::{Path, PathBuf};

use super::FORMAT;

/// Why a checkpoint cannot be used as it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// It never got its name.
    #[error("it was not finished")]
    Unfinished,
    /// A file is absent.
    #[error("{0} is missing")]
    Missing(String),
    /// A file has another size.
    #[error("{file} has {found} bytes in place of {expected}")]
    Size {
        /// The file.
        file: String,
        /// Bytes that it has.
        found: u64,
        /// Bytes that the manifest says.
        expected: u64,
    },
    /// A file is longer than it was, and was not read.
    #[error("{file} has {found} bytes, and no more than {limit} were written")]
    TooLong {
        /// The file.
        file: String,
        /// Bytes that it has.
        found: u64,
        /// The most that it can have had.
        limit: u64,
    },
    /// A file has other content.
    #[error("{0} is altered: its SHA-256 is not the one that was written down")]
    Altered(String),
    /// The manifest cannot be understood.
    #[error("manifest.json cannot be understood: {0}")]
    Manifest(String),
    /// The manifest comes from another version.
    #[error("its format is {0}, and this program knows {FORMAT}")]
    Format(u32),
    /// A file cannot be read.
    #[error("{file} cannot be read: {reason}")]
    Unreadable {
        /// The file.
        file: String,
        /// What the system said.
        reason: String,
    },
}

/// A checkpoint could not be written, or none could be found.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// A file or folder could not be written.
    #[error("{}: cannot {action} this: {source}", .path.display())]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// What was written does not read back.
    #[error("{}: the checkpoint does not read back: {problem}; the disk may be failing", .path.display())]
    ReadBack {
        /// The checkpoint.
        path: PathBuf,
        /// What is wrong.
        problem: Problem,
    },
    /// There are checkpoints and none is whole.
    #[error("{}: no checkpoint is whole; start the run anew. {}", .folder.display(), .refused.join("; "))]
    NoneWhole {
        /// The folder of checkpoints.
        folder: PathBuf,
        /// A line for each.
        refused: Vec<String>,
    },
    /// The checkpoint is of a run with other settings or data.
    #[error("{}: this checkpoint was made with another {what}; put back what the run began with, or start a new run", .path.display())]
    OtherRun {
        /// The checkpoint.
        path: PathBuf,
        /// What differs.
        what: &'static str,
    },
    /// A part that is whole cannot be loaded.
    #[error("{}: {part} cannot be loaded: {reason}; move this checkpoint away to go on from an older one, or start a new run", .path.display())]
    Load {
        /// The checkpoint.
        path: PathBuf,
        /// The part.
        part: &'static str,
        /// What Burn said.
        reason: String,
    },
}

impl CheckpointError {
    /// Whether something was not there that the program had just made.
    pub(super) fn is_absence(&self) -> bool {
        match self {
            Self::Io { source, .. } => source.kind() == io::ErrorKind::NotFound,
            Self::ReadBack { problem, .. } => matches!(problem, Problem::Missing(_)),
            _ => false,
        }
    }

    /// For `map_err`: the failure of doing `action` to `path`.
    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io {
            action,
            path: path.to_owned(),
            source,
        }
    }
}
