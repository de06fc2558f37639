//! Progress bars, and how much the program says.

use std::io::Write;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use cifar10::{Event, Progress};
use indicatif::{HumanBytes, HumanDuration, ProgressBar, ProgressState, ProgressStyle};

use crate::screen::escaped_message;

/// How much the program says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Verbosity {
    /// Only results and errors.
    Quiet,
    /// Progress.
    #[default]
    Normal,
    /// Progress, and what the run works with.
    Verbose,
}

impl Verbosity {
    /// Prints what went wrong to standard error, however little is wanted.
    pub fn warn(self, text: &str) {
        // A closed standard error is no reason to end a run.
        let _ = writeln!(std::io::stderr(), "{}", escaped_message(text));
    }

    /// Prints a remark to standard error unless only results are wanted.
    pub fn note(self, text: &str) {
        if self != Self::Quiet {
            self.warn(text);
        }
    }
}

/// A bar over `total` things called `what`, with the time left; hidden where nothing or no terminal asks
/// for it.
#[must_use]
pub fn bar(verbosity: Verbosity, total: u64, what: &str) -> ProgressBar {
    if verbosity == Verbosity::Quiet {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(total).with_message(what.to_owned());
    let template = "{bar:30} {pos}/{len} {msg}{pace}";
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style.with_key("pace", pace_of(rate))),
        Err(_) => bar,
    }
}

/// A bar's part with what `rate` makes of the things a second, and the time left; nothing before the first
/// of them is done, when neither is known.
fn pace_of(
    rate: fn(f64) -> String,
) -> impl Fn(&ProgressState, &mut dyn std::fmt::Write) + Clone + Send + Sync + 'static {
    move |state, text| {
        let left = state.eta();
        // Where a bar's text cannot be written there is no bar.
        let _ = text.write_str(&pace(state.pos(), rate(state.per_sec()), left));
    }
}

/// How fast it goes and the time left, once some things are `done`.
fn pace(done: u64, rate: String, left: Duration) -> String {
    if done == 0 {
        return String::new();
    }
    format!(", {rate}, {} left", short(left))
}

/// A time in few letters: `3s`, `5m`, `2h`.
#[must_use]
pub fn short(time: Duration) -> String {
    format!("{:#}", HumanDuration(time))
}

/// Things a second: whole ones, or tenths where they are few.
fn rate(per_second: f64) -> String {
    let decimals = usize::from(per_second < 10.0);
    format!("{per_second:.decimals$}/s")
}

/// Bytes a second.
fn bytes(per_second: f64) -> String {
    format!("{}/s", HumanBytes(per_second as u64))
}

/// Shows what fetching and converting the data takes: a bar with the time left on a terminal, and
/// plain lines elsewhere.
#[derive(Debug, Default)]
pub struct FetchProgress {
    bar: Mutex<Option<ProgressBar>>,
    verbosity: Verbosity,
}

impl FetchProgress {
    /// Progress that says as much as `verbosity` allows.
    #[must_use]
    pub fn new(verbosity: Verbosity) -> Self {
        Self {
            bar: Mutex::default(),
            verbosity,
        }
    }
}

impl Progress for FetchProgress {
    fn report(&self, event: Event<'_>) {
        if self.verbosity == Verbosity::Quiet {
            return;
        }
        // A thread that panicked while it held the bar left it whole.
        let mut bar = self.bar.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Start { task, total } => {
                // The bar takes what names of files leave it of the terminal's width.
                let style =
                    ProgressStyle::with_template("{msg} {wide_bar} {bytes}/{total_bytes}{pace}");
                let new = ProgressBar::new(total).with_message(task.to_owned());
                // A template that indicatif refuses leaves its own bar, which also serves.
                if let Ok(style) = style {
                    new.set_style(style.with_key("pace", pace_of(bytes)));
                }
                *bar = Some(new);
            }
            Event::Advance(done) => {
                if let Some(bar) = &*bar {
                    bar.set_position(done);
                }
            }
            Event::Finish => {
                if let Some(bar) = bar.take() {
                    bar.finish_and_clear();
                }
            }
            Event::Note(note) => match &*bar {
                Some(bar) => bar.suspend(|| self.verbosity.note(note)),
                None => self.verbosity.note(note),
            },
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_has_no_digits_that_nobody_reads() {
        assert_eq!(rate(976.7522), "977/s");
        assert_eq!(rate(4.26), "4.3/s");
    }

    #[test]
    fn a_bar_says_no_time_left_before_anything_is_done() {
        assert_eq!(pace(0, rate(0.0), Duration::ZERO), "");
        assert_eq!(
            pace(3, rate(4.0), Duration::from_secs(7)),
            ", 4.0/s, 7s left"
        );
    }
}
