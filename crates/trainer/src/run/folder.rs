//! Creates a run's folder, and knows the path of every file in it.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use jiff::tz::TimeZone;

use super::artifacts::{CONFIG, LATEST, is_run, latest_target};
use super::error::RunError;
#[cfg(unix)]
use super::write::temporary_beside;
use super::write::{sync_folder, write_atomic};

/// How many runs of one name may begin in one second.
const MOST_SUFFIXES: u32 = 10_000;

/// One run's folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunFolder {
    path: PathBuf,
    /// What `latest` named before this run took it, to be put back where the run fails to start.
    previous_latest: Option<String>,
}

impl RunFolder {
    /// Creates `artifacts/<recipe>-<YYYYMMDD-HHMMSS>` in local time, with `checkpoints/` in it, and lets
    /// `artifacts/latest` name it. A name that is taken gets a suffix: `-2`, `-3` and so on.
    ///
    /// Call it last, after everything that can refuse the run, and write [`RunFolder::config`] next:
    /// that file makes the folder a run.
    ///
    /// # Errors
    /// A [`RunError`] where `artifacts` is a file or cannot be written to, or the name is no folder name.
    /// Nothing is left behind then.
    pub fn create(artifacts: &Path, recipe: &str, now: SystemTime) -> Result<Self, RunError> {
        check_name(recipe)?;
        create_artifacts(artifacts)?;
        let name = format!("{recipe}-{}", local_time(now));
        let path = create_unique(artifacts, &name)?;
        let folder = Self {
            previous_latest: latest_target(artifacts),
            path,
        };
        let prepared = fs::create_dir(folder.checkpoints())
            .map_err(RunError::io("create", &folder.checkpoints()))
            .and_then(|()| point_latest(artifacts, &folder.name()));
        if prepared.is_err() {
            folder.undo()?;
        }
        prepared.map(|()| folder)
    }

    /// Finds out whether runs can be made in `artifacts`, and makes nothing: for a refusal before the data
    /// is fetched.
    ///
    /// # Errors
    /// A [`RunError`] where `artifacts` is a file or cannot be written to.
    pub fn check_place(artifacts: &Path) -> Result<(), RunError> {
        let here = Path::new(".");
        let there = artifacts
            .ancestors()
            .map(|path| if path == Path::new("") { here } else { path })
            .find(|path| path.exists())
            .unwrap_or(here);
        if !there.is_dir() {
            return Err(artifacts_error(artifacts, ErrorKind::NotADirectory.into()));
        }
        #[cfg(unix)]
        rustix::fs::access(there, rustix::fs::Access::WRITE_OK)
            .map_err(|error| artifacts_error(artifacts, error.into()))?;
        Ok(())
    }

    /// The folder of a run that exists.
    ///
    /// # Errors
    /// [`RunError::NotARun`] where `path` is no folder with a `config.toml`.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, RunError> {
        let path = path.into();
        if is_run(&path) {
            Ok(Self {
                path,
                previous_latest: None,
            })
        } else {
            Err(RunError::NotARun { path })
        }
    }

    /// Removes what an earlier end of the run left: its result, and weights that training goes beyond. They
    /// are in the checkpoint that the run goes on from.
    ///
    /// # Errors
    /// [`RunError::Io`] where a file is there and cannot be removed.
    pub fn reopen(&self) -> Result<(), RunError> {
        // Weights go first: without them the newest checkpoint counts.
        for file in [
            self.model_burnpack(),
            self.model_safetensors(),
            self.result(),
        ] {
            match fs::remove_file(&file) {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    return Err(RunError::io("remove", &file)(error));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Undoes [`RunFolder::create`] where the run did not come to its first step: removes the folder with
    /// what is in it, and lets `latest` name what it named before. A folder with a checkpoint stays.
    /// Returns whether the folder is gone.
    ///
    /// # Errors
    /// [`RunError::Io`] where the folder cannot be removed.
    pub fn undo(&self) -> Result<bool, RunError> {
        match fs::remove_dir(self.checkpoints()) {
            Err(error) if error.kind() == ErrorKind::DirectoryNotEmpty => return Ok(false),
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(RunError::io("remove", &self.checkpoints())(error));
            }
            _ => {}
        }
        fs::remove_dir_all(&self.path).map_err(RunError::io("remove", &self.path))?;
        let Some(artifacts) = self.path.parent() else {
            return Ok(true);
        };
        if latest_target(artifacts).as_deref() == Some(&self.name()) {
            if let Some(previous) = &self.previous_latest {
                point_latest(artifacts, previous)?;
            } else {
                let link = artifacts.join(LATEST);
                fs::remove_file(&link).map_err(RunError::io("remove", &link))?;
            }
        }
        Ok(true)
    }

    /// Flushes the names of its files to the disk, and its own name in the artifacts folder: what a run
    /// has saved lasts only if it can be found.
    ///
    /// # Errors
    /// [`RunError::Io`] where the system refuses.
    pub fn sync(&self) -> Result<(), RunError> {
        for folder in [Some(self.path.as_path()), self.path.parent()] {
            let folder = folder
                .filter(|folder| !folder.as_os_str().is_empty())
                .unwrap_or(Path::new("."));
            sync_folder(folder).map_err(RunError::io("flush", folder))?;
        }
        Ok(())
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The folder's name, by which other commands find the run.
    pub fn name(&self) -> String {
        self.path
            .file_name()
            .map_or_else(String::new, |name| name.to_string_lossy().into_owned())
    }

    /// `config.toml`: the resolved recipe.
    pub fn config(&self) -> PathBuf {
        self.path.join(CONFIG)
    }

    /// `environment.json`: what the run ran on.
    pub fn environment(&self) -> PathBuf {
        self.path.join("environment.json")
    }

    /// `metrics.csv`: a row an epoch.
    pub fn metrics(&self) -> PathBuf {
        self.path.join("metrics.csv")
    }

    /// `steps.csv`: a row a recorded step.
    pub fn steps(&self) -> PathBuf {
        self.path.join("steps.csv")
    }

    /// `events.jsonl`: everything that happened, a JSON object a line.
    pub fn events(&self) -> PathBuf {
        self.path.join("events.jsonl")
    }

    /// TensorBoard's events. It finds them by the word in the middle of their name.
    pub fn tensorboard(&self) -> PathBuf {
        self.path.join("events.out.tfevents.trainer")
    }

    /// `checkpoints/`: what the run can be resumed from.
    pub fn checkpoints(&self) -> PathBuf {
        self.path.join("checkpoints")
    }

    /// `model.bpk`: the selected weights in Burn's format.
    pub fn model_burnpack(&self) -> PathBuf {
        self.path.join("model.bpk")
    }

    /// `model.safetensors`: the selected weights for other programs.
    pub fn model_safetensors(&self) -> PathBuf {
        self.path.join("model.safetensors")
    }

    /// `confusion.csv`: true classes by predicted classes on the test set.
    pub fn confusion(&self) -> PathBuf {
        self.path.join("confusion.csv")
    }

    /// `predictions.csv`: a row a test image.
    pub fn predictions(&self) -> PathBuf {
        self.path.join("predictions.csv")
    }

    /// `report.html`: the run on one page.
    pub fn report(&self) -> PathBuf {
        self.path.join("report.html")
    }

    /// `plots/`: the report's plots, an SVG file each.
    pub fn plots(&self) -> PathBuf {
        self.path.join("plots")
    }

    /// `run.log`: what the program said.
    pub fn log(&self) -> PathBuf {
        self.path.join("run.log")
    }

    /// `run.lock`: held by the process that trains.
    pub fn lock(&self) -> PathBuf {
        self.path.join("run.lock")
    }

    /// `result.json`: what the run gave.
    pub fn result(&self) -> PathBuf {
        self.path.join("result.json")
    }
}

fn check_name(name: &str) -> Result<(), RunError> {
    let plain = !name.is_empty()
        && !name.starts_with('.')
        && name
            .chars()
            .all(|character| character.is_ascii_alphanumeric() || "-_.".contains(character));
    if plain {
        Ok(())
    } else {
        Err(RunError::BadName {
            name: name.to_owned(),
        })
    }
}

/// Creates an artifacts folder where there is none.
///
/// # Errors
/// A [`RunError`] with what to do.
pub(crate) fn create_artifacts(artifacts: &Path) -> Result<(), RunError> {
    fs::create_dir_all(artifacts).map_err(|source| artifacts_error(artifacts, source))
}

/// The error for an artifacts folder in which nothing can be created.
pub(super) fn artifacts_error(artifacts: &Path, source: std::io::Error) -> RunError {
    let path = artifacts.to_owned();
    match source.kind() {
        ErrorKind::AlreadyExists | ErrorKind::NotADirectory => {
            RunError::ArtifactsNotAFolder { path }
        }
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            RunError::ArtifactsNotWritable { path, source }
        }
        _ => RunError::ArtifactsNotCreated { path, source },
    }
}

/// Creates the first folder of `name`, `name-2`, `name-3`… that does not exist. Creating is the test
/// for existence, so that two runs that start at once never share a folder.
fn create_unique(artifacts: &Path, name: &str) -> Result<PathBuf, RunError> {
    for attempt in 1..=MOST_SUFFIXES {
        let path = match attempt {
            1 => artifacts.join(name),
            _ => artifacts.join(format!("{name}-{attempt}")),
        };
        match fs::create_dir(&path) {
            Ok(()) => return Ok(path),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(artifacts_error(artifacts, error)),
        }
    }
    Err(RunError::NoFreeName {
        path: artifacts.join(name),
        tried: MOST_SUFFIXES,
    })
}

/// `YYYYMMDD-HHMMSS` in local time. A clock outside of the years that the calendar has gives 1970.
fn local_time(now: SystemTime) -> String {
    jiff::Timestamp::try_from(now)
        .unwrap_or(jiff::Timestamp::UNIX_EPOCH)
        .to_zoned(TimeZone::system())
        .strftime("%Y%m%d-%H%M%S")
        .to_string()
}

/// Lets `latest` name the run in one step: a link where the file system has them, else a text file.
fn point_latest(artifacts: &Path, run: &str) -> Result<(), RunError> {
    let latest = artifacts.join(LATEST);
    if link_latest(&latest, run).is_ok() {
        return Ok(());
    }
    write_atomic(&latest, format!("{run}\n").as_bytes())
}

#[cfg(unix)]
fn link_latest(latest: &Path, run: &str) -> std::io::Result<()> {
    // The run's name is part of the temporary one: threads of one process may create runs at once.
    let beside = temporary_beside(&latest.with_file_name(format!("{LATEST}-{run}")));
    std::os::unix::fs::symlink(run, &beside)?;
    let renamed = fs::rename(&beside, latest);
    if renamed.is_err() {
        fs::remove_file(&beside)?;
    }
    renamed
}

#[cfg(not(unix))]
fn link_latest(_latest: &Path, _run: &str) -> std::io::Result<()> {
    Err(ErrorKind::Unsupported.into())
}
