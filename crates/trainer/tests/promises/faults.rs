//! What goes wrong around a run costs nothing that was saved.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use super::resume::{Running, last_step, resumed};
use super::{SMALL, assert_equal_runs, command, finished, program, result, text, trainer};

const OFTEN: [&str; 2] = ["--set", "checkpoint.every_steps=3"];

#[test]
fn a_second_process_is_refused_and_the_lock_dies_with_the_first() {
    let artifacts = tempfile::tempdir().unwrap();
    let mut running = Running::start(artifacts.path(), &["--epochs", "200"]);
    running.wait_for_step(13);
    let second = trainer(artifacts.path(), &["--resume", "latest"]);
    let message = text(&second.stderr);
    assert_eq!(second.status.code(), Some(1));
    assert!(message.contains("another process"), "{message}");
    assert!(
        message.contains(&running.child.id().to_string()),
        "{message}"
    );
    running.signal("-KILL");
    let mut third = command(artifacts.path(), &["--resume", "latest"])
        .stderr(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    running.child = {
        let saved = last_step(&running.run);
        while last_step(&running.run) <= saved {
            assert!(third.try_wait().unwrap().is_none(), "it was refused");
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
        third
    };
    assert_eq!(running.signal("-INT"), Some(130));
}

#[test]
fn a_loss_that_is_no_number_stops_the_run_and_leaves_a_good_checkpoint() {
    let artifacts = tempfile::tempdir().unwrap();
    let settings = ["--lr", "1000", "--set", "checkpoint.every_steps=1"];
    let settings = [&settings[..], &["--set", "schedule.warmup=0.9"]].concat();
    let output = trainer(artifacts.path(), &[&SMALL[..], &settings].concat());
    let message = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{message}");
    assert!(
        message.contains("the loss became") && message.contains("at step"),
        "{message}"
    );
    assert!(message.contains("a gradient of norm"), "{message}");
    for words in ["--lr", "schedule.warmup", "--seed", "saved up to step-"] {
        assert!(message.contains(words), "{message}");
    }
    let run = fs::canonicalize(artifacts.path().join("latest")).unwrap();
    assert_eq!(result(&run)["state"], "failed");
    assert!(result(&run)["error"].as_str().unwrap().contains("step"));
    // The checkpoint is a whole one, and its weights are numbers: a resumed run comes to the same end.
    let again = trainer(artifacts.path(), &["--resume", "latest"]);
    let first = message.lines().find(|line| line.contains("error: "));
    let second = text(&again.stderr);
    assert_eq!(second.lines().find(|line| line.contains("error: ")), first);
}

#[test]
fn closed_standard_output_and_error_lose_nothing() {
    let artifacts = tempfile::tempdir().unwrap();
    let whole = finished(artifacts.path(), &[]);
    let mut child = command(artifacts.path(), &[&SMALL[..], &["-v"]].concat())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop((child.stdout.take(), child.stderr.take()));
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let run = fs::canonicalize(artifacts.path().join("latest")).unwrap();
    assert_ne!(run, whole);
    assert_equal_runs(&run, &whole);
}

#[test]
fn a_folder_of_checkpoints_that_is_deleted_during_the_run_is_made_again() {
    let artifacts = tempfile::tempdir().unwrap();
    let settings = [&OFTEN[..], &["--epochs", "6"]].concat();
    let whole = finished(artifacts.path(), &settings);
    let mut running = Running::start(artifacts.path(), &settings);
    running.wait_for_step(9);
    let moved = artifacts.path().join("moved");
    fs::rename(running.run.join("checkpoints"), &moved).unwrap();
    fs::remove_dir_all(&moved).ok();
    assert_eq!(running.child.wait().unwrap().code(), Some(0));
    assert_equal_runs(&running.run, &whole);
    assert!(last_step(&running.run) == 6 * 13);
}

/// A file in the place of the folder stands for one that has become read-only, which root may write.
#[test]
fn a_folder_that_cannot_be_written_any_more_ends_the_run_with_one_message_and_it_resumes() {
    let artifacts = tempfile::tempdir().unwrap();
    let settings = [&OFTEN[..], &["--epochs", "6"]].concat();
    let whole = finished(artifacts.path(), &settings);
    let mut running = Running::start(artifacts.path(), &settings);
    running.wait_for_step(9);
    let (folder, moved) = (running.run.join("checkpoints"), running.run.join("moved"));
    fs::rename(&folder, &moved).unwrap();
    // The run may have made the folder again in between; its one checkpoint is given up.
    fs::remove_dir_all(&folder).ok();
    fs::write(&folder, "").unwrap();
    assert_eq!(running.child.wait().unwrap().code(), Some(1));
    let failed = result(&running.run);
    assert_eq!(failed["state"], "failed");
    assert!(failed["error"].as_str().unwrap().contains("checkpoints"));
    fs::remove_file(&folder).unwrap();
    fs::rename(&moved, &folder).unwrap();
    resumed(artifacts.path(), &[]);
    assert_equal_runs(&running.run, &whole);
}

/// A limit on the size of files stands for a full disk, since a test cannot fill one: the first part
/// of the first checkpoint does not fit.
#[test]
fn a_write_that_does_not_fit_ends_the_run_with_one_message_and_it_resumes_after_room_is_made() {
    let artifacts = tempfile::tempdir().unwrap();
    let whole = finished(artifacts.path(), &[]);
    let limited = command(artifacts.path(), &SMALL);
    let output = Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f 300; exec \"$0\" \"$@\""])
        .arg(limited.get_program())
        .args(limited.get_args())
        .output()
        .unwrap();
    let message = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{message}");
    assert!(message.contains("model.bpk"), "{message}");
    assert!(message.contains("make room, then go on with"), "{message}");
    assert!(!message.contains("panicked"), "{message}");
    let run = fs::canonicalize(artifacts.path().join("latest")).unwrap();
    resumed(artifacts.path(), &[]);
    assert_equal_runs(&run, &whole);
}

/// A step of this network lasts for seconds, so that both signals fall into the first one. An
/// interrupt that waited for the step's end would save, and say so in `result.json`.
#[test]
fn a_second_interrupt_ends_the_program_at_once() {
    let artifacts = tempfile::tempdir().unwrap();
    let slow = ["--network", "resnet18", "--batch-size", "400"];
    let mut running = Running::start(artifacts.path(), &slow);
    let log = running.run.join("run.log");
    while !fs::read_to_string(&log).is_ok_and(|text| text.contains("steps:")) {
        assert!(
            running.child.try_wait().unwrap().is_none(),
            "it ended early"
        );
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    let id = running.child.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-INT", &id])
            .status()
            .unwrap()
            .success()
    );
    std::thread::sleep(std::time::Duration::from_millis(700));
    assert_eq!(running.signal("-INT"), Some(130));
    assert!(
        !running.run.join("result.json").exists(),
        "it was not at once"
    );
    assert_eq!(last_step(&running.run), 0);
}

/// The test takes seconds here, and training none.
#[test]
fn an_interrupt_of_the_test_ends_it_and_the_resumed_run_is_tested_whole() {
    let artifacts = tempfile::tempdir().unwrap();
    let many = ["--set", "data.test_images=60000"];
    let whole = finished(artifacts.path(), &many);
    let mut running = Running::start(artifacts.path(), &many);
    let log = running.run.join("run.log");
    while !fs::read_to_string(&log).is_ok_and(|text| text.contains("testing on")) {
        let ended = running.child.try_wait().unwrap();
        assert!(ended.is_none(), "it ended early");
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    assert_eq!(running.signal("-INT"), Some(130));
    assert_eq!(result(&running.run)["state"], "interrupted");
    assert!(result(&running.run)["test_accuracy"].is_null());
    resumed(artifacts.path(), &[]);
    assert_equal_runs(&running.run, &whole);
}

#[test]
fn a_run_that_goes_on_is_no_longer_what_it_was_when_it_was_interrupted() {
    let artifacts = tempfile::tempdir().unwrap();
    let often = ["--epochs", "200", "--set", "checkpoint.every_steps=5"];
    let mut running = Running::start(artifacts.path(), &often);
    running.wait_for_step(13);
    assert_eq!(running.signal("-INT"), Some(130));
    let step = last_step(&running.run);
    let listed = || {
        let place = artifacts.path().to_str().unwrap();
        let output = program(&["runs", "--json", "--artifacts", place]);
        let runs: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        runs[0].clone()
    };
    assert_eq!(listed()["state"], "interrupted");
    assert!(listed()["epochs"].as_f64().unwrap_or(0.0) < 100.0);
    let mut again = Running::resume(artifacts.path());
    again.wait_for_step(step + 10);
    again.signal("-KILL");
    assert!(listed()["state"].is_null());
    for old in ["result.json", "model.bpk", "model.safetensors"] {
        assert!(!running.run.join(old).exists(), "{old}");
    }
}

#[test]
fn a_signal_that_comes_twice_at_once_is_one_interrupt_and_saves() {
    let artifacts = tempfile::tempdir().unwrap();
    let mut running = Running::start(artifacts.path(), &["--epochs", "200"]);
    running.wait_for_step(13);
    let id = running.child.id().to_string();
    let twice = format!("kill -INT {id}; sleep 0.05; kill -INT {id}");
    Command::new("sh").args(["-c", &twice]).status().unwrap();
    assert_eq!(running.child.wait().unwrap().code(), Some(130));
    assert_eq!(result(&running.run)["state"], "interrupted");
    assert_eq!(
        result(&running.run)["steps"].as_u64(),
        Some(last_step(&running.run))
    );
}

/// Gives everything in `folder` the time `time`.
fn set_times(folder: &Path, time: SystemTime) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            set_times(&path, time);
        }
        let file = fs::File::open(&path).unwrap();
        file.set_modified(time).unwrap();
    }
}

/// No test can set the clock of the machine, which others use. What is left of a clock that was ahead, once
/// it has been put right, is on the disk: a name, a date and the times of files that are still to come.
#[test]
fn a_clock_that_has_gone_back_stops_no_save_and_changes_no_figure() {
    const DAY: Duration = Duration::from_secs(24 * 60 * 60);
    let artifacts = tempfile::tempdir().unwrap();
    let settings = [
        "--epochs",
        "6",
        "--set",
        "checkpoint.every_epochs=0",
        "--set",
        "checkpoint.every_minutes=0.0001",
    ];
    let whole = finished(artifacts.path(), &settings);
    let mut running = Running::start(artifacts.path(), &settings);
    running.wait_for_step(13);
    running.signal("-KILL");
    let run = artifacts.path().join("smoke-29990101-000000");
    fs::rename(&running.run, &run).unwrap();
    let path = run.join("environment.json");
    let mut environment: serde_json::Value =
        serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    environment["started"] = "2999-01-01T00:00:00Z".into();
    fs::write(&path, environment.to_string()).unwrap();
    set_times(&run, SystemTime::now() + DAY);

    let saved = last_step(&run);
    assert!((1..6 * 13).contains(&saved), "{saved}");
    let name = run.to_str().unwrap();
    let output = trainer(artifacts.path(), &["--resume", name]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_equal_runs(&run, &whole);
    let events = fs::read_to_string(run.join("events.jsonl")).unwrap();
    let (_, after) = events.split_once("\"resumed\"").unwrap();
    let saves = after
        .lines()
        .filter(|line| line.contains("\"event\":\"saved\""));
    assert!(saves.count() > 1, "it was not saved by the minute: {after}");

    // A run of today has the earlier name, and is the latest nevertheless.
    let newest = finished(artifacts.path(), &[]);
    assert!(newest.file_name() < run.file_name());
}
