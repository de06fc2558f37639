//! `cargo xtask fuzz`: builds the readers with coverage and gives them damaged input.

mod libfuzzer;
mod options;
pub mod wrapper;

use std::fs;
use std::path::{Path, PathBuf};

use libfuzzer::{Campaign, Outcome};
use options::Request;

use crate::program;

/// Runs the command with the arguments that stand after `fuzz`.
///
/// # Errors
/// A message that says what is wrong with the arguments, which input broke a target, or what could
/// not be started.
pub fn run(arguments: &[String]) -> Result<(), String> {
    let crate_folder = Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("crates/fuzz");
    let targets = targets(&crate_folder.join("seeds"))?;
    let options = match options::parse(arguments, &targets)? {
        Request::Help => {
            print!("{}", options::HELP);
            return Ok(());
        }
        Request::List => {
            println!("{}", targets.join("\n"));
            return Ok(());
        }
        Request::Fuzz(options) => options,
    };
    let program = build()?;
    let campaign = Campaign {
        program: &program,
        crate_folder: &crate_folder,
        output: &output_folder()?,
        options: &options,
    };
    if let Some(input) = &options.replay {
        return campaign.replay(&options.targets[0], input);
    }
    println!("{}", Outcome::HEADER);
    let mut failed = Vec::new();
    for target in &options.targets {
        let outcome = campaign.fuzz(target)?;
        println!("{outcome}");
        if let Some(input) = outcome.failure {
            let input = input.map_or_else(
                || "an input that was not kept".to_owned(),
                |path| path.display().to_string(),
            );
            failed.push(format!(
                "{target} failed on {input}; its log is {}",
                outcome.log.display()
            ));
        }
    }
    if failed.is_empty() {
        Ok(())
    } else {
        Err(failed.join("\n"))
    }
}

/// The names of the targets: each has a folder of seeds.
fn targets(seeds: &Path) -> Result<Vec<String>, String> {
    let entries = fs::read_dir(seeds)
        .map_err(|error| format!("could not read {}: {error}", seeds.display()))?;
    let mut names: Vec<_> = entries
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    Ok(names)
}

/// Builds the fuzzer with this program around the compiler, and returns its path.
fn build() -> Result<PathBuf, String> {
    let this = std::env::current_exe()
        .map_err(|error| format!("the path of this program is unknown: {error}"))?;
    let status = program::cargo()
        .args(["build", "--package", "fuzz", "--features", "libfuzzer"])
        .env("RUSTC_WORKSPACE_WRAPPER", &this)
        .env(wrapper::VARIABLE, "1")
        .status()
        .map_err(|error| format!("cargo could not be started: {error}"))?;
    if status.success() {
        Ok(this.with_file_name(format!("fuzz{}", std::env::consts::EXE_SUFFIX)))
    } else {
        Err("the fuzzer could not be built".to_owned())
    }
}

/// `fuzz` beside this program's profile in the target folder: what a run leaves.
fn output_folder() -> Result<PathBuf, String> {
    let this = std::env::current_exe()
        .map_err(|error| format!("the path of this program is unknown: {error}"))?;
    this.parent()
        .and_then(Path::parent)
        .map(|target| target.join("fuzz"))
        .ok_or_else(|| "this program lies in no target folder".to_owned())
}
