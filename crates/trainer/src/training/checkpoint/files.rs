//! The operations on files that a checkpoint is made with.
//!
//! They are a trait, so that tests can see their order, make any of them fail, and stop after any of
//! them.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

/// Operations on files, each of which a run can be killed before.
pub trait FileSystem {
    /// Makes a folder in a folder that exists.
    ///
    /// # Errors
    /// What the system says.
    fn create_folder(&self, path: &Path) -> io::Result<()>;
    /// Makes a file with this content.
    ///
    /// # Errors
    /// What the system says.
    fn write(&self, path: &Path, content: &[u8]) -> io::Result<File>;
    /// Flushes a file that was written to the disk.
    ///
    /// # Errors
    /// What the system says.
    fn sync_file(&self, path: &Path, file: File) -> io::Result<()>;
    /// Flushes the names in a folder to the disk.
    ///
    /// # Errors
    /// What the system says.
    fn sync_folder(&self, path: &Path) -> io::Result<()>;
    /// Gives a file or folder another name.
    ///
    /// # Errors
    /// What the system says.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Deletes a file.
    ///
    /// # Errors
    /// What the system says.
    fn remove_file(&self, path: &Path) -> io::Result<()>;
    /// Deletes an empty folder.
    ///
    /// # Errors
    /// What the system says.
    fn remove_folder(&self, path: &Path) -> io::Result<()>;
}

/// The system's files.
#[derive(Debug, Clone, Copy, Default)]
pub struct Disk;

impl FileSystem for Disk {
    fn create_folder(&self, path: &Path) -> io::Result<()> {
        pause_before("create_folder", path);
        fs::create_dir(path)
    }

    fn write(&self, path: &Path, content: &[u8]) -> io::Result<File> {
        pause_before("write", path);
        let mut file = File::create_new(path)?;
        file.write_all(content)?;
        Ok(file)
    }

    fn sync_file(&self, path: &Path, file: File) -> io::Result<()> {
        pause_before("sync_file", path);
        file.sync_all()
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        pause_before("sync_folder", path);
        crate::run::sync_folder(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        pause_before("rename", to);
        fs::rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        pause_before("remove_file", path);
        fs::remove_file(path)
    }

    fn remove_folder(&self, path: &Path) -> io::Result<()> {
        pause_before("remove_folder", path);
        fs::remove_dir(path)
    }
}

#[cfg(not(feature = "crash-points"))]
fn pause_before(_operation: &str, _path: &Path) {}

/// `TRAINER_PAUSE_BEFORE=N:FILE` makes the program write to FILE what its operation N (from 1) would
/// be, and wait there for ever, so that a test can kill it at exactly this point.
#[cfg(feature = "crash-points")]
fn pause_before(operation: &str, path: &Path) {
    use std::sync::atomic::{AtomicU64, Ordering};
    static DONE: AtomicU64 = AtomicU64::new(0);
    let number = DONE.fetch_add(1, Ordering::SeqCst) + 1;
    let Ok(wanted) = std::env::var("TRAINER_PAUSE_BEFORE") else {
        return;
    };
    if let Some((at, file)) = wanted.split_once(':')
        && at.parse() == Ok(number)
    {
        let _ = fs::write(file, format!("{operation} {}\n", path.display()));
        loop {
            std::thread::park();
        }
    }
}
