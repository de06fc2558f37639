//! `trainer sweep`.

use std::process::{Child, ExitCode};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;
use indicatif::{ProgressBar, ProgressState, ProgressStyle};
use unicode_width::UnicodeWidthStr;

use super::Outcome;
use super::options::Common;
use super::signals;
use crate::progress::{self, Verbosity};
use crate::screen;
use crate::statistics::percent_or_dash;
use crate::sweep::{self, Plan, Row, State, SweepError, Task, collect};
use crate::training;

/// How often is looked whether a run has ended.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Train a recipe with several seeds and settings, and print means and deviations.
///
/// Runs that are finished are not run again, and interrupted ones are resumed: give the same command
/// line once more. With --task and --collect a sweep spreads over machines that share the artifacts
/// folder.
#[derive(Debug, Args)]
#[command(args_override_self = true)]
#[command(
    after_help = "Examples:\n  trainer sweep --config tutorial --seeds 5 --set optimizer.lr=0.001,0.002\n  \
    trainer sweep --config tutorial --seeds 5 --task 3\n  \
    trainer sweep --config tutorial --seeds 5 --collect"
)]
pub struct Sweep {
    /// A built-in recipe (see `trainer recipes`), or a recipe file.
    #[arg(long, value_name = "NAME|FILE", default_value = "default")]
    config: String,
    /// Runs of each combination, with the recipe's seed and those that follow it.
    #[arg(long, value_name = "N", default_value = "1")]
    seeds: usize,
    /// Values of a key of the recipe, such as optimizer.lr=0.1,0.2. May be repeated: a grid.
    #[arg(long, value_name = "KEY=VALUE,…")]
    set: Vec<String>,
    /// Runs at a time. Without --threads each gets its share of the cores.
    #[arg(long, value_name = "N", default_value = "1", value_parser = clap::value_parser!(u16).range(1..=1024))]
    jobs: u16,
    /// Does only the Kth run of the plan, from 1.
    #[arg(long, value_name = "K", conflicts_with = "collect")]
    task: Option<usize>,
    /// Runs nothing: prints what is there.
    #[arg(long)]
    collect: bool,
}

impl Sweep {
    /// Runs what is left of the plan, and prints the table.
    pub fn run(&self, common: &Common) -> Outcome {
        // What refuses every run of the plan refuses the plan. Reading results needs no device.
        if !self.collect {
            for device in common.device.choices()? {
                device.open()?;
            }
        }
        let plan = Plan::new(
            &common.places.artifacts,
            &self.config,
            &self.set,
            self.seeds,
        )?;
        let tasks = match self.task {
            _ if self.collect => &[],
            Some(number) => std::slice::from_ref(plan.task(number)?),
            None => plan.tasks.as_slice(),
        };
        let signals = Arc::new(AtomicUsize::new(0));
        signals::on_end({
            let signals = signals.clone();
            move || {
                signals.fetch_add(1, Ordering::SeqCst);
            }
        })?;
        let failures = self.train(tasks, common, &signals)?;
        let verbosity = common.verbosity.choice();
        for failure in &failures {
            verbosity.warn(failure);
        }
        if signals.load(Ordering::SeqCst) > 0 {
            verbosity.warn("interrupted; the same command goes on");
            return Ok(ExitCode::from(130));
        }
        if self.task.is_none() {
            print(&plan, &collect(&plan)?, common.json);
        }
        Ok(if failures.is_empty() {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    }

    /// Trains what is left of `tasks`, and gives a line for each that failed. Each of the `signals` that
    /// come meanwhile goes to the runs under way, which save and are waited for.
    fn train(
        &self,
        tasks: &[Task],
        common: &Common,
        signals: &AtomicUsize,
    ) -> Result<Vec<String>, SweepError> {
        let options = common.for_another_process(self.jobs.into());
        let (bar, end) = progress(tasks.len(), common.verbosity.choice());
        let (began, mut trained) = (Instant::now(), 0);
        let (mut failures, mut running) = (Vec::new(), Vec::<(&Task, Child)>::new());
        let mut waiting = tasks.iter();
        let mut passed_on = 0;
        loop {
            let came = signals.load(Ordering::SeqCst);
            if came > passed_on {
                running.iter().for_each(|(_, child)| sweep::end(child));
            }
            passed_on = came;
            let (known, mut left) = (trained, Vec::new());
            for (task, mut child) in running {
                if matches!(child.try_wait(), Ok(None)) {
                    left.push((task, child));
                    continue;
                }
                bar.inc(1);
                trained += 1;
                failures.extend(failure(task, came > 0)?);
            }
            running = left;
            while running.len() < self.jobs.into() && came == 0 {
                let Some(task) = waiting.next() else { break };
                match task.state()? {
                    State::New | State::Begun => running.push((task, task.start(&options)?)),
                    State::Finished(_) => bar.inc(1),
                    State::Failed(_) => {
                        bar.inc(1);
                        failures.extend(failure(task, false)?);
                    }
                }
            }
            if trained > known {
                // What a run takes is known once one has ended, and those that were there took no time.
                let left = tasks.len().saturating_sub(bar.position() as usize);
                let each = began.elapsed().div_f64(f64::from(trained));
                *training::lock(&end) = Instant::now().checked_add(each.mul_f64(left as f64));
            }
            if running.is_empty() {
                bar.finish_and_clear();
                return Ok(failures);
            }
            thread::sleep(LOOK_EVERY);
        }
    }
}

/// A line for a run that has ended and is not finished.
fn failure(task: &Task, stopped: bool) -> Result<Option<String>, SweepError> {
    let reason = match task.state()? {
        State::Finished(_) => return Ok(None),
        State::New | State::Begun if stopped => return Ok(None),
        State::New | State::Begun => "it ended early",
        State::Failed(_) => "it failed",
    };
    Ok(Some(format!(
        "run {} ({}, seed {}): {reason}, see {}",
        task.number,
        task.settings.join(" "),
        task.seed,
        task.folder.join("train.log").display()
    )))
}

/// A bar over `runs`, and where to put when they will have ended; it says how long that is from now.
fn progress(runs: usize, verbosity: Verbosity) -> (ProgressBar, Arc<Mutex<Option<Instant>>>) {
    let end = Arc::new(Mutex::new(None));
    if verbosity == Verbosity::Quiet || runs == 0 {
        return (ProgressBar::hidden(), end);
    }
    let bar = ProgressBar::new(runs as u64);
    // A template that indicatif refuses leaves its own bar, which also serves.
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos} of {len} runs{left}") {
        let end = end.clone();
        bar.set_style(style.with_key(
            "left",
            move |_: &ProgressState, text: &mut dyn std::fmt::Write| {
                let left = training::lock(&end)
                    .map(|end: Instant| end.saturating_duration_since(Instant::now()));
                // Runs that take longer than the earlier ones end at a time that nobody knows.
                if let Some(left) = left.filter(|left| !left.is_zero()) {
                    // Where a bar's text cannot be written there is no bar.
                    let _ = write!(text, ", about {} left", progress::short(left));
                }
            },
        ));
    }
    bar.enable_steady_tick(Duration::from_secs(1));
    (bar, end)
}

fn print(plan: &Plan, rows: &[Row], json: bool) {
    if json {
        println!(
            "{}",
            serde_json::json!({ "folder": plan.folder, "rows": rows })
        );
        return;
    }
    let (fixed, names) = names(rows);
    let columns = columns(rows);
    let figures = 5 + columns.len() * 19;
    let room = screen::width().map_or(usize::MAX, |width| width.saturating_sub(figures));
    let longest = names.iter().map(|name| name.width()).max().unwrap_or(0);
    let width = longest.min(room).max(8);
    let heads = columns.iter();
    let heads: String = heads
        .map(|column| format!(" {:>8} {:>9}", column.name, "deviation"))
        .collect();
    println!("{:width$}{heads} {:>4}", "settings", "n");
    for (row, name) in rows.iter().zip(names) {
        let cells = columns.iter().map(|column| (column.of)(row));
        let cells: String = cells
            .map(|[mean, deviation]| [mean, deviation].map(percent_or_dash))
            .map(|[mean, deviation]| format!(" {mean:>8} {deviation:>9}"))
            .collect();
        // Settings that leave no room for the figures have a line of their own.
        let beside = if name.width() > width {
            println!("{name}");
            ""
        } else {
            name.as_str()
        };
        let space = " ".repeat(width - beside.width());
        println!("{beside}{space}{cells} {:>4}", row.n);
    }
    if rows.len() > 1 && rows.iter().all(|row| row.mean_valid.is_some()) {
        let advice = "settings are chosen by the hold-out; the test is for those that were chosen";
        println!("{}", screen::wrapped(advice, screen::width(), 2));
    }
    if !fixed.is_empty() {
        let all = format!("all with {}", fixed.join(" "));
        println!("{}", screen::wrapped(&all, screen::width(), 2));
    }
    let missing: usize = rows.iter().map(|row| row.missing).sum();
    if missing > 0 {
        println!("{missing} of {} runs are not finished", plan.tasks.len());
    }
    println!("{}", screen::path(&plan.folder));
}

/// A mean and its deviation over the seeds, as columns of the table.
struct Column {
    name: &'static str,
    of: fn(&Row) -> [Option<f64>; 2],
}

/// The columns that `rows` have: a hold-out and several views of the test images are not in every recipe.
fn columns(rows: &[Row]) -> Vec<Column> {
    let test = Column {
        name: "test",
        of: |row| [row.mean, row.deviation],
    };
    let where_there_is = |name, of: fn(&Row) -> [Option<f64>; 2]| {
        let is_there = rows.iter().any(|row| of(row)[0].is_some());
        is_there.then_some(Column { name, of })
    };
    let hold_out = where_there_is("hold-out", |row| [row.mean_valid, row.deviation_valid]);
    let views = where_there_is("test tta", |row| [row.mean_tta, row.deviation_tta]);
    [hold_out, Some(test), views]
        .into_iter()
        .flatten()
        .collect()
}

/// The settings that all rows have, and each row's others as a name.
fn names(rows: &[Row]) -> (Vec<&str>, Vec<String>) {
    let settings = rows.first().map_or(&[][..], |row| row.settings.as_slice());
    let is_fixed =
        |place: usize| (rows.iter()).all(|row| row.settings.get(place) == settings.get(place));
    let names = rows.iter().map(|row| {
        let settings = row.settings.iter().enumerate();
        let varying: Vec<&str> = settings
            .filter(|(place, _)| !is_fixed(*place))
            .map(|(_, setting)| setting.as_str())
            .collect();
        match varying.as_slice() {
            [] => "the recipe".to_owned(),
            varying => screen::escaped(&varying.join(" ")),
        }
    });
    let fixed = settings.iter().enumerate();
    let fixed = fixed.filter(|(place, _)| is_fixed(*place));
    (
        fixed.map(|(_, setting)| setting.as_str()).collect(),
        names.collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_named_by_what_varies_and_the_rest_is_said_once() {
        let row = |settings: &[&str]| Row {
            settings: settings.iter().map(|text| (*text).to_owned()).collect(),
            mean_valid: None,
            deviation_valid: None,
            mean: None,
            deviation: None,
            mean_tta: None,
            deviation_tta: None,
            n: 0,
            missing: 1,
            failed: 0,
        };
        let rows = ["0.1", "0.2"].map(|lr| row(&["epochs=1", &format!("optimizer.lr={lr}")]));
        let (fixed, found) = names(&rows);
        assert_eq!(fixed, ["epochs=1"]);
        assert_eq!(found, ["optimizer.lr=0.1", "optimizer.lr=0.2"]);
        let (fixed, found) = names(&rows[..1]);
        assert_eq!(fixed, ["epochs=1", "optimizer.lr=0.1"]);
        assert_eq!(found, ["the recipe"]);
    }
}
