//! Every run explains itself on one page.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use super::{finished, text};

/// Runs a command of the trainer other than `train`.
pub fn ask(artifacts: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_trainer"))
        .args(arguments)
        .arg("--artifacts")
        .arg(artifacts)
        .output()
        .unwrap()
}

const PLOTS: [&str; 7] = [
    "loss",
    "accuracy",
    "learning-rate",
    "epoch-time",
    "confusion",
    "class-accuracy",
    "reliability",
];

#[test]
fn a_finished_run_has_a_page_that_loads_nothing_and_its_plots_as_files() {
    let artifacts = tempfile::tempdir().unwrap();
    let run = finished(artifacts.path(), &[]);
    let page = fs::read_to_string(run.join("report.html")).unwrap();
    assert!(page.len() < 2_000_000);
    for words in [
        "test accuracy",
        "Wilson",
        "Expected calibration error",
        "network = &quot;simple_cnn&quot;",
    ] {
        assert!(page.contains(words), "{words}");
    }
    // Nothing that a browser would fetch or run.
    for word in [
        "<script",
        "src=\"http",
        "href=\"http",
        "url(http",
        "@import",
    ] {
        assert!(!page.contains(word), "{word}");
    }
    assert!(page.contains("data:image/png;base64,"));
    for plot in PLOTS {
        let svg = fs::read_to_string(run.join("plots").join(plot).with_extension("svg")).unwrap();
        assert!(
            svg.starts_with("<svg ") && svg.contains("viewBox"),
            "{plot}"
        );
        assert!(page.contains(&svg), "{plot}");
    }
    assert!(run.join("plots/filters.png").exists());
}

#[test]
fn a_report_is_written_again_to_the_same_bytes_and_a_broken_file_is_named_in_one_message() {
    let artifacts = tempfile::tempdir().unwrap();
    let run = finished(artifacts.path(), &[]);
    let before = fs::read(run.join("report.html")).unwrap();
    fs::remove_file(run.join("report.html")).unwrap();
    let path = fs::canonicalize(&run).unwrap();
    let output = ask(
        artifacts.path(),
        &["report", "--run", path.to_str().unwrap()],
    );
    assert!(output.status.success(), "{}", text(&output.stderr));
    let after = fs::read(run.join("report.html")).unwrap();
    // The folder's path stands in the command that repeats the run; all else is equal.
    assert!(before.len().abs_diff(after.len()) < 200);
    for (file, content) in [
        ("predictions.csv", "index,label\n1,2\n"),
        ("metrics.csv", "epoch\nx\n"),
        ("model.safetensors", "no weights"),
        ("environment.json", "{"),
    ] {
        let good = fs::read(run.join(file)).unwrap();
        fs::write(run.join(file), content).unwrap();
        let output = ask(artifacts.path(), &["report", "--run", "latest", "-q"]);
        let message = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{file}: {message}");
        assert!(message.contains(file), "{file}: {message}");
        assert_eq!(message.lines().count(), 1, "{message}");
        fs::write(run.join(file), good).unwrap();
    }
}

#[cfg(unix)]
#[test]
fn an_interrupted_run_has_a_page_that_says_how_to_go_on() {
    let artifacts = tempfile::tempdir().unwrap();
    let mut running = super::resume::Running::start(artifacts.path(), &["--epochs", "200"]);
    running.wait_for_step(13);
    assert_eq!(running.signal("-INT"), Some(130));
    let page = fs::read_to_string(running.run.join("report.html")).unwrap();
    assert!(
        page.contains("interrupted") && page.contains("--resume"),
        "{page}"
    );
}
