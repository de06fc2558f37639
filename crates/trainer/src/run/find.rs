//! Which run's folder the user means by `latest`, a name or a path.

use std::path::{Path, PathBuf};

use super::artifacts::{LATEST, is_run, latest_target};
use super::error::RunError;
use super::list::run_names;
use crate::recipe::nearest;

/// The folder of the run that `run` names: `latest`, a folder's name in `artifacts`, or a path.
///
/// The path returned for `latest` is the run's own, which stays when another run becomes the latest.
///
/// # Errors
/// A [`RunError`] that says where was looked, and the nearest name.
pub fn resolve(artifacts: &Path, run: &str) -> Result<PathBuf, RunError> {
    if run == LATEST {
        return resolve_latest(artifacts);
    }
    let (in_artifacts, as_path) = (artifacts.join(run), PathBuf::from(run));
    for path in [&in_artifacts, &as_path] {
        // A sweep's runs are named so: each of them stands in a folder of its own.
        if let (Some(name), Some(folder)) = (path.file_name(), path.parent())
            && name == LATEST
            && latest_target(folder).is_some()
        {
            return resolve_latest(folder);
        }
    }
    let exists = [&in_artifacts, &as_path]
        .into_iter()
        .find(|path| !run.is_empty() && path.exists());
    if let Some(found) = [&in_artifacts, &as_path]
        .into_iter()
        .find(|path| !run.is_empty() && is_run(path))
    {
        return Ok(found.clone());
    }
    if let Some(path) = exists {
        return Err(RunError::NotARun { path: path.clone() });
    }
    let names = run_names(artifacts).unwrap_or_default();
    Err(RunError::UnknownRun {
        name: run.to_owned(),
        nearest: nearest(run, names.iter().map(String::as_str)),
        looked_at: Box::new((in_artifacts, as_path)),
    })
}

fn resolve_latest(artifacts: &Path) -> Result<PathBuf, RunError> {
    let latest = artifacts.join(LATEST);
    if !latest.is_symlink() && latest.is_dir() {
        return Err(RunError::LatestIsAFolder { path: latest });
    }
    let Some(target) = latest_target(artifacts) else {
        return Err(RunError::NoLatest {
            artifacts: artifacts.to_owned(),
        });
    };
    let path = artifacts.join(&target);
    if is_run(&path) {
        Ok(path)
    } else if path.exists() {
        Err(RunError::NotARun { path })
    } else {
        Err(RunError::LatestIsGone {
            artifacts: artifacts.to_owned(),
            target,
        })
    }
}
