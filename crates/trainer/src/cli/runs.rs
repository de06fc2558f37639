//! `trainer runs`.

use std::process::ExitCode;

use clap::Args;

use super::Outcome;
use super::options::Common;
use crate::run;

/// List the runs of the artifacts folder, the oldest first.
///
/// A run that is under way, or was killed, is `unfinished`; one whose files cannot be understood is
/// `damaged`, with the reason below the list. Accuracies are of the hold-out and of the test set.
#[derive(Debug, Args)]
#[command(after_help = "Example: trainer runs --json")]
pub struct Runs {}

impl Runs {
    /// Prints the list.
    pub fn run(&self, common: &Common) -> Outcome {
        let runs = run::list(&common.places.artifacts)?;
        if common.json {
            let list: Vec<_> = runs
                .iter()
                .map(|r| {
                    serde_json::json!({
                        "name": r.name, "path": r.path, "recipe": r.recipe, "network": r.network,
                        "backend": r.backend, "dataset": r.dataset, "epochs": r.epochs,
                        "valid_accuracy": r.valid_accuracy, "test_accuracy": r.test_accuracy,
                        "state": r.state, "problem": r.problem, "started": r.started,
                        "seconds": r.seconds,
                    })
                })
                .collect();
            println!("{}", serde_json::to_string(&list)?);
            return Ok(ExitCode::SUCCESS);
        }
        if runs.is_empty() {
            println!("no runs in {}", common.places.artifacts.display());
            return Ok(ExitCode::SUCCESS);
        }
        println!(
            "{:32} {:12} {:10} {:>7} {:>8} {:>8}",
            "run", "state", "network", "epochs", "valid", "test"
        );
        for r in &runs {
            let percent = |value: Option<f64>| {
                value.map_or_else(|| "-".to_owned(), |v| format!("{:.2}%", 100.0 * v))
            };
            println!(
                "{:32} {:12} {:10} {:>7} {:>8} {:>8}",
                r.name,
                match r.state {
                    Some(state) => state.name(),
                    None if r.problem.is_some() => "damaged",
                    None => "unfinished",
                },
                r.network.as_deref().unwrap_or("-"),
                r.epochs.map_or_else(|| "-".to_owned(), |e| e.to_string()),
                percent(r.valid_accuracy),
                percent(r.test_accuracy)
            );
        }
        for r in runs {
            if let Some(problem) = r.problem {
                common.verbosity.choice().note(&problem);
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}
