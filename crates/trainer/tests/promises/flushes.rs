//! What reaches the disk, and in which order. A kill loses nothing that the system was handed, so that no
//! resumed run shows whether it was flushed: these tests read the program's system calls.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::resume::last_step;
use super::{SMALL, command, text};

/// The calls that are watched. Names that end alike are variants of one call.
const CALLS: &str = "trace=write,writev,pwrite64,fsync,fdatasync,mkdir,mkdirat,rename,renameat,\
    renameat2,unlink,unlinkat,rmdir";

/// A call of the system, and what it was for: a path below the run's folder, empty for the folder itself.
#[derive(Debug, PartialEq)]
struct Call {
    name: &'static str,
    path: PathBuf,
}

impl Call {
    /// The call in a line of strace; none where the line is no call of these, one that failed, or one on
    /// something outside of `run`.
    fn read(line: &str, run: &Path) -> Option<Self> {
        let (_, call) = line.split_once(' ')?;
        let (name, arguments) = call.trim_start().split_once('(')?;
        if arguments.contains(" = -1 ") {
            return None;
        }
        let (name, path) = match name {
            "write" | "writev" | "pwrite64" => ("write", of_number(arguments)?),
            "fsync" | "fdatasync" => ("fsync", of_number(arguments)?),
            "mkdir" | "mkdirat" => ("mkdir", quoted(arguments).next()?),
            "rename" | "renameat" | "renameat2" => ("rename", quoted(arguments).nth(1)?),
            "unlink" | "unlinkat" | "rmdir" => ("delete", quoted(arguments).next()?),
            _ => return None,
        };
        let path = Path::new(path).strip_prefix(run).ok()?.to_owned();
        Some(Self { name, path })
    }

    /// The call and the last part of its path.
    fn short(&self) -> String {
        let file = self.path.file_name().unwrap_or_default();
        format!("{} {}", self.name, file.to_string_lossy())
    }
}

/// The path of an open file, which strace writes behind its number: `5</path>`.
fn of_number(arguments: &str) -> Option<&str> {
    let path = arguments.split_once('<')?.1;
    Some(path.split_once('>')?.0)
}

fn quoted(arguments: &str) -> impl Iterator<Item = &str> {
    arguments.split('"').skip(1).step_by(2)
}

/// Trains the small recipe with `settings`, and gives the run and its calls, each row of equal ones as one.
fn watched(artifacts: &Path, settings: &[&str]) -> (PathBuf, Vec<Call>) {
    let log = artifacts.join("calls");
    let train = command(artifacts, &[&SMALL[..], settings].concat());
    let output = Command::new("strace")
        .args(["--follow-forks", "--decode-fds=path", "--string-limit=0"])
        .args(["-e", CALLS, "--output"])
        .arg(&log)
        .arg(train.get_program())
        .args(train.get_args())
        .output()
        .unwrap_or_else(|error| unreachable!("install strace, which this test needs: {error}"));
    assert!(output.status.success(), "{}", text(&output.stderr));
    let run = fs::canonicalize(artifacts.join("latest")).unwrap();
    let log = fs::read_to_string(log).unwrap();
    let mut calls: Vec<Call> = log
        .lines()
        .filter_map(|line| Call::read(line, &run))
        .collect();
    calls.dedup();
    (run, calls)
}

#[test]
fn a_checkpoint_is_flushed_whole_before_it_gets_its_name_and_older_ones_go_after_that() {
    let artifacts = tempfile::tempdir().unwrap();
    let artifacts = fs::canonicalize(artifacts.path()).unwrap();
    let settings = ["--set", "validation=0", "--set", "checkpoint.keep=1"];
    let (run, calls) = watched(&artifacts, &settings);
    let step = last_step(&run);
    let unfinished = format!(".step-{step}.tmp");
    let begin = calls
        .iter()
        .position(|call| call.short() == format!("mkdir {unfinished}"))
        .unwrap();

    // The manifest counts on the lengths of the tables.
    for table in [
        "metrics.csv",
        "steps.csv",
        "events.jsonl",
        "events.out.tfevents.trainer",
    ] {
        let last = calls[..begin]
            .iter()
            .rfind(|call| call.path == Path::new(table));
        assert_eq!(last.unwrap().name, "fsync", "{table}");
    }

    let shorts: Vec<String> = calls[begin..]
        .iter()
        .filter(|call| call.path.starts_with("checkpoints"))
        .map(Call::short)
        .collect();
    let mut expected = vec![format!("mkdir {unfinished}")];
    for part in [
        "model.bpk",
        "optimizer.bpk",
        "schedule.bpk",
        "manifest.json",
        "manifest.sha256",
    ] {
        expected.extend(["write", "fsync"].map(|call| format!("{call} {part}")));
    }
    expected.extend([
        format!("fsync {unfinished}"),
        format!("rename step-{step}"),
        "fsync checkpoints".to_owned(),
        format!("rename .step-{}.old", step / 3 * 2),
    ]);
    assert_eq!(shorts[..expected.len().min(shorts.len())], expected);
    let deleted = &shorts[expected.len()..];
    assert!(deleted.len() > 5, "{deleted:?}");
    assert!(
        deleted.iter().all(|call| call.starts_with("delete")),
        "{deleted:?}"
    );
}

#[test]
fn a_result_is_flushed_before_it_gets_its_name_and_the_name_after() {
    let artifacts = tempfile::tempdir().unwrap();
    let artifacts = fs::canonicalize(artifacts.path()).unwrap();
    let (_, calls) = watched(&artifacts, &["--epochs", "1"]);
    let is_temporary = |call: &Call| call.short().contains(".result.json.");
    let begin = calls.iter().position(is_temporary).unwrap();
    let of_result: Vec<&str> = calls[begin..]
        .iter()
        .filter(|call| call.short().contains("result.json") || call.path == Path::new(""))
        .take(4)
        .map(|call| call.name)
        .collect();
    assert_eq!(of_result, ["write", "fsync", "rename", "fsync"]);
}
