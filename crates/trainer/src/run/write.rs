//! Files that are either old or new, never half written, whatever interrupts the program.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use cifar10::file;
use serde::Serialize;

use super::error::RunError;

/// More bytes than a run's recipe, environment or result has.
const LONGEST_SHORT_FILE: u64 = 1 << 22;

/// Writes `bytes` to `path` in one step: to a new file beside it, which then takes its name.
///
/// The file and its folder are flushed to the disk, so that the new content also survives a loss of power.
///
/// # Errors
/// [`RunError::Io`] with the path; the old file is then untouched.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<(), RunError> {
    let beside = temporary_beside(path);
    let written = write_and_rename(&beside, path, bytes);
    if written.is_err() {
        // The first error is the one to report; a file left behind is harmless.
        let _ = fs::remove_file(&beside);
    }
    written.map_err(RunError::io("write", path))
}

fn write_and_rename(beside: &Path, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .open(beside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    drop(file);
    fs::rename(beside, path)?;
    let folder = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    sync_folder(folder)
}

/// A name in the same folder that no other process uses.
pub(super) fn temporary_beside(path: &Path) -> PathBuf {
    let name = path
        .file_name()
        .map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    path.with_file_name(format!(".{name}.{}.tmp", std::process::id()))
}

/// Flushes the names in `folder` to the disk, so that a rename in it lasts. Only Unix lets a folder be
/// opened.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    if cfg!(unix) {
        File::open(folder)?.sync_all()?;
    }
    Ok(())
}

/// Writes `value` as indented JSON, in one step. Numbers that are not finite become `null`.
pub(crate) fn write_json(path: &Path, value: &impl Serialize) -> Result<(), RunError> {
    let mut text = serde_json::to_vec_pretty(value).map_err(|error| RunError::Io {
        action: "write",
        path: path.to_owned(),
        source: error.into(),
    })?;
    text.push(b'\n');
    write_atomic(path, &text)
}

/// Reads the JSON that [`write_json`] wrote.
pub(crate) fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T, RunError> {
    serde_json::from_slice(&read_short(path)?).map_err(RunError::damaged(path))
}

/// Reads a file whole that is never long, so that another in its place does not fill the memory.
pub(crate) fn read_short(path: &Path) -> Result<Vec<u8>, RunError> {
    file::read(path, LONGEST_SHORT_FILE).map_err(RunError::read(path))
}

/// Reads a file that a run may not have yet.
pub(crate) fn if_there<T>(
    path: &Path,
    read: impl FnOnce(&Path) -> Result<T, RunError>,
) -> Result<Option<T>, RunError> {
    path.exists().then(|| read(path)).transpose()
}
