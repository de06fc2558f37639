//! Every run explains itself on one page.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

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

/// The arguments of the one command on a page that has `word`.
fn shown_command(page: &str, word: &str) -> Vec<String> {
    let spans = page.split(['<', '>']).map(str::trim);
    let commands = spans.filter(|text| text.starts_with("trainer train") && text.contains(word));
    let commands: Vec<&str> = commands.collect();
    assert_eq!(commands.len(), 1, "{commands:?}");
    let text = commands[0].replace("&quot;", "\"").replace("&lt;", "<");
    let text = text.replace("&gt;", ">").replace("&amp;", "&");
    shlex::split(&text).unwrap().split_off(1)
}

#[test]
fn the_command_that_repeats_a_run_starts_the_same_run() {
    let artifacts = tempfile::tempdir().unwrap();
    let first = finished(artifacts.path(), &["--seed", "3"]);
    let weights = artifacts.path().join("first weights.safetensors");
    fs::copy(first.join("model.safetensors"), &weights).unwrap();
    let settings = [
        "--precision",
        "exact",
        "--threads",
        "1",
        "--epochs",
        "1",
        "--name",
        "again",
    ];
    let from = ["--init-from", weights.to_str().unwrap()];
    // A network whose convolutions the precision changes.
    let network = ["--network", "resnet20"];
    let fast = finished(artifacts.path(), &[&settings[2..], &network].concat());
    let exact = finished(artifacts.path(), &[&settings[..], &network].concat());
    assert_ne!(super::weights(&fast), super::weights(&exact));
    let begun_with = finished(artifacts.path(), &[&settings[..], &from].concat());
    for run in [exact, begun_with] {
        let page = fs::read_to_string(run.join("report.html")).unwrap();
        let words = shown_command(&page, "config.toml");
        let elsewhere = tempfile::tempdir().unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_trainer"))
            .args(&words)
            .current_dir(elsewhere.path())
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{words:?}: {}",
            text(&output.stderr)
        );
        let again = fs::canonicalize(elsewhere.path().join("artifacts/latest")).unwrap();
        super::assert_equal_runs(&run, &again);
        assert_eq!(
            fs::read(run.join("config.toml")).unwrap(),
            fs::read(again.join("config.toml")).unwrap()
        );
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
    assert!(page.contains("interrupted"), "{page}");
    // What was trained, and not what was to be.
    assert!(page.contains(" of 200<"), "{page}");
    let words = shown_command(&page, "--resume");
    let line = ["trainer".to_owned()].into_iter().chain(words.clone());
    let read = trainer::cli::command().try_get_matches_from(line).unwrap();
    let (name, read) = read.subcommand().unwrap();
    let resumed = read.get_one::<String>("resume").unwrap();
    assert_eq!(name, "train");
    assert_eq!(
        fs::canonicalize(resumed).unwrap(),
        fs::canonicalize(&running.run).unwrap()
    );
    // It goes on from another folder too, where there are no artifacts.
    let elsewhere = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_trainer"));
    command.args(&words).current_dir(elsewhere.path());
    let mut child = command.stderr(Stdio::null()).spawn().unwrap();
    let before = super::table(&running.run, "steps.csv", 1).len();
    let begun = std::time::Instant::now();
    while super::table(&running.run, "steps.csv", 1).len() <= before {
        assert_eq!(child.try_wait().unwrap(), None, "it ended");
        assert!(begun.elapsed().as_secs() < 60, "it does not go on");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();
}
