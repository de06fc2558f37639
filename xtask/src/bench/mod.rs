//! `cargo xtask bench`: this project's speed against its peers, measured in turn on one machine.
//!
//! - `options`: the command line.
//! - `cases`: what is measured, as a table.
//! - `contenders`: who is measured.
//! - `programs`: the command that measures each.
//! - `environment`: the peers' virtual environment.
//! - `command`: runs one command, with its peak memory and a time limit.
//! - `measure`: rounds over all cases, with the time left.
//! - `figures`: medians, ranges, ratios.
//! - `host`: processor, versions, load, date.
//! - `report`: where the report goes; `markdown` and `json` are its two forms.

mod cases;
mod command;
mod contenders;
pub mod environment;
mod figures;
mod host;
mod json;
mod markdown;
mod measure;
mod options;
mod programs;
mod report;

use std::path::{Path, PathBuf};

use host::Host;
use measure::Plan;
use options::{Options, Request};
use programs::Programs;
use report::Report;

/// Does what the arguments after `cargo xtask bench` ask for.
///
/// # Errors
/// One message that says what failed and what to do.
pub fn run(arguments: &[String]) -> Result<(), String> {
    match options::parse(arguments)? {
        Request::Help => print!("{}", options::HELP),
        Request::List => {
            for case in cases::CASES {
                println!("{:<24} {}", case.name, case.describe());
            }
        }
        Request::Measure(options) => measure_all(&options, arguments)?,
    }
    Ok(())
}

/// Builds, sets up, measures and reports.
fn measure_all(options: &Options, arguments: &[String]) -> Result<(), String> {
    let root = root()?;
    let load = host::load();
    let trainer = crate::program::build(&root, &[])?;
    let runs = std::env::temp_dir().join(format!("cifar10-trainer-bench-{}", std::process::id()));
    let programs = Programs {
        data: match options.cases.iter().any(|case| case.needs_data()) {
            true => Some(data_folder(&trainer, &root)?),
            false => None,
        },
        python: match options.peers {
            true => Some(environment::interpreter(&root)?),
            false => None,
        },
        trainer,
        artifacts: runs.clone(),
    };
    let command = ["cargo xtask bench"]
        .into_iter()
        .chain(arguments.iter().map(String::as_str))
        .collect::<Vec<_>>()
        .join(" ");
    let host = Host::read(&root, programs.python.as_deref(), load)?;
    if let Some(warning) = host.warning() {
        eprintln!("warning: {warning}");
    }
    let mut report = Report::create(&root.join("bench").join("results"), host, command)?;
    let plan = Plan {
        cases: &options.cases,
        rounds: options.rounds,
        seconds: options.seconds,
    };
    let rows = measure::measure(&plan, &programs, &root, |rows, state| {
        report.write(&plan, rows, state)
    });
    // There is nothing to remove where no case trains.
    let _ = std::fs::remove_dir_all(&runs);
    let rows = rows?;
    println!("{}", markdown::table(&rows));
    println!("written: {}", report.markdown_path().display());
    let failures = rows
        .iter()
        .flat_map(|row| &row.measured)
        .filter(|measured| measured.failure.is_some())
        .count();
    match failures {
        0 => Ok(()),
        _ => Err(format!(
            "{failures} of the table's figures could not be measured; the table says why"
        )),
    }
}

/// The folder with CIFAR-10, which the trainer fetches where it is missing.
fn data_folder(trainer: &Path, root: &Path) -> Result<PathBuf, String> {
    let said = command::answer(trainer, &["data", "info", "--json"], root);
    let folder = said
        .as_deref()
        .and_then(command::last_json_object)
        .and_then(|info| Some(PathBuf::from(info.get("folder")?.as_str()?)));
    folder.ok_or_else(|| {
        "CIFAR-10 could not be had: `cargo run -p trainer -- data fetch` says why".to_owned()
    })
}

/// The workspace's folder.
pub fn root() -> Result<PathBuf, String> {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().map(Path::to_owned).ok_or_else(|| {
        format!(
            "{} has no folder above it: build xtask inside the workspace",
            manifest.display()
        )
    })
}
