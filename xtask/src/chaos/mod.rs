//! `cargo xtask chaos`: ends runs in every way that a run can end, and checks that nothing was lost.
//!
//! | file | what it holds |
//! | --- | --- |
//! | `options` | the command line |
//! | `trainer` | the program with its points to be killed at: starts it, kills it |
//! | `compare` | whether two runs are equal in all but times |
//! | `kill` | kill -9 at random moments, at named points inside a save, and twice |
//! | `damage` | flipped bytes and cut files |
//! | `disk` | a full disk |
//! | `interrupt` | Ctrl-C, with the dashboard and without; a closed terminal; a panic |
//! | `worker` | a worker that dies, comes back, is absent or has another token |
//! | `long` | memory, threads and handles over many epochs; the time that saving adds |
//! | `random` | where and when |

mod compare;
mod damage;
mod disk;
mod interrupt;
mod kill;
mod long;
mod options;
mod random;
mod trainer;
mod worker;

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use options::{HELP, Options, Request};
use random::Random;
use trainer::Trainer;

/// What every run computes on, at hand or through a worker.
const BACKEND: &str = "ndarray";

/// A row: its name, how often it is tried, and what tries it that often.
type Row = (
    &'static str,
    usize,
    fn(&Trainer, &mut Random, usize) -> Outcome,
);

/// How many went well, with a remark.
type Outcome = Result<(usize, String), Failure>;

/// Why a row has no count.
#[derive(Debug)]
enum Failure {
    /// Here it cannot be tried. The other rows can.
    NotRun(String),
    /// Something in its way ends the whole command.
    Broken(String),
}

impl From<String> for Failure {
    fn from(message: String) -> Self {
        Self::Broken(message)
    }
}

impl From<&str> for Failure {
    fn from(message: &str) -> Self {
        Self::Broken(message.to_owned())
    }
}

/// Runs the rows that `arguments` ask for.
///
/// # Errors
/// A message where something could not be tried, or did not go well.
pub fn run(arguments: &[String]) -> Result<(), String> {
    let options = match options::parse(arguments)? {
        Request::Help => {
            print!("{HELP}");
            return Ok(());
        }
        Request::Run(options) => options,
    };
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .ok_or("xtask stands in no folder")?;
    let folder = std::env::temp_dir().join(format!("trainer-chaos-{}", std::process::id()));
    fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    // Workers are no part of the plain program, and take a build of their own.
    let features: &[&str] = match options.counts.workers > 0 && options.wants(worker::ROW) {
        true => &["crash-points", "remote"],
        false => &["crash-points"],
    };
    let outcome =
        Trainer::prepare(root, &folder, features).and_then(|trainer| rows(&trainer, &options));
    if outcome.is_ok() {
        // A folder of a failure stays, to be looked at.
        let _ = fs::remove_dir_all(&folder);
    } else {
        println!("what is left of the runs: {}", folder.display());
    }
    outcome
}

fn rows(trainer: &Trainer, options: &Options) -> Result<(), String> {
    let counts = &options.counts;
    let rows: [Row; 11] = [
        ("kill -9 at random moments", counts.kills, kill::at_random),
        (
            "kill -9 at points inside a save",
            counts.points,
            kill::inside_saves,
        ),
        (
            "a second kill during the resumption",
            counts.second,
            kill::twice,
        ),
        (
            "a flipped byte or a cut file",
            counts.damage,
            damage::damage,
        ),
        ("a full disk", counts.disk, disk::full),
        (
            "Ctrl-C without the dashboard",
            counts.interrupts,
            interrupt::plain,
        ),
        (
            "Ctrl-C with the dashboard",
            counts.interrupts,
            interrupt::dashboard,
        ),
        ("a closed terminal", counts.interrupts, interrupt::closed),
        ("a panic in another thread", counts.panics, interrupt::panic),
        (worker::ROW, counts.workers, worker::faults),
        ("memory, threads and handles", counts.epochs, long::memory),
    ];
    println!("| test | went well | time | remark |\n| --- | --- | --- | --- |");
    let mut failed = Vec::new();
    for (name, count, row) in rows {
        if count == 0 || !options.wants(name) {
            continue;
        }
        let start = Instant::now();
        let outcome = row(trainer, &mut Random::new(options.seed), count);
        let (line, problem) = shown(name, count, outcome, start.elapsed())?;
        println!("{line}");
        failed.extend(problem);
    }
    if counts.saving > 0 && options.wants(long::SAVING) {
        let (percent, remark) = long::saving(trainer, counts.saving)?;
        println!("| {} | {percent:.2}% | | {remark} |", long::SAVING);
        if percent > 1.0 {
            failed.push(long::SAVING.to_owned());
        }
    }
    if failed.is_empty() {
        Ok(())
    } else {
        Err(format!("not all went well: {}", failed.join("; ")))
    }
}

/// A row's line of the table; and, where not all went well or nothing was tried, what the command ends
/// with.
///
/// # Errors
/// A message where the whole command ends here.
fn shown(
    name: &str,
    count: usize,
    outcome: Outcome,
    took: Duration,
) -> Result<(String, Option<String>), String> {
    match outcome {
        Ok((well, remark)) => Ok((
            format!(
                "| {name} | {well} of {count} | {} s | {remark} |",
                took.as_secs()
            ),
            (well < count).then(|| name.to_owned()),
        )),
        Err(Failure::NotRun(reason)) => Ok((
            format!("| {name} | not run | | {reason} |"),
            Some(format!("{name} (not run)")),
        )),
        Err(Failure::Broken(message)) => Err(format!("{name}: {message}")),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_row_that_was_not_run_says_so_in_one_line_and_the_command_fails() {
        let show = |outcome| shown("a closed terminal", 20, outcome, Duration::from_secs(7));
        let (line, problem) = show(Ok((20, String::new()))).unwrap();
        assert_eq!(line, "| a closed terminal | 20 of 20 | 7 s |  |");
        assert_eq!(problem, None);
        let (_, problem) = show(Ok((19, String::new()))).unwrap();
        assert_eq!(problem.unwrap(), "a closed terminal");
        let (line, problem) = show(Err(Failure::NotRun("why".to_owned()))).unwrap();
        assert_eq!(line, "| a closed terminal | not run | | why |");
        assert_eq!(problem.unwrap(), "a closed terminal (not run)");
        let message = show(Err("no program".into())).unwrap_err();
        assert_eq!(message, "a closed terminal: no program");
    }
}
