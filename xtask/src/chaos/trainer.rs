//! Starts the program and kills it.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use super::{BACKEND, compare};

/// The run that is ended in every way: some 230 steps with a save every twenty, in two seconds or so.
const RECIPE: [&str; 14] = [
    "--backend",
    BACKEND,
    "--config",
    "smoke",
    "--epochs",
    "4",
    "--set",
    "data.train_images=2000",
    "--set",
    "data.test_images=100",
    "--set",
    "validation=200",
    "--set",
    "checkpoint.every_steps=20",
];

/// A program that waits longer hangs.
const LONGEST: Duration = Duration::from_secs(120);

/// The program, and a run of it that nothing interrupted.
pub struct Trainer {
    /// The program.
    pub program: PathBuf,
    /// Where runs go.
    pub folder: PathBuf,
    /// The run that nothing interrupted.
    pub whole: PathBuf,
    /// How long it took from its folder's making.
    pub takes: Duration,
}

impl Trainer {
    /// Builds the program with `features` and trains the uninterrupted run in `folder`.
    ///
    /// # Errors
    /// A message where it does not build or train.
    pub fn prepare(root: &Path, folder: &Path, features: &[&str]) -> Result<Self, String> {
        let built = crate::program::build(root, features)?;
        let program = folder.join("trainer");
        fs::copy(&built, &program).map_err(|error| format!("{}: {error}", built.display()))?;
        let mut trainer = Self {
            program,
            folder: folder.to_owned(),
            whole: PathBuf::new(),
            takes: Duration::ZERO,
        };
        let mut run = trainer.start(&folder.join("whole"), &[], &[])?;
        let start = Instant::now();
        let status = run.wait()?;
        if !status.success() {
            return Err(format!("the uninterrupted run failed: {}", run.said()));
        }
        trainer.takes = start.elapsed();
        trainer.whole.clone_from(&run.run);
        Ok(trainer)
    }

    /// A command that trains the recipe in `artifacts`.
    pub fn command(&self, artifacts: &Path) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("train").args(RECIPE);
        command.arg("--artifacts").arg(artifacts);
        command.stdin(Stdio::null());
        command
    }

    /// A command that goes on with the run of `artifacts`.
    pub fn resume(&self, artifacts: &Path) -> Command {
        let mut command = self.again(artifacts);
        command.args(["--backend", BACKEND]);
        command
    }

    /// The same, on the device on which it began.
    pub fn again(&self, artifacts: &Path) -> Command {
        let mut command = Command::new(&self.program);
        command.args(["train", "--resume", "latest", "--artifacts"]);
        command.arg(artifacts).stdin(Stdio::null());
        command
    }

    /// Starts a run in `artifacts` and waits until its folder is there.
    ///
    /// # Errors
    /// A message where it ends before.
    pub fn start(
        &self,
        artifacts: &Path,
        extra: &[&str],
        environment: &[(&str, &str)],
    ) -> Result<Running, String> {
        fs::create_dir_all(artifacts).map_err(|error| error.to_string())?;
        let mut command = self.command(artifacts);
        command.args(extra).envs(environment.iter().copied());
        let mut running = Running::spawn(command, artifacts)?;
        running.wait_for_folder(artifacts)?;
        Ok(running)
    }

    /// Goes on with the run of `artifacts` without waiting for it.
    ///
    /// # Errors
    /// A message where it cannot be started.
    pub fn start_again(&self, artifacts: &Path) -> Result<Running, String> {
        Self::start_by(self.resume(artifacts), artifacts)
    }

    fn start_by(command: Command, artifacts: &Path) -> Result<Running, String> {
        let mut running = Running::spawn(command, artifacts)?;
        running.wait_for_folder(artifacts)?;
        Ok(running)
    }

    /// Goes on with the run of `artifacts` to its end, compares it with the uninterrupted one, and gives
    /// what it said.
    ///
    /// # Errors
    /// A message where it fails or ends otherwise.
    pub fn finish(&self, artifacts: &Path) -> Result<String, String> {
        self.finish_by(self.resume(artifacts), artifacts)
    }

    /// As [`finish`](Trainer::finish), by a command of the caller's.
    ///
    /// # Errors
    /// The same.
    pub fn finish_by(&self, command: Command, artifacts: &Path) -> Result<String, String> {
        let mut running = Self::start_by(command, artifacts)?;
        let status = running.wait()?;
        let said = running.said();
        if !status.success() && !said.contains("is finished") {
            return Err(format!("the resumption failed: {said}"));
        }
        compare::equal(&self.whole, &running.run)?;
        Ok(said)
    }

    /// Trains the recipe in `artifacts` from its start to its end, and compares it with the uninterrupted
    /// run.
    ///
    /// # Errors
    /// A message where it fails or ends otherwise.
    pub fn train_whole(&self, artifacts: &Path) -> Result<(), String> {
        let mut running = self.start(artifacts, &[], &[])?;
        if !running.wait()?.success() {
            return Err(format!("the run failed: {}", running.said()));
        }
        compare::equal(&self.whole, &running.run)
    }

    /// A folder of artifacts for try `number` of a row.
    pub fn artifacts(&self, row: &str, number: usize) -> PathBuf {
        self.folder.join(format!("{row}-{number}"))
    }
}

/// A run in a process of its own. It is killed where it is let go of.
pub struct Running {
    child: Child,
    log: PathBuf,
    /// Its folder.
    pub run: PathBuf,
}

impl Running {
    /// Starts `command`, which says what it says to a file beside `artifacts`.
    ///
    /// # Errors
    /// A message where it cannot be started.
    pub fn spawn(mut command: Command, artifacts: &Path) -> Result<Self, String> {
        let log = artifacts.with_extension("said");
        let file = File::create(&log).map_err(|error| format!("{}: {error}", log.display()))?;
        let other = file.try_clone().map_err(|error| error.to_string())?;
        let child = command
            .stdout(file)
            .stderr(other)
            .spawn()
            .map_err(|error| format!("the trainer could not be started: {error}"))?;
        Ok(Self {
            child,
            log,
            run: PathBuf::new(),
        })
    }

    fn wait_for_folder(&mut self, artifacts: &Path) -> Result<(), String> {
        let start = Instant::now();
        loop {
            let ended = self.ended()?.is_some();
            if let Ok(run) = fs::canonicalize(artifacts.join("latest"))
                && run.join("config.toml").exists()
            {
                self.run = run;
                return Ok(());
            }
            if ended || start.elapsed() > LONGEST {
                return Err(format!("no run began: {}", self.said()));
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// The process's number.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, if it has.
    ///
    /// # Errors
    /// What the system says.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>, String> {
        self.child.try_wait().map_err(|error| error.to_string())
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// A message where it hangs.
    pub fn wait(&mut self) -> Result<ExitStatus, String> {
        let start = Instant::now();
        loop {
            if let Some(status) = self.ended()? {
                return Ok(status);
            }
            if start.elapsed() > LONGEST {
                return Err(format!("it hangs: {}", self.said()));
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Kills it with no warning. Says whether it was still there.
    ///
    /// # Errors
    /// What the system says.
    pub fn kill(&mut self) -> Result<bool, String> {
        let alive = self.ended()?.is_none();
        self.child.kill().map_err(|error| error.to_string())?;
        self.wait()?;
        Ok(alive)
    }

    /// Sends a signal by its name.
    ///
    /// # Errors
    /// A message where it cannot be sent.
    pub fn signal(&self, name: &str) -> Result<(), String> {
        let sent = Command::new("kill")
            .args([name, &self.id().to_string()])
            .status()
            .map_err(|error| error.to_string())?;
        if sent.success() {
            Ok(())
        } else {
            Err(format!("kill {name} failed"))
        }
    }

    /// What it said so far.
    pub fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The step of the newest checkpoint; 0 where there is none.
    pub fn last_step(&self) -> u64 {
        checkpoints(&self.run).first().map_or(0, |(step, _)| *step)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Where the row has failed the process may still be there.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A run's checkpoints, step and folder, the newest first.
pub fn checkpoints(run: &Path) -> Vec<(u64, PathBuf)> {
    let mut found: Vec<(u64, PathBuf)> = fs::read_dir(run.join("checkpoints"))
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            let name = path.file_name()?.to_str()?.strip_prefix("step-")?;
            Some((name.split('-').next()?.parse().ok()?, path))
        })
        .collect();
    found.sort_by(|a, b| b.cmp(a));
    found
}
