//! The command line, one file a command.

// Here documentation is the help on a terminal, where backticks would stay.
#![allow(clippy::doc_markdown)]

#[macro_use]
mod output;

mod backends;
mod bench;
mod check;
mod compare;
mod completions;
mod data;
mod eval;
mod export;
mod options;
mod predict;
mod recipes;
mod report;
mod runs;
mod serve;
mod signals;
mod sweep;
mod train;
mod worker;

use std::io::Write;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use crate::remote;
use crate::screen::escaped_message;

/// Trains image classifiers on CIFAR-10 with Burn. Without a command it trains the default recipe.
#[derive(Debug, Parser)]
#[command(name = "trainer", version, args_conflicts_with_subcommands = true)]
#[command(args_override_self = true, allow_negative_numbers = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    train: train::Train,
    #[command(flatten)]
    common: options::Common,
}

#[derive(Debug, Subcommand)]
enum Command {
    Train(Box<train::Train>),
    Eval(eval::Eval),
    Export(export::Export),
    Predict(predict::Predict),
    Bench(bench::Bench),
    Check(check::Check),
    Backends(backends::Backends),
    Data(data::Data),
    Recipes(recipes::Recipes),
    Report(report::Report),
    Runs(runs::Runs),
    Serve(serve::Serve),
    Compare(compare::Compare),
    Sweep(sweep::Sweep),
    Worker(worker::Worker),
    Completions(completions::Completions),
}

/// What a command gives: an exit code, or the one message that the program prints.
type Outcome = Result<ExitCode, Box<dyn std::error::Error>>;

/// The command line as a value, for completions and for who checks a command without running it.
#[must_use]
pub fn command() -> clap::Command {
    Cli::command()
}

/// Ends the program at once with a last word, whatever it waits for.
fn end_at_once(word: &str, code: i32) -> ! {
    #[cfg(unix)]
    crate::terminal::restore();
    // A closed standard error takes no word.
    let _ = writeln!(std::io::stderr(), "{word}");
    std::process::exit(code);
}

/// Runs the program and gives its exit code: 0, 1 after an error, 2 for wrong usage, 130 after an
/// interrupt.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let common = &cli.common;
    #[cfg(feature = "remote")]
    remote::at_silence(|silence| end_at_once(&format!("error: {silence}"), 1));
    let outcome = remote::explained(|| match cli.command {
        None => cli.train.run(common),
        Some(Command::Train(command)) => command.run(common),
        Some(Command::Eval(command)) => command.run(common),
        Some(Command::Export(command)) => command.run(common),
        Some(Command::Predict(command)) => command.run(common),
        Some(Command::Bench(command)) => command.run(common),
        Some(Command::Check(command)) => command.run(common),
        Some(Command::Backends(command)) => command.run(common),
        Some(Command::Data(command)) => command.run(common),
        Some(Command::Recipes(command)) => command.run(common),
        Some(Command::Report(command)) => command.run(common),
        Some(Command::Runs(command)) => command.run(common),
        Some(Command::Serve(command)) => command.run(common),
        Some(Command::Compare(command)) => command.run(common),
        Some(Command::Sweep(command)) => command.run(common),
        Some(Command::Worker(command)) => command.run(common),
        Some(Command::Completions(command)) => command.run(common),
    });
    outcome.unwrap_or_else(|error| {
        // A closed standard error takes no message, and the exit code still says it.
        let message = escaped_message(&error.to_string());
        let _ = writeln!(std::io::stderr(), "error: {message}");
        ExitCode::FAILURE
    })
}
