use std::fs;

use super::{finished, program, text, trainer};

/// Each wrong input, with words that its one message must have.
const REFUSED: [(&[&str], &str); 21] = [
    (&["--set", "bach_size=3"], "did you mean `batch_size`"),
    (&["--set", "batch_size=\"many\""], "batch_size"),
    (&["--batch-size", "0"], "batch_size"),
    (&["--batch-size", "29801"], "batch_size"),
    (&["--epochs", "0"], "epochs"),
    (&["--lr", "nan"], "lr"),
    (&["--lr=-1"], "lr"),
    (&["--lr", "-1"], "lr"),
    (&["--batch-size", "-5"], "batch_size"),
    (
        &["--dataset", "cifar10", "--set", "validation=50000"],
        "validation",
    ),
    (&["--threads", "0"], "`--threads`"),
    (&["--threads", "100000"], "from 1 to 1024"),
    (&["--network", "resnet21"], "resnet20"),
    (&["--config", "tutoral"], "tutorial"),
    (&["--config", "absent.toml"], "absent.toml"),
    (&["--backend", "cuda"], "ndarray"),
    (
        &["--dataset", "cifar10", "--data-dir", "/no/such/folder"],
        "/no/such/folder does not exist; check the path",
    ),
    (&["--epochs", "1e300"], "at most 1000000, found 1e300"),
    (&["--batch-size", "99999999999999999999"], "is too large"),
    (&["--resume", "no-such-run"], "no-such-run"),
    (&["--set", "epochs"], "epochs"),
];

#[test]
fn every_wrong_input_gets_one_message_and_leaves_no_folder() {
    for (arguments, words) in REFUSED {
        let artifacts = tempfile::tempdir().unwrap();
        let mut line = vec![];
        if !["--config", "--resume"].contains(&arguments[0]) {
            line.extend(["--config", "smoke"]);
        }
        line.extend(arguments);
        // The helper names a backend, and clap refuses two.
        let line: Vec<&str> = line;
        let output = trainer(artifacts.path(), &line);
        let message = text(&output.stderr);
        assert!(
            matches!(output.status.code(), Some(1 | 2)),
            "{arguments:?}: {:?} {message}",
            output.status
        );
        assert!(message.contains(words), "{arguments:?}: {message}");
        assert!(!message.contains("panicked"), "{arguments:?}: {message}");
        let left: Vec<_> = fs::read_dir(artifacts.path()).unwrap().collect();
        assert!(left.is_empty(), "{arguments:?} left {left:?}");
    }
}

#[test]
fn a_recipe_file_that_is_wrong_is_named_with_line_and_column() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("mine.toml");
    fs::write(&file, "network = \"simple_cnn\"\nbach_size = 3\n").unwrap();
    let output = trainer(folder.path(), &["--config", file.to_str().unwrap()]);
    let message = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert!(message.contains("mine.toml:2:1"), "{message}");
    fs::write(&file, b"network = \"\xff\"").unwrap();
    let output = trainer(folder.path(), &["--config", file.to_str().unwrap()]);
    assert!(
        text(&output.stderr).contains("UTF-8"),
        "{}",
        text(&output.stderr)
    );
}

#[test]
fn an_artifacts_path_that_is_a_file_is_refused_before_any_data_is_looked_for() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    for artifacts in [file.clone(), file.join("below")] {
        let output = trainer(&artifacts, &["--data-dir", "/no/such/folder"]);
        let message = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1));
        assert!(
            message.contains("choose another folder with --artifacts"),
            "{message}"
        );
    }
    let output = program(&["runs", "--artifacts", file.to_str().unwrap()]);
    let message = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        message.contains("choose another folder with --artifacts"),
        "{message}"
    );
}

#[test]
fn every_command_takes_the_options_of_every_command() {
    let folder = tempfile::tempdir().unwrap();
    let artifacts = folder.path().to_str().unwrap();
    for command in [
        &["backends"][..],
        &["recipes"],
        &["recipes", "smoke"],
        &["runs"],
        &["completions", "bash"],
        &[
            "bench",
            "--network",
            "simple_cnn",
            "--batch",
            "1",
            "--seconds",
            "0.01",
        ],
    ] {
        let everywhere = [
            "--backend",
            "ndarray",
            "--device",
            "default",
            "--threads",
            "1",
            "--data-dir",
            artifacts,
            "--artifacts",
            artifacts,
            "--json",
            "-q",
        ];
        let output = program(&[command, &everywhere].concat());
        assert!(
            output.status.success(),
            "{command:?}: {}",
            text(&output.stderr)
        );
        if command[0] != "completions" {
            let last = text(&output.stdout)
                .lines()
                .last()
                .unwrap_or_default()
                .to_owned();
            let parsed: Result<serde_json::Value, _> = serde_json::from_str(&last);
            assert!(parsed.is_ok(), "{command:?} printed {last}");
        }
    }
}

#[test]
fn a_resumed_run_with_other_settings_is_refused_with_the_keys_that_differ() {
    let folder = tempfile::tempdir().unwrap();
    finished(folder.path(), &[]);
    let output = trainer(folder.path(), &["--resume", "latest", "--lr", "0.5"]);
    let message = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        message.contains("optimizer.lr = 0.02, not 0.5"),
        "{message}"
    );
    assert!(!message.contains("batch_size"), "{message}");
}

#[test]
fn a_run_whose_result_is_broken_is_listed_as_damaged_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let run = finished(folder.path(), &[]);
    fs::write(run.join("result.json"), "{").unwrap();
    let output = program(&["runs", "--artifacts", folder.path().to_str().unwrap()]);
    assert!(output.status.success());
    assert!(text(&output.stdout).contains("damaged"));
    assert!(text(&output.stderr).contains("result.json: cannot be understood"));
}
