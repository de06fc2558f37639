//! Reads files that someone else may have put where they are: whole, never more than is allowed, and
//! without waiting for anybody.

use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::path::Path;

/// Why a file was not read. Whoever asked for it names it in the message.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The system refused.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// A folder, a pipe or a device stands in its place.
    #[error("it is not a file")]
    NotRegular,
    /// It is longer than any such file.
    #[error("it has {found} bytes, and at most {limit} are read")]
    TooLong {
        /// Its length in bytes.
        found: u64,
        /// The most that is read, in bytes.
        limit: u64,
    },
}

/// Opens a regular file, and gives its length in bytes.
///
/// # Errors
/// [`ReadError`] where it is no regular file or cannot be opened.
pub fn open(path: &Path) -> Result<(File, u64), ReadError> {
    // Asked before opening, because opening a pipe waits for a writer, and a device may do something.
    regular(&fs::metadata(path)?)?;
    let mut options = File::options();
    options.read(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        // Something else may have taken the name since, and must not be waited for either.
        options.custom_flags(rustix::fs::OFlags::NONBLOCK.bits().cast_signed());
    }
    let file = options.open(path)?;
    let metadata = file.metadata()?;
    regular(&metadata)?;
    Ok((file, metadata.len()))
}

/// Reads a regular file of at most `limit` bytes.
///
/// # Errors
/// [`ReadError`] where it is no regular file, cannot be read, or is longer, in which case nothing of it
/// is read.
pub fn read(path: &Path, limit: u64) -> Result<Vec<u8>, ReadError> {
    let (file, length) = open(path)?;
    let too_long = |found| ReadError::TooLong { found, limit };
    if length > limit {
        return Err(too_long(length));
    }
    let mut bytes = Vec::with_capacity(length as usize);
    // One byte more than allowed shows a file that grows while it is read.
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(too_long(bytes.len() as u64));
    }
    Ok(bytes)
}

fn regular(metadata: &Metadata) -> Result<(), ReadError> {
    if metadata.is_file() {
        Ok(())
    } else {
        Err(ReadError::NotRegular)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

    use super::*;

    #[test]
    fn a_file_is_read_up_to_its_limit_and_nothing_of_a_longer_one() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("file");
        fs::write(&path, "four").unwrap();
        assert_eq!(read(&path, 4).unwrap(), b"four");
        assert!(matches!(
            read(&path, 3),
            Err(ReadError::TooLong { found: 4, limit: 3 })
        ));
        // More than any machine has memory for, and nothing on the disk.
        File::create(&path).unwrap().set_len(1 << 40).unwrap();
        let message = read(&path, 4).unwrap_err().to_string();
        assert_eq!(
            message,
            "it has 1099511627776 bytes, and at most 4 are read"
        );
        assert!(matches!(
            read(&home.path().join("absent"), 4),
            Err(ReadError::Io(error)) if error.kind() == io::ErrorKind::NotFound
        ));
        assert!(matches!(read(home.path(), 4), Err(ReadError::NotRegular)));
    }

    #[cfg(unix)]
    #[test]
    fn a_pipe_and_a_device_are_refused_at_once() {
        let home = tempfile::tempdir().unwrap();
        let pipe = home.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status();
        assert!(made.unwrap().success());
        for path in [pipe, "/dev/zero".into()] {
            let (sender, receiver) = std::sync::mpsc::channel();
            std::thread::spawn(move || sender.send(read(&path, 4)));
            // Where it waits for a writer, or reads without end, this test fails and does not hang.
            let outcome = receiver.recv_timeout(std::time::Duration::from_secs(20));
            assert!(matches!(outcome, Ok(Err(ReadError::NotRegular))));
        }
    }
}
