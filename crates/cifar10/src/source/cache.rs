//! How the cache is written: by one process at a time, and every file complete or not at all.

use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::checksum::{FILES, FileSpec};
use crate::error::Error;
use crate::progress::{Event, Progress};

/// Taken by the process that fetches.
const LOCK_FILE: &str = ".lock";
/// Where downloads and new files lie until they are complete. Inside the cache folder, so that
/// renaming never crosses file systems.
const WORK_FOLDER: &str = ".fetch";

/// The right to write to a cache folder, until it is dropped.
pub(super) struct Lock {
    file: File,
    path: PathBuf,
    /// The folders that were made for it, the innermost first.
    made: Vec<PathBuf>,
}

impl Lock {
    /// Creates the folder if need be and waits until no other process writes to it.
    pub(super) fn acquire(dir: &Path, progress: &dyn Progress) -> Result<Self, Error> {
        let path = dir.join(LOCK_FILE);
        loop {
            let absent = dir.ancestors().take_while(|folder| !folder.exists());
            let made = absent
                .filter(|folder| !folder.as_os_str().is_empty())
                .map(Path::to_owned)
                .collect();
            fs::create_dir_all(dir).map_err(Error::io("create", dir))?;
            let file = File::options()
                .create(true)
                .truncate(false)
                .write(true)
                .open(&path)
                .map_err(Error::io("create", &path))?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    let line = format!(
                        "waiting for another process that fetches into {}",
                        dir.display()
                    );
                    progress.report(Event::Note(&line));
                    file.lock().map_err(Error::io("lock", &path))?;
                }
                Err(TryLockError::Error(error)) => return Err(Error::io("lock", &path)(error)),
            }
            // A process that found no source takes its lock's file away, and another may have made a new one.
            if is_at(&file, &path) {
                return Ok(Self { file, path, made });
            }
        }
    }

    /// Takes away what was made for nothing: the folder, where this lock made it and nothing is in it.
    pub(super) fn leave_nothing(self) {
        let Some(dir) = self.made.first() else {
            return;
        };
        // What cannot be removed holds something, such as a download to go on with, or is none of ours.
        let work = dir.join(WORK_FOLDER);
        let _ = fs::remove_dir(work.join("new"));
        if fs::remove_dir(&work).is_err() && work.exists() {
            return;
        }
        let _ = fs::remove_file(&self.path);
        for folder in &self.made {
            if fs::remove_dir(folder).is_err() {
                break;
            }
        }
        drop(self.file);
    }
}

/// Whether `file` is what `path` names now.
#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let place = |found: fs::Metadata| (found.dev(), found.ino());
    match (file.metadata(), fs::metadata(path)) {
        (Ok(held), Ok(named)) => place(held) == place(named),
        _ => false,
    }
}

/// An open file cannot be removed here.
#[cfg(not(unix))]
fn is_at(_file: &File, _path: &Path) -> bool {
    true
}

/// New files on their way into the cache, and downloads that are kept to be resumed. Needs the
/// [`Lock`].
pub(super) struct Staging {
    work: PathBuf,
}

impl Staging {
    /// Opens the work folder below `dir`, and removes what an interrupted process left there apart
    /// from the partial download.
    pub(super) fn open(dir: &Path) -> Result<Self, Error> {
        let staging = Self {
            work: dir.join(WORK_FOLDER),
        };
        staging.clear_folder("new")?;
        Ok(staging)
    }

    /// The path of a file that survives an interruption.
    pub(super) fn kept_file(&self, name: &str) -> PathBuf {
        self.work.join(name)
    }

    /// An empty folder for a source's own use. Its name must differ between uses.
    pub(super) fn clear_folder(&self, name: &str) -> Result<PathBuf, Error> {
        let path = self.work.join(name);
        remove_folder(&path)?;
        fs::create_dir_all(&path).map_err(Error::io("create", &path))?;
        Ok(path)
    }

    /// Verifies one of the six files and writes it through to the disk. `from` says where the
    /// bytes come from, should they be wrong.
    pub(super) fn put(&self, file: &FileSpec, bytes: &[u8], from: &Path) -> Result<(), Error> {
        file.verify(bytes, from)?;
        let path = self.new_file(file);
        let mut output = File::create(&path).map_err(Error::io("create", &path))?;
        output
            .write_all(bytes)
            .and_then(|()| output.sync_all())
            .map_err(Error::io("write", &path))
    }

    /// Moves the six files into the cache folder, over whatever is there, and removes the work
    /// folder.
    pub(super) fn publish(&self, dir: &Path) -> Result<(), Error> {
        for file in &FILES {
            let path = dir.join(file.name);
            fs::rename(self.new_file(file), &path).map_err(Error::io("replace", &path))?;
        }
        sync_folder(dir)?;
        remove_folder(&self.work)
    }

    fn new_file(&self, file: &FileSpec) -> PathBuf {
        self.work.join("new").join(file.name)
    }
}

/// Removes a folder and what it holds, if it exists.
pub(super) fn remove_folder(path: &Path) -> Result<(), Error> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Error::io("remove", path)(error))
        }
        _ => Ok(()),
    }
}

/// Makes renames in a folder survive a power failure. Only Unix can open a folder for that.
fn sync_folder(dir: &Path) -> Result<(), Error> {
    if cfg!(unix) {
        let folder = File::open(dir).map_err(Error::io("open", dir))?;
        folder.sync_all().map_err(Error::io("write", dir))?;
    }
    Ok(())
}
