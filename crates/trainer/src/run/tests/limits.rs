//! What stands in the place of a run's file neither fills the memory nor keeps anybody waiting.

use super::*;

/// More than any machine has memory for: a reader that takes the whole file fails otherwise than with
/// its size.
const ENORMOUS: u64 = 1 << 40;

/// Makes `path` a file of zeros, which take no room on the disk.
fn enormous(path: &Path) {
    fs::File::create(path).unwrap().set_len(ENORMOUS).unwrap();
}

fn is_too_long<T>(read: Result<T, RunError>) -> bool {
    matches!(read, Err(RunError::TooLong { found: ENORMOUS, limit, .. }) if limit <= 1 << 26)
}

#[test]
fn an_enormous_file_is_named_with_its_size_and_what_is_read_and_the_other_runs_are_listed() {
    let home = TempDir::new().unwrap();
    let other = started(home.path(), "other");
    environment("2026-01-01T00:00:00Z")
        .write(&other.environment())
        .unwrap();
    let files: [fn(&RunFolder) -> PathBuf; 4] = [
        RunFolder::config,
        RunFolder::environment,
        RunFolder::result,
        RunFolder::metrics,
    ];
    for file in files {
        let folder = started(home.path(), "long");
        enormous(&file(&folder));
        let runs = list(home.path()).unwrap();
        assert_eq!(runs.len(), 2);
        let of = |name: String| runs.iter().find(|run| run.name == name).unwrap();
        assert_eq!(of(other.name()).problem, None);
        let problem = of(folder.name()).problem.clone().unwrap();
        let path = file(&folder).display().to_string();
        for words in [path.as_str(), "1099511627776 bytes", "read up to"] {
            assert!(problem.contains(words), "{problem}");
        }
        fs::remove_dir_all(folder.path()).unwrap();
    }
    let table = home.path().join("table.csv");
    enormous(&table);
    assert!(is_too_long(read_rows::<StepRow>(&table)));
    assert!(is_too_long(read_rows::<MetricsRow>(&table)));
    assert!(is_too_long(read_predictions(&table, &cifar10::CLASS_NAMES)));
}

#[test]
fn a_table_of_more_rows_than_any_run_has_or_of_one_long_line_is_refused() {
    let home = TempDir::new().unwrap();
    let path = home.path().join("steps.csv");
    let log = CsvLog::<StepRow>::create(&path).unwrap();
    drop(log);
    let header = fs::read_to_string(&path).unwrap();
    for (rows, problem) in [
        ("1,1,1,1,1\n".repeat(1 << 20), "more than 1048576 lines"),
        ("1,1,1,1,1".repeat(1 << 10) + "\n", "line 2 has more than"),
    ] {
        fs::write(&path, header.clone() + &rows).unwrap();
        let message = read_rows::<StepRow>(&path).unwrap_err().to_string();
        assert!(message.contains(problem), "{message}");
    }
    fs::write(&path, header + &"1,1,1,1,1\n".repeat(1 << 16)).unwrap();
    assert_eq!(read_rows::<StepRow>(&path).unwrap().len(), 1 << 16);
}

/// A resumed run cuts the table where its checkpoint says, however long it has become.
#[test]
fn a_table_that_is_too_long_to_be_read_whole_can_be_gone_on_with() {
    let home = TempDir::new().unwrap();
    let path = home.path().join("metrics.csv");
    let mut log = CsvLog::create(&path).unwrap();
    log.append(&metrics_row(1)).unwrap();
    let length = log.sync().unwrap();
    let file = fs::File::options().write(true).open(&path).unwrap();
    file.set_len(ENORMOUS).unwrap();
    drop(CsvLog::<MetricsRow>::resume(&path, length).unwrap());
    assert_eq!(read_rows::<MetricsRow>(&path).unwrap(), [metrics_row(1)]);
}

#[cfg(unix)]
#[test]
fn a_pipe_in_the_place_of_a_file_keeps_nobody_waiting() {
    let home = TempDir::new().unwrap();
    let folder = started(home.path(), "piped");
    let files = [
        folder.environment(),
        folder.result(),
        folder.metrics(),
        folder.steps(),
        folder.events(),
    ];
    for path in &files {
        let made = std::process::Command::new("mkfifo").arg(path).status();
        assert!(made.unwrap().success());
    }
    let (sender, receiver) = std::sync::mpsc::channel();
    let artifacts = home.path().to_owned();
    std::thread::spawn(move || {
        let runs = list(&artifacts);
        let steps = CsvLog::<StepRow>::resume(&folder.steps(), 100).map(drop);
        let events = EventLog::resume(&folder.events(), 100).map(drop);
        let saved = has_saved(&folder.events());
        sender.send((runs, steps, events, saved)).ok();
    });
    let answer = receiver.recv_timeout(Duration::from_secs(20));
    let (runs, steps, events, saved) = answer.unwrap();
    assert!(!saved, "no checkpoint is read from a pipe");
    let problem = runs.unwrap().remove(0).problem.unwrap();
    for name in ["environment.json", "result.json", "metrics.csv"] {
        assert!(
            problem.contains(&format!("{name}: this is not a file")),
            "{problem}"
        );
    }
    for outcome in [steps, events] {
        assert!(matches!(outcome, Err(RunError::NotAFile { .. })));
    }
}
