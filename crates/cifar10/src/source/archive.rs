//! The authors' archive.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;
use std::time::Duration;

use flate2::read::GzDecoder;

use super::cache::Staging;
use super::download::{Download, remove};
use super::local::BINARY_FOLDER;
use crate::checksum::{FILES, FileSpec, Hasher};
use crate::error::Error;
use crate::progress::{CountingReader, Event, Progress, Task};
use crate::record::FILE_BYTES;

/// No more than this is ever unpacked: a third more than the six files.
const MAX_UNPACKED_BYTES: u64 = (8 * FILE_BYTES) as u64;

/// An archive of the binary version, and what it must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Archive {
    /// Its address.
    pub url: String,
    /// Its length in bytes.
    pub bytes: u64,
    /// MD5 in hexadecimal.
    pub md5: String,
    /// SHA-256 in hexadecimal.
    pub sha256: String,
    /// Time to find and reach the server; it is at times down, and another source follows.
    pub connect_timeout: Duration,
}

impl Archive {
    /// The archive on the authors' page, <https://www.cs.toronto.edu/~kriz/cifar.html>.
    #[must_use]
    pub fn authors() -> Self {
        Self {
            url: "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz".to_owned(),
            bytes: 170_052_171,
            md5: "c32a1d4ab5d03f1284b67883e8d87530".to_owned(),
            sha256: "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9dddda3db29a59bca1dd".to_owned(),
            connect_timeout: Duration::from_secs(5),
        }
    }

    /// Downloads, verifies and unpacks the archive.
    pub(super) fn fetch(&self, staging: &Staging, progress: &dyn Progress) -> Result<(), Error> {
        let part = staging.kept_file("cifar-10-binary.tar.gz.part");
        let resumed = part.metadata().is_ok_and(|metadata| metadata.len() > 0);
        if let Err(error) = self.download(&part, progress) {
            // Only a checksum can be wrong because of what an earlier process left.
            if !(resumed && matches!(error, Error::Checksum { .. })) {
                return Err(error);
            }
            progress.report(Event::Note(
                "the resumed download is corrupt; downloading it anew",
            ));
            self.download(&part, progress)?;
        }
        unpack(&part, staging, progress)
    }

    /// Downloads to `part` and verifies it; what fails verification is removed.
    fn download(&self, part: &Path, progress: &dyn Progress) -> Result<(), Error> {
        let download = Download {
            url: &self.url,
            bytes: self.bytes,
            connect_timeout: self.connect_timeout,
        };
        download.run(part, progress)?;
        let verified = self.verify(part);
        if verified.is_err() {
            remove(part)?;
        }
        verified
    }

    fn verify(&self, path: &Path) -> Result<(), Error> {
        let mut file = File::open(path).map_err(Error::io("open", path))?;
        let mut hasher = Hasher::default();
        let mut buffer = vec![0; 1 << 20];
        loop {
            let count = file.read(&mut buffer).map_err(Error::io("read", path))?;
            if count == 0 {
                return hasher.verify(&self.sha256, &self.md5, path);
            }
            hasher.update(buffer.get(..count).unwrap_or_default());
        }
    }
}

impl Default for Archive {
    fn default() -> Self {
        Self::authors()
    }
}

/// Takes the six files out of the archive at `path`. Nothing else is written, whatever names the
/// archive holds.
pub(super) fn unpack(path: &Path, staging: &Staging, progress: &dyn Progress) -> Result<(), Error> {
    let wrong = |reason: String| Error::Archive {
        path: path.to_path_buf(),
        reason,
    };
    let broken = |error: std::io::Error| wrong(error.to_string());
    let file = File::open(path).map_err(Error::io("open", path))?;
    let total = file.metadata().map_err(Error::io("read", path))?.len();
    let mut task = Task::start(progress, "unpacking CIFAR-10", total);
    let reader = CountingReader::new(BufReader::new(file), &mut task);
    let mut archive = tar::Archive::new(GzDecoder::new(reader).take(MAX_UNPACKED_BYTES));

    let mut missing: Vec<_> = FILES.iter().collect();
    // Raw, because otherwise a long name is held in memory, however long the archive makes it. The
    // names that are looked for fit into a header.
    for entry in archive.entries().map_err(broken)?.raw(true) {
        let mut entry = entry.map_err(broken)?;
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let wanted = |file: &&FileSpec| name == format!("{BINARY_FOLDER}/{}", file.name);
        let Some(place) = missing.iter().position(wanted) else {
            continue;
        };
        if !entry.header().entry_type().is_file() || entry.size() != FILE_BYTES as u64 {
            return Err(wrong(format!(
                "{name} is not a file of {FILE_BYTES} bytes but has {}",
                entry.size()
            )));
        }
        let mut bytes = vec![0; FILE_BYTES];
        entry.read_exact(&mut bytes).map_err(broken)?;
        staging.put(missing.swap_remove(place), &bytes, Path::new(&name))?;
    }
    match missing.first() {
        None => Ok(()),
        Some(file) => Err(wrong(format!("it lacks {BINARY_FOLDER}/{}", file.name))),
    }
}
