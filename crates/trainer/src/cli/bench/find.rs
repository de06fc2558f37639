//! The largest batch that fits, by trials in a process each: one that ends for want of memory is no more than
//! a batch that does not fit, and one that ends for any other reason ends the search.

use std::io;
use std::process::{Command, ExitStatus, Output, Stdio};

use serde::Serialize;

use crate::shell;
use crate::training::tells_of_full_memory;

/// The first batch to try. What fits no sixteen images is searched downwards.
const FIRST: usize = 16;
/// The search ends where a batch fits and one larger by a 32nd does not: what is free differs by more from
/// one run to the next.
const FINENESS: usize = 32;
/// The signal by which the system ends a process whose memory it needs.
const SIGKILL: i32 = 9;
/// Lines of a failed trial that are shown: the first ones have the cause.
const MOST_LINES: usize = 6;

/// What came of a batch.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Trial {
    /// Images in the batch.
    pub batch: usize,
    /// Images a second; nothing where the batch does not fit.
    pub images_per_s: Option<f64>,
    /// Why it does not fit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl Trial {
    /// The trial in a line.
    pub fn line(&self) -> String {
        match (self.images_per_s, &self.reason) {
            (Some(rate), _) => format!("batch {}: {rate:.1} images/s", self.batch),
            (None, reason) => format!(
                "batch {}: does not fit ({})",
                self.batch,
                reason.as_deref().unwrap_or("no reason was given")
            ),
        }
    }
}

/// The largest batch up to `limit` for which `fits` says so, by doubling and then by halving what is left;
/// 0 where not even one image does.
///
/// # Errors
/// Those of `fits`.
pub(super) fn largest<E>(
    limit: usize,
    mut fits: impl FnMut(usize) -> Result<bool, E>,
) -> Result<usize, E> {
    let (mut most, mut next) = (0, FIRST.min(limit));
    while fits(next)? {
        most = next;
        if next == limit {
            return Ok(limit);
        }
        next = (2 * next).min(limit);
    }
    let mut too_many = next;
    while too_many - most > (most / FINENESS).max(1) {
        let middle = usize::midpoint(most, too_many);
        if fits(middle)? {
            most = middle;
        } else {
            too_many = middle;
        }
    }
    Ok(most)
}

/// A trial that says nothing about whether its batch fits.
#[derive(Debug, thiserror::Error)]
pub(super) enum TrialError {
    /// The process could not be started.
    #[error("the trial of {batch} images could not be started: {source}")]
    Start {
        /// Images in the batch.
        batch: usize,
        /// What the system says.
        source: io::Error,
    },
    /// The limit is below what the program takes before it does anything.
    #[error(
        "the program itself does not begin in {0} MiB of address space; give more with `--memory`"
    )]
    NoRoom(u64),
    /// It ended, and not for want of memory.
    #[error(
        "the trial of {batch} images failed, and not for want of memory: {message}\nThis is the trial alone:\n  \
         {command}"
    )]
    Failed {
        /// Images in the batch.
        batch: usize,
        /// What it said last, and how it ended.
        message: String,
        /// The command that tries the batch alone.
        command: String,
    },
}

/// Trials of this program's `arguments`, each of which may take `memory` MiB of address space.
pub(super) struct Trials {
    arguments: Vec<String>,
    memory: Option<u64>,
}

impl Trials {
    /// # Errors
    /// [`TrialError`] where the program does not even begin so.
    pub fn new(arguments: Vec<String>, memory: Option<u64>) -> Result<Self, TrialError> {
        let trials = Self { arguments, memory };
        if let Some(mebibytes) = memory {
            // The system ends a program that it has no room to load as one that is broken.
            let begun = trials.output(0, &["--version".to_owned()])?;
            if !begun.status.success() {
                return Err(TrialError::NoRoom(mebibytes));
            }
        }
        Ok(trials)
    }

    /// Measures `batch` images.
    ///
    /// # Errors
    /// [`TrialError`] where that fails for another reason than memory.
    pub fn measure(&self, batch: usize) -> Result<Trial, TrialError> {
        let of_batch = ["--batch".to_owned(), batch.to_string()];
        let arguments = [self.arguments.as_slice(), &of_batch].concat();
        let output = self.output(batch, &arguments)?;
        let rate = output.status.success().then(|| rate(&output)).flatten();
        let reason = match rate {
            Some(_) => None,
            None => Some(full_memory(&output).ok_or_else(|| TrialError::Failed {
                batch,
                message: last_words(&output),
                command: self.command(&arguments),
            })?),
        };
        Ok(Trial {
            batch,
            images_per_s: rate,
            reason,
        })
    }

    fn output(&self, batch: usize, arguments: &[String]) -> Result<Output, TrialError> {
        let run = || {
            limited(self.memory)?
                .args(arguments)
                // The calls that led to a panic say nothing about memory, and fill the message.
                .env("RUST_BACKTRACE", "0")
                .stdin(Stdio::null())
                .output()
        };
        run().map_err(|source| TrialError::Start { batch, source })
    }

    /// A trial as it is typed.
    fn command(&self, arguments: &[String]) -> String {
        let words = ["trainer"].into_iter();
        let line = shell::line(words.chain(arguments.iter().map(String::as_str)));
        match self.memory {
            None => line,
            Some(mebibytes) => format!("({} && {line})", limit(mebibytes)),
        }
    }
}

/// The shell's command that limits the address space.
fn limit(mebibytes: u64) -> String {
    format!("ulimit -v {}", mebibytes.saturating_mul(1024))
}

/// This program, with `memory` MiB of address space, and first in line where the system runs out of
/// memory, so that a trial ends and nothing else.
#[cfg(unix)]
fn limited(memory: Option<u64>) -> io::Result<Command> {
    let limit = memory.map_or_else(String::new, |mebibytes| format!("{} && ", limit(mebibytes)));
    let first = "{ echo 1000 > /proc/self/oom_score_adj; } 2> /dev/null";
    let mut command = Command::new("sh");
    command
        .args(["-c", &format!("{first}; {limit} exec \"$0\" \"$@\"")])
        .arg(std::env::current_exe()?);
    Ok(command)
}

/// This program. Only Unix limits what it may take.
#[cfg(not(unix))]
fn limited(memory: Option<u64>) -> io::Result<Command> {
    match memory {
        None => Ok(Command::new(std::env::current_exe()?)),
        Some(_) => Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "--memory is for Unix; leave it out",
        )),
    }
}

/// The figure in the last line of a trial's output.
fn rate(output: &Output) -> Option<f64> {
    let text = String::from_utf8_lossy(&output.stdout);
    let line: serde_json::Value = serde_json::from_str(text.lines().last()?).ok()?;
    line.get("images_per_s")?.as_f64()
}

/// Why a trial ended, where that is for want of memory. Words come first: what a driver does after it was refused
/// memory may be anything, such as a wrong access.
fn full_memory(output: &Output) -> Option<String> {
    let errors = String::from_utf8_lossy(&output.stderr);
    let said = errors.lines().find(|line| tells_of_full_memory(line));
    match (said, signal(output.status)) {
        (Some(line), _) => Some(line.trim().to_owned()),
        (None, Some(SIGKILL)) => Some("the system ended it, as it does for memory".to_owned()),
        (None, _) => None,
    }
}

/// What a trial said, and how it ended.
fn last_words(output: &Output) -> String {
    let errors = String::from_utf8_lossy(&output.stderr);
    let lines = errors.lines().map(str::trim_end);
    let told = lines.filter(|line| !line.is_empty() && !line.starts_with("note: "));
    let told: Vec<&str> = told.take(MOST_LINES).collect();
    let told = told.join("\n");
    let told = told.strip_prefix("error: ").unwrap_or(&told);
    let end = match signal(output.status) {
        Some(signal) => format!("ended by signal {signal}"),
        None if output.status.success() => "it gave no figure".to_owned(),
        None => output.status.to_string(),
    };
    if told.is_empty() {
        end
    } else {
        format!("{told} ({end})")
    }
}

#[cfg(unix)]
fn signal(status: ExitStatus) -> Option<i32> {
    std::os::unix::process::ExitStatusExt::signal(&status)
}

#[cfg(not(unix))]
fn signal(_status: ExitStatus) -> Option<i32> {
    None
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    #[test]
    fn the_largest_batch_is_found_to_a_32nd_in_few_trials() {
        for fitting in [0, 1, 2, 15, 16, 17, 100, 1000, 1023, 4095, 4096, 10_000] {
            let mut tried = Vec::new();
            let Ok(found) = largest(4096, |batch| {
                tried.push(batch);
                Ok::<_, Infallible>(batch <= fitting)
            });
            let fitting = fitting.min(4096);
            // One more than a 32nd more does not fit.
            let next = found + (found / FINENESS).max(1);
            assert!(found <= fitting && (fitting < next || found == 4096));
            assert!(tried.len() <= 16, "{tried:?}");
            assert!(tried.iter().all(|batch| (1..=4096).contains(batch)));
        }
        let Ok(found) = largest(3, |_| Ok::<_, Infallible>(true));
        assert_eq!(found, 3);
    }

    #[cfg(unix)]
    fn output(status: i32, errors: &str) -> Output {
        Output {
            status: std::os::unix::process::ExitStatusExt::from_raw(status),
            stdout: Vec::new(),
            stderr: errors.as_bytes().to_vec(),
        }
    }

    #[cfg(unix)]
    const ABORTED: i32 = 6;
    #[cfg(unix)]
    const FAULTED: i32 = 11;
    /// An exit code in a status of Unix.
    #[cfg(unix)]
    const fn exited(code: i32) -> i32 {
        code << 8
    }

    /// What trials of ndarray and flex said under `--memory`, and those of llvmpipe beyond its buffers and under a
    /// limit of its address space.
    #[cfg(unix)]
    #[test]
    fn a_trial_without_memory_is_a_batch_that_does_not_fit() {
        for (status, errors, reason) in [
            (
                ABORTED,
                "memory allocation of 134217728 bytes failed\nnote: run with `RUST_BACKTRACE=1` environment \
                 variable to display a backtrace\n",
                "memory allocation of 134217728 bytes failed",
            ),
            (
                exited(1),
                "error: the device's memory does not hold a batch of 8192 images; try a smaller one, such as \
                 --batch-size 4096\n",
                "memory does not hold a batch of 8192 images",
            ),
            (
                FAULTED,
                "\nthread 'DSD-3-8192' (14973) panicked at cubecl-wgpu/src/compute/device_poison.rs:42:17:\n\
                 wgpu error: Out of Memory\nnote: run with `RUST_BACKTRACE=1` environment variable to display a \
                 backtrace\n",
                "wgpu error: Out of Memory",
            ),
            (SIGKILL, "", "the system ended it"),
        ] {
            let found = full_memory(&output(status, errors)).unwrap_or_default();
            assert!(found.contains(reason), "{errors}: {found}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_trial_that_ends_for_another_reason_is_told_with_its_words_and_its_end() {
        for (status, errors, words) in [
            (
                exited(101),
                "\nthread 'main' (7) panicked at crates/model/src/a.rs:1:2:\nindex out of bounds\nnote: run with \
                 `RUST_BACKTRACE=1` environment variable to display a backtrace\n",
                "thread 'main' (7) panicked at crates/model/src/a.rs:1:2:\nindex out of bounds (exit status: 101)",
            ),
            (
                exited(1),
                "error: the device failed: DeviceLost\n",
                "the device failed: DeviceLost (exit status: 1)",
            ),
            (FAULTED, "", "ended by signal 11"),
            (exited(0), "", "it gave no figure"),
        ] {
            let output = output(status, errors);
            assert_eq!(full_memory(&output), None, "{errors}");
            assert_eq!(last_words(&output), words);
        }
    }
}
