//! What can go wrong with a run's folder and its files.

use std::io;
use std::path::{Path, PathBuf};

use cifar10::file::ReadError;

/// Why a run's folder or one of its files could not be used. Each message is one line.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The artifacts folder's path is taken by something that is no folder.
    #[error("{}: this is a file, so no runs can be kept in it; choose another folder with --artifacts", .path.display())]
    ArtifactsNotAFolder {
        /// The path.
        path: PathBuf,
    },
    /// The artifacts folder does not take new files.
    #[error("{}: cannot write to this folder: {source}; change its permissions, or choose another with --artifacts", .path.display())]
    ArtifactsNotWritable {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The artifacts folder's list of runs cannot be read.
    #[error("{}: cannot read this folder: {source}; change its permissions, or choose another with --artifacts", .path.display())]
    ArtifactsNotReadable {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The artifacts folder could not be made.
    #[error("{}: cannot create this folder: {source}; choose another with --artifacts", .path.display())]
    ArtifactsNotCreated {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A run's name that cannot be the name of a folder.
    #[error("\"{}\" cannot name a run's folder: use letters, digits, `-`, `_` or `.`, not `.` first", .name.escape_debug())]
    BadName {
        /// The name.
        name: String,
    },
    /// Every suffix of a name is taken.
    #[error("{}: this run and {tried} of the same second exist; move old runs away", .path.display())]
    NoFreeName {
        /// The path without a suffix.
        path: PathBuf,
        /// How many suffixes were tried.
        tried: u32,
    },
    /// `latest` where there is no run yet.
    #[error("{}: there is no latest run here; train one, or name a run's folder", .artifacts.display())]
    NoLatest {
        /// The artifacts folder.
        artifacts: PathBuf,
    },
    /// `latest` is a folder of its own, and so names no run.
    #[error("{}: this is a folder, where the newest run's name should be; move it away, or name a run's folder", .path.display())]
    LatestIsAFolder {
        /// The path of `latest`.
        path: PathBuf,
    },
    /// `latest` names a run that is gone.
    #[error("{}: the latest run, {target}, is gone; name another run", .artifacts.display())]
    LatestIsGone {
        /// The artifacts folder.
        artifacts: PathBuf,
        /// The folder that `latest` names.
        target: String,
    },
    /// No run has this name.
    #[error("there is no run `{}`{}; looked for {} and {}; `trainer runs` lists the runs there are", .name.escape_debug(), .nearest.as_ref().map_or_else(String::new, |run| format!("; did you mean `{run}`?")), .looked_at.0.display(), .looked_at.1.display())]
    UnknownRun {
        /// What was asked for.
        name: String,
        /// The nearest name among the runs.
        nearest: Option<String>,
        /// The two paths where the run could have been.
        looked_at: Box<(PathBuf, PathBuf)>,
    },
    /// A path that exists and is no run's folder.
    #[error("{}: this is no run; a run is a folder with a {} in it; `trainer runs` lists those there are", .path.display(), super::artifacts::CONFIG)]
    NotARun {
        /// The path.
        path: PathBuf,
    },
    /// A run that was cut off before its own record was written.
    #[error("{}: this run was cut off before it began; start a new one with `trainer train --config {}`", .path.display(), crate::shell::path(.config))]
    NotBegun {
        /// The run's folder.
        path: PathBuf,
        /// Its recipe.
        config: PathBuf,
    },
    /// Another process trains in this folder.
    #[error("{}: another process{} trains this run; wait until it ends, or stop it", .path.display(), .process.as_ref().map_or_else(String::new, |process| format!(" ({process})")))]
    InUse {
        /// The run's folder.
        path: PathBuf,
        /// The other process's number, where it could be read.
        process: Option<String>,
    },
    /// A file could not be read or written.
    #[error("{}: cannot {action} this: {source}", .path.display())]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Something else stands in a file's place.
    #[error("{}: this is not a file; remove it, or put the file back", .path.display())]
    NotAFile {
        /// The path.
        path: PathBuf,
    },
    /// A file is longer than any of its kind. It was not read.
    #[error("{}: it has {found} bytes, and such a file is read up to {limit}; it was damaged or is another file", .path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
        /// Its length in bytes.
        found: u64,
        /// The most that is read, in bytes.
        limit: u64,
    },
    /// A file does not hold what it should.
    #[error("{}: cannot be understood: {problem}; it was damaged or comes from another version", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong, with the line where it is known.
        problem: String,
    },
    /// A label that is not one of the ten classes.
    #[error("image {index} has the label {label}; labels are from 0 to 9")]
    Label {
        /// The image's index in the test set.
        index: usize,
        /// Its label.
        label: u8,
    },
}

impl RunError {
    /// For `map_err`: the failure of doing `action` to `path`.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io {
            action,
            path: path.to_owned(),
            source,
        }
    }

    /// For `map_err`: a file that was not read.
    pub(crate) fn read(path: &Path) -> impl FnOnce(ReadError) -> Self {
        let path = path.to_owned();
        move |error| match error {
            ReadError::Io(source) => Self::Io {
                action: "read",
                path,
                source,
            },
            ReadError::NotRegular => Self::NotAFile { path },
            ReadError::TooLong { found, limit } => Self::TooLong { path, found, limit },
        }
    }

    /// For `map_err`: a file that does not hold what it should.
    pub(super) fn damaged<E: std::fmt::Display>(path: &Path) -> impl FnOnce(E) -> Self {
        move |error| Self::Damaged {
            path: path.to_owned(),
            problem: error.to_string().lines().collect::<Vec<_>>().join("; "),
        }
    }
}
