//! What a terminal shows of names, paths and tables, and what another program gets.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use super::{finished, program, text};

/// What a command shows on a terminal of so many columns.
fn on_terminal(columns: usize, variables: &[(&str, &str)], arguments: &[&str]) -> String {
    let words = arguments.iter().map(|word| shlex::try_quote(word).unwrap());
    let words = words.collect::<Vec<_>>().join(" ");
    let program = env!("CARGO_BIN_EXE_trainer");
    let line = format!("stty cols {columns} rows 24 && exec {program} {words}");
    let output = Command::new("script")
        .args(["--quiet", "--return", "--command", &line, "/dev/null"])
        .env_remove("NO_COLOR")
        .env("TERM", "xterm-256color")
        .envs(variables.iter().copied())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    text(&output.stdout).replace("\r\n", "\n")
}

fn elsewhere(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_trainer"))
        .args(arguments)
        .env("COLUMNS", "200")
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn longest(shown: &str) -> usize {
    let lines = shown.lines().map(|line| line.chars().count());
    lines.max().unwrap()
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

const LONG: &str = "a-run-with-a-name-that-is-longer-than-what-there-is-room-for-in-a-table";

#[test]
fn help_has_the_width_of_the_terminal() {
    let plain = [("NO_COLOR", "1")];
    for command in [
        "train",
        "eval",
        "export",
        "predict",
        "bench",
        "check",
        "backends",
        "data",
        "recipes",
        "report",
        "runs",
        "serve",
        "compare",
        "sweep",
        "completions",
    ] {
        let narrow = on_terminal(80, &plain, &[command, "--help"]);
        assert!(longest(&narrow) <= 80, "{command}:\n{narrow}");
        let wide = on_terminal(200, &plain, &[command, "--help"]);
        assert!(wide.lines().count() < narrow.lines().count(), "{command}");
    }
}

#[test]
fn tables_fit_a_terminal_of_80_columns_use_one_of_200_and_are_whole_elsewhere() {
    let artifacts = tempfile::tempdir().unwrap();
    let first = finished(artifacts.path(), &["--name", LONG]);
    let second = finished(artifacts.path(), &["--name", "short", "--lr", "0.0001"]);
    let photos = tempfile::tempdir().unwrap();
    let photo = format!("{}/tests/files/turned.png", env!("CARGO_MANIFEST_DIR"));
    let copy = photos.path().join(format!("{LONG}.png"));
    fs::copy(photo, &copy).unwrap();
    let name = |run: &Path| run.file_name().unwrap().to_str().unwrap().to_owned();
    let (first, second) = (name(&first), name(&second));
    let folder = [
        "--artifacts",
        path(artifacts.path()),
        "--backend",
        "ndarray",
        "--quiet",
    ];
    let plain = [("NO_COLOR", "1")];
    for arguments in [
        &["runs", "--sort", "seconds"][..],
        &["predict", path(&copy)],
        &["predict", "--top", "1", path(&copy)],
        &["compare", &first, &second],
    ] {
        let arguments = [arguments, &folder].concat();
        let narrow = on_terminal(80, &plain, &arguments);
        let wide = on_terminal(200, &plain, &arguments);
        let whole = text(&elsewhere(&arguments).stdout);
        assert!(whole.contains(LONG), "{whole}");
        assert!(longest(&narrow) <= 80, "{narrow}");
        assert!(narrow.contains('…'), "{narrow}");
        assert!(longest(&wide) <= 200 && longest(&wide) > 80, "{wide}");
    }
    let listed = on_terminal(
        80,
        &plain,
        &[&["runs", "--sort", "seconds"][..], &folder].concat(),
    );
    let recipes = on_terminal(80, &plain, &["recipes"]);
    assert!(longest(&recipes) <= 80, "{recipes}");
    assert!(
        listed.lines().next().unwrap().contains("seconds↓"),
        "{listed}"
    );
    assert!(
        listed.contains("sorted by seconds, the largest first"),
        "{listed}"
    );
    assert!(listed.contains('…') && !listed.contains(LONG), "{listed}");
    let headings = |width| {
        let listed = on_terminal(width, &plain, &[&["runs"][..], &folder].concat());
        listed.lines().next().unwrap().split_whitespace().count()
    };
    assert!(headings(80) < headings(200));
}

/// The beginning of a sequence that a terminal obeys, in a name of a file, of a run and of a recipe.
#[test]
fn no_name_reaches_the_terminal_as_a_command_to_it() {
    let artifacts = tempfile::tempdir().unwrap();
    let run = finished(artifacts.path(), &[]);
    let evil = artifacts.path().join("red\u{1b}[31m\nrow");
    fs::rename(&run, &evil).unwrap();
    let config = fs::read_to_string(evil.join("config.toml")).unwrap();
    let named = config.replace("name = \"smoke\"", "name = \"a\\u001b[32m\"");
    assert_ne!(config, named);
    fs::write(evil.join("config.toml"), named).unwrap();
    finished(artifacts.path(), &["--name", "other"]);
    let photo = artifacts.path().join("cat\u{1b}[31m.png");
    fs::copy(
        format!("{}/tests/files/turned.png", env!("CARGO_MANIFEST_DIR")),
        &photo,
    )
    .unwrap();
    let bad = artifacts.path().join("bad\u{1b}[31m.png");
    fs::write(&bad, "no photo").unwrap();
    let folder = [
        "--artifacts",
        path(artifacts.path()),
        "--backend",
        "ndarray",
    ];
    let run = ["--run", path(&evil)];
    for arguments in [
        &["runs"][..],
        &["runs", "--csv"],
        &["predict", path(&photo), path(&bad)],
        &["compare", path(&evil), "latest"],
        &["compare", "absent\u{1b}[31m", "latest"],
        &[&["eval"][..], &run].concat(),
        &[&["report"][..], &run].concat(),
    ] {
        let arguments = [arguments, &folder].concat();
        let shown = on_terminal(200, &[("NO_COLOR", "1")], &arguments);
        for letter in ["\u{1b}[31m", "\u{1b}[32m"] {
            assert!(!shown.contains(letter), "{arguments:?}: {shown:?}");
        }
        assert!(shown.contains("\\u{1b}["), "{arguments:?}: {shown}");
    }
    // A file has the names as they are.
    let table = program(&[&["runs", "--csv"][..], &folder].concat());
    assert!(text(&table.stdout).contains("red\u{1b}[31m\nrow"));
}

#[test]
fn a_dashboard_leaves_the_lines_after_it_and_a_dumb_terminal_gets_lines_alone() {
    let artifacts = tempfile::tempdir().unwrap();
    let folder = [
        "--backend",
        "ndarray",
        "--artifacts",
        path(artifacts.path()),
    ];
    let arguments = [&["train"][..], &super::SMALL, &folder].concat();
    let shown = on_terminal(80, &[], &arguments);
    let (before, after) = shown.rsplit_once("\u{1b}[?1049l").unwrap();
    assert!(before.contains("\u{1b}[?1049h"));
    assert!(after.contains("expected calibration error"), "{after}");
    assert!(after.contains("test accuracy"), "{after}");
    let dumb = on_terminal(80, &[("TERM", "dumb")], &arguments);
    assert!(!dumb.contains('\u{1b}'), "{dumb:?}");
    assert!(dumb.contains("epoch 1/"), "{dumb}");
    let calibration = dumb.lines().find(|line| line.contains("calibration error"));
    assert!(calibration.unwrap().len() <= 80, "{dumb}");
}

#[test]
fn a_path_is_a_link_on_a_terminal_that_takes_one_and_text_elsewhere() {
    let artifacts = tempfile::tempdir().unwrap();
    finished(artifacts.path(), &[]);
    let arguments = ["report", "--artifacts", path(artifacts.path())];
    let shown = on_terminal(80, &[], &arguments);
    assert!(shown.contains("\u{1b}]8;;file:///"), "{shown:?}");
    for variable in [("NO_COLOR", "1"), ("TERM", "dumb")] {
        let shown = on_terminal(80, &[variable], &arguments);
        assert!(!shown.contains('\u{1b}'), "{variable:?}: {shown:?}");
        assert!(shown.contains("/report.html"), "{shown}");
    }
    let piped = text(&elsewhere(&arguments).stdout);
    let report = fs::canonicalize(piped.trim()).unwrap();
    assert!(report.ends_with("report.html"), "{piped}");
    let relative = Command::new(env!("CARGO_BIN_EXE_trainer"))
        .args(["report", "--artifacts", "."])
        .current_dir(artifacts.path())
        .output()
        .unwrap();
    assert!(
        text(&relative.stdout).starts_with("./"),
        "{}",
        text(&relative.stdout)
    );
}
