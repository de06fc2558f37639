//! One run of libFuzzer over a target, and what it gave.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, IsTerminal, Write};
use std::iter;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use super::options::Options;

/// An input that takes longer is a hang, in seconds.
const TIMEOUT: u64 = 10;
/// How much longer than asked for a run may take before it is ended from outside.
const GRACE: Duration = Duration::from_secs(60);
/// Memory that the process may hold, in megabytes.
const MEMORY: u64 = 200;
/// The longest input, in bytes: a recipe may have no more.
const LONGEST_INPUT: u64 = 1 << 16;

/// Everything that the runs of all targets share.
pub struct Campaign<'a> {
    /// The fuzzer.
    pub program: &'a Path,
    /// `crates/fuzz`, with seeds and dictionaries.
    pub crate_folder: &'a Path,
    /// Where each target's findings go.
    pub output: &'a Path,
    /// The command line.
    pub options: &'a Options,
}

/// What a run gave.
pub struct Outcome {
    target: String,
    executions: u64,
    executions_per_second: u64,
    /// Edges of the readers that were reached.
    coverage: u64,
    peak_megabytes: u64,
    slowest: Duration,
    /// There was a failure, on this input where it could be kept.
    pub failure: Option<Option<PathBuf>>,
    /// What libFuzzer said.
    pub log: PathBuf,
}

impl Campaign<'_> {
    /// Gives `input` to the target once and shows what it says.
    ///
    /// # Errors
    /// A message where the target fails on it.
    pub fn replay(&self, target: &str, input: &Path) -> Result<(), String> {
        let scratch = self.scratch(target)?;
        let status = self
            .command(target, &scratch)
            .arg(input)
            .status()
            .map_err(|error| format!("the fuzzer could not be started: {error}"));
        remove(&scratch)?;
        if status?.success() {
            println!("{target} takes {}", input.display());
            Ok(())
        } else {
            Err(format!("{target} fails on {}", input.display()))
        }
    }

    /// Fuzzes the target for as long as the options say.
    ///
    /// # Errors
    /// A message where the fuzzer cannot be started or a file not be written.
    pub fn fuzz(&self, target: &str) -> Result<Outcome, String> {
        let folder = self.output.join(target);
        let corpus = folder.join("corpus");
        fs::create_dir_all(&corpus).map_err(failed("create", &corpus))?;
        let scratch = self.scratch(target)?;
        let mut command = self.command(target, &scratch);
        let slowest = folder.join("slowest");
        command
            .env("FUZZ_SLOWEST", &slowest)
            .arg(&corpus)
            .arg(self.crate_folder.join("seeds").join(target))
            .arg(format!("-max_total_time={}", self.options.seconds))
            .arg(format!("-max_len={LONGEST_INPUT}"))
            .arg(format!("-artifact_prefix={}/", folder.display()))
            .arg("-print_final_stats=1");
        let words = self
            .crate_folder
            .join("dictionaries")
            .join(format!("{target}.dict"));
        if words.is_file() {
            command.arg(format!("-dict={}", words.display()));
        }
        command.args(&self.options.libfuzzer);

        let log = folder.join("log");
        let mut outcome = Outcome::new(target, log.clone());
        let succeeded = self.follow(&mut command, &log, &mut outcome);
        remove(&scratch)?;
        if !succeeded? && outcome.failure.is_none() {
            outcome.failure = Some(None);
        }
        let time = slowest.with_extension("us");
        let microseconds = fs::read_to_string(&time).map_err(failed("read", &time))?;
        outcome.slowest = Duration::from_micros(microseconds.trim().parse().unwrap_or(0));
        Ok(outcome)
    }

    /// The fuzzer with its limits, in a temporary folder of its own.
    fn command(&self, target: &str, scratch: &Path) -> Command {
        let mut command = Command::new(self.program);
        command
            .env("FUZZ_TARGET", target)
            .env("TMPDIR", scratch)
            .arg(format!("-timeout={TIMEOUT}"))
            .arg(format!("-rss_limit_mb={MEMORY}"));
        command
    }

    /// A folder for the files that readers take, in memory where the system offers that.
    fn scratch(&self, target: &str) -> Result<PathBuf, String> {
        let memory = Path::new("/dev/shm");
        let base = if memory.is_dir() {
            memory.to_owned()
        } else {
            std::env::temp_dir()
        };
        let scratch = base.join(format!("xtask-fuzz-{target}-{}", std::process::id()));
        fs::create_dir_all(&scratch).map_err(failed("create", &scratch))?;
        Ok(scratch)
    }

    /// Runs the command and reads what it says, into the log and into `outcome`. Returns whether it
    /// found nothing.
    fn follow(
        &self,
        command: &mut Command,
        log: &Path,
        outcome: &mut Outcome,
    ) -> Result<bool, String> {
        let mut log_file = File::create(log).map_err(failed("create", log))?;
        let start = Instant::now();
        let mut child = command
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| format!("the fuzzer could not be started: {error}"))?;
        let lines = child.stderr.take().map(lines_of);
        let last_moment = Duration::from_secs(self.options.seconds) + GRACE;
        for line in lines
            .iter()
            .flat_map(|lines| until(lines, start + last_moment))
        {
            writeln!(log_file, "{line}").map_err(failed("write", log))?;
            outcome.note(&line);
            if line.starts_with('#') {
                self.show_progress(outcome, start.elapsed());
            }
        }
        clear_line();
        if start.elapsed() >= last_moment {
            // libFuzzer's own alarm can wait forever for a lock that the reader holds.
            child
                .kill()
                .map_err(|error| format!("the fuzzer hangs and cannot be ended: {error}"))?;
        }
        let status = child.wait();
        status
            .map(|status| status.success())
            .map_err(|error| format!("the fuzzer cannot be waited for: {error}"))
    }

    /// The time left and the coverage so far, on one line of a terminal.
    fn show_progress(&self, outcome: &Outcome, elapsed: Duration) {
        if io::stderr().is_terminal() {
            let left = self.options.seconds.saturating_sub(elapsed.as_secs());
            eprint!(
                "\r{}: {left} s left, coverage {} \x1b[K",
                outcome.target, outcome.coverage
            );
        }
    }
}

/// The lines of a pipe, read on a thread of their own.
fn lines_of(pipe: impl io::Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(pipe).split(b'\n').map_while(Result::ok) {
            if sender
                .send(String::from_utf8_lossy(&line).into_owned())
                .is_err()
            {
                break;
            }
        }
    });
    receiver
}

/// The lines that come before `end`.
fn until(lines: &Receiver<String>, end: Instant) -> impl Iterator<Item = String> {
    iter::from_fn(move || {
        let left = end.saturating_duration_since(Instant::now());
        lines.recv_timeout(left).ok()
    })
}

impl Outcome {
    /// The names of the columns.
    pub const HEADER: &str =
        "target      executions   a second  coverage  memory MB  slowest ms  result";

    fn new(target: &str, log: PathBuf) -> Self {
        Self {
            target: target.to_owned(),
            executions: 0,
            executions_per_second: 0,
            coverage: 0,
            peak_megabytes: 0,
            slowest: Duration::ZERO,
            failure: None,
            log,
        }
    }

    /// Takes what a line of libFuzzer's says.
    fn note(&mut self, line: &str) {
        if let Some((_, rest)) = line.split_once(" cov: ")
            && let Some(count) = rest
                .split_whitespace()
                .next()
                .and_then(|word| word.parse().ok())
        {
            self.coverage = count;
        }
        if let Some((_, path)) = line.split_once("Test unit written to ") {
            self.failure = Some(Some(path.trim().into()));
        }
        let Some((name, value)) = line
            .strip_prefix("stat::")
            .and_then(|stat| stat.split_once(':'))
        else {
            return;
        };
        let value = value.trim().parse().unwrap_or(0);
        match name {
            "number_of_executed_units" => self.executions = value,
            "average_exec_per_sec" => self.executions_per_second = value,
            "peak_rss_mb" => self.peak_megabytes = value,
            _ => {}
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:<10} {:>11} {:>10} {:>9} {:>10} {:>11.1}  {}",
            self.target,
            self.executions,
            self.executions_per_second,
            self.coverage,
            self.peak_megabytes,
            self.slowest.as_secs_f64() * 1e3,
            match &self.failure {
                None => "nothing found".to_owned(),
                Some(Some(path)) => path.display().to_string(),
                Some(None) => "failed".to_owned(),
            }
        )
    }
}

fn clear_line() {
    if io::stderr().is_terminal() {
        eprint!("\r\x1b[K");
    }
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> String {
    move |error| format!("could not {action} {}: {error}", path.display())
}

fn remove(folder: &Path) -> Result<(), String> {
    fs::remove_dir_all(folder).map_err(failed("remove", folder))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn figures_and_the_failing_input_are_read_from_what_libfuzzer_says() {
        let mut outcome = Outcome::new("pickle", PathBuf::new());
        for line in [
            "#8192\tpulse  cov: 312 ft: 702 corp: 40/1Kb exec/s: 4096 rss: 41Mb",
            "artifact_prefix='out/'; Test unit written to out/crash-1",
            "stat::number_of_executed_units: 9000",
            "stat::average_exec_per_sec:     4500",
            "stat::peak_rss_mb:              42",
        ] {
            outcome.note(line);
        }
        assert_eq!(outcome.coverage, 312);
        assert_eq!(outcome.executions, 9000);
        assert_eq!(outcome.executions_per_second, 4500);
        assert_eq!(outcome.peak_megabytes, 42);
        assert_eq!(outcome.failure, Some(Some("out/crash-1".into())));
    }

    #[test]
    fn a_fuzzer_that_falls_silent_is_left_at_the_end_of_its_time() {
        let (sender, lines) = mpsc::channel();
        sender.send("#1".to_owned()).unwrap();
        // The sender lives on, as the pipe of a process that hangs does.
        let heard: Vec<_> = until(&lines, Instant::now() + Duration::from_millis(10)).collect();
        assert_eq!(heard, ["#1"]);
        drop(sender);
    }
}
