//! Which run's folder the user means by `latest`, a name or a path.

use std::fs;
use std::path::{Path, PathBuf};

use super::error::RunError;
use super::folder::is_run;
use super::list::run_names;
use crate::recipe::nearest;

/// The name of the link, or text file, that names the newest run.
pub(super) const LATEST: &str = "latest";

/// The longest text that `latest` can be, in bytes: no system has a longer path.
const LONGEST_NAME: u64 = 1 << 12;

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

/// The folder's name that `latest` holds, as a link or as text.
pub(super) fn latest_target(artifacts: &Path) -> Option<String> {
    let latest = artifacts.join(LATEST);
    fs::read_link(&latest)
        .map(|target| target.to_string_lossy().into_owned())
        .ok()
        .or_else(|| {
            let text = cifar10::file::read(&latest, LONGEST_NAME).ok()?;
            Some(String::from_utf8(text).ok()?.trim().to_owned())
        })
        .filter(|target| !target.is_empty())
}
