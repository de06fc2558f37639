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
    path: Result<PathBuf, PhotoError>,
}

/// Every file that `arguments` name, in their order. A folder stands for the files in it and in the
/// folders below, by name; `-` for standard input. What cannot be found, a folder without a file and what lies
/// in a folder and is no file are sources that cannot be read, so that the others still are.
#[must_use]
pub fn find(arguments: &[PathBuf]) -> Vec<Source> {
    let mut sources = Vec::new();
    for path in arguments {
        if path.is_dir() {
            let before = sources.len();
            list(path, &mut sources);
            if sources.len() == before {
                sources.push(Source::new(path, Err(PhotoError::NoFiles)));
            }
        } else {
            sources.push(Source::new(path, Ok(path.clone())));
        }
    }
    sources
}

fn list(folder: &Path, sources: &mut Vec<Source>) {
    let entries = match fs::read_dir(folder).and_then(Iterator::collect::<io::Result<Vec<_>>>) {
        Ok(entries) => entries,
        Err(error) => return sources.push(Source::new(folder, Err(error.into()))),
    };
    let mut paths: Vec<_> = entries.iter().map(fs::DirEntry::path).collect();
    paths.sort_unstable();
    for path in paths {
        if path.is_dir() {
            // A link to a folder could lead back here; only files are taken through links.
            if !path.is_symlink() {
                list(&path, sources);
            }
        } else if path.is_file() || !path.exists() {
            // A link that leads nowhere is named when it is read.
            sources.push(Source::new(&path, Ok(path.clone())));
        } else {
            // To open a pipe would be to wait for whoever writes into it.
            sources.push(Source::new(&path, Err(PhotoError::NotAFile)));
        }
    }
}

impl Source {
    fn new(name: &Path, path: Result<PathBuf, PhotoError>) -> Self {
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

#[cfg(all(test, unix))]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_file_in_a_folder_and_a_folder_without_one_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let arguments = [folder.path().to_owned()];
        let read = || -> Vec<(String, String)> {
            let sources = find(&arguments).into_iter();
            sources
                .map(|one| (one.name.clone(), one.read().unwrap_err().to_string()))
                .collect()
        };
        let [(name, error)] = &read()[..] else {
            panic!("one source for an empty folder");
        };
        assert_eq!(Path::new(name), folder.path());
        assert_eq!(error, "this folder has no files");
        std::os::unix::fs::symlink("nowhere", folder.path().join("a")).unwrap();
        let pipe = folder.path().join("b");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status();
        assert!(made.unwrap().success());
        let found = read();
        assert_eq!(found.len(), 2);
        assert!(found[0].1.starts_with("cannot read this"), "{found:?}");
        assert!(found[1].0.ends_with('b'));
        assert_eq!(found[1].1, "this is a pipe, a socket or a device");
    }
}
