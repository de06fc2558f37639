//! The largest batch that fits, by trials in a process each: one that the system kills for its memory is
//! no more than a batch that does not fit.

use std::io;
use std::process::{Command, ExitStatus, Output, Stdio};

use serde::Serialize;

/// The first batch to try. What fits no sixteen images is searched downwards.
const FIRST: usize = 16;
/// The search ends where a batch fits and one larger by a 32nd does not: what is free differs by more from
/// one run to the next.
const FINENESS: usize = 32;

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

/// Measures `batch` images by this program's `arguments` in a process of its own, which may take `memory`
/// MiB of address space.
///
/// # Errors
/// Where the process cannot be started.
pub(super) fn trial(arguments: &[String], batch: usize, memory: Option<u64>) -> io::Result<Trial> {
    let output = limited(memory)?
        .args(arguments)
        .arg("--batch")
        .arg(batch.to_string())
        .stdin(Stdio::null())
        .output()?;
    let rate = output.status.success().then(|| rate(&output)).flatten();
    let reason = rate.is_none().then(|| reason(&output));
    Ok(Trial {
        batch,
        images_per_s: rate,
        reason,
    })
}

/// This program, with `memory` MiB of address space, and first in line where the system runs out of
/// memory, so that a trial ends and nothing else.
#[cfg(unix)]
fn limited(memory: Option<u64>) -> io::Result<Command> {
    let limit = memory.map_or_else(String::new, |mebibytes| {
        format!("ulimit -v {} && ", mebibytes.saturating_mul(1024))
    });
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

/// The last words of a trial, or what ended it.
fn reason(output: &Output) -> String {
    let errors = String::from_utf8_lossy(&output.stderr);
    match (errors.lines().last(), signal(output.status)) {
        (Some(line), _) => line.trim().to_owned(),
        (None, Some(signal)) => format!("ended by signal {signal}"),
        (None, None) => format!("it gave no figure, {}", output.status),
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
}
