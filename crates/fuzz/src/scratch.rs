//! A folder for readers that take a path.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::exit;

/// A folder of this process below the system's temporary one, with `content` as its file `name`.
/// Whoever starts the process removes it: a crash leaves no time to.
///
/// A disk that is full is no finding: the process ends with a message.
pub fn file(name: &str, content: &[u8]) -> PathBuf {
    let folder = folder();
    let path = folder.join(name);
    let written = match fs::write(&path, content) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            fs::create_dir_all(path.parent().unwrap_or(&folder))
                .and_then(|()| fs::write(&path, content))
        }
        other => other,
    };
    if let Err(error) = written {
        cannot("write", &path, &error);
    }
    path
}

/// The folder itself.
pub fn folder() -> PathBuf {
    std::env::temp_dir().join(format!("fuzz-{}", std::process::id()))
}

/// Ends the process over a file that the fuzzer itself could not use.
pub fn cannot(action: &str, path: &Path, error: &io::Error) -> ! {
    eprintln!("error: could not {action} {}: {error}", path.display());
    exit(3)
}
