//! `trainer compare`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::Outcome;
use super::options::Common;
use crate::compare::{self, Compared, Paired, differing_keys, paired};
use crate::run::{self, RunFolder};

/// Set runs beside each other, and say whether their differences are larger than chance.
///
/// The first run is what the others are compared with, on the same test images, by McNemar's exact
/// test. The page has their curves over one another.
#[derive(Debug, Args)]
#[command(args_override_self = true)]
#[command(after_help = "Example: trainer compare default-20261124-120000 latest")]
pub struct Compare {
    /// Two runs or more: folders, names in the artifacts folder, or latest.
    #[arg(value_name = "RUN", num_args = 2.., required = true)]
    runs: Vec<String>,
    /// Where the page goes; compare.html in the artifacts folder if absent.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

impl Compare {
    /// Compares, prints, and writes the page.
    pub fn run(&self, common: &Common) -> Outcome {
        let artifacts = &common.places.artifacts;
        let mut runs = Vec::new();
        for name in &self.runs {
            let folder = RunFolder::open(run::resolve(artifacts, name)?)?;
            runs.push(Compared::read(&folder)?);
        }
        let output = self
            .output
            .clone()
            .unwrap_or_else(|| artifacts.join("compare.html"));
        run::write_atomic(&output, compare::page(&runs).as_bytes())?;
        if common.json {
            println!("{}", json(&runs, &output));
        } else {
            print(&runs);
            println!("{}", output.display());
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Each run with its test against the first, which has none.
fn with_tests(runs: &[Compared]) -> impl Iterator<Item = (&Compared, Option<Paired>)> {
    runs.iter().enumerate().map(|(place, run)| {
        let first = runs.first().filter(|_| place > 0);
        (run, first.map(|first| paired(first, run)))
    })
}

fn print(runs: &[Compared]) {
    for (run, test) in with_tests(runs) {
        let accuracy = run.contents.accuracy().map_or_else(
            || "not tested".to_owned(),
            |found| {
                let (low, high) = found.interval;
                let [share, low, high] = [found.share, low, high].map(|value| 100.0 * value);
                format!("test accuracy {share:.2}% ({low:.2} to {high:.2})")
            },
        );
        println!("{}: {accuracy}", run.name);
        if let Some(test) = test {
            println!("  {}", test.describe(runs.len() - 1));
        }
    }
    let keys = differing_keys(runs);
    if keys.is_empty() {
        println!("the recipes are the same");
    }
    for key in keys {
        let values = key
            .values
            .iter()
            .map(|value| value.as_deref().unwrap_or("-"));
        println!("{} = {}", key.key, values.collect::<Vec<_>>().join(" | "));
    }
}

fn json(runs: &[Compared], page: &std::path::Path) -> serde_json::Value {
    let list: Vec<_> = with_tests(runs)
        .map(|(run, test)| {
            let accuracy = run.contents.accuracy();
            let mut object = serde_json::json!({
                "name": run.name,
                "test_accuracy": accuracy.map(|found| found.share),
                "interval": accuracy.map(|found| found.interval),
            });
            if let Some(test) = &test {
                object["larger_than_chance"] = test.is_larger_than_chance(runs.len() - 1).into();
                if let Paired::Tested {
                    only_first,
                    only_other,
                    p,
                } = test
                {
                    object["only_first"] = (*only_first).into();
                    object["only_this"] = (*only_other).into();
                    object["p"] = (*p).into();
                }
            }
            object
        })
        .collect();
    let keys = differing_keys(runs).into_iter();
    let keys: serde_json::Map<String, serde_json::Value> =
        keys.map(|key| (key.key, key.values.into())).collect();
    serde_json::json!({ "runs": list, "differences": keys, "page": page })
}
