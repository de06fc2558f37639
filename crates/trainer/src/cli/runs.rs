//! `trainer runs`.

use std::cmp::Ordering;
use std::process::ExitCode;

use clap::{Args, ValueEnum};

use super::Outcome;
use super::options::Common;
use crate::run::{self, RunSummary};
use crate::statistics::percent_or_dash;

/// List the runs of the artifacts folder, the oldest first.
///
/// A run that is under way, or was killed, is `unfinished`; one whose files cannot be understood is
/// `damaged`, with the reason below the list. Accuracies are of the hold-out and of the test set.
#[derive(Debug, Args)]
#[command(args_override_self = true)]
#[command(after_help = "Examples:\n  trainer runs --sort test\n  trainer runs --csv > runs.csv")]
pub struct Runs {
    /// The column to sort by: names from A, figures from the largest.
    #[arg(long, value_enum, value_name = "COLUMN", default_value = "started")]
    sort: Column,
    /// Prints comma-separated values, with accuracies from 0 to 1.
    #[arg(long, conflicts_with = "json")]
    csv: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Column {
    /// The oldest first.
    Started,
    Name,
    State,
    Recipe,
    Network,
    Backend,
    Dataset,
    Epochs,
    Valid,
    Test,
    Seconds,
}

impl Column {
    fn order(self, a: &RunSummary, b: &RunSummary) -> Ordering {
        // What is absent stands last.
        let text = |a: &Option<String>, b: &Option<String>| {
            a.is_none().cmp(&b.is_none()).then_with(|| a.cmp(b))
        };
        let figure = |a: Option<f64>, b: Option<f64>| {
            let value = |figure: Option<f64>| figure.unwrap_or(f64::NEG_INFINITY);
            value(b).total_cmp(&value(a))
        };
        match self {
            // The list comes in this order, and sorting keeps it among equal ones.
            Self::Started => Ordering::Equal,
            Self::Name => a.name.cmp(&b.name),
            Self::State => state(a).cmp(state(b)),
            Self::Recipe => text(&a.recipe, &b.recipe),
            Self::Network => text(&a.network, &b.network),
            Self::Backend => text(&a.backend, &b.backend),
            Self::Dataset => text(&a.dataset, &b.dataset),
            Self::Epochs => figure(a.epochs, b.epochs),
            Self::Valid => figure(a.valid_accuracy, b.valid_accuracy),
            Self::Test => figure(a.test_accuracy, b.test_accuracy),
            Self::Seconds => figure(a.seconds, b.seconds),
        }
    }
}

fn state(run: &RunSummary) -> &'static str {
    match run.state {
        Some(state) => state.name(),
        None if run.problem.is_some() => "damaged",
        None => "unfinished",
    }
}

impl Runs {
    /// Prints the list.
    pub fn run(&self, common: &Common) -> Outcome {
        let mut runs = run::list(&common.places.artifacts)?;
        runs.sort_by(|a, b| self.sort.order(a, b));
        if common.json {
            println!("{}", serde_json::to_string(&runs)?);
        } else if self.csv {
            print_csv(&runs)?;
        } else if runs.is_empty() {
            let artifacts = &common.places.artifacts;
            if artifacts.exists() {
                println!("no runs in {}", artifacts.display());
            } else {
                println!("no runs: there is no folder {}", artifacts.display());
            }
        } else {
            print_table(&runs);
            for problem in runs.iter().filter_map(|run| run.problem.as_ref()) {
                common.verbosity.choice().note(problem);
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn print_csv(runs: &[RunSummary]) -> Result<(), csv::Error> {
    let mut writer = csv::Writer::from_writer(std::io::stdout());
    writer.write_record([
        "name",
        "state",
        "recipe",
        "network",
        "backend",
        "dataset",
        "epochs",
        "valid_accuracy",
        "test_accuracy",
        "seconds",
        "started",
    ])?;
    for run in runs {
        writer.serialize((
            &run.name,
            state(run),
            &run.recipe,
            &run.network,
            &run.backend,
            &run.dataset,
            run.epochs,
            run.valid_accuracy,
            run.test_accuracy,
            run.seconds,
            &run.started,
        ))?;
    }
    Ok(writer.flush()?)
}

fn print_table(runs: &[RunSummary]) {
    println!(
        "{:32} {:12} {:16} {:>7} {:>8} {:>8}",
        "run", "state", "network", "epochs", "valid", "test"
    );
    for run in runs {
        println!(
            "{:32} {:12} {:16} {:>7} {:>8} {:>8}",
            run.name,
            state(run),
            run.network.as_deref().unwrap_or("-"),
            run.epochs.map_or_else(|| "-".to_owned(), |e| e.to_string()),
            percent_or_dash(run.valid_accuracy),
            percent_or_dash(run.test_accuracy)
        );
    }
}
