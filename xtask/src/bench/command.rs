//! Runs one command, with its peak memory and a time limit.

use std::ffi::OsStr;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde_json::{Map, Value};

/// The time between two looks at a running command. Short against a measurement, long against what a look costs.
const LOOK: Duration = Duration::from_millis(20);

/// Instruction sets and threads that a shell may have set for a contender. A measurement begins without them.
const CLEARED: &[&str] = &[
    "CPU_KERNELS_ISA",
    "ONEDNN_MAX_CPU_ISA",
    "ATEN_CPU_CAPABILITY",
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "RAYON_NUM_THREADS",
];
/// A command that measures.
#[derive(Debug)]
pub struct Invocation {
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// Environment variables of this command alone.
    pub environment: &'static [(&'static str, &'static str)],
}

/// What a command gave that succeeded.
#[derive(Debug)]
pub struct Output {
    /// The last JSON object of its output.
    pub reported: Map<String, Value>,
    /// The most memory that its process held, in bytes; none where the system does not say.
    pub peak_memory: Option<u64>,
}

impl Invocation {
    /// The command as one would type it.
    pub fn line(&self) -> String {
        let variables = self
            .environment
            .iter()
            .map(|(name, value)| format!("{name}={value}"));
        variables
            .chain([self.program.display().to_string()])
            .chain(self.arguments.iter().cloned())
            .collect::<Vec<_>>()
            .join(" ")
    }

    /// Runs the command in `folder` and waits at most for `limit`.
    ///
    /// # Errors
    /// A message where it cannot be started, fails, takes longer or prints no JSON object.
    pub fn run(&self, folder: &Path, limit: Duration) -> Result<Output, String> {
        let mut command = Command::new(&self.program);
        for name in CLEARED {
            command.env_remove(name);
        }
        let mut child = command
            .args(&self.arguments)
            .envs(self.environment.iter().copied())
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| format!("{} could not be started: {error}", self.program.display()))?;
        // A child that fills a pipe which nobody reads would wait for ever.
        let output = read_beside(child.stdout.take());
        let errors = read_beside(child.stderr.take());
        let (succeeded, peak_memory) = wait(&mut child, limit)?;
        let (output, errors) = (joined(output), joined(errors));
        if !succeeded {
            return Err(reason(&errors));
        }
        let reported = last_json_object(&output)
            .ok_or_else(|| format!("no JSON object in the output of `{}`", self.line()))?;
        Ok(Output {
            reported,
            peak_memory,
        })
    }
}

/// Whether the child succeeded, and its peak memory in bytes.
fn wait(child: &mut Child, limit: Duration) -> Result<(bool, Option<u64>), String> {
    let start = Instant::now();
    let mut peak_memory = None;
    loop {
        // The figure only grows, and is gone with the process, so that the last look counts.
        peak_memory = peak_memory_of(child.id()).or(peak_memory);
        let status = child
            .try_wait()
            .map_err(|error| format!("its end could not be awaited: {error}"))?;
        if let Some(status) = status {
            return Ok((status.success(), peak_memory));
        }
        if start.elapsed() > limit {
            // The child may have ended in between, which is no failure of its own.
            let _ = child.kill();
            let _ = child.wait();
            return Err(format!("not done after {} s", limit.as_secs()));
        }
        thread::sleep(LOOK);
    }
}

/// The most memory that a running process has held, in bytes, where the system has Linux's `/proc`.
fn peak_memory_of(process: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    peak_memory_in(&status)
}

/// `VmHWM` of the text of `/proc/PID/status`, in bytes.
fn peak_memory_in(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}

fn read_beside(pipe: Option<impl Read + Send + 'static>) -> JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            // What came before a broken pipe still tells the reason.
            let _ = pipe.read_to_end(&mut bytes);
        }
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

fn joined(reader: JoinHandle<String>) -> String {
    reader.join().unwrap_or_default()
}

/// The line that says why a program failed: the first that begins with `error`, or the last, where Python has it.
pub fn reason(errors: &str) -> String {
    let mut lines = errors
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty());
    let error = lines.clone().find(|line| line.starts_with("error"));
    error
        .or_else(|| lines.next_back())
        .unwrap_or("it failed without a message")
        .to_owned()
}

/// The last line of `output` that is a JSON object.
pub fn last_json_object(output: &str) -> Option<Map<String, Value>> {
    output
        .lines()
        .rev()
        .find_map(|line| match serde_json::from_str(line) {
            Ok(Value::Object(object)) => Some(object),
            _ => None,
        })
}

/// Runs a command that only answers and gives its output without white space around it; none where it fails.
pub fn answer<S: AsRef<OsStr>>(program: S, arguments: &[&str], folder: &Path) -> Option<String> {
    let output = Command::new(program)
        .args(arguments)
        .current_dir(folder)
        .stderr(Stdio::null())
        .output()
        .ok()?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    (output.status.success() && !text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_json_object_counts_whatever_stands_around_it() {
        let output = "warm-up\n{\"images_per_s\": 1.0}\n{\"images_per_s\": 2.5}\n[1]\ndone\n";
        let object = last_json_object(output).unwrap();
        assert_eq!(object.get("images_per_s").unwrap().as_f64(), Some(2.5));
        assert!(last_json_object("12\n[1]\n{broken\n").is_none());
        assert!(last_json_object("").is_none());
    }

    #[test]
    fn the_reason_is_the_line_with_the_error() {
        let clap = "error: unexpected argument '--stock' found\n\nUsage: trainer\n\nFor more, try '--help'.\n";
        assert_eq!(reason(clap), "error: unexpected argument '--stock' found");
        let python = "Traceback (most recent call last):\n  File \"x.py\"\nModuleNotFoundError: No module named 'onnx'\n";
        assert_eq!(
            reason(python),
            "ModuleNotFoundError: No module named 'onnx'"
        );
        assert_eq!(reason("\n"), "it failed without a message");
    }

    #[test]
    fn peak_memory_is_read_in_bytes() {
        let status = "Name:\ttrainer\nVmPeak:\t  900 kB\nVmHWM:\t   512 kB\nVmRSS:\t 100 kB\n";
        assert_eq!(peak_memory_in(status), Some(512 * 1024));
        assert_eq!(peak_memory_in("Name:\ttrainer\n"), None);
    }

    /// A command of the shell in the temporary folder.
    #[cfg(unix)]
    fn shell(script: &str, limit: Duration) -> Result<Output, String> {
        let invocation = Invocation {
            program: "sh".into(),
            arguments: vec!["-c".to_owned(), script.to_owned()],
            environment: &[("CPU_KERNELS_ISA", "avx2")],
        };
        invocation.run(&std::env::temp_dir(), limit)
    }

    #[cfg(unix)]
    #[test]
    fn a_command_gets_its_variables_and_gives_its_object() {
        let limit = Duration::from_secs(60);
        let output = shell("echo \"{\\\"isa\\\": \\\"$CPU_KERNELS_ISA\\\"}\"", limit).unwrap();
        assert_eq!(output.reported.get("isa").unwrap(), "avx2");
    }

    #[cfg(unix)]
    #[test]
    fn a_command_that_fails_says_why() {
        let limit = Duration::from_secs(60);
        assert_eq!(
            shell("echo 'no such layout' >&2; exit 3", limit).unwrap_err(),
            "no such layout"
        );
        assert!(
            shell("echo fast", limit)
                .unwrap_err()
                .starts_with("no JSON object")
        );
    }

    #[cfg(unix)]
    #[test]
    fn a_command_that_takes_too_long_is_ended() {
        assert_eq!(
            shell("exec sleep 600", Duration::ZERO).unwrap_err(),
            "not done after 0 s"
        );
    }

    #[test]
    fn a_program_that_is_not_there_is_named() {
        let invocation = Invocation {
            program: "no-such-program".into(),
            arguments: Vec::new(),
            environment: &[],
        };
        let message = invocation
            .run(&std::env::temp_dir(), Duration::ZERO)
            .unwrap_err();
        assert!(message.starts_with("no-such-program could not be started: "));
    }
}
