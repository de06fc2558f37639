//! Folders that hold CIFAR-10, in the binary or in the Python version.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::{Cifar10, Origin, pickle};
use crate::checksum::{FILES, FileSpec};
use crate::dataset::Images;
use crate::error::Error;
use crate::file::{self, ReadError};
use crate::progress::{Progress, Task};
use crate::record::{self, FILE_BYTES, IMAGE_BYTES, RECORDS_PER_FILE};

/// The folder in the archive of the binary version.
pub(super) const BINARY_FOLDER: &str = "cifar-10-batches-bin";
/// The folder in the archive of the Python version, and in a torchvision root.
const PYTHON_FOLDER: &str = "cifar-10-batches-py";

/// How the files are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// The six files of the binary version.
    Binary,
    /// The six pickles of the Python version, which torchvision uses.
    Python,
}

impl Layout {
    fn file_name(self, file: &FileSpec) -> &'static str {
        match self {
            Self::Binary => file.name,
            Self::Python => file.python_name,
        }
    }
}

/// A folder and how the files are stored in it.
pub(super) struct Folder {
    path: PathBuf,
    layout: Layout,
}

/// Finds the data in `dir`, or in one of the two folders of the archives below it.
pub(super) fn find(dir: &Path) -> Result<Folder, Error> {
    match fs::metadata(dir) {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(Error::DataDirMissing(dir.to_path_buf()));
        }
        Err(error) => return Err(Error::io("read", dir)(error)),
    }
    let candidates = [
        (dir.to_path_buf(), Layout::Binary),
        (dir.join(BINARY_FOLDER), Layout::Binary),
        (dir.join(PYTHON_FOLDER), Layout::Python),
        (dir.to_path_buf(), Layout::Python),
    ];
    let mut nearly = Vec::new();
    for (path, layout) in candidates {
        let folder = Folder { path, layout };
        let missing = folder.missing()?;
        if missing.is_empty() {
            return Ok(folder);
        }
        if missing.len() < FILES.len() {
            nearly.extend(missing);
        }
    }
    Err(Error::DataDirIncomplete {
        path: dir.to_path_buf(),
        missing: list(dir, &nearly),
    })
}

/// Says which files `dir` lacks; none listed means that it has no file at all.
fn list(dir: &Path, missing: &[PathBuf]) -> String {
    if missing.is_empty() || missing.len() == FILES.len() {
        return "it has none of the files".to_owned();
    }
    let names = missing
        .iter()
        .map(|path| path.strip_prefix(dir).unwrap_or(path));
    let names: Vec<_> = names.map(|name| name.display().to_string()).collect();
    format!("it lacks {}", names.join(", "))
}

impl Folder {
    /// A folder of the binary version, whether or not the files are there.
    pub(super) fn binary(path: &Path) -> Self {
        Self {
            path: path.to_path_buf(),
            layout: Layout::Binary,
        }
    }

    /// The files that are not there.
    fn missing(&self) -> Result<Vec<PathBuf>, Error> {
        let mut missing = Vec::new();
        for file in &FILES {
            let path = self.path.join(self.layout.file_name(file));
            match path.try_exists() {
                Ok(true) => {}
                Ok(false) => missing.push(path),
                // Below a file there can be nothing.
                Err(error) if error.kind() == io::ErrorKind::NotADirectory => missing.push(path),
                Err(error) => return Err(Error::io("read", &path)(error)),
            }
        }
        Ok(missing)
    }

    /// Reads, verifies and decodes the six files.
    pub(super) fn read(&self, progress: &dyn Progress) -> Result<Cifar10, Error> {
        let missing = self.missing()?;
        if !missing.is_empty() {
            return Err(Error::Incomplete {
                path: self.path.clone(),
                missing: list(&self.path, &missing),
            });
        }
        let total = (FILES.len() * FILE_BYTES) as u64;
        let mut task = Task::start(progress, "reading CIFAR-10", total);
        let mut train = Decoded::with_capacity(5 * RECORDS_PER_FILE);
        let mut test = Decoded::with_capacity(RECORDS_PER_FILE);
        for file in &FILES {
            let path = self.path.join(self.layout.file_name(file));
            let bytes = match self.layout {
                Layout::Binary => read_file(&path, FILE_BYTES as u64)?,
                Layout::Python => {
                    let pickle = read_file(&path, pickle::MAX_BYTES as u64)?;
                    pickle::to_records(&pickle, &path)?
                }
            };
            file.verify(&bytes, &path)?;
            let part = if file.training { &mut train } else { &mut test };
            record::decode(&bytes, &mut part.pixels, &mut part.labels);
            task.add(FILE_BYTES as u64);
        }
        Ok(Cifar10 {
            train: train.into_images()?,
            test: test.into_images()?,
            hashes: FILES.iter().map(|file| (file.name, file.sha256)).collect(),
            origin: Origin {
                folder: self.path.clone(),
                layout: self.layout,
                fetched_from: None,
            },
        })
    }
}

/// Pixels and labels while files are decoded one after the other.
struct Decoded {
    pixels: Vec<u8>,
    labels: Vec<u8>,
}

impl Decoded {
    fn with_capacity(images: usize) -> Self {
        Self {
            pixels: Vec::with_capacity(images * IMAGE_BYTES),
            labels: Vec::with_capacity(images),
        }
    }

    fn into_images(self) -> Result<Images, Error> {
        Images::new(self.pixels, self.labels)
    }
}

/// Reads a regular file of at most `limit` bytes.
fn read_file(path: &Path, limit: u64) -> Result<Vec<u8>, Error> {
    file::read(path, limit).map_err(|error| match error {
        ReadError::Io(source) => Error::io("read", path)(source),
        ReadError::NotRegular => {
            let source = io::Error::new(io::ErrorKind::InvalidInput, error.to_string());
            Error::io("read", path)(source)
        }
        ReadError::TooLong { found, limit } => Error::FileSize {
            path: path.to_path_buf(),
            expected: limit,
            actual: found,
        },
    })
}
