//! All runs of an artifacts folder.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::artifacts::{LATEST, SWEEP, TASK, is_run};
use super::environment::Environment;
use super::error::RunError;
use super::folder::RunFolder;
use super::metrics::{MetricsRow, read_rows};
use super::result::{RunResult, RunState};
use super::write::{if_there, read_short};

/// What a list of runs shows of one.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RunSummary {
    /// What `--run` takes: the folder's name, for a run of a sweep after those of the sweep and the task.
    pub name: String,
    /// The folder.
    pub path: PathBuf,
    /// How it ended; nothing while it runs and after it was killed.
    pub state: Option<RunState>,
    /// The recipe's name.
    pub recipe: Option<String>,
    /// The recipe's own name, where the command line gave the run another.
    pub based_on: Option<String>,
    /// The network's name.
    pub network: Option<String>,
    /// The backend's name.
    pub backend: Option<String>,
    /// `cifar10` or `synthetic`.
    pub dataset: Option<String>,
    /// Epochs trained so far; whole ones of a run that is not finished.
    pub epochs: Option<f64>,
    /// The last validation accuracy, from 0 to 1.
    pub valid_accuracy: Option<f64>,
    /// The test accuracy, from 0 to 1.
    pub test_accuracy: Option<f64>,
    /// Why part of the run could not be read.
    pub problem: Option<String>,
    /// When it started, in RFC 3339.
    pub started: Option<String>,
    /// Training time in seconds.
    pub seconds: Option<f64>,
}

/// All runs in `artifacts` and its sweeps, the oldest first. What is no run is passed over, and a run with
/// damaged files is listed with its problem. No artifacts folder means no runs.
///
/// # Errors
/// [`RunError::Io`] where the artifacts folder cannot be read.
pub fn list(artifacts: &Path) -> Result<Vec<RunSummary>, RunError> {
    let mut names = run_names(artifacts)?;
    names.extend(run_names_in_sweeps(artifacts));
    let mut runs = names
        .into_iter()
        .filter_map(|name| {
            let folder = RunFolder::open(artifacts.join(&name)).ok()?;
            Some(summary(name, &folder))
        })
        .collect::<Vec<_>>();
    runs.sort_by_cached_key(|run| {
        let started = run
            .started
            .as_ref()
            .and_then(|text| text.parse::<jiff::Timestamp>().ok());
        (started, run.name.clone())
    });
    Ok(runs)
}

/// The names of all runs in `artifacts`, in alphabetical order.
pub(super) fn run_names(artifacts: &Path) -> Result<Vec<String>, RunError> {
    let entries = match fs::read_dir(artifacts) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) if error.kind() == ErrorKind::NotADirectory => {
            let path = artifacts.to_owned();
            return Err(RunError::ArtifactsNotAFolder { path });
        }
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            return Err(RunError::ArtifactsNotReadable {
                path: artifacts.to_owned(),
                source: error,
            });
        }
        other => other.map_err(RunError::io("read", artifacts))?,
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(RunError::io("read", artifacts))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name != LATEST && is_run(&entry.path()) {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

/// The names of the runs of all sweeps in `artifacts`, each with the folders that lead to it. What cannot
/// be read has none.
fn run_names_in_sweeps(artifacts: &Path) -> Vec<String> {
    let mut names = Vec::new();
    for sweep in folders(artifacts, SWEEP) {
        let sweep_folder = artifacts.join(&sweep);
        // A run may be called as a sweep is.
        if is_run(&sweep_folder) {
            continue;
        }
        for task in folders(&sweep_folder, TASK) {
            let runs = run_names(&sweep_folder.join(&task)).unwrap_or_default();
            names.extend(runs.into_iter().map(|run| format!("{sweep}/{task}/{run}")));
        }
    }
    names
}

/// The names of the folders in `parent` that begin with `prefix`.
fn folders(parent: &Path, prefix: &str) -> Vec<String> {
    let entries = fs::read_dir(parent).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.path().is_dir())
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| name.starts_with(prefix))
        .collect()
}

/// What `config.toml` says of a run that has no result yet.
#[derive(Default, Deserialize)]
struct Config {
    name: Option<String>,
    based_on: Option<String>,
    network: Option<String>,
    #[serde(default)]
    data: Data,
}

#[derive(Default, Deserialize)]
struct Data {
    dataset: Option<String>,
}

/// Gathers the summary of the run `name` from what its folder holds so far.
fn summary(name: String, folder: &RunFolder) -> RunSummary {
    let mut problems = Vec::new();
    let config = read_short(&folder.config()).and_then(|text| {
        toml::from_slice::<Config>(&text).map_err(RunError::damaged(&folder.config()))
    });
    let config = note(config.map(Some), &mut problems).unwrap_or_default();
    let environment = note(
        if_there(&folder.environment(), Environment::read),
        &mut problems,
    );
    let result = note(if_there(&folder.result(), RunResult::read), &mut problems);
    let rows = note(
        if_there(&folder.metrics(), read_rows::<MetricsRow>),
        &mut problems,
    );
    let last = rows.as_ref().and_then(|rows| rows.last());
    let valid_so_far = rows
        .iter()
        .flatten()
        .rev()
        .find_map(|row| row.valid_accuracy);
    RunSummary {
        name,
        path: folder.path().to_owned(),
        recipe: config.name,
        based_on: config.based_on,
        network: config.network,
        dataset: config.data.dataset,
        backend: environment.as_ref().map(|found| found.backend.clone()),
        started: environment.map(|found| found.started),
        state: result.as_ref().map(|found| found.state),
        // The result of a run that has not ended names the epochs that it is to have.
        epochs: match &result {
            Some(found) if found.state == RunState::Finished => Some(found.epochs),
            found => last
                .and_then(|row| u32::try_from(row.epoch).ok())
                .map(f64::from)
                // The last epoch of a run may be a part of one.
                .map(|epochs| {
                    found
                        .as_ref()
                        .map_or(epochs, |found| epochs.min(found.epochs))
                }),
        },
        valid_accuracy: result
            .as_ref()
            .and_then(|found| found.valid_accuracy)
            .or(valid_so_far),
        test_accuracy: result.as_ref().and_then(|found| found.test_accuracy),
        seconds: result.as_ref().map(|found| found.seconds).or_else(|| {
            // Before the first epoch's end there is no figure, which is not none of it.
            let rows = rows.as_ref().filter(|rows| !rows.is_empty())?;
            Some(rows.iter().map(|row| row.seconds).sum())
        }),
        problem: (!problems.is_empty()).then(|| problems.join("; ")),
    }
}

/// The value, or nothing and a note of the problem.
fn note<T>(read: Result<Option<T>, RunError>, problems: &mut Vec<String>) -> Option<T> {
    read.unwrap_or_else(|error| {
        problems.push(error.to_string());
        None
    })
}
