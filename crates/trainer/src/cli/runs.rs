//! `trainer runs`.

use std::process::ExitCode;

use clap::Args;

use super::Outcome;
use super::options::Places;
use crate::run;

/// List the runs of the artifacts folder, the oldest first.
#[derive(Debug, Args)]
#[command(after_help = "Example: trainer runs --json")]
pub struct Runs {
    /// Prints a JSON array.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    places: Places,
}

impl Runs {
    /// Prints the list.
    pub fn run(&self) -> Outcome {
        let runs = run::list(&self.places.artifacts)?;
        if self.json {
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
            println!("no runs in {}", self.places.artifacts.display());
            return Ok(ExitCode::SUCCESS);
        }
        println!(
            "{:32} {:12} {:10} {:>7} {:>8} {:>8}",
            "run", "state", "network", "epochs", "valid", "test"
        );
        for r in runs {
            let percent = |value: Option<f64>| {
                value.map_or_else(|| "-".to_owned(), |v| format!("{:.2}%", 100.0 * v))
            };
            println!(
                "{:32} {:12} {:10} {:>7} {:>8} {:>8}",
                r.name,
                r.state.map_or("unfinished", run::RunState::name),
                r.network.as_deref().unwrap_or("-"),
                r.epochs.map_or_else(|| "-".to_owned(), |e| e.to_string()),
                percent(r.valid_accuracy),
                percent(r.test_accuracy)
            );
        }
        Ok(ExitCode::SUCCESS)
    }
}
