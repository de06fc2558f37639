//! A run's lines: `run.log` always, and the terminal where there is no dashboard.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::run::{MetricsRow, RunError, StepRow};
use crate::screen::escaped_message;
use crate::statistics::percent_or_dash;

/// A line at an epoch's end.
#[derive(Debug)]
pub struct EpochLine {
    /// The epoch, from 1.
    pub epoch: u64,
    /// Epochs of the run.
    pub epochs: u64,
    /// Its figures.
    pub row: MetricsRow,
}

/// Writes lines, and says how much time is left.
#[derive(Debug)]
pub struct Log {
    path: PathBuf,
    file: File,
    terminal: bool,
    start: Instant,
    last_line: Instant,
    first_step: Option<u64>,
}

impl Log {
    /// Lines go to the file `path`, and to standard error too where `terminal` says so.
    ///
    /// # Errors
    /// [`RunError`] where the file cannot be opened.
    pub fn open(path: &Path, terminal: bool) -> Result<Self, RunError> {
        let file = File::options()
            .append(true)
            .create(true)
            .open(path)
            .map_err(RunError::io("open", path))?;
        let now = Instant::now();
        Ok(Self {
            path: path.to_owned(),
            file,
            terminal,
            start: now,
            last_line: now,
            first_step: None,
        })
    }

    /// One line.
    ///
    /// # Errors
    /// [`RunError`] where the log cannot be written.
    pub fn line(&mut self, text: &str) -> Result<(), RunError> {
        if self.terminal {
            // A closed terminal is no reason to end a run.
            let _ = writeln!(io::stderr(), "{}", escaped_message(text));
        }
        self.note(text)
    }

    /// Whether lines go to the terminal from here on.
    pub fn show(&mut self, terminal: bool) {
        self.terminal = terminal;
    }

    /// One line that only `run.log` gets.
    ///
    /// # Errors
    /// [`RunError`] where the log cannot be written.
    pub fn note(&mut self, text: &str) -> Result<(), RunError> {
        writeln!(self.file, "{text}").map_err(RunError::io("write", &self.path))
    }

    /// A line for a step, if the last line is `every` ago, with the epoch's mean loss and accuracy so far.
    ///
    /// # Errors
    /// [`RunError`] where the log cannot be written.
    pub fn step(
        &mut self,
        every: Duration,
        row: &StepRow,
        steps: u64,
        (loss, accuracy): (Option<f64>, Option<f64>),
        images_per_second: f64,
    ) -> Result<(), RunError> {
        let first = *self.first_step.get_or_insert(row.step - 1);
        if self.last_line.elapsed() < every {
            return Ok(());
        }
        self.last_line = Instant::now();
        let done = row.step - first;
        let left = self.start.elapsed().as_secs_f64() / done.max(1) as f64
            * (steps.saturating_sub(row.step)) as f64;
        self.line(&format!(
            "step {}/{steps}: train loss {:.4}, accuracy {}, lr {:.3e}, {images_per_second:.0} images/s, {} left",
            row.step,
            loss.unwrap_or(row.loss),
            percent_or_dash(accuracy),
            row.learning_rate,
            duration(left),
        ))
    }

    /// A line for an epoch.
    ///
    /// # Errors
    /// [`RunError`] where the log cannot be written.
    pub fn epoch(&mut self, line: &EpochLine) -> Result<(), RunError> {
        let EpochLine { epoch, epochs, row } = line;
        let mut text = format!(
            "epoch {epoch}/{epochs}: train loss {:.4}, accuracy {}",
            row.train_loss.unwrap_or(f64::NAN),
            percent_or_dash(row.train_accuracy),
        );
        if let Some(loss) = row.valid_loss {
            text += &format!(
                "; valid loss {loss:.4}, accuracy {}",
                percent_or_dash(row.valid_accuracy)
            );
        }
        text += &format!(
            "; lr {:.3e}, {:.0} images/s, {}",
            row.learning_rate,
            row.images_per_second,
            duration(row.seconds)
        );
        self.last_line = Instant::now();
        self.line(&text)
    }
}

/// Seconds as people say them: `12 s`, `3 min 20 s`, `2 h 5 min`.
fn duration(seconds: f64) -> String {
    let whole = seconds.round().max(0.0) as u64;
    match whole {
        0..60 => format!("{whole} s"),
        60..3600 => format!("{} min {} s", whole / 60, whole % 60),
        _ => format!("{} h {} min", whole / 3600, whole % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_people_say_them() {
        assert_eq!(duration(0.4), "0 s");
        assert_eq!(duration(200.0), "3 min 20 s");
        assert_eq!(duration(7_500.0), "2 h 5 min");
    }
}
