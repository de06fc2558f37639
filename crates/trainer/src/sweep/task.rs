//! One run of a plan, in a process of its own.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use super::SweepError;
use crate::run::{self, RunError, RunFolder, RunResult, RunState};

/// One run of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    /// Its number, from 1.
    pub number: usize,
    /// Its folder, which holds the run's.
    pub folder: PathBuf,
    /// The recipe.
    pub config: String,
    /// Its values, as texts for `--set`.
    pub settings: Vec<String>,
    /// Its seed.
    pub seed: u64,
}

/// How far a task is.
#[derive(Debug, Clone, PartialEq)]
pub enum State {
    /// There is no run yet.
    New,
    /// A run was begun and is not finished; it can be resumed.
    Begun,
    /// The run is finished.
    Finished(Box<RunResult>),
    /// The run ended with an error, which would come again.
    Failed(String),
}

impl Task {
    /// How far the task is.
    ///
    /// # Errors
    /// [`RunError`] where the result cannot be read.
    pub fn state(&self) -> Result<State, RunError> {
        let Some(folder) = self.run() else {
            return Ok(State::New);
        };
        if !folder.result().exists() {
            return Ok(State::Begun);
        }
        let result = RunResult::read(&folder.result())?;
        Ok(match result.state {
            RunState::Finished => State::Finished(Box::new(result)),
            RunState::Interrupted => State::Begun,
            RunState::Failed => State::Failed(result.error.unwrap_or_default()),
        })
    }

    /// The run of the task, where it was begun.
    fn run(&self) -> Option<RunFolder> {
        RunFolder::open(run::resolve(&self.folder, "latest").ok()?).ok()
    }

    /// Starts the task's run, or goes on with it. What it says goes to `train.log` in its folder.
    /// `options` are passed on to `trainer train`.
    ///
    /// # Errors
    /// [`SweepError`] where the process cannot be started.
    pub fn start(&self, options: &[String]) -> Result<Child, SweepError> {
        let start = |source| SweepError::Start {
            path: self.folder.clone(),
            source,
        };
        fs::create_dir_all(&self.folder).map_err(RunError::io("create", &self.folder))?;
        let path = self.folder.join("train.log");
        let log = File::options()
            .append(true)
            .create(true)
            .open(&path)
            .map_err(RunError::io("open", &path))?;
        let mut command = Command::new(std::env::current_exe().map_err(start)?);
        command.arg("train");
        if self.run().is_some() {
            command.args(["--resume", "latest"]);
        } else {
            command.args(["--config", &self.config]);
            for setting in &self.settings {
                command.args(["--set", setting]);
            }
            command.args(["--seed", &self.seed.to_string()]);
        }
        // A signal of the terminal goes to the sweep alone, which passes it on: once, and not twice.
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        command
            .arg("--artifacts")
            .arg(&self.folder)
            .args(options)
            .stdin(Stdio::null())
            .stdout(log.try_clone().map_err(start)?)
            .stderr(log)
            .spawn()
            .map_err(start)
    }
}

/// Asks a run under way to save and to end.
pub fn end(run: &Child) {
    // The shell's own command, since a small system has no program of that name. A run that has ended
    // meanwhile is no failure.
    let _ = Command::new("sh")
        .args(["-c", &format!("kill -TERM {}", run.id())])
        .stderr(Stdio::null())
        .status();
}
