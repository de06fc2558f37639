//! `cargo xtask reproduce`: trains a row of docs/results.md again.
//!
//! | file | what it holds |
//! | --- | --- |
//! | here | the way from a row to its figures |
//! | `rows` | the rows |
//! | `options` | the command line |
//! | `verdict` | what was measured beside what was published |

mod options;
mod rows;
mod verdict;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use options::{HELP, Options, Request};
use rows::{ROWS, Row};
use verdict::{Measured, Verdict};

/// Does what the arguments after `cargo xtask reproduce` ask for.
///
/// # Errors
/// A message where a row cannot be trained, or is not what it should be.
pub fn run(arguments: &[String]) -> Result<(), String> {
    match options::parse(arguments)? {
        Request::Help => print!("{HELP}"),
        Request::List => {
            for row in &ROWS {
                println!("{:<15} {}", row.name, row.describe());
            }
        }
        Request::Row(options) if options.print => {
            println!(
                "trainer {}",
                options.row.arguments(&options.backend).join(" ")
            );
        }
        Request::Row(options) => reproduce(&options)?,
    }
    Ok(())
}

/// Trains what is left of a row, and compares.
fn reproduce(options: &Options) -> Result<(), String> {
    let row = options.row;
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .ok_or("xtask stands in no folder")?;
    let features: &[&str] = match options.backend.as_str() {
        "wgpu" => &["wgpu"],
        _ => &[],
    };
    let sweep = Sweep {
        program: crate::program::build(root, features)?,
        arguments: row.arguments(&options.backend),
        artifacts: match &options.artifacts {
            Some(folder) => folder.clone(),
            None => cache()?,
        },
    };
    let before = sweep.collect()?;
    println!(
        "{} of {} runs of {} are there, in {}",
        before.count("n")?,
        row.seeds,
        row.name,
        before.folder
    );
    if before.count("n")? < row.seeds {
        println!("a run says how far it is in run.log of its folder");
        sweep.train()?;
    }
    let found = sweep.collect()?;
    let missing = found.count("missing")?;
    if missing > 0 {
        return Err(format!(
            "{missing} of {} runs are not finished; the same command goes on",
            row.seeds
        ));
    }
    let verdict = Verdict::of(row, found.measured(row)?);
    println!("{}", verdict.lines.join("\n"));
    match verdict.reached {
        Some(false) => Err(format!(
            "{} is not what docs/results.md asks of it",
            row.name
        )),
        _ => Ok(()),
    }
}

/// Where rows are trained if nothing else is said.
fn cache() -> Result<PathBuf, String> {
    let cache = dirs::cache_dir().ok_or(
        "this system names no cache folder; say where the runs shall lie with --artifacts",
    )?;
    Ok(cache.join("cifar10-trainer").join("reproduce"))
}

/// The trainer's sweep of a row.
struct Sweep {
    program: PathBuf,
    arguments: Vec<String>,
    artifacts: PathBuf,
}

impl Sweep {
    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(&self.arguments)
            .arg("--artifacts")
            .arg(&self.artifacts);
        command
    }

    /// Trains what is left, with the trainer's own progress.
    fn train(&self) -> Result<(), String> {
        let status = self
            .command()
            .stdout(Stdio::null())
            .status()
            .map_err(|error| format!("{}: {error}", self.program.display()))?;
        match status.code() {
            Some(0) => Ok(()),
            Some(130) => Err("interrupted; the same command goes on".to_owned()),
            _ => Err("a run failed; the lines above say where its log is".to_owned()),
        }
    }

    /// What is there.
    fn collect(&self) -> Result<Collected, String> {
        let output = self
            .command()
            .args(["--collect", "--json", "--quiet"])
            .stderr(Stdio::inherit())
            .output()
            .map_err(|error| format!("{}: {error}", self.program.display()))?;
        Collected::read(&output.stdout).ok_or_else(|| {
            format!(
                "`trainer {} --collect --json` gave no table",
                self.arguments.join(" ")
            )
        })
    }
}

/// The one combination of a sweep.
#[derive(Debug)]
struct Collected {
    folder: String,
    row: Value,
}

impl Collected {
    fn read(json: &[u8]) -> Option<Self> {
        let whole: Value = serde_json::from_slice(json).ok()?;
        Some(Self {
            folder: whole["folder"].as_str()?.to_owned(),
            row: whole["rows"].get(0)?.clone(),
        })
    }

    fn count(&self, field: &str) -> Result<u32, String> {
        let count = self.row[field].as_u64();
        count
            .and_then(|count| u32::try_from(count).ok())
            .ok_or_else(|| format!("the sweep's table has no count `{field}`"))
    }

    /// The figures of a row whose runs are all there.
    fn measured(&self, row: &Row) -> Result<Measured, String> {
        let [mean, deviation] = row.figure.fields();
        let percent = |field: &str| self.row[field].as_f64().map(|share| 100.0 * share);
        Ok(Measured {
            mean: percent(mean).ok_or_else(|| format!("the runs gave no {}", row.figure.name()))?,
            deviation: percent(deviation),
            n: self.count("n")?,
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_those_that_the_row_is_about() {
        let json = br#"{"folder": "f", "rows": [{"settings": [], "mean": 0.93, "deviation": 0.01,
            "mean_tta": 0.94, "deviation_tta": null, "n": 1, "missing": 0, "failed": 0}]}"#;
        let found = Collected::read(json).unwrap();
        let of = |name| found.measured(Row::named(name).unwrap()).unwrap();
        assert_eq!(
            (of("default").mean, of("default").deviation),
            (93.0, Some(1.0))
        );
        assert_eq!(
            (of("speedrun-94").mean, of("speedrun-94").deviation),
            (94.0, None)
        );
        assert!(Collected::read(b"{}").is_none());
        let plain = br#"{"folder": "f", "rows": [{"mean": 0.93, "n": 1}]}"#;
        let found = Collected::read(plain).unwrap();
        assert!(found.measured(Row::named("speedrun-94").unwrap()).is_err());
    }
}
