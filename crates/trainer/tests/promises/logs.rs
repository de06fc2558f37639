//! Logs for other programs have each step and each epoch once, resumed or not.

use std::fs;
use std::path::Path;

use serde_json::Value;

use super::finished;
use super::resume::{Running, resumed};

fn events(run: &Path) -> Vec<Value> {
    let text = fs::read_to_string(run.join("events.jsonl")).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// The steps of all events called `name`.
fn steps(run: &Path, name: &str) -> Vec<u64> {
    events(run)
        .iter()
        .filter(|event| event["event"] == name)
        .map(|event| event["step"].as_u64().unwrap())
        .collect()
}

/// The records of TensorBoard's file, without their times.
fn records(run: &Path) -> Vec<Vec<u8>> {
    let bytes = fs::read(run.join("events.out.tfevents.trainer")).unwrap();
    let mut rest = bytes.as_slice();
    let mut records = Vec::new();
    while !rest.is_empty() {
        let length = u64::from_le_bytes(rest[..8].try_into().unwrap()) as usize;
        // A key and eight bytes of time begin each event.
        records.push(rest[12 + 9..12 + length].to_vec());
        rest = &rest[16 + length..];
    }
    records
}

#[test]
fn a_resumed_run_has_each_step_and_epoch_once_in_its_events_and_in_tensorboards() {
    let artifacts = tempfile::tempdir().unwrap();
    let settings = ["--set", "checkpoint.every_steps=3", "--epochs", "6"];
    let whole = finished(artifacts.path(), &settings);
    let mut running = Running::start(artifacts.path(), &settings);
    running.wait_for_step(15);
    running.signal("-KILL");
    let run = running.run.clone();
    // What was written after the last checkpoint is written again, so it is there twice if it stays.
    for file in ["events.jsonl", "events.out.tfevents.trainer"] {
        let bytes = fs::read(run.join(file)).unwrap();
        let twice = [bytes.as_slice(), bytes.as_slice()].concat();
        fs::write(run.join(file), twice).unwrap();
    }
    resumed(artifacts.path(), &[]);
    assert_eq!(steps(&run, "step"), (1..=78).collect::<Vec<_>>());
    assert_eq!(steps(&run, "epoch"), [13, 26, 39, 52, 65, 78]);
    assert_eq!(steps(&run, "resumed").len(), 1);
    let last = events(&run).pop().unwrap();
    assert_eq!(
        (&last["event"], &last["state"]),
        (&"ended".into(), &"finished".into())
    );
    // Speeds differ from run to run, and stand in the records of the six epochs only.
    let (cut, uncut) = (records(&run), records(&whole));
    assert_eq!(cut.len(), 1 + 78 + 6);
    let differ = cut.iter().zip(&uncut).filter(|(a, b)| a != b).count();
    assert!(
        cut.len() == uncut.len() && differ <= 6,
        "{differ} records differ"
    );
}

#[test]
fn a_file_of_events_that_was_cut_short_is_named_and_one_that_is_gone_is_begun_again() {
    let artifacts = tempfile::tempdir().unwrap();
    let mut running = Running::start(artifacts.path(), &["--epochs", "60"]);
    running.wait_for_step(13);
    running.signal("-KILL");
    let file = running.run.join("events.jsonl");
    fs::write(&file, "{}\n").unwrap();
    let refused = super::trainer(artifacts.path(), &["--resume", "latest"]);
    let message = super::text(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        message.contains("events.jsonl") && message.contains("checkpoint counts on"),
        "{message}"
    );
    fs::remove_file(&file).unwrap();
    resumed(artifacts.path(), &[]);
    assert_eq!(steps(&running.run, "step").last(), Some(&(60 * 13)));
}
