//! The peers' virtual environment, made once in the user's cache folder.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::command::answer;

/// Names an interpreter that has the peers already.
pub const VARIABLE: &str = "CIFAR10_TRAINER_PYTHON";
/// The pinned versions, seen from the workspace's folder.
const REQUIREMENTS: &str = "bench/requirements.txt";
/// The Python that makes the environment.
const SYSTEM_PYTHON: &str = if cfg!(windows) { "python" } else { "python3" };

/// An interpreter with the peers: the one that [`VARIABLE`] names, or the one of the environment, which is made
/// where it is missing and filled anew where the requirements have changed.
///
/// # Errors
/// A message where there is no Python, no cache folder, or where venv or pip fails.
pub fn interpreter(root: &Path) -> Result<PathBuf, String> {
    if let Some(named) = std::env::var_os(VARIABLE) {
        let named = PathBuf::from(named);
        if answer(&named, &["--version"], root).is_none() {
            return Err(format!(
                "{VARIABLE} names {}, which does not run: name a Python interpreter, or unset the variable",
                named.display()
            ));
        }
        return Ok(named);
    }
    let cache = dirs::cache_dir().ok_or_else(|| {
        format!("the system names no cache folder for the peers: name an interpreter in {VARIABLE}")
    })?;
    let folder = cache.join("cifar10-trainer").join("peers");
    let file = root.join(REQUIREMENTS);
    let requirements = fs::read_to_string(&file)
        .map_err(|error| format!("{} cannot be read: {error}", file.display()))?;
    fill(&folder, &file, &requirements)
}

/// Makes what is missing of the environment in `folder` and returns its interpreter.
fn fill(folder: &Path, file: &Path, requirements: &str) -> Result<PathBuf, String> {
    let python = interpreter_in(folder);
    // A copy of what was installed, written last, so that an installation that was broken off is done again.
    let installed = folder.join("installed.txt");
    if python.is_file() && fs::read_to_string(&installed).is_ok_and(|text| text == requirements) {
        return Ok(python);
    }
    eprintln!(
        "making the peers' virtual environment in {}",
        folder.display()
    );
    // Also where there is one: a first attempt without Python's venv module leaves an environment without pip.
    make(SYSTEM_PYTHON, folder)?;
    eprintln!("installing {}, some gigabytes, once", file.display());
    install(&python, file)?;
    fs::write(&installed, requirements)
        .map_err(|error| format!("{} cannot be written: {error}", installed.display()))?;
    Ok(python)
}

/// `python -m venv FOLDER`.
fn make(system_python: &str, folder: &Path) -> Result<(), String> {
    let status = Command::new(system_python)
        .args(["-m", "venv"])
        .arg(folder)
        .status()
        .map_err(|error| {
            format!(
                "{system_python} could not be started ({error}): install Python 3.11 or newer, name an interpreter \
                 in {VARIABLE}, or leave the peers out with `cargo xtask bench --no-peers`"
            )
        })?;
    match status.success() {
        true => Ok(()),
        false => Err(format!(
            "the virtual environment cannot be made; repeat with `{system_python} -m venv {}`, and install Python's \
             venv module where it is missing",
            folder.display()
        )),
    }
}

/// `pip install -r FILE`, with pip's own progress.
fn install(python: &Path, file: &Path) -> Result<(), String> {
    let status = Command::new(python)
        .args(["-m", "pip", "install", "--disable-pip-version-check", "-r"])
        .arg(file)
        .status()
        .map_err(|error| format!("{} could not be started: {error}", python.display()))?;
    match status.success() {
        true => Ok(()),
        false => Err(format!(
            "pip could not install the peers; repeat with `{} -m pip install -r {}`, or leave them out with `cargo xtask bench --no-peers`",
            python.display(),
            file.display()
        )),
    }
}

/// The interpreter of a virtual environment.
fn interpreter_in(folder: &Path) -> PathBuf {
    if cfg!(windows) {
        folder.join("Scripts").join("python.exe")
    } else {
        folder.join("bin").join("python")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_python_the_message_says_the_three_ways_out() {
        let message = make("no-such-python", Path::new("peers")).unwrap_err();
        assert!(message.starts_with("no-such-python could not be started"));
        for way in ["install Python 3.11", VARIABLE, "--no-peers"] {
            assert!(message.contains(way), "{message}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn where_pip_fails_the_message_has_the_command_to_repeat() {
        // `false` stands for an interpreter whose pip fails.
        let message = install(Path::new("false"), Path::new("bench/requirements.txt"));
        assert_eq!(
            message.unwrap_err(),
            "pip could not install the peers; repeat with `false -m pip install -r bench/requirements.txt`, or leave \
             them out with `cargo xtask bench --no-peers`"
        );
    }

    #[test]
    fn a_filled_environment_is_used_as_it_is() {
        let folder = std::env::temp_dir().join(format!("xtask-peers-{}", std::process::id()));
        let python = interpreter_in(&folder);
        fs::create_dir_all(python.parent().unwrap()).unwrap();
        fs::write(&python, "").unwrap();
        fs::write(folder.join("installed.txt"), "torch==1\n").unwrap();
        let file = Path::new("requirements.txt");
        let found = fill(&folder, file, "torch==1\n");
        fs::remove_dir_all(&folder).unwrap();
        // Anything else would have started the interpreter, which is an empty file.
        assert_eq!(found, Ok(python));
    }
}
