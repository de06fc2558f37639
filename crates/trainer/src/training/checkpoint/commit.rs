//! How a checkpoint comes into being, and how old ones go.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use cifar10::file::ReadError;

use super::error::{CheckpointError, Problem};
use super::files::{Disk, FileSystem};
use super::manifest::{Manifest, Part, seal};
use super::name::{self, Name};

/// The checkpoints of one run.
#[derive(Debug, Clone)]
pub struct Store<F = Disk> {
    pub(super) folder: PathBuf,
    pub(super) files: F,
}

/// Which checkpoints stay after a new one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keep {
    /// So many of the newest.
    pub newest: usize,
    /// The one after this step: the best epoch's.
    pub best: Option<u64>,
    /// Those after every so many steps, which is a number of epochs; 0 for none.
    pub every_steps: u64,
}

impl Keep {
    /// Whether the checkpoint `name` stays, which has `newer` newer ones.
    fn keeps(&self, name: Name, newer: usize) -> bool {
        newer < self.newest
            || self.best == Some(name.step)
            || (self.every_steps > 0 && name.step.is_multiple_of(self.every_steps))
    }
}

impl Store {
    /// The checkpoints in `folder`, which is a run's `checkpoints`.
    #[must_use]
    pub fn new(folder: PathBuf) -> Self {
        Self::with(folder, Disk)
    }
}

impl<F: FileSystem> Store<F> {
    /// The checkpoints in `folder`, reached through `files`.
    pub fn with(folder: PathBuf, files: F) -> Self {
        Self { folder, files }
    }

    /// Saves a checkpoint: `manifest`, whose list of parts is filled here, and `parts`, each a name
    /// of [`super::PARTS`] with its content.
    ///
    /// It is written under a name of its own, flushed file by file, then the folder is flushed, and
    /// one rename makes it visible. Then the names are flushed and everything is read back. So a kill
    /// or a failing disk at any point leaves the older checkpoints as they are, and either no new one
    /// or a whole one.
    ///
    /// # Errors
    /// [`CheckpointError`] with what could not be written. Nothing that was there before is touched.
    pub fn commit(
        &self,
        mut manifest: Manifest,
        parts: &[(&str, &[u8])],
    ) -> Result<Name, CheckpointError> {
        manifest.parts = parts
            .iter()
            .map(|(file, content)| Part::of(file, content))
            .collect();
        match self.try_commit(&manifest, parts) {
            // Someone deleted the folder of checkpoints in this moment; it is made again.
            Err(error) if error.is_absence() => self.try_commit(&manifest, parts),
            other => other,
        }
    }

    fn try_commit(
        &self,
        manifest: &Manifest,
        parts: &[(&str, &[u8])],
    ) -> Result<Name, CheckpointError> {
        self.create_folder()?;
        let name = self.free_name(manifest.record.steps)?;
        let unfinished = self.folder.join(name.unfinished());
        self.remove(&unfinished)?;
        let written = self.write_and_rename(name, &unfinished, manifest, parts);
        if written.is_err() {
            // The first error is the one to report; what stays behind is passed over and swept later.
            let _ = self.remove(&unfinished);
        }
        written?;
        self.load(name)
            .map_err(|problem| CheckpointError::ReadBack {
                path: self.path(name),
                problem,
            })?;
        Ok(name)
    }

    fn write_and_rename(
        &self,
        name: Name,
        unfinished: &Path,
        manifest: &Manifest,
        parts: &[(&str, &[u8])],
    ) -> Result<(), CheckpointError> {
        let io = CheckpointError::io;
        let json = manifest.to_json().map_err(|error| CheckpointError::Io {
            action: "write",
            path: unfinished.to_owned(),
            source: error.into(),
        })?;
        let seal = seal(&json);
        self.files
            .create_folder(unfinished)
            .map_err(io("create", unfinished))?;
        let description: [(&str, &[u8]); 2] = [
            ("manifest.json", &json),
            ("manifest.sha256", seal.as_bytes()),
        ];
        for (file, content) in parts.iter().chain(&description) {
            let path = unfinished.join(file);
            let written = self
                .files
                .write(&path, content)
                .map_err(io("write", &path))?;
            self.files
                .sync_file(&path, written)
                .map_err(io("flush", &path))?;
        }
        self.files
            .sync_folder(unfinished)
            .map_err(io("flush", unfinished))?;
        let path = self.path(name);
        self.files
            .rename(unfinished, &path)
            .map_err(io("rename", unfinished))?;
        self.files
            .sync_folder(&self.folder)
            .map_err(io("flush", &self.folder))
    }

    /// Deletes what `keep` does not keep, and what was left of unfinished and altered checkpoints. It
    /// is called after [`Store::commit`], so that something whole and newer is there.
    ///
    /// # Errors
    /// [`CheckpointError::Io`] with the first thing that could not be deleted, after the others were.
    pub fn sweep(&self, keep: &Keep) -> Result<(), CheckpointError> {
        let mut first = Ok(());
        for (newer, name) in self.names()?.into_iter().enumerate() {
            if keep.keeps(name, newer) {
                continue;
            }
            // First it loses its name at once: one that is half deleted is no altered checkpoint.
            let (path, deleted) = (self.path(name), self.folder.join(name.deleted()));
            first = first.and(
                unless_absent(self.files.rename(&path, &deleted))
                    .map_err(CheckpointError::io("delete", &path)),
            );
        }
        for entry in self.entries()? {
            if name::is_leftover(&entry) {
                first = first.and(self.remove(&self.folder.join(entry)));
            }
        }
        first
    }

    /// The checkpoints' names, the newest first.
    ///
    /// # Errors
    /// [`CheckpointError::Io`] where the folder cannot be read.
    pub fn names(&self) -> Result<Vec<Name>, CheckpointError> {
        let mut names: Vec<Name> = self
            .entries()?
            .iter()
            .filter_map(|entry| entry.parse().ok())
            .collect();
        names.sort_unstable_by(|a, b| b.cmp(a));
        Ok(names)
    }

    /// A checkpoint's folder.
    #[must_use]
    pub fn path(&self, name: Name) -> PathBuf {
        self.folder.join(name.to_string())
    }

    /// Every name in the folder; none where there is no folder.
    pub(super) fn entries(&self) -> Result<Vec<String>, CheckpointError> {
        let failed = || CheckpointError::io("read", &self.folder);
        let entries = match fs::read_dir(&self.folder) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            other => other.map_err(failed())?,
        };
        entries
            .map(|entry| {
                Ok(entry
                    .map_err(failed())?
                    .file_name()
                    .to_string_lossy()
                    .into())
            })
            .collect()
    }

    /// Makes the folder of checkpoints again where someone deleted it. The run's own folder is not
    /// made again: without it there is nothing to go on with.
    fn create_folder(&self) -> Result<(), CheckpointError> {
        if self.folder.is_dir() {
            return Ok(());
        }
        self.files
            .create_folder(&self.folder)
            .map_err(CheckpointError::io("create", &self.folder))?;
        let parent = self.folder.parent().unwrap_or(Path::new("."));
        self.files
            .sync_folder(parent)
            .map_err(CheckpointError::io("flush", parent))
    }

    /// The first name of `step` that no checkpoint has. A run that went on from an older checkpoint,
    /// or was stopped between an epoch's last step and its validation, saves the same step again.
    fn free_name(&self, step: u64) -> Result<Name, CheckpointError> {
        let last = self.names()?.into_iter().find(|name| name.step == step);
        Ok(Name {
            step,
            revision: last.map_or(1, |name| name.revision.saturating_add(1)),
        })
    }

    /// Deletes a folder with what is in it, or a file in its place, if it is there. Others may have put
    /// something into it: an indexer its folder of previews.
    pub(super) fn remove(&self, path: &Path) -> Result<(), CheckpointError> {
        let failed = || CheckpointError::io("delete", path);
        match fs::symlink_metadata(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(failed()(error)),
            Ok(metadata) if !metadata.is_dir() => {
                return unless_absent(self.files.remove_file(path)).map_err(failed());
            }
            Ok(_) => {}
        }
        let entries = match fs::read_dir(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            other => other.map_err(failed())?,
        };
        for entry in entries {
            self.remove(&entry.map_err(failed())?.path())?;
        }
        unless_absent(self.files.remove_folder(path)).map_err(failed())
    }

    /// Reads a file of a checkpoint, which has at most `limit` bytes.
    pub(super) fn read(&self, name: Name, file: &str, limit: u64) -> Result<Vec<u8>, Problem> {
        let read = cifar10::file::read(&self.path(name).join(file), limit);
        let file = file.to_owned();
        read.map_err(|error| match error {
            ReadError::TooLong { found, limit } => Problem::TooLong { file, found, limit },
            ReadError::Io(error) if error.kind() == ErrorKind::NotFound => Problem::Missing(file),
            error => Problem::Unreadable {
                file,
                reason: error.to_string(),
            },
        })
    }
}

/// What is to be deleted and is not there is deleted.
fn unless_absent(deleted: std::io::Result<()>) -> std::io::Result<()> {
    match deleted {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
