//! Runs are set beside each other, and repeated.

use std::fs;

use super::report::ask;
use super::{finished, text};

#[test]
fn two_runs_are_compared_on_the_same_images_and_differing_keys_are_named() {
    let artifacts = tempfile::tempdir().unwrap();
    let first = finished(artifacts.path(), &[]);
    let second = finished(artifacts.path(), &["--lr", "0.0001"]);
    let name = |run: &std::path::Path| run.file_name().unwrap().to_str().unwrap().to_owned();
    let (first, second) = (name(&first), name(&second));
    let output = ask(artifacts.path(), &["compare", &first, &second]);
    let said = text(&output.stdout);
    assert!(output.status.success(), "{}", text(&output.stderr));
    for words in ["optimizer.lr = ", "p = ", "chance", "compare.html"] {
        assert!(said.contains(words), "{said}");
    }
    assert!(!said.contains("batch_size"), "{said}");
    let page = fs::read_to_string(artifacts.path().join("compare.html")).unwrap();
    assert!(page.contains("optimizer.lr") && !page.contains("<script"));
    assert!(page.contains("Training loss, of each step."));
    assert!(!text(&output.stderr).contains("replaced"));
    // A run beside itself differs in nothing.
    let output = ask(artifacts.path(), &["compare", &first, &first, "--json"]);
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["runs"][1]["p"], 1.0);
    assert_eq!(json["runs"][1]["larger_than_chance"], false);
    assert_eq!(json["differences"], serde_json::json!({}));
    // Nor does it bear itself out, by whichever path it is named.
    assert_eq!(json["doubts"], serde_json::Value::Null);
    let folder = artifacts.path().join(&first);
    let output = ask(
        artifacts.path(),
        &["compare", &first, folder.to_str().unwrap()],
    );
    let said = text(&output.stdout);
    let since = format!("not known, since {first} is named twice");
    assert!(said.contains(&since), "{said}");
    let page = fs::read_to_string(artifacts.path().join("compare.html")).unwrap();
    assert!(page.contains("Not known, since"), "{page}");
    assert!(!page.contains("labels in doubt"), "{page}");
    // Other images are no pairs.
    finished(artifacts.path(), &["--seed", "1"]);
    let output = ask(artifacts.path(), &["compare", &first, "latest"]);
    assert!(text(&output.stdout).contains("not tested on the same images"));
    assert!(text(&output.stderr).contains("earlier comparison was replaced"));
    // Other images to learn from are no other images to be tested on.
    let other = finished(artifacts.path(), &["--set", "data.train_images=700"]);
    let output = ask(artifacts.path(), &["compare", &first, &name(&other)]);
    assert!(text(&output.stdout).contains("right in the first only"));
    // Among several, the one whose answers are gone is named; its accuracy is known all the same.
    fs::remove_file(artifacts.path().join(&second).join("predictions.csv")).unwrap();
    let output = ask(
        artifacts.path(),
        &["compare", &first, &second, &name(&other)],
    );
    let said = text(&output.stdout);
    let since = format!("the answers of {second} (predictions.csv) are missing");
    assert!(
        said.contains(&format!("not known, since {since}")),
        "{said}"
    );
    assert!(said.contains(&format!("{second}: test accuracy")), "{said}");
    let output = ask(artifacts.path(), &["report", "--run", &second, "-q"]);
    let said = text(&output.stderr);
    assert!(
        said.contains("known from there only: predictions.csv"),
        "{said}"
    );
    let page = artifacts.path().join(&second).join("report.html");
    let page = fs::read_to_string(page).unwrap();
    assert!(page.contains("known from there only: predictions.csv"));
    assert!(page.contains("test accuracy"));
    // A sweep's runs are named by the links to them, and the folder of the page need not be there.
    let elsewhere = tempfile::tempdir().unwrap();
    let [link, run] = ["latest", &first].map(|name| artifacts.path().join(name));
    let both = [&link, &run].map(|path| path.to_str().unwrap());
    let output = ask(
        &elsewhere.path().join("new"),
        &["compare", both[0], both[1]],
    );
    let said = text(&output.stdout);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(said.contains(&format!("{}: test", name(&other))), "{said}");
    assert!(!said.contains("latest"), "{said}");
    assert_eq!(
        ask(artifacts.path(), &["compare", &first]).status.code(),
        Some(2)
    );
}

#[test]
fn runs_are_sorted_by_a_column_and_are_a_table_for_other_programs() {
    let artifacts = tempfile::tempdir().unwrap();
    finished(artifacts.path(), &["--lr", "0.0001", "--name", "a"]);
    finished(artifacts.path(), &["--name", "b"]);
    let names = |sort: &str| -> Vec<String> {
        let output = ask(artifacts.path(), &["runs", "--csv", "--sort", sort]);
        let table = text(&output.stdout);
        let mut lines = table.lines();
        assert!(
            lines.next().unwrap().starts_with("name,state,recipe,"),
            "{table}"
        );
        lines
            .map(|line| line.split(',').nth(2).unwrap().to_owned())
            .collect()
    };
    assert_eq!(names("started"), ["a", "b"]);
    let listed = ask(artifacts.path(), &["runs", "--json"]);
    let listed: serde_json::Value = serde_json::from_slice(&listed.stdout).unwrap();
    assert_eq!(listed[0]["based_on"], "smoke");
    let events = fs::read_to_string(artifacts.path().join("latest/events.jsonl")).unwrap();
    let started: serde_json::Value = serde_json::from_str(events.lines().next().unwrap()).unwrap();
    assert_eq!(
        (&started["recipe"], &started["based_on"]),
        (&"b".into(), &"smoke".into())
    );
    assert_eq!(names("test"), ["b", "a"]);
    assert_eq!(
        ask(artifacts.path(), &["runs", "--sort", "no"])
            .status
            .code(),
        Some(2)
    );
}

fn sweep<'a>(extra: &[&'a str]) -> Vec<&'a str> {
    let mut line = vec![
        "sweep",
        "--seeds",
        "2",
        "--set",
        "optimizer.lr=0.001,0.01",
        "-q",
    ];
    line.extend(["--config", "smoke", "--set", "data.train_images=600"]);
    line.extend([
        "--set",
        "data.test_images=100",
        "--set",
        "epochs=1",
        "--backend",
        "ndarray",
    ]);
    line.extend(extra);
    line
}

#[test]
fn a_sweep_done_task_by_task_gives_the_table_of_one_done_at_once_and_repeats_no_run() {
    let (apart, whole) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let rows = |output: &std::process::Output| -> serde_json::Value {
        assert!(output.status.success(), "{}", text(&output.stderr));
        serde_json::from_slice::<serde_json::Value>(&output.stdout).unwrap()["rows"].clone()
    };
    let nothing = rows(&ask(apart.path(), &sweep(&["--collect", "--json"])));
    assert_eq!(
        (&nothing[0]["n"], &nothing[0]["missing"]),
        (&0.into(), &2.into())
    );
    for task in ["1", "2", "3", "4"] {
        let output = ask(apart.path(), &sweep(&["--task", task]));
        assert!(output.status.success(), "{}", text(&output.stderr));
    }
    let collected = rows(&ask(apart.path(), &sweep(&["--collect", "--json"])));
    let at_once = rows(&ask(whole.path(), &sweep(&["--jobs", "2", "--json"])));
    assert_eq!(collected, at_once);
    assert_eq!(collected.as_array().unwrap().len(), 2);
    assert_eq!(collected[0]["n"], 2);
    assert!(collected[0]["deviation"].is_f64());
    // Settings are chosen by the hold-out, so that it stands first.
    assert!(collected[0]["mean_valid"].is_f64() && collected[0]["deviation_valid"].is_f64());
    let table = text(&ask(whole.path(), &sweep(&["--collect"])).stdout);
    let heading: Vec<&str> = table.lines().next().unwrap().split_whitespace().collect();
    assert_eq!(
        heading,
        [
            "settings",
            "hold-out",
            "deviation",
            "test",
            "deviation",
            "n"
        ]
    );
    assert!(
        table.contains("settings are chosen by the hold-out"),
        "{table}"
    );
    let logs = || -> u64 {
        let tasks = fs::read_dir(whole.path())
            .unwrap()
            .map(|sweep| sweep.unwrap().path());
        tasks
            .flat_map(|sweep| fs::read_dir(sweep).unwrap())
            .map(|task| {
                fs::metadata(task.unwrap().path().join("train.log"))
                    .unwrap()
                    .len()
            })
            .sum()
    };
    // Each of its runs is listed under a name that `--run` takes.
    let listed = ask(whole.path(), &["runs", "--json"]);
    let listed: serde_json::Value = serde_json::from_slice(&listed.stdout).unwrap();
    assert_eq!(listed.as_array().unwrap().len(), 4);
    for run in listed.as_array().unwrap() {
        let name = run["name"].as_str().unwrap();
        let output = ask(whole.path(), &["report", "--run", name, "-q"]);
        assert!(output.status.success(), "{}", text(&output.stderr));
    }
    let before = logs();
    // Done again it starts nothing: no task's folder has a second run.
    rows(&ask(whole.path(), &sweep(&["--json"])));
    assert_eq!(logs(), before);
    for sweep in fs::read_dir(whole.path()).unwrap() {
        for task in fs::read_dir(sweep.unwrap().path()).unwrap() {
            let entries = fs::read_dir(task.unwrap().path()).unwrap().count();
            assert_eq!(entries, 3, "a run, `latest` and train.log");
        }
    }
}

#[test]
fn a_sweep_refuses_what_it_cannot_run_before_it_makes_a_folder() {
    let artifacts = tempfile::tempdir().unwrap();
    for (arguments, words) in [
        (&["--task", "5"][..], "runs 1 to 4"),
        (&["--task", "0"], "runs 1 to 4"),
        (&["--seeds", "0"], "0 runs"),
        (&["--set", "bach_size=1,2"], "batch_size"),
        (&["--set", "epochs"], "epochs"),
        (&["--set", "epochs=2"], "given twice"),
        (&["--set", "batch_size=16,16"], "one run twice"),
        (&["--jobs", "0"], "jobs"),
        (&["--threads", "0"], "threads"),
    ] {
        let output = ask(artifacts.path(), &sweep(arguments));
        let message = text(&output.stderr);
        assert!(
            matches!(output.status.code(), Some(1 | 2)),
            "{arguments:?}: {message}"
        );
        assert!(message.contains(words), "{arguments:?}: {message}");
        assert_eq!(
            fs::read_dir(artifacts.path()).unwrap().count(),
            0,
            "{arguments:?}"
        );
    }
}

/// As Kubernetes and `kill` do it, and not as a terminal, which signals a whole group.
#[cfg(unix)]
#[test]
fn a_signal_to_a_sweep_alone_reaches_its_run_which_saves() {
    use std::process::{Command, Stdio};
    use std::time::{Duration, Instant};

    let artifacts = tempfile::tempdir().unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_trainer"))
        .args(["sweep", "--config", "smoke", "--backend", "ndarray"])
        .args(["--set", "epochs=2000", "--artifacts"])
        .arg(artifacts.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let begun = Instant::now();
    let patience = Duration::from_secs(60);
    let run = loop {
        assert!(begun.elapsed() < patience, "no run has begun");
        let sweeps = fs::read_dir(artifacts.path()).unwrap();
        let mut runs = sweeps.map(|sweep| sweep.unwrap().path().join("task-0001/latest"));
        let trains = |run: &std::path::PathBuf| {
            fs::read_to_string(run.join("steps.csv")).is_ok_and(|rows| rows.lines().count() > 2)
        };
        if let Some(run) = runs.find(trains) {
            break run;
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    let signal = ["-TERM", &child.id().to_string()];
    assert!(
        Command::new("kill")
            .args(signal)
            .status()
            .unwrap()
            .success()
    );
    let signalled = Instant::now();
    while child.try_wait().unwrap().is_none() {
        assert!(signalled.elapsed() < patience, "the sweep goes on");
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert_eq!(super::result(&run)["state"], "interrupted");
}
