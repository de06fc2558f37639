use std::fs;

use super::{text, trainer};

/// Each wrong input, with words that its one message must have.
const REFUSED: [(&[&str], &str); 19] = [
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
    (&["--threads", "0"], "threads"),
    (&["--threads", "100000"], "threads"),
    (&["--network", "resnet21"], "resnet20"),
    (&["--config", "tutoral"], "tutorial"),
    (&["--config", "absent.toml"], "absent.toml"),
    (&["--backend", "cuda"], "ndarray"),
    (
        &["--dataset", "cifar10", "--data-dir", "/no/such/folder"],
        "/no/such/folder",
    ),
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
fn an_artifacts_path_that_is_a_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let output = trainer(&file, &["--config", "smoke"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("file"));
}
