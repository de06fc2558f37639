//! What other hands do to a run's folder is named, and costs no more than it must.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::resume::{Running, last_step, resumed};
use super::{SMALL, assert_equal_runs, command, finished, result, text, trainer};

/// A run of `settings` that was interrupted after its first checkpoints.
fn interrupted(artifacts: &Path, settings: &[&str]) -> PathBuf {
    let mut running = Running::start(artifacts, settings);
    running.wait_for_step(13);
    assert_eq!(running.signal("-INT"), Some(130));
    running.run
}

#[test]
fn a_run_whose_record_is_damaged_or_gone_goes_on_from_its_checkpoint() {
    let artifacts = tempfile::tempdir().unwrap();
    let artifacts = artifacts.path();
    let settings = ["--epochs", "12"];
    let whole = finished(artifacts, &settings);
    for damage in [Some("{"), Some(""), None] {
        let run = interrupted(artifacts, &settings);
        let record = run.join("environment.json");
        match damage {
            Some(text) => fs::write(&record, text).unwrap(),
            None => fs::remove_file(&record).unwrap(),
        }
        let said = resumed(artifacts, &[]);
        assert!(said.contains("environment.json"), "{said}");
        assert!(said.contains("begun anew"), "{said}");
        assert_equal_runs(&run, &whole);
    }
}

#[test]
fn a_run_that_had_saved_and_whose_checkpoints_are_gone_is_not_begun_again() {
    let artifacts = tempfile::tempdir().unwrap();
    let run = interrupted(artifacts.path(), &["--epochs", "12"]);
    let kept = |name: &str| fs::read(run.join(name)).unwrap();
    let before = ["model.bpk", "steps.csv", "metrics.csv"].map(kept);
    fs::remove_dir_all(run.join("checkpoints")).unwrap();
    let output = trainer(artifacts.path(), &["--resume", "latest"]);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("checkpoints are gone"), "{said}");
    assert!(said.contains("config.toml"), "{said}");
    assert_eq!(["model.bpk", "steps.csv", "metrics.csv"].map(kept), before);
}

#[test]
fn what_others_put_among_the_checkpoints_ends_no_run() {
    let artifacts = tempfile::tempdir().unwrap();
    let artifacts = artifacts.path();
    let settings = ["--set", "checkpoint.every_steps=3"];
    let whole = finished(artifacts, &settings);
    let mut running = Running::start(artifacts, &settings);
    running.wait_for_step(6);
    running.signal("-KILL");
    let checkpoints = running.run.join("checkpoints");
    // An indexer's previews, and a file where an unfinished checkpoint would be.
    let newest = checkpoints.join(format!("step-{}", last_step(&running.run)));
    fs::create_dir_all(newest.join("@previews").join("deep")).unwrap();
    fs::write(newest.join("@previews").join("deep").join("one"), "1").unwrap();
    fs::write(checkpoints.join(".step-12"), "no folder").unwrap();
    resumed(artifacts, &[]);
    assert!(!newest.exists(), "it is swept with all that is in it");
    assert_equal_runs(&running.run, &whole);
}

#[test]
fn a_run_whose_folder_is_moved_away_does_not_claim_to_be_saved_in_it() {
    let artifacts = tempfile::tempdir().unwrap();
    let mut trainer = command(
        artifacts.path(),
        &[&SMALL[..], &["--epochs", "200"]].concat(),
    );
    let child = trainer
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let latest = artifacts.path().join("latest");
    while last_step(&latest) < 13 {
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    let run = fs::canonicalize(&latest).unwrap();
    fs::rename(&run, artifacts.path().join("moved")).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("gone since"), "{said}");
}

/// The shell's limit is of files: what is longer is refused as on a disk without room.
#[test]
fn a_run_that_finds_no_room_to_begin_says_so_and_leaves_nothing() {
    let artifacts = tempfile::tempdir().unwrap();
    let artifacts = artifacts.path();
    let earlier = interrupted(artifacts, &["--epochs", "12"]);
    let trainer = command(artifacts, &SMALL);
    let output = Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f 1; exec \"$@\" --quiet", "sh"])
        .arg(trainer.get_program())
        .args(trainer.get_args())
        .output()
        .unwrap();
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("make room"), "{said}");
    let runs = fs::read_dir(artifacts).unwrap().count();
    assert_eq!(runs, 2, "the earlier run and `latest`");
    let latest = fs::canonicalize(artifacts.join("latest")).unwrap();
    assert_eq!(latest, fs::canonicalize(&earlier).unwrap());
    assert_eq!(result(&latest)["state"], "interrupted");
}
