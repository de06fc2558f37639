//! A worker on another machine, for which loopback stands, that dies, comes back, is absent, or has
//! another token.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::kill::note;
use super::random::Random;
use super::trainer::{Running, Trainer};
use super::{BACKEND, Outcome};

/// The name of the row.
pub const ROW: &str = "a worker that dies, comes back, is absent or has another token";

/// How soon an error is there.
const SOON: Duration = Duration::from_secs(20);

/// What goes wrong, each as often as the others.
#[derive(Debug, Clone, Copy)]
enum Fault {
    /// The worker dies while the run computes on it.
    Dies,
    /// It dies, and another one is in its place before the run knows.
    ComesBack,
    /// It is not there when the run goes on.
    Absent,
    /// The run goes on with another token.
    Token,
}

const FAULTS: [Fault; 4] = [Fault::Dies, Fault::ComesBack, Fault::Absent, Fault::Token];

/// A worker in a process of its own. It is killed where it is let go of.
struct Worker {
    child: Child,
    url: String,
}

impl Worker {
    /// Serves ndarray on `place`, `ADDRESS:PORT`.
    fn start(trainer: &Trainer, place: &str, token: &Path) -> Result<Self, String> {
        let log = File::create(trainer.folder.join("worker.said")).map_err(|e| e.to_string())?;
        let mut child = Command::new(&trainer.program)
            .args(["worker", "--backend", BACKEND, "--json", "--listen", place])
            .arg("--token-file")
            .arg(token)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .map_err(|error| format!("the worker could not be started: {error}"))?;
        let mut line = String::new();
        if let Some(output) = child.stdout.take() {
            // An empty line is refused below.
            let _ = BufReader::new(output).read_line(&mut line);
        }
        let said: Value = serde_json::from_str(&line).unwrap_or_default();
        match said.get("url").and_then(Value::as_str) {
            Some(url) => Ok(Self {
                child,
                url: url.to_owned(),
            }),
            None => Err(format!("no worker on {place}")),
        }
    }

    /// Where it listens, for another one in its place.
    fn place(&self) -> &str {
        self.url.trim_start_matches("ws://")
    }

    fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Has each fault happen to runs in turn, and goes on with them.
pub fn faults(trainer: &Trainer, random: &mut Random, count: usize) -> Outcome {
    let tokens = ["token", "other"].map(|name| trainer.folder.join(name));
    for token in &tokens {
        fs::write(token, token.display().to_string()).map_err(|error| error.to_string())?;
    }
    let (mut well, mut remarks, mut longest) = (0, Vec::new(), Duration::ZERO);
    let faults = FAULTS.iter().cycle().take(count);
    for (number, fault) in faults.enumerate() {
        let artifacts = trainer.artifacts("worker", number);
        let outcome = try_one(trainer, random, *fault, &artifacts, &tokens, &mut longest);
        note(
            outcome.map_err(|error| format!("{fault:?}: {error}")),
            &mut well,
            &mut remarks,
        );
        let _ = fs::remove_dir_all(&artifacts);
    }
    remarks.push(format!("errors within {:.1} s", longest.as_secs_f64()));
    Ok((well, remarks.join("; ")))
}

/// One run whose worker dies at some moment, and what else the fault is.
fn try_one(
    trainer: &Trainer,
    random: &mut Random,
    fault: Fault,
    artifacts: &Path,
    [token, other]: &[PathBuf; 2],
    longest: &mut Duration,
) -> Result<String, String> {
    let mut worker = Worker::start(trainer, "127.0.0.1:0", token)?;
    let (url, place) = (worker.url.clone(), worker.place().to_owned());
    let token_file = token.display().to_string();
    let device = [
        "--backend",
        "remote",
        "--device",
        &url,
        "--token-file",
        &token_file,
    ];
    let mut running = trainer.start(artifacts, &device, &[])?;
    // Some runs have saved by then, and some have not.
    std::thread::sleep(random.up_to(trainer.takes / 2));
    let alive = running.ended()?.is_none();
    worker.kill();
    let start = Instant::now();
    if let Fault::ComesBack = fault {
        worker = Worker::start(trainer, &place, token)?;
    }
    if !alive {
        return Err(format!("the run had ended before: {}", running.said()));
    }
    let said = failed(&mut running, start, longest)?;
    if !said.contains("is gone") || !said.contains(&url) {
        return Err(said);
    }
    let go_on = |extra: &[&str]| {
        let mut command = trainer.again(artifacts);
        command.args(extra);
        Running::spawn(command, artifacts)
    };
    if let Fault::Absent = fault {
        let said = failed(&mut go_on(&[])?, Instant::now(), longest)?;
        if !said.contains("no worker answers") {
            return Err(said);
        }
    }
    if !matches!(fault, Fault::ComesBack) {
        worker = Worker::start(trainer, &place, token)?;
    }
    if let Fault::Token = fault {
        let other = other.display().to_string();
        let said = failed(
            &mut go_on(&["--token-file", &other])?,
            Instant::now(),
            longest,
        )?;
        if !said.contains("refuses the token") {
            return Err(said);
        }
    }
    let outcome = trainer.finish_by(trainer.again(artifacts), artifacts);
    drop(worker);
    outcome
}

/// Waits for a run's end, and gives what it said: one error, soon, and no panic.
fn failed(running: &mut Running, start: Instant, longest: &mut Duration) -> Result<String, String> {
    let code = running.wait()?.code();
    let took = start.elapsed();
    *longest = took.max(*longest);
    let said = running.said();
    let errors = said.matches("error: ").count();
    if code != Some(1) || errors != 1 || said.contains("panicked") || took > SOON {
        return Err(format!(
            "exit code {code:?}, {errors} errors after {} s: {said}",
            took.as_secs()
        ));
    }
    Ok(said)
}
