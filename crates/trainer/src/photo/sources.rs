//! The files that the user names.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::{LONGEST, Photo, PhotoError};

/// Standard input among the names of files.
pub const STANDARD_INPUT: &str = "-";

/// A file that may be a photo.
#[derive(Debug)]
pub struct Source {
    /// Its name, for answers and messages.
    pub name: String,
    path: Result<PathBuf, io::Error>,
}

/// Every file that `arguments` name, in their order. A folder stands for the files in it and in the
/// folders below, by name; `-` for standard input. What cannot be found is a source that cannot be
/// read, so that the others still are.
#[must_use]
pub fn find(arguments: &[PathBuf]) -> Vec<Source> {
    let mut sources = Vec::new();
    for path in arguments {
        if path.is_dir() {
            list(path, &mut sources);
        } else {
            sources.push(Source::new(path, Ok(path.clone())));
        }
    }
    sources
}

fn list(folder: &Path, sources: &mut Vec<Source>) {
    let entries = match fs::read_dir(folder).and_then(Iterator::collect::<io::Result<Vec<_>>>) {
        Ok(entries) => entries,
        Err(error) => return sources.push(Source::new(folder, Err(error))),
    };
    let mut paths: Vec<_> = entries.iter().map(fs::DirEntry::path).collect();
    paths.sort_unstable();
    for path in paths {
        // A link to a folder could lead back here; only files are taken through links.
        if path.is_dir() && !path.is_symlink() {
            list(&path, sources);
        } else if path.is_file() {
            sources.push(Source::new(&path, Ok(path.clone())));
        }
    }
}

impl Source {
    fn new(name: &Path, path: Result<PathBuf, io::Error>) -> Self {
        Self {
            name: name.display().to_string(),
            path,
        }
    }

    /// Reads the file and decodes it.
    ///
    /// # Errors
    /// [`PhotoError`] where it cannot be read or is no photo.
    pub fn read(self) -> Result<Photo, PhotoError> {
        let path = self.path?;
        let mut bytes = Vec::new();
        // One byte more than is allowed tells a file that is too long.
        let most = LONGEST as u64 + 1;
        if path.as_os_str() == STANDARD_INPUT {
            io::stdin().lock().take(most).read_to_end(&mut bytes)?;
        } else {
            File::open(&path)?.take(most).read_to_end(&mut bytes)?;
        }
        Photo::decode(&bytes)
    }
}
