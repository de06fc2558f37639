//! `trainer runs`.

use std::cmp::Ordering;
use std::io::IsTerminal;
use std::process::ExitCode;

use clap::{Args, ValueEnum};

use super::Outcome;
use super::options::Common;
use crate::run::{self, RunSummary};
use crate::screen::{self, Kind};
use crate::statistics::percent_or_dash;

/// Columns of the terminal that the name of a run has at least.
const SHORTEST_NAME: usize = 16;

/// List the runs of the artifacts folder and of the sweeps in it, the oldest first.
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

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
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

impl Column {
    /// The word above it, marked where it is what the list is sorted by.
    fn heading(self, sorted: bool) -> String {
        let word = match self {
            Self::Started => "started",
            Self::Name => "run",
            Self::State => "state",
            Self::Recipe => "recipe",
            Self::Network => "network",
            Self::Backend => "backend",
            Self::Dataset => "dataset",
            Self::Epochs => "epochs",
            Self::Valid => "valid",
            Self::Test => "test",
            Self::Seconds => "seconds",
        };
        let mark = match self.kind() {
            Kind::Figure => "↓",
            Kind::Text | Kind::Name(_) => "↑",
        };
        format!("{word}{}", if sorted { mark } else { "" })
    }

    fn order_in_words(self) -> String {
        let order = match self {
            Self::Started => "the oldest first",
            Self::Epochs | Self::Valid | Self::Test | Self::Seconds => "the largest first",
            _ => "from A",
        };
        format!("{}, {order}", self.heading(false))
    }

    fn cell(self, run: &RunSummary) -> String {
        let text = |text: &Option<String>| screen::escaped(text.as_deref().unwrap_or("-"));
        let figure = |figure: Option<String>| figure.unwrap_or_else(|| "-".to_owned());
        match self {
            Self::Started => text(&run.started),
            Self::Name => screen::escaped(&run.name),
            Self::State => state(run).to_owned(),
            Self::Recipe => match &run.based_on {
                Some(own) => format!("{} ({})", text(&run.recipe), screen::escaped(own)),
                None => text(&run.recipe),
            },
            Self::Network => text(&run.network),
            Self::Backend => text(&run.backend),
            Self::Dataset => text(&run.dataset),
            Self::Epochs => figure(run.epochs.map(|epochs| epochs.to_string())),
            Self::Valid => percent_or_dash(run.valid_accuracy),
            Self::Test => percent_or_dash(run.test_accuracy),
            Self::Seconds => figure(run.seconds.map(|seconds| format!("{seconds:.1}"))),
        }
    }

    fn kind(self) -> Kind {
        match self {
            Self::Name => Kind::Name(SHORTEST_NAME),
            Self::Epochs | Self::Valid | Self::Test | Self::Seconds => Kind::Figure,
            _ => Kind::Text,
        }
    }

    /// The order in which columns give way where a terminal has no room; what has rank 0 stays.
    fn rank(self) -> usize {
        match self {
            Self::Name | Self::State | Self::Valid | Self::Test => 0,
            Self::Network => 1,
            Self::Epochs => 2,
            Self::Started => 3,
            Self::Seconds => 4,
            Self::Recipe => 5,
            Self::Dataset => 6,
            Self::Backend => 7,
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
                println!("no runs in {}", screen::path(artifacts));
            } else {
                println!("no runs: there is no folder {}", screen::path(artifacts));
            }
        } else {
            print!("{}", table(&runs, self.sort, screen::width()));
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
        "based_on",
        "seconds",
        "started",
    ])?;
    // A program gets names as they are; a terminal would obey what is in them.
    let is_terminal = std::io::stdout().is_terminal();
    let text = |text: &str| {
        if is_terminal {
            screen::escaped(text)
        } else {
            text.to_owned()
        }
    };
    for run in runs {
        writer.serialize((
            text(&run.name),
            state(run),
            run.recipe.as_deref().map(text),
            run.network.as_deref().map(text),
            run.backend.as_deref().map(text),
            run.dataset.as_deref().map(text),
            run.epochs,
            run.valid_accuracy,
            run.test_accuracy,
            run.based_on.as_deref().map(text),
            run.seconds,
            run.started.as_deref().map(text),
        ))?;
    }
    Ok(writer.flush()?)
}

/// Every column that a table can have, in its order.
const COLUMNS: [Column; 11] = [
    Column::Name,
    Column::State,
    Column::Recipe,
    Column::Network,
    Column::Backend,
    Column::Dataset,
    Column::Epochs,
    Column::Valid,
    Column::Test,
    Column::Seconds,
    Column::Started,
];

/// The list, as wide as `width`, and what it is sorted by.
fn table(runs: &[RunSummary], sort: Column, width: Option<usize>) -> String {
    let columns = COLUMNS.map(|column| screen::Column {
        heading: column.heading(column == sort),
        cells: runs.iter().map(|run| column.cell(run)).collect(),
        kind: column.kind(),
        rank: match column {
            // In the order of their start, which is the usual one, the line below the list says enough.
            sorted if sorted == sort && sort != Column::Started => 0,
            other => other.rank(),
        },
    });
    let table = screen::table(columns.to_vec(), width);
    format!("{table}sorted by {}\n", sort.order_in_words())
}
