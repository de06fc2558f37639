//! Memory, threads and handles over many epochs, and the time that saving adds.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::Outcome;
use super::random::Random;
use super::trainer::{Running, Trainer};

/// The name of the row that has no count.
pub const SAVING: &str = "time that saving adds, ResNet-20, each epoch";

/// By how much memory may have grown since the second epoch.
const MOST_GROWTH: f64 = 0.02;

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
        "ndarray",
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
    let sizes = ["steps.csv", "run.log"].map(|file| {
        let size = fs::metadata(artifacts.join("latest").join(file));
        format!("{file} {} kB", size.map_or(0, |found| found.len()) / 1000)
    });
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
    Ok((
        if flat { epochs } else { 0 },
        format!(
            "{:.0} MB after the second epoch, {:+.2}% at most later; threads {} and {}, handles {} and {}; {}",
            second.kilobytes / 1000.0,
            100.0 * growth,
            second.threads,
            last.threads,
            second.handles,
            last.handles,
            sizes.join(", "),
        ),
    ))
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
    command.args(["train", "--backend", "ndarray", "--config", "resnet20"]);
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
