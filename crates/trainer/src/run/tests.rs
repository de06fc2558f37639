//! What a run's folder promises: nothing is overwritten, nothing is half written, all is read back.

#![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use tempfile::TempDir;

use super::environment::cpu_model_in;
use super::folder::artifacts_error;
use super::*;

mod limits;
mod tables;

fn noon() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000)
}

/// A run as `train` leaves it just after its start.
fn started(artifacts: &Path, name: &str) -> RunFolder {
    let folder = RunFolder::create(artifacts, name, noon()).unwrap();
    fs::write(
        folder.config(),
        format!("name = \"{name}\"\nnetwork = \"simple_cnn\"\n"),
    )
    .unwrap();
    folder
}

fn result() -> RunResult {
    RunResult {
        recipe: "smoke".to_owned(),
        network: "simple_cnn".to_owned(),
        backend: "ndarray".to_owned(),
        seed: 3,
        dataset: "synthetic".to_owned(),
        epochs: 1.5,
        steps: 84,
        train_loss: Some(0.25),
        valid_accuracy: Some(0.5),
        best_epoch: Some(1),
        best_valid_accuracy: Some(0.75),
        test_accuracy: Some(0.5),
        test_accuracy_tta: None,
        temperature: Some(1.25),
        test_calibration_error: Some(0.0625),
        test_calibration_error_scaled: Some(0.03125),
        state: RunState::Finished,
        error: None,
        seconds: 2.0,
        images_per_second: 1000.0,
    }
}

fn environment(started: &str) -> Environment {
    Environment {
        version: "0.1.0".to_owned(),
        git_commit: None,
        rustc: "rustc 1.95.0".to_owned(),
        burn: BURN.to_owned(),
        backend: "ndarray".to_owned(),
        device: "cpu".to_owned(),
        asked_devices: vec!["default".to_owned()],
        token_file: None,
        precision: "exact".to_owned(),
        isa: Some("avx2".to_owned()),
        threads: 2,
        cpu: cpu_model(),
        os: "linux".to_owned(),
        arch: "x86_64".to_owned(),
        data: DataRecord {
            dataset: "cifar10".to_owned(),
            origin: "/data".to_owned(),
            sha256: vec![("test_batch.bin".to_owned(), "8e2e".to_owned())],
        },
        recipe_hash: "00".to_owned(),
        initial_weights: None,
        command: vec!["trainer".to_owned(), "train".to_owned()],
        started: started.to_owned(),
        resumptions: Vec::new(),
    }
}

fn metrics_row(epoch: u64) -> MetricsRow {
    MetricsRow {
        epoch,
        step: epoch * 10,
        train_loss: Some(1.0 / 3.0),
        train_accuracy: Some(0.5),
        valid_loss: None,
        valid_accuracy: None,
        learning_rate: 0.1,
        seconds: 1.5,
        images_per_second: 100.0,
    }
}

/// The names of all files in a folder.
fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn runs_of_one_second_get_folders_of_their_own_and_latest_names_the_newest() {
    let home = TempDir::new().unwrap();
    let artifacts = home.path().join("new/artifacts");
    let first = started(&artifacts, "smoke");
    let second = started(&artifacts, "smoke");
    assert_eq!(second.name(), format!("{}-2", first.name()));
    let pattern: Vec<&str> = first.name().leak().split('-').collect();
    assert_eq!(pattern[0], "smoke");
    assert_eq!((pattern[1].len(), pattern[2].len()), (8, 6));
    assert!(second.checkpoints().is_dir());
    assert_eq!(resolve(&artifacts, "latest").unwrap(), second.path());
    assert_eq!(names(&artifacts).len(), 3, "no temporary link is left");
}

#[test]
fn runs_that_start_at_once_never_share_a_folder() {
    let home = TempDir::new().unwrap();
    let mut paths: Vec<PathBuf> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| started(home.path(), "smoke").path().to_owned()))
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    paths.sort();
    paths.dedup();
    assert_eq!(paths.len(), 8);
    assert!(paths.contains(&resolve(home.path(), "latest").unwrap()));
}

#[test]
fn a_failed_start_leaves_nothing_and_gives_latest_back() {
    let home = TempDir::new().unwrap();
    let only = RunFolder::create(home.path(), "smoke", noon()).unwrap();
    assert!(only.undo().unwrap());
    assert!(names(home.path()).is_empty());
    let earlier = started(home.path(), "smoke");
    let failed = RunFolder::create(home.path(), "smoke", noon()).unwrap();
    assert!(failed.undo().unwrap());
    assert_eq!(resolve(home.path(), "latest").unwrap(), earlier.path());
    fs::create_dir(earlier.checkpoints().join("step-1")).unwrap();
    let gone = earlier.undo().unwrap();
    assert!(!gone, "a run with a checkpoint stays");
    assert!(earlier.config().is_file());
}

#[test]
fn an_artifacts_folder_that_cannot_hold_runs_is_refused_by_its_reason() {
    let home = TempDir::new().unwrap();
    let file = home.path().join("file");
    fs::write(&file, "").unwrap();
    for artifacts in [file.clone(), file.join("below")] {
        let error = RunFolder::create(&artifacts, "smoke", noon()).unwrap_err();
        assert!(
            matches!(error, RunError::ArtifactsNotAFolder { .. }),
            "{error}"
        );
    }
    let denied = artifacts_error(home.path(), io::ErrorKind::PermissionDenied.into());
    assert!(denied.to_string().contains("--artifacts"), "{denied}");
    for name in ["", "../up", ".hidden", "a b"] {
        let error = RunFolder::create(home.path(), name, noon()).unwrap_err();
        assert!(matches!(error, RunError::BadName { .. }), "{error}");
    }
}

#[test]
fn a_run_is_found_by_latest_name_and_path_and_nothing_else_passes_for_one() {
    let home = TempDir::new().unwrap();
    assert!(matches!(
        resolve(home.path(), "latest"),
        Err(RunError::NoLatest { .. })
    ));
    let run = started(home.path(), "smoke");
    let by_path = run.path().to_str().unwrap();
    for name in ["latest", &run.name(), by_path, &format!("{by_path}/")] {
        let found = RunFolder::open(resolve(home.path(), name).unwrap()).unwrap();
        assert_eq!(found.name(), run.name());
    }
    let close = run.name().replace("smoke", "smok");
    let error = resolve(home.path(), &close).unwrap_err().to_string();
    assert!(
        error.contains(&format!("did you mean `{}`?", run.name())),
        "{error}"
    );
    for no_run in [run.checkpoints(), run.config(), home.path().to_owned()] {
        let error = resolve(home.path(), no_run.to_str().unwrap()).unwrap_err();
        assert!(matches!(error, RunError::NotARun { .. }), "{error}");
    }
    assert!(matches!(
        resolve(home.path(), ""),
        Err(RunError::UnknownRun { .. })
    ));
    fs::remove_dir_all(run.path()).unwrap();
    assert!(matches!(
        resolve(home.path(), "latest"),
        Err(RunError::LatestIsGone { .. })
    ));
}

#[test]
fn latest_is_also_understood_as_a_text_file() {
    let home = TempDir::new().unwrap();
    let run = started(home.path(), "smoke");
    fs::remove_file(home.path().join("latest")).unwrap();
    fs::write(home.path().join("latest"), format!("{}\r\n", run.name())).unwrap();
    assert_eq!(resolve(home.path(), "latest").unwrap(), run.path());
}

#[test]
fn an_atomic_write_replaces_the_file_and_leaves_nothing_beside_it() {
    let home = TempDir::new().unwrap();
    let path = home.path().join("file");
    write_atomic(&path, b"old and longer").unwrap();
    write_atomic(&path, b"new").unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"new");
    let folder = home.path().join("folder");
    fs::create_dir_all(folder.join("full")).unwrap();
    let error = write_atomic(&folder, b"x").unwrap_err().to_string();
    assert!(error.contains("folder"), "{error}");
    assert_eq!(names(home.path()), ["file", "folder"]);
}

#[test]
fn a_result_keeps_the_order_of_its_fields_and_reads_back() {
    let home = TempDir::new().unwrap();
    let path = home.path().join("result.json");
    result().write(&path).unwrap();
    assert_eq!(RunResult::read(&path).unwrap(), result());
    let text = fs::read_to_string(&path).unwrap();
    let keys: Vec<&str> = text
        .lines()
        .filter_map(|line| line.split('"').nth(1))
        .collect();
    assert_eq!(
        keys,
        [
            "recipe",
            "network",
            "backend",
            "seed",
            "dataset",
            "epochs",
            "steps",
            "train_loss",
            "valid_accuracy",
            "best_epoch",
            "best_valid_accuracy",
            "test_accuracy",
            "temperature",
            "test_calibration_error",
            "test_calibration_error_scaled",
            "state",
            "seconds",
            "images_per_second",
        ]
    );
    assert!(text.contains("\"state\": \"finished\""));
}

#[test]
fn a_result_of_a_diverged_run_is_valid_json() {
    let home = TempDir::new().unwrap();
    let path = home.path().join("result.json");
    let diverged = RunResult {
        train_loss: Some(f64::NAN),
        valid_accuracy: None,
        state: RunState::Failed,
        error: Some("the loss is not finite".to_owned()),
        images_per_second: f64::INFINITY,
        ..result()
    };
    diverged.write(&path).unwrap();
    let json: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    assert!(json["train_loss"].is_null() && json["valid_accuracy"].is_null());
    let read = RunResult::read(&path).unwrap();
    assert_eq!((read.train_loss, read.images_per_second), (None, 0.0));
    assert_eq!(read.error, diverged.error);
}

#[test]
fn a_result_of_another_version_is_read_and_a_damaged_one_is_named() {
    let home = TempDir::new().unwrap();
    let path = home.path().join("result.json");
    let text = r#"{"recipe":"r","network":"n","backend":"b","seed":0,"dataset":"cifar10","epochs":1,
        "steps":2,"state":"interrupted","seconds":3,"of_the_future":[1]}"#;
    fs::write(&path, text).unwrap();
    assert_eq!(RunResult::read(&path).unwrap().state, RunState::Interrupted);
    fs::write(&path, &text[..40]).unwrap();
    let error = RunResult::read(&path).unwrap_err();
    assert!(matches!(error, RunError::Damaged { .. }));
    assert!(error.to_string().contains("result.json") && error.to_string().contains("line 1"));
    assert!(matches!(
        RunResult::read(&home.path().join("none")),
        Err(RunError::Io { .. })
    ));
}

#[test]
fn an_environment_reads_back_and_dates_are_rfc_3339() {
    let home = TempDir::new().unwrap();
    let path = home.path().join("environment.json");
    let written = environment(&Environment::timestamp(noon()));
    assert_eq!(written.started, "2023-11-14T22:13:20Z");
    written.write(&path).unwrap();
    assert_eq!(Environment::read(&path).unwrap(), written);
}

#[test]
fn the_processor_is_named_as_linux_names_it() {
    let text = "processor\t: 0\nmodel\t\t: 85\nmodel name\t: Some CPU @ 2 GHz: fast\n";
    assert_eq!(
        cpu_model_in(text).as_deref(),
        Some("Some CPU @ 2 GHz: fast")
    );
    assert_eq!(cpu_model_in("Features\t: fp asimd\n"), None);
    assert!(!cpu_model().is_empty());
}

#[test]
fn a_list_has_all_runs_by_their_start_and_passes_over_the_rest() {
    let home = TempDir::new().unwrap();
    assert_eq!(list(&home.path().join("none")).unwrap(), []);
    let late = started(home.path(), "a");
    environment("2026-01-02T00:00:00Z")
        .write(&late.environment())
        .unwrap();
    result().write(&late.result()).unwrap();
    let early = started(home.path(), "b");
    environment("2026-01-01T00:00:00Z")
        .write(&early.environment())
        .unwrap();
    let mut log = CsvLog::create(&early.metrics()).unwrap();
    log.append(&MetricsRow {
        valid_accuracy: Some(0.5),
        ..metrics_row(2)
    })
    .unwrap();
    log.flush().unwrap();
    let damaged = started(home.path(), "c");
    environment("2026-01-03T00:00:00Z")
        .write(&damaged.environment())
        .unwrap();
    fs::write(damaged.result(), "{").unwrap();
    let task = home.path().join("sweep-smoke-0/task-0001");
    fs::create_dir_all(&task).unwrap();
    let of_a_sweep = started(&task, "d");
    environment("2026-01-04T00:00:00Z")
        .write(&of_a_sweep.environment())
        .unwrap();
    fs::create_dir(home.path().join("no_run")).unwrap();
    fs::write(home.path().join("README.md"), "").unwrap();

    let runs = list(home.path()).unwrap();
    let below = format!("sweep-smoke-0/task-0001/{}", of_a_sweep.name());
    assert_eq!(
        runs.iter().map(|run| run.name.clone()).collect::<Vec<_>>(),
        [early.name(), late.name(), damaged.name(), below.clone()]
    );
    let found = resolve(home.path(), &below).unwrap();
    assert_eq!(found, home.path().join(&below));
    // No epoch has ended, which takes more than no time.
    assert_eq!((runs[3].epochs, runs[3].seconds), (None, None));
    assert!(runs[0].seconds.is_some());
    assert_eq!(
        (runs[0].state, runs[0].epochs, runs[0].valid_accuracy),
        (None, Some(2.0), Some(0.5))
    );
    assert_eq!(
        (runs[1].state, runs[1].epochs),
        (Some(RunState::Finished), Some(1.5))
    );
    assert_eq!(runs[1].network.as_deref(), Some("simple_cnn"));
    assert!(runs[2].problem.as_ref().unwrap().contains("result.json"));
}

/// What a clock that was a day ahead, and was put right, leaves: the newer run has the older name and
/// date.
#[test]
fn a_clock_that_goes_back_by_a_day_names_a_new_run_and_latest_follows_it() {
    const DAY: Duration = Duration::from_secs(24 * 60 * 60);
    let home = TempDir::new().unwrap();
    let start = |now: SystemTime| {
        let folder = RunFolder::create(home.path(), "run", now).unwrap();
        fs::write(folder.config(), "name = \"run\"\n").unwrap();
        let started = Environment::timestamp(now);
        environment(&started).write(&folder.environment()).unwrap();
        folder
    };
    let ahead = start(noon() + DAY);
    let back = start(noon());
    assert!(back.name() < ahead.name());
    assert_eq!(resolve(home.path(), "latest").unwrap(), back.path());
    // The clock comes to the second in which there was a run already, and before the year 1970.
    let again = start(noon() + DAY);
    assert_eq!(again.name(), format!("{}-2", ahead.name()));
    let ancient = start(SystemTime::UNIX_EPOCH - DAY);
    assert_eq!(resolve(home.path(), "latest").unwrap(), ancient.path());
    let names: Vec<_> = list(home.path())
        .unwrap()
        .into_iter()
        .map(|run| run.name)
        .collect();
    assert_eq!(
        names,
        [ancient.name(), back.name(), ahead.name(), again.name()]
    );
}
