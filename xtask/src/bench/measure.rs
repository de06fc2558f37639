//! Rounds over all cases, with the time left.

use std::io::{self, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Map, Value};

use super::cases::{Case, Metric};
use super::figures::{Measured, Row};
use super::programs::Programs;

/// A measurement that takes longer has failed.
const LIMIT: Duration = Duration::from_secs(900);
/// What a program needs besides its measuring, before any has shown it: start, warm-up, compiling.
const OVERHEAD_SECONDS: f64 = 10.0;

/// What to measure.
#[derive(Debug)]
pub struct Plan<'a> {
    /// The cases, in the report's order.
    pub cases: &'a [&'static Case],
    /// Rounds over all cases.
    pub rounds: usize,
    /// Seconds of a measurement.
    pub seconds: f64,
}

/// How far a comparison has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Every round is done.
    Complete,
    /// This round, counted from 1, is not done yet.
    InRound(usize),
}

/// Measures everything in turn and calls `save` with the rows after each case.
///
/// Within a round each case's contenders follow each other at once, so that a machine that gets slower or faster
/// does so for all of them; each round begins with the next contender.
///
/// # Errors
/// The message of `save`. A contender that fails ends nothing: its row has the message.
pub fn measure(
    plan: &Plan<'_>,
    programs: &Programs,
    root: &Path,
    mut save: impl FnMut(&[Row], State) -> Result<(), String>,
) -> Result<Vec<Row>, String> {
    let peers = programs.python.is_some();
    let mut rows: Vec<Row> = plan
        .cases
        .iter()
        .map(|case| Row {
            case,
            measured: case
                .contenders(peers)
                .into_iter()
                .map(Measured::new)
                .collect(),
        })
        .collect();
    let contenders: Vec<usize> = rows.iter().map(|row| row.measured.len()).collect();
    let mut clock = Clock::new(&contenders, plan.rounds, plan.seconds + OVERHEAD_SECONDS);
    for round in 0..plan.rounds {
        for index in 0..rows.len() {
            if let Some(row) = rows.get_mut(index) {
                measure_row(row, index, round, plan, programs, root, &mut clock);
            }
            save(&rows, State::InRound(round + 1))?;
        }
    }
    save(&rows, State::Complete)?;
    Ok(rows)
}

/// One round of one case.
fn measure_row(
    row: &mut Row,
    index: usize,
    round: usize,
    plan: &Plan<'_>,
    programs: &Programs,
    root: &Path,
    clock: &mut Clock,
) {
    let case = row.case;
    let count = row.measured.len();
    for turn in 0..count {
        let place = (round + turn) % count;
        let Some(measured) = row.measured.get_mut(place) else {
            continue;
        };
        if measured.failure.is_some() {
            continue;
        }
        progress(&format!(
            "round {} of {}, {} left: {}, {}: ",
            round + 1,
            plan.rounds,
            minutes(clock.left()),
            case.name,
            measured.contender.label(),
        ));
        let start = Instant::now();
        let result = measured
            .contender
            .command(case, plan.seconds, programs)
            .and_then(|command| command.run(root, LIMIT))
            .and_then(|output| {
                let figure = figure(case.metric, &output.reported, output.peak_memory)?;
                Ok((figure, output.reported))
            });
        clock.done(index, place, start.elapsed());
        match result {
            Ok((figure, reported)) => {
                progress(&format!("{figure:.1} {}\n", case.metric.unit()));
                measured.figures.push(figure);
                measured.reported = reported;
            }
            Err(message) => {
                progress(&format!("failed: {message}\n"));
                measured.failure = Some(message);
                clock.failed(index, place);
            }
        }
    }
}

/// The case's figure in what a program reported.
fn figure(
    metric: Metric,
    reported: &Map<String, Value>,
    peak_memory: Option<u64>,
) -> Result<f64, String> {
    match metric {
        Metric::Speed => reported
            .get("images_per_s")
            // What a training says at its end.
            .or_else(|| reported.get("images_per_second"))
            .and_then(Value::as_f64)
            .filter(|figure| figure.is_finite() && *figure > 0.0)
            .ok_or_else(|| "its JSON object has no images a second above 0".to_owned()),
        Metric::PeakMemory => peak_memory
            .map(|bytes| bytes as f64 / 1e6)
            .ok_or_else(|| "peak memory is read from /proc, which Linux alone has".to_owned()),
    }
}

/// Estimates the time left from what each measurement took before.
#[derive(Debug)]
struct Clock {
    /// Seconds of the last measurement and rounds left, of each contender of each case.
    tasks: Vec<Vec<Task>>,
    /// Seconds of a measurement that nothing is known of.
    guess: f64,
}

#[derive(Debug, Clone, Copy)]
struct Task {
    seconds: Option<f64>,
    rounds_left: usize,
}

impl Clock {
    fn new(contenders: &[usize], rounds: usize, guess: f64) -> Self {
        let task = Task {
            seconds: None,
            rounds_left: rounds,
        };
        let tasks = contenders.iter().map(|count| vec![task; *count]).collect();
        Self { tasks, guess }
    }

    fn done(&mut self, case: usize, contender: usize, took: Duration) {
        if let Some(task) = self.task(case, contender) {
            task.seconds = Some(took.as_secs_f64());
            task.rounds_left = task.rounds_left.saturating_sub(1);
        }
    }

    fn failed(&mut self, case: usize, contender: usize) {
        if let Some(task) = self.task(case, contender) {
            task.rounds_left = 0;
        }
    }

    fn task(&mut self, case: usize, contender: usize) -> Option<&mut Task> {
        self.tasks.get_mut(case)?.get_mut(contender)
    }

    fn left(&self) -> Duration {
        let tasks = self.tasks.iter().flatten();
        let known: Vec<f64> = tasks.clone().filter_map(|task| task.seconds).collect();
        let mean = match known.len() {
            0 => self.guess,
            count => known.iter().sum::<f64>() / count as f64,
        };
        let seconds = tasks
            .map(|task| task.rounds_left as f64 * task.seconds.unwrap_or(mean))
            .sum::<f64>();
        Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
    }
}

/// A time for a person, rounded up.
fn minutes(time: Duration) -> String {
    let minutes = time.as_secs().div_ceil(60);
    match minutes {
        0..60 => format!("{minutes} min"),
        _ => format!("{} h {} min", minutes / 60, minutes % 60),
    }
}

/// Progress goes to the error output, where a terminal that is gone is no reason to stop.
fn progress(text: &str) {
    let mut terminal = io::stderr().lock();
    let _ = terminal.write_all(text.as_bytes());
    let _ = terminal.flush();
}

#[cfg(test)]
mod tests {
    use super::super::contenders::Contender::Ours;
    use super::*;

    #[test]
    fn speed_is_what_the_program_reports_and_memory_what_its_process_held() {
        let reported = serde_json::json!({"images_per_s": 250.5});
        let reported = reported.as_object().unwrap();
        assert_eq!(figure(Metric::Speed, reported, None), Ok(250.5));
        let trained = serde_json::json!({"images_per_second": 125.5, "seconds": 2.0});
        let trained = trained.as_object().unwrap();
        assert_eq!(figure(Metric::Speed, trained, None), Ok(125.5));
        assert_eq!(
            figure(Metric::PeakMemory, reported, Some(368_000_000)),
            Ok(368.0)
        );
        assert!(figure(Metric::PeakMemory, reported, None).is_err());
        assert!(figure(Metric::Speed, &Map::new(), Some(1)).is_err());
    }

    #[test]
    fn the_time_left_follows_what_measurements_took_and_leaves_out_what_failed() {
        let mut clock = Clock::new(&[2, 1], 3, 10.0);
        assert_eq!(clock.left(), Duration::from_secs(90));
        clock.done(0, 0, Duration::from_secs(20));
        assert_eq!(clock.left(), Duration::from_secs(2 * 20 + 3 * 20 + 3 * 20));
        clock.done(0, 1, Duration::from_secs(40));
        clock.failed(0, 1);
        assert_eq!(clock.left(), Duration::from_secs(2 * 20 + 3 * 30));
    }

    #[test]
    fn a_time_is_rounded_up_to_minutes() {
        assert_eq!(minutes(Duration::ZERO), "0 min");
        assert_eq!(minutes(Duration::from_secs(61)), "2 min");
        assert_eq!(minutes(Duration::from_secs(2 * 3600 + 60)), "2 h 1 min");
    }

    /// A program that stands for the trainer: it says how often it ran, and fails where the batch is 8.
    #[cfg(unix)]
    fn programs(folder: &Path) -> Programs {
        use std::os::unix::fs::PermissionsExt;
        let trainer = folder.join("trainer");
        let script = "#!/bin/sh\ncase \"$*\" in *'--batch 8 '*) echo 'error: no memory' >&2; exit 1;; esac\n\
                      echo x >> count; echo \"{\\\"images_per_s\\\": $(wc -l < count)}\"\n";
        std::fs::create_dir_all(folder).unwrap();
        std::fs::write(&trainer, script).unwrap();
        std::fs::set_permissions(&trainer, std::fs::Permissions::from_mode(0o755)).unwrap();
        Programs {
            trainer,
            python: None,
            data: None,
            artifacts: folder.to_owned(),
        }
    }

    #[cfg(unix)]
    #[test]
    fn rounds_go_over_all_cases_and_a_failure_ends_only_its_own_part() {
        let folder = std::env::temp_dir().join(format!("xtask-measure-{}", std::process::id()));
        let programs = programs(&folder);
        let names = [
            "train-simple_cnn-4",
            "train-resnet20-8",
            "train-resnet20-32",
        ];
        let cases = names.map(|name| Case::from_name(name).unwrap());
        let plan = Plan {
            cases: &cases,
            rounds: 2,
            seconds: 0.1,
        };
        let mut states = Vec::new();
        let rows = measure(&plan, &programs, &folder, |_, state| {
            states.push(state);
            Ok(())
        })
        .unwrap();
        std::fs::remove_dir_all(&folder).unwrap();
        let figures: Vec<_> = rows
            .iter()
            .map(|row| row.of(Ours).unwrap().figures.clone())
            .collect();
        assert_eq!(figures, [vec![1.0, 3.0], vec![], vec![2.0, 4.0]]);
        let failure = rows[1].of(Ours).unwrap().failure.as_deref();
        assert_eq!(failure, Some("error: no memory"));
        let mut expected = vec![State::InRound(1); 3];
        expected.extend([State::InRound(2); 3]);
        expected.push(State::Complete);
        assert_eq!(states, expected);
    }
}
