//! Keeps a second process out of a run.

use std::fs::{File, TryLockError};
use std::io::{ErrorKind, Write};

use super::error::RunError;
use super::folder::RunFolder;

/// More bytes than the text has that names a process.
const LONGEST_NUMBER: u64 = 64;

/// Held while a process trains in a run's folder. The system lets go of it when the process ends, in
/// whatever way, so that a killed run never stays locked.
#[derive(Debug)]
pub struct RunLock {
    _file: File,
}

impl RunLock {
    /// Takes the lock of `folder`.
    ///
    /// # Errors
    /// [`RunError::InUse`] where another process holds it, [`RunError::Io`] where there can be none.
    pub fn take(folder: &RunFolder) -> Result<Self, RunError> {
        let path = folder.lock();
        let io = |action| RunError::io(action, &path);
        let mut file = File::options()
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(io("open"))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let process = cifar10::file::read(&path, LONGEST_NUMBER).ok();
                let process = process.and_then(|text| String::from_utf8(text).ok());
                return Err(RunError::InUse {
                    path: folder.path().to_owned(),
                    process: process.filter(|text| text.starts_with("process ")),
                });
            }
            // A file system without locks cannot keep another process out; it is no reason not to train.
            Err(TryLockError::Error(error)) if error.kind() == ErrorKind::Unsupported => {}
            Err(TryLockError::Error(error)) => return Err(io("lock")(error)),
        }
        // The number is for the message to others only; a full disk shows at the first real file.
        let _ = file
            .set_len(0)
            .and_then(|()| write!(file, "process {}", std::process::id()));
        Ok(Self { _file: file })
    }
}
