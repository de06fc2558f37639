//! kill -9 at random moments, at points inside a save, and twice.

use std::collections::BTreeSet;
use std::fs;
use std::time::{Duration, Instant};

use super::Outcome;
use super::random::Random;
use super::trainer::{Running, Trainer};

/// Operations on files that a first save takes; the points begin in the second one.
const FIRST_POINT: usize = 20;

/// Kills runs at random moments between the making of their folders and their ends.
pub fn at_random(trainer: &Trainer, random: &mut Random, count: usize) -> Outcome {
    let (mut well, mut remarks, mut too_late) = (0, Vec::new(), 0);
    let (mut number, mut killed) = (0, 0);
    while killed < count {
        let artifacts = trainer.artifacts("kill", number);
        number += 1;
        let mut running = trainer.start(&artifacts, &[], &[])?;
        if kill_after(&mut running, random.up_to(trainer.takes))? {
            killed += 1;
            note(trainer.finish(&artifacts), &mut well, &mut remarks);
        } else {
            too_late += 1;
        }
        let _ = fs::remove_dir_all(&artifacts);
    }
    remarks.push(format!("{too_late} more had ended before and do not count"));
    Ok((well, remarks.join("; ")))
}

/// Kills runs before each operation of two saves in turn.
pub fn inside_saves(trainer: &Trainer, _random: &mut Random, count: usize) -> Outcome {
    let (mut well, mut remarks, mut kinds) = (0, Vec::new(), BTreeSet::new());
    for number in 0..count {
        let artifacts = trainer.artifacts("point", number);
        let reached = trainer.folder.join(format!("reached-{number}"));
        let point = format!("{}:{}", FIRST_POINT + number, reached.display());
        let mut running = trainer.start(&artifacts, &[], &[("TRAINER_PAUSE_BEFORE", &point)])?;
        let start = Instant::now();
        while !reached.exists() && running.ended()?.is_none() {
            if start.elapsed() > Duration::from_secs(60) {
                let missed = FIRST_POINT + number;
                return Err(format!("operation {missed} was never reached").into());
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        if !running.kill()? {
            return Err(format!("there is no operation {}", FIRST_POINT + number).into());
        }
        let operation = fs::read_to_string(&reached).unwrap_or_default();
        kinds.extend(operation.split_whitespace().next().map(str::to_owned));
        note(trainer.finish(&artifacts), &mut well, &mut remarks);
        let _ = fs::remove_dir_all(&artifacts);
    }
    let kinds: Vec<String> = kinds.into_iter().collect();
    remarks.push(format!("before {}", kinds.join(", ")));
    Ok((well, remarks.join("; ")))
}

/// Kills runs at random moments, and their resumptions too.
pub fn twice(trainer: &Trainer, random: &mut Random, count: usize) -> Outcome {
    let (mut well, mut remarks) = (0, Vec::new());
    let (mut number, mut killed) = (0, 0);
    while killed < count {
        let artifacts = trainer.artifacts("twice", number);
        number += 1;
        let half = trainer.takes / 2;
        let mut running = trainer.start(&artifacts, &[], &[])?;
        let first = kill_after(&mut running, random.up_to(half))?;
        let mut running = trainer.start_again(&artifacts)?;
        if first && kill_after(&mut running, random.up_to(half))? {
            killed += 1;
            note(trainer.finish(&artifacts), &mut well, &mut remarks);
        }
        let _ = fs::remove_dir_all(&artifacts);
    }
    Ok((well, remarks.join("; ")))
}

fn kill_after(running: &mut Running, moment: Duration) -> Result<bool, String> {
    std::thread::sleep(moment);
    running.kill()
}

/// Counts what went well, and keeps what did not.
pub fn note<T>(outcome: Result<T, String>, well: &mut usize, remarks: &mut Vec<String>) {
    match outcome {
        Ok(_) => *well += 1,
        Err(error) => remarks.push(error.replace('\n', " ")),
    }
}
