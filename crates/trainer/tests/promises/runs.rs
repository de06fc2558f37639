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
fn the_device_is_waited_for_some_times_a_second_and_not_at_each_step() {
    let artifacts = tempfile::tempdir().unwrap();
    // Batches so small that a step takes far less than the time between two reads.
    let run = finished(artifacts.path(), &["--batch-size", "2", "--threads", "1"]);
    let log = fs::read_to_string(run.join("run.log")).unwrap();
    let numbers = |line: &str| -> Vec<u64> {
        line.split(' ')
            .filter_map(|word| word.parse().ok())
            .collect()
    };
    let reads: Vec<_> = (log.lines())
        .filter(|line| line.starts_with("read the figures of "))
        .map(numbers)
        .collect();
    // One line an epoch: its steps, and how often the device was waited for. Every row is there all the same.
    assert_eq!(reads.len(), 3, "{log}");
    let seconds = fs::read_to_string(run.join("metrics.csv")).unwrap();
    let seconds = seconds.lines().skip(1).map(|row| -> f64 {
        let cells: Vec<_> = row.split(',').collect();
        cells[cells.len() - 2].parse().unwrap()
    });
    for (read, seconds) in reads.iter().zip(seconds) {
        assert_eq!(read.len(), 2, "{log}");
        let (steps, waits) = (read[0], read[1]);
        assert_eq!(steps, 200);
        // Every 50 milliseconds, every 32 steps, and at the end.
        let most = (seconds / 0.05) as u64 + steps / 32 + 1;
        assert!((1..=most).contains(&waits), "{waits} waits, {most} at most");
    }
    let rows = table(&run, "steps.csv", 1);
    let numbers: Vec<u64> = rows[1..]
        .iter()
        .map(|row| row[0].parse().unwrap())
        .collect();
    assert_eq!(numbers, (1..=600).collect::<Vec<u64>>());
}

#[test]
fn a_recipe_for_another_network_says_which_one_would_fit() {
    let artifacts = tempfile::tempdir().unwrap();
    let log = |extra: &[&str]| {
        let run = finished(artifacts.path(), &[extra, &["--epochs", "0.1"]].concat());
        fs::read_to_string(run.join("run.log")).unwrap()
    };
    let of_resnet20 = log(&["--network", "resnet20"]);
    let line = "the recipe smoke is made for simple_cnn: its rates may be too high for resnet20; \
                for resnet20 there is --config resnet20 and --config resnet20-quick";
    assert!(of_resnet20.contains(line), "{of_resnet20}");
    let of_resnet9 = log(&["--network", "resnet9"]);
    assert!(of_resnet9.contains("`--config resnet18`"), "{of_resnet9}");
    let own = log(&["--network", "simple_cnn"]);
    assert!(!own.contains("is made for"), "{own}");
}

/// Begun with the run's first weights, which are random, it would hold a part of them to the end.
#[test]
fn an_average_begins_with_the_weights_of_its_first_update() {
    let artifacts = tempfile::tempdir().unwrap();
    let plain = finished(artifacts.path(), &["--epochs", "0.5"]);
    let steps = result(&plain)["steps"].as_u64().unwrap();
    let average = format!("average={{decay=0.9,every_steps={steps}}}");
    let options = ["--epochs", "0.5", "--set", "select=\"average\"", "--set"];
    let averaged = finished(artifacts.path(), &[&options[..], &[&average]].concat());
    assert_eq!(weights(&plain), weights(&averaged));
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
        "12",
        "--epochs",
        "1.47",
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
