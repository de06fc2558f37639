//! What marks the folders of an artifacts folder: which are runs or sweeps, and which run is the newest.

use std::fs;
use std::path::Path;

/// The file that makes a folder a run.
pub(super) const CONFIG: &str = "config.toml";

/// The name of the link, or text file, that names the newest run.
pub(super) const LATEST: &str = "latest";

/// What the names of a sweep's folder, and of the folders in it that hold the runs, begin with.
pub(crate) const SWEEP: &str = "sweep-";
pub(crate) const TASK: &str = "task-";

/// The longest text that `latest` can be, in bytes: no system has a longer path.
const LONGEST_NAME: u64 = 1 << 12;

/// Whether `path` is a run's folder.
pub(super) fn is_run(path: &Path) -> bool {
    path.join(CONFIG).is_file()
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
