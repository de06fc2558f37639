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
//! | `interrupt` | Ctrl-C, with the dashboard and without; a panic |
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

use std::fs;
use std::path::Path;
use std::time::Instant;

use options::{HELP, Options, Request};
use random::Random;
use trainer::Trainer;

/// A row: its name, how often it is tried, and what tries it that often.
type Row = (
    &'static str,
    usize,
    fn(&Trainer, &mut Random, usize) -> Outcome,
);

/// How many went well, with a remark; or why a row could not be tried at all.
type Outcome = Result<(usize, String), String>;

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
    let outcome = Trainer::prepare(root, &folder).and_then(|trainer| rows(&trainer, &options));
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
    let rows: [Row; 10] = [
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
        ("memory, threads and handles", counts.epochs, long::memory),
    ];
    println!("| test | went well | time | remark |\n| --- | --- | --- | --- |");
    let mut failed = Vec::new();
    for (name, count, row) in rows {
        if count == 0 || !options.wants(name) {
            continue;
        }
        let start = Instant::now();
        let (well, remark) = row(trainer, &mut Random::new(options.seed), count)
            .map_err(|error| format!("{name}: {error}"))?;
        if well < count {
            failed.push(name);
        }
        let seconds = start.elapsed().as_secs();
        println!("| {name} | {well} of {count} | {seconds} s | {remark} |");
    }
    if counts.saving > 0 && options.wants(long::SAVING) {
        let (percent, remark) = long::saving(trainer, counts.saving)?;
        println!("| {} | {percent:.2}% | | {remark} |", long::SAVING);
        if percent > 1.0 {
            failed.push(long::SAVING);
        }
    }
    if failed.is_empty() {
        Ok(())
    } else {
        Err(format!("not all went well: {}", failed.join("; ")))
    }
}
