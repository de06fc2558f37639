//! What is said of a network beyond its accuracy on the test set.

use std::fs;
use std::path::Path;

use serde_json::Value;

use super::report::ask;
use super::{finished, result, text};

/// What a command says with `--json`.
fn json(artifacts: &Path, arguments: &[&str]) -> Value {
    let all = [arguments, &["--json", "--backend", "ndarray", "-q"]].concat();
    let output = ask(artifacts, &all);
    assert!(output.status.success(), "{}", text(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn near(a: &Value, b: &Value) -> bool {
    (a.as_f64().unwrap() - b.as_f64().unwrap()).abs() < 1e-6
}

#[test]
fn a_run_with_a_hold_out_stores_its_temperature_and_others_say_that_they_have_none() {
    let artifacts = tempfile::tempdir().unwrap();
    let run = finished(artifacts.path(), &["--lr", "0.02"]);
    let found = result(&run);
    let temperature = found["temperature"].as_f64().unwrap();
    assert!(temperature > 0.0 && temperature.is_finite());
    let eval = json(artifacts.path(), &["eval"]);
    for (stored, measured) in [
        ("temperature", "temperature"),
        ("test_calibration_error", "calibration_error"),
        ("test_calibration_error_scaled", "calibration_error_scaled"),
    ] {
        assert!(near(&found[stored], &eval[measured]), "{found} {eval}");
    }
    let page = fs::read_to_string(run.join("report.html")).unwrap();
    let words = format!("divided by {temperature:.3}, the temperature of the hold-out");
    assert!(page.contains(&words), "{words}");
    // Views of an image, and weights of a file, are not what the temperature was found with.
    let weights = run.join("model.safetensors");
    for other in [
        &["eval", "--tta"][..],
        &["eval", "--weights", weights.to_str().unwrap()],
    ] {
        assert_eq!(json(artifacts.path(), other)["temperature"], Value::Null);
    }

    let run = finished(artifacts.path(), &["--set", "validation=0"]);
    let found = result(&run);
    assert_eq!(found["temperature"], Value::Null);
    assert!(found["test_calibration_error"].is_f64());
    assert_eq!(found["test_calibration_error_scaled"], Value::Null);
    let page = fs::read_to_string(run.join("report.html")).unwrap();
    assert!(page.contains("no temperature without a hold-out"));
    let log = fs::read_to_string(run.join("run.log")).unwrap();
    assert!(log.contains("no temperature: the run held no images out"));
    let output = ask(artifacts.path(), &["eval", "--backend", "ndarray"]);
    assert!(text(&output.stdout).contains("no temperature, since the run held no images out"));
}

#[test]
fn robustness_is_a_row_a_corruption_and_the_mean_of_all() {
    let artifacts = tempfile::tempdir().unwrap();
    finished(artifacts.path(), &[]);
    let found = json(artifacts.path(), &["eval", "--robustness"]);
    let again = json(
        artifacts.path(),
        &["eval", "--robustness", "--threads", "1"],
    );
    assert_eq!(found, again);
    let rows = found["corruptions"].as_array().unwrap();
    assert_eq!(rows.len(), 17);
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let mut means = Vec::new();
    for row in rows {
        let shares: Vec<f64> = serde_json::from_value(row["accuracies"].clone()).unwrap();
        assert_eq!(shares.len(), 5);
        // A share of a hundred images.
        assert!(
            shares
                .iter()
                .all(|share| (share * 100.0).fract().abs() < 1e-9)
        );
        means.push(mean(&shares));
        assert!(near(&row["mean"], &mean(&shares).into()));
    }
    assert!(near(
        &found["mean_corruption_accuracy"],
        &mean(&means).into()
    ));
    let clean = json(artifacts.path(), &["eval"]);
    assert_eq!(found["clean_accuracy"], clean["accuracy"]);
    // Severe noise costs accuracy, or the images were not corrupted.
    assert!(
        rows.iter()
            .any(|row| row["accuracies"][4] != clean["accuracy"])
    );

    let output = ask(
        artifacts.path(),
        &["eval", "--robustness", "--backend", "ndarray"],
    );
    let table = text(&output.stdout);
    for words in [
        "gaussian_noise",
        "jpeg_compression",
        "mean corruption accuracy",
    ] {
        assert!(table.contains(words), "{table}");
    }
    assert_eq!(table.lines().count(), 19, "{table}");
    let refused = ask(
        artifacts.path(),
        &["eval", "--robustness", "--split", "valid"],
    );
    assert_eq!(refused.status.code(), Some(2));
}

#[cfg(unix)]
#[test]
fn ctrl_c_ends_the_measurement_of_robustness_in_an_orderly_way() {
    use std::io::{BufRead, BufReader};
    use std::process::{Command, Stdio};

    let artifacts = tempfile::tempdir().unwrap();
    finished(
        artifacts.path(),
        &["--epochs", "1", "--set", "data.test_images=10000"],
    );
    let mut child = Command::new(env!("CARGO_BIN_EXE_trainer"))
        .args([
            "eval",
            "--robustness",
            "--backend",
            "ndarray",
            "--artifacts",
        ])
        .arg(artifacts.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.next().unwrap().unwrap().starts_with("corruption"));
    assert!(lines.next().unwrap().unwrap().starts_with("gaussian_noise"));
    let sent = Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status();
    assert!(sent.unwrap().success());
    assert!(lines.count() < 15, "it went on to the end");
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    assert!(text(&output.stderr).contains("interrupted"));
}

/// A copy of a run's folder under the name `copy`, without its checkpoints.
fn copied(run: &Path, copy: &str) {
    let to = run.parent().unwrap().join(copy);
    fs::create_dir(&to).unwrap();
    for entry in fs::read_dir(run).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
        }
    }
}

#[test]
fn labels_that_all_runs_are_sure_against_are_listed_with_their_pictures() {
    let artifacts = tempfile::tempdir().unwrap();
    let run = finished(artifacts.path(), &["--set", "validation=0"]);
    // Every image is answered by its label, but for image 7, whose class is 7.
    let sure = |index: usize, class: usize| {
        let row = (0..10).map(|at| if at == class { "0.97" } else { "0.003" });
        format!(
            "{index},{},{}",
            index % 10,
            row.collect::<Vec<_>>().join(",")
        )
    };
    let table = fs::read_to_string(run.join("predictions.csv")).unwrap();
    let header = table.lines().next().unwrap();
    let rows = (0..100).map(|index| sure(index, if index == 7 { 2 } else { index % 10 }));
    let rows: Vec<String> = [header.to_owned()].into_iter().chain(rows).collect();
    fs::write(run.join("predictions.csv"), rows.join("\n") + "\n").unwrap();
    copied(&run, "other");
    let compared = || text(&ask(artifacts.path(), &["compare", "latest", "other"]).stdout);
    // The same answers once more say nothing more of a label.
    let said = compared();
    assert!(
        said.contains("give the same answers, and are one witness"),
        "{said}"
    );
    let answers = rows.join("\n").replace("0.97", "0.96") + "\n";
    fs::write(artifacts.path().join("other/predictions.csv"), answers).unwrap();
    let said = compared();
    assert!(
        said.contains("labels in doubt: 1, on which all 2 runs agree"),
        "{said}"
    );
    let page = fs::read_to_string(artifacts.path().join("compare.html")).unwrap();
    assert!(page.contains("Labels in doubt") && page.contains("labelled horse"));
    assert!(page.contains("alt=\"test image 7\"") && page.contains("data:image/png;base64,"));
    let doubts = |confidence: &str| {
        let line = ["compare", "latest", "other", "--confidence", confidence];
        let found = json(artifacts.path(), &line)["doubts"].clone();
        serde_json::from_value::<Vec<Value>>(found).unwrap()
    };
    let found = doubts("0.9");
    assert_eq!(found.len(), 1);
    assert_eq!(
        (&found[0]["index"], &found[0]["answer"]),
        (&7.into(), &2.into())
    );
    assert!(doubts("0.98").is_empty());
    let refused = ask(
        artifacts.path(),
        &["compare", "latest", "other", "--confidence", "2"],
    );
    assert_eq!(refused.status.code(), Some(2));
    // Runs on other images say nothing together.
    finished(artifacts.path(), &["--seed", "1"]);
    let other = json(artifacts.path(), &["compare", "latest", "other"]);
    assert_eq!(other["doubts"], Value::Null);
}
