use std::fs;

use super::{assert_equal_runs, finished, result, table, weights};

#[test]
fn a_run_folder_holds_what_the_design_says() {
    let artifacts = tempfile::tempdir().unwrap();
    let run = finished(artifacts.path(), &[]);
    for file in [
        "config.toml",
        "environment.json",
        "metrics.csv",
        "steps.csv",
        "checkpoints/step-39/manifest.json",
        "checkpoints/step-39/model.bpk",
        "checkpoints/step-39/optimizer.bpk",
        "checkpoints/step-39/schedule.bpk",
        "model.bpk",
        "model.safetensors",
        "confusion.csv",
        "predictions.csv",
        "run.log",
        "result.json",
        "report.html",
        "events.jsonl",
        "events.out.tfevents.trainer",
        "plots",
    ] {
        let size = fs::metadata(run.join(file)).map_or(0, |m| m.len());
        assert!(size > 0, "{file} is absent or empty");
    }
    // `latest` names the folder without a path, so that the artifacts can be moved.
    let latest = fs::read_link(artifacts.path().join("latest")).unwrap();
    assert_eq!(latest.as_os_str(), run.file_name().unwrap());
    let environment = fs::read_to_string(run.join("environment.json")).unwrap();
    let environment: serde_json::Value = serde_json::from_str(&environment).unwrap();
    assert_eq!(environment["data"]["sha256"][1][0], "test images");
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
    for threads in ["2", "3"] {
        let more = finished(artifacts.path(), &["--threads", threads]);
        assert_ne!(one, more);
        assert_equal_runs(&one, &more);
    }
    let other = finished(artifacts.path(), &["--seed", "1"]);
    assert_ne!(weights(&one), weights(&other));
}

#[test]
fn fifty_steps_of_a_residual_network_give_the_same_weights_with_one_two_and_three_threads() {
    let artifacts = tempfile::tempdir().unwrap();
    let settings = [
        "--network",
        "resnet20",
        "--batch-size",
        "8",
        "--epochs",
        "1",
    ];
    let runs = ["1", "2", "3"].map(|threads| {
        let settings = [&settings[..], &["--threads", threads]].concat();
        finished(artifacts.path(), &settings)
    });
    assert_eq!(result(&runs[0])["steps"], 50);
    assert_equal_runs(&runs[0], &runs[1]);
    assert_equal_runs(&runs[0], &runs[2]);
}

#[test]
fn a_part_of_an_epoch_is_trained_and_no_more() {
    let artifacts = tempfile::tempdir().unwrap();
    let run = finished(artifacts.path(), &["--epochs", "1.5"]);
    assert_eq!(result(&run)["steps"], 20);
}
