//! `trainer compare`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::Outcome;
use super::options::Common;
use crate::compare::{
    self, CONFIDENCE, Compared, Doubt, Doubts, Paired, differing_keys, doubts, paired,
};
use crate::run::{self, RunFolder};
use crate::screen;
use crate::training::datasets::{self, Data};

/// Set runs beside each other, and say whether their differences are larger than chance.
///
/// The first run is what the others are compared with, on the same test images, by McNemar's exact
/// test. The page has their curves over one another, and the test images on which all of them agree with
/// confidence against the label.
#[derive(Debug, Args)]
#[command(args_override_self = true)]
#[command(after_help = "Example: trainer compare default-20261124-120000 latest")]
pub struct Compare {
    /// Two runs or more: folders, names in the artifacts folder, or latest.
    #[arg(value_name = "RUN", num_args = 2.., required = true)]
    runs: Vec<String>,
    /// Where the page goes; compare.html in the artifacts folder if absent, in place of an earlier one.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// The probability from which each run counts as sure that a label is wrong, from 0 to 1.
    #[arg(long, value_name = "P", default_value_t = CONFIDENCE, value_parser = share)]
    confidence: f64,
}

/// A number from 0 to 1.
fn share(text: &str) -> Result<f64, String> {
    let number = text.parse().ok();
    number
        .filter(|number| (0.0..=1.0).contains(number))
        .ok_or_else(|| "it must be a number from 0 to 1".to_owned())
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
        let found = doubts(&runs, self.confidence);
        let data = pictures(&runs, &found, common)?;
        let test = data.as_ref().map(|data| &data.test);
        let page = compare::page(&runs, &found, self.confidence, test)?;
        // What was found is said before a disk can refuse the page.
        if !common.json {
            print(&runs);
            line(&found.describe(runs.len(), self.confidence));
        }
        let replaced = output.exists();
        if self.output.is_none() {
            run::create_artifacts(artifacts)?;
        }
        run::write_atomic(&output, page.as_bytes())?;
        if replaced {
            common.verbosity.choice().note(
                "the page of an earlier comparison was replaced; --output FILE keeps this one elsewhere",
            );
        }
        if common.json {
            println!("{}", json(&runs, &found, &output));
        } else {
            println!("{}", screen::path(&output));
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// The images of the runs, where there is one to show.
fn pictures(
    runs: &[Compared],
    found: &Doubts,
    common: &Common,
) -> Result<Option<Data>, cifar10::Error> {
    let Some(first) = runs.first().filter(|_| !found.list().is_empty()) else {
        return Ok(None);
    };
    let data_dir = common.places.data_dir.as_deref();
    let verbosity = common.verbosity.choice();
    datasets::images(&first.contents.recipe, data_dir, verbosity).map(Some)
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
        line(&format!("{}: {accuracy}", run.name));
        if let Some(test) = test {
            line(&format!("  {}", test.describe(runs.len() - 1)));
        }
    }
    let keys = differing_keys(runs);
    if keys.is_empty() {
        line("the recipes are the same");
    }
    for key in keys {
        let values = key
            .values
            .iter()
            .map(|value| value.as_deref().unwrap_or("-"));
        let values = values.collect::<Vec<_>>().join(" | ");
        line(&format!("{} = {values}", key.key));
    }
}

/// Prints a line, broken where a terminal is narrower.
fn line(text: &str) {
    const INDENT: usize = 4;
    let text = screen::escaped(text);
    println!("{}", screen::wrapped(&text, screen::width(), INDENT));
}

fn json(runs: &[Compared], found: &Doubts, page: &std::path::Path) -> serde_json::Value {
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
    // Without pairs it is not known which labels are in doubt, which is not the same as none.
    let doubts: Option<Vec<_>> = match found {
        Doubts::NotComparable(_) => None,
        Doubts::Found { doubts, .. } => Some(doubts.iter().map(doubt).collect()),
    };
    serde_json::json!({ "runs": list, "differences": keys, "doubts": doubts, "page": page })
}

fn doubt(doubt: &Doubt) -> serde_json::Value {
    serde_json::json!({
        "index": doubt.index, "label": doubt.label, "answer": doubt.answer,
        "confidence": doubt.confidence, "of_label": doubt.of_label,
    })
}
