//! Memory, threads, handles and files over many epochs, and the time that saving adds.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::random::Random;
use super::trainer::{Running, Trainer};
use super::{BACKEND, Outcome};

/// The name of the row that has no count.
pub const SAVING: &str = "time that saving adds, ResNet-20, each epoch";

/// By how much memory may have grown since the second epoch.
const MOST_GROWTH: f64 = 0.02;

/// How much more or less a file may grow by in an epoch of the run's later half than in one of its first.
const MOST_DIFFERENCE: f64 = 0.1;

/// The fewest epochs with two halves between the first epoch and the last.
const FEWEST_EPOCHS: usize = 4;

/// The epoch that a line names; none where it names none.
type EpochOf = fn(&str) -> Option<usize>;

/// The files that grow with a run, and how to tell the epoch that a line of each names.
const GROWING: [(&str, EpochOf); 4] = [
    ("metrics.csv", |line| cell(line, 0)),
    ("steps.csv", |line| cell(line, 1)),
    ("events.jsonl", |line| {
        let event: serde_json::Value = serde_json::from_str(line).ok()?;
        event["epoch"].as_u64()?.try_into().ok()
    }),
    ("run.log", |line| {
        let (epoch, _) = line.strip_prefix("epoch ")?.split_once('/')?;
        epoch.parse().ok()
    }),
];

/// What a process uses.
#[derive(Debug, Clone, Copy)]
struct Use {
    kilobytes: f64,
    threads: f64,
    handles: usize,
}

/// Watches the smoke recipe over `epochs` epochs. Each epoch counts as gone well, or none does.
pub fn memory(trainer: &Trainer, _random: &mut Random, epochs: usize) -> Outcome {
    let artifacts = trainer.artifacts("memory", 0);
    fs::create_dir_all(&artifacts).map_err(|error| error.to_string())?;
    let mut command = Command::new(&trainer.program);
    command.args([
        "train",
        "--backend",
        BACKEND,
        "--config",
        "smoke",
        "--epochs",
    ]);
    command
        .arg(epochs.to_string())
        .arg("--artifacts")
        .arg(&artifacts);
    let mut running = Running::spawn(command, &artifacts)?;
    let mut uses: Vec<Use> = Vec::new();
    while running.ended()?.is_none() {
        let rows = rows_of(&artifacts.join("latest/metrics.csv"));
        if rows > uses.len()
            && let Some(found) = in_use(running.id())
        {
            uses.resize(rows, found);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let (Some(second), Some(last)) = (uses.get(1), uses.last()) else {
        return Err(format!("the run was too short: {}", running.said()).into());
    };
    let most = uses
        .iter()
        .skip(1)
        .map(|one| one.kilobytes)
        .fold(0.0, f64::max);
    let growth = most / second.kilobytes - 1.0;
    let flat =
        growth <= MOST_GROWTH && last.threads <= second.threads && last.handles <= second.handles;
    let mut linear = true;
    let mut growths = Vec::new();
    for (file, epoch_of) in GROWING {
        let path = artifacts.join("latest").join(file);
        let text =
            fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        if let Some((first, later)) = bytes_an_epoch(&text, epoch_of, epochs) {
            linear &= is_linear(first, later);
            growths.push(format!("{file} {first:.0} and {later:.0}"));
        }
    }
    Ok((
        if flat && linear { epochs } else { 0 },
        format!(
            "{:.0} MB after the second epoch, {:+.2}% at most later; threads {} and {}, handles {} and {}; bytes an epoch in each half: {}",
            second.kilobytes / 1000.0,
            100.0 * growth,
            second.threads,
            last.threads,
            second.handles,
            last.handles,
            growths.join(", "),
        ),
    ))
}

/// Bytes an epoch of a growing file in the first half of a run and in the later one, without the first
/// epoch and the last, beside which other lines stand. Nothing where the run is too short to have halves.
fn bytes_an_epoch(text: &str, epoch_of: EpochOf, epochs: usize) -> Option<(f64, f64)> {
    if epochs < FEWEST_EPOCHS {
        return None;
    }
    let middle = epochs / 2;
    let (mut epoch, mut first, mut later) = (0, 0, 0);
    for line in text.lines() {
        // How often a run says where it is depends on the time, and not on epochs.
        if line.starts_with("step ") {
            continue;
        }
        // A line that names no epoch, such as that of a save, stands after one that does.
        epoch = epoch_of(line).unwrap_or(epoch);
        if (2..=middle).contains(&epoch) {
            first += line.len() + 1;
        } else if (middle + 1..epochs).contains(&epoch) {
            later += line.len() + 1;
        }
    }
    Some((
        first as f64 / (middle - 1) as f64,
        later as f64 / (epochs - 1 - middle) as f64,
    ))
}

/// Whether a file grows by as much in each half. One that does not grow at all is not what was looked at.
fn is_linear(first: f64, later: f64) -> bool {
    first > 0.0 && (later / first - 1.0).abs() <= MOST_DIFFERENCE
}

fn cell(line: &str, column: usize) -> Option<usize> {
    line.split(',').nth(column)?.parse().ok()
}

fn rows_of(table: &Path) -> usize {
    fs::read_to_string(table).map_or(0, |text| text.lines().count().saturating_sub(1))
}

/// What Linux says that a process uses.
fn in_use(process: u32) -> Option<Use> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let field = |name: &str| -> Option<f64> {
        let line = status.lines().find(|line| line.starts_with(name))?;
        line.split_whitespace().nth(1)?.parse().ok()
    };
    Some(Use {
        kilobytes: field("VmRSS:")?,
        threads: field("Threads:")?,
        handles: fs::read_dir(format!("/proc/{process}/fd")).ok()?.count(),
    })
}

/// The share of a run of ResNet-20 that goes into saving at each epoch's end, in percent.
pub fn saving(trainer: &Trainer, epochs: usize) -> Result<(f64, String), String> {
    let artifacts = trainer.artifacts("saving", 0);
    fs::create_dir_all(&artifacts).map_err(|error| error.to_string())?;
    let mut command = Command::new(&trainer.program);
    command.args(["train", "--backend", BACKEND, "--config", "resnet20"]);
    command.args(["--dataset", "synthetic", "--epochs", &epochs.to_string()]);
    command.arg("--artifacts").arg(&artifacts);
    let status = command
        .output()
        .map_err(|error| format!("the trainer could not be started: {error}"))?;
    if !status.status.success() {
        return Err(String::from_utf8_lossy(&status.stderr).into_owned());
    }
    let run = artifacts.join("latest");
    let log = fs::read_to_string(run.join("run.log")).map_err(|error| error.to_string())?;
    let times: Vec<f64> = log
        .lines()
        .filter(|line| line.starts_with("saved step-"))
        .filter_map(|line| line.split(" in ").nth(1)?.strip_suffix(" ms")?.parse().ok())
        .collect();
    let result = fs::read_to_string(run.join("result.json")).map_err(|error| error.to_string())?;
    let seconds = serde_json::from_str::<serde_json::Value>(&result)
        .ok()
        .and_then(|result| result["seconds"].as_f64())
        .ok_or("the run's result has no seconds")?;
    let sum: f64 = times.iter().sum();
    Ok((
        0.1 * sum / seconds,
        format!("{} saves, {sum:.0} ms of {seconds:.1} s", times.len()),
    ))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    /// A table of steps, with as many in each epoch as `steps` says.
    fn table(steps: impl Fn(usize) -> usize) -> String {
        let rows = (1..=10).flat_map(|epoch| vec![format!("7,{epoch},0.5\n"); steps(epoch)]);
        "step,epoch,loss\n".to_owned() + &rows.collect::<String>()
    }

    #[test]
    fn a_file_whose_later_epochs_take_more_is_seen() {
        let steps = GROWING[1].1;
        let (first, later) = bytes_an_epoch(&table(|_| 20), steps, 10).unwrap();
        assert_eq!((first, later), (160.0, 160.0));
        assert!(is_linear(first, later));
        let (first, later) = bytes_an_epoch(&table(|epoch| 20 + epoch), steps, 10).unwrap();
        assert!(!is_linear(first, later), "{first} {later}");
        assert!(!is_linear(0.0, 0.0));
        assert!(bytes_an_epoch("", steps, 3).is_none());
    }

    #[test]
    fn lines_of_a_log_belong_to_the_epoch_before_and_those_of_the_clock_to_none() {
        let epoch = "epoch 2/5: train loss 1.5\n";
        let saved = "saved step-10 in 1.2 ms\n";
        let log = format!("start\nepoch 1/5: x\n{epoch}step 3/9: x\n{saved}epoch 3/5: x\n");
        let (first, _) = bytes_an_epoch(&log, GROWING[3].1, 5).unwrap();
        assert_eq!(first as usize, epoch.len() + saved.len());
        let event = r#"{"event":"epoch","epoch":4,"step":9}"#;
        assert_eq!(GROWING[2].1(event), Some(4));
        assert_eq!(GROWING[2].1(r#"{"event":"saved","step":9}"#), None);
    }
}
