use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use super::{command, text, trainer};

/// The smoke recipe with fewer images and epochs.
const SMALL: [&str; 8] = [
    "--config",
    "smoke",
    "--set",
    "data.train_images=600",
    "--set",
    "data.test_images=100",
    "--epochs",
    "3",
];

fn result(run: &Path) -> Value {
    serde_json::from_slice(&fs::read(run.join("result.json")).unwrap()).unwrap()
}

/// The tensors of a safetensors file: what stands after its header, which is no promise.
fn weights(run: &Path) -> Vec<u8> {
    let bytes = fs::read(run.join("model.safetensors")).unwrap();
    let header = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    bytes[8 + header..].to_vec()
}

/// A table without its columns of times, which stand last.
fn table(run: &Path, name: &str, times: usize) -> Vec<Vec<String>> {
    fs::read_to_string(run.join(name))
        .unwrap()
        .lines()
        .map(|line| {
            let mut cells: Vec<String> = line.split(',').map(str::to_owned).collect();
            cells.truncate(cells.len() - times);
            cells
        })
        .collect()
}

fn finished(artifacts: &Path, extra: &[&str]) -> std::path::PathBuf {
    let output = trainer(artifacts, &[&SMALL[..], extra].concat());
    assert!(output.status.success(), "{}", text(&output.stderr));
    fs::canonicalize(artifacts.join("latest")).unwrap()
}

fn assert_equal_runs(a: &Path, b: &Path) {
    assert_eq!(weights(a), weights(b), "weights");
    assert_eq!(table(a, "steps.csv", 1), table(b, "steps.csv", 1));
    assert_eq!(table(a, "metrics.csv", 2), table(b, "metrics.csv", 2));
    for field in [
        "steps",
        "train_loss",
        "valid_accuracy",
        "test_accuracy",
        "best_epoch",
    ] {
        assert_eq!(result(a)[field], result(b)[field], "{field}");
    }
}

#[test]
fn a_run_folder_holds_what_the_design_says() {
    let artifacts = tempfile::tempdir().unwrap();
    let run = finished(artifacts.path(), &[]);
    for file in [
        "config.toml",
        "environment.json",
        "metrics.csv",
        "steps.csv",
        "checkpoints/model-3.bpk",
        "model.bpk",
        "model.safetensors",
        "confusion.csv",
        "predictions.csv",
        "run.log",
        "result.json",
    ] {
        let size = fs::metadata(run.join(file)).map(|m| m.len()).unwrap_or(0);
        assert!(size > 0, "{file} is absent or empty");
    }
    let result = result(&run);
    assert_eq!(result["state"], "finished");
    assert_eq!(result["dataset"], "synthetic");
    assert_eq!(result["steps"], 3 * 13);
    // 600 images, 200 held out, 100 for the test; a header each.
    assert_eq!(table(&run, "predictions.csv", 0).len(), 101);
    assert_eq!(table(&run, "steps.csv", 1).len(), 40);
    assert_eq!(table(&run, "metrics.csv", 2).len(), 4);
}

#[test]
fn one_seed_gives_the_same_weights_with_any_number_of_threads() {
    let artifacts = tempfile::tempdir().unwrap();
    let one = finished(artifacts.path(), &["--threads", "1"]);
    let two = finished(artifacts.path(), &["--threads", "2"]);
    assert_ne!(one, two);
    assert_equal_runs(&one, &two);
    let other = finished(artifacts.path(), &["--seed", "1"]);
    assert_ne!(weights(&one), weights(&other));
}

#[cfg(unix)]
#[test]
fn an_interrupted_run_saves_exits_130_and_resumes_to_the_same_end() {
    let artifacts = tempfile::tempdir().unwrap();
    let whole = finished(artifacts.path(), &["--epochs", "12"]);
    let arguments = [&SMALL[..6], &["--epochs", "12", "--name", "cut"]].concat();
    let mut child = command(artifacts.path(), &arguments)
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    // The second epoch's row says that the first one's checkpoint is being kept.
    let run = loop {
        std::thread::sleep(Duration::from_millis(5));
        assert!(child.try_wait().unwrap().is_none(), "it ended too early");
        let Ok(run) = fs::canonicalize(artifacts.path().join("latest")) else {
            continue;
        };
        let rows = fs::read_to_string(run.join("metrics.csv")).unwrap_or_default();
        if run != whole && rows.lines().count() >= 3 {
            break run;
        }
    };
    let killed = std::process::Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status()
        .unwrap();
    assert!(killed.success());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert_eq!(result(&run)["state"], "interrupted");
    assert!(result(&run)["steps"].as_u64().unwrap() < 12 * 13);
    let output = trainer(artifacts.path(), &["--resume", "latest"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_equal_runs(&run, &whole);
    let again = trainer(artifacts.path(), &["--resume", "latest"]);
    assert_eq!(again.status.code(), Some(1));
    assert!(text(&again.stderr).contains("finished"));
}

#[test]
fn a_part_of_an_epoch_is_trained_and_no_more() {
    let artifacts = tempfile::tempdir().unwrap();
    let run = finished(artifacts.path(), &["--epochs", "1.5"]);
    assert_eq!(result(&run)["steps"], 20);
}
