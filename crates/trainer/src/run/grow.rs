//! A file of records that grows as a run goes, and is cut back when the run is resumed.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, ErrorKind, Write};
use std::path::{Path, PathBuf};

use super::error::RunError;

/// A file that takes one record after another. Records reach the disk at [`GrowingFile::flush`].
#[derive(Debug)]
pub(super) struct GrowingFile {
    path: PathBuf,
    writer: BufWriter<File>,
}

impl GrowingFile {
    /// Begins a new file with `head`.
    ///
    /// # Errors
    /// [`RunError::Io`] where the file exists or cannot be written.
    pub fn create(path: &Path, head: &[u8]) -> Result<Self, RunError> {
        let file = File::create_new(path).map_err(RunError::io("create", path))?;
        let mut new = Self::over(path, file);
        new.append(head)?;
        new.flush()?;
        Ok(new)
    }

    /// Goes on with the file of a resumed run: what lies beyond its first `length` bytes is cut off.
    /// With a length of 0, or where the file is missing, it is begun with `head`.
    ///
    /// # Errors
    /// [`RunError::Io`] where the file cannot be used, [`RunError::Damaged`] where it is too short.
    pub fn resume(path: &Path, length: u64, head: &[u8]) -> Result<Self, RunError> {
        let io = |action| RunError::io(action, path);
        if length == 0 || !path.exists() {
            match fs::remove_file(path) {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    return Err(io("replace")(error));
                }
                _ => return Self::create(path, head),
            }
        }
        // Opening a pipe to write to it would wait for a reader.
        cifar10::file::open(path).map_err(RunError::read(path))?;
        let file = OpenOptions::new()
            .append(true)
            .open(path)
            .map_err(io("open"))?;
        let found = file.metadata().map_err(io("read"))?.len();
        if found < length {
            return Err(RunError::damaged(path)(format!(
                "it has {found} of the {length} bytes that the checkpoint counts on; put the file back, \
                 or remove it to begin a new one"
            )));
        }
        file.set_len(length).map_err(io("cut"))?;
        Ok(Self::over(path, file))
    }

    fn over(path: &Path, file: File) -> Self {
        Self {
            path: path.to_owned(),
            writer: BufWriter::new(file),
        }
    }

    /// Adds a record.
    pub fn append(&mut self, record: &[u8]) -> Result<(), RunError> {
        self.writer
            .write_all(record)
            .map_err(RunError::io("write", &self.path))
    }

    /// Hands all records to the system, so that others can read them.
    pub fn flush(&mut self) -> Result<(), RunError> {
        self.writer
            .flush()
            .map_err(RunError::io("write", &self.path))
    }

    /// Flushes all records to the disk, and gives the file's length in bytes.
    pub fn sync(&mut self) -> Result<u64, RunError> {
        self.flush()?;
        self.sync_handed()
    }

    /// Flushes to the disk what the system was handed, and gives the file's length in bytes.
    pub fn sync_handed(&self) -> Result<u64, RunError> {
        let file = self.writer.get_ref();
        file.sync_all()
            .and_then(|()| file.metadata())
            .map(|metadata| metadata.len())
            .map_err(RunError::io("write", &self.path))
    }
}

/// For writers that put a format over the file.
impl Write for GrowingFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.writer.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

    use super::*;

    /// A kill does not lose what was handed to the system, so that no run shows whether it reaches the
    /// disk. This device takes every byte and cannot be flushed, which it says when it is asked to.
    #[test]
    fn records_are_flushed_to_the_disk_and_not_only_handed_to_the_system() {
        let path = Path::new("/dev/null");
        let device = OpenOptions::new().append(true).open(path).unwrap();
        let mut file = GrowingFile::over(path, device);
        file.append(b"1,2,3\n").unwrap();
        file.flush().unwrap();
        let error = file.sync().unwrap_err().to_string();
        assert!(error.contains("/dev/null"), "{error}");
    }
}
