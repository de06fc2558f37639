//! A run that is cut off anywhere resumes to the same end, bit for bit.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use super::{SMALL, assert_equal_runs, command, finished, result, text, trainer};

/// A run in a process of its own.
pub struct Running {
    pub child: Child,
    pub run: PathBuf,
}

impl Running {
    /// Starts the small recipe with `extra`, and waits until its folder is there.
    pub fn start(artifacts: &Path, extra: &[&str]) -> Self {
        Self::begin(artifacts, command(artifacts, &[&SMALL[..], extra].concat()))
    }

    /// Starts a run by `command`, and waits until its folder is there.
    pub fn begin(artifacts: &Path, mut command: Command) -> Self {
        let before = fs::canonicalize(artifacts.join("latest")).ok();
        let child = command
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self::wait_for_folder(artifacts, child, before.as_deref())
    }

    /// As [`Running::start`], by a program that ignores SIGHUP, such as `nohup`.
    fn start_under_nohup(artifacts: &Path, extra: &[&str]) -> Self {
        let trainer = command(artifacts, &[&SMALL[..], extra].concat());
        let child = Command::new("sh")
            .args(["-c", "trap '' HUP; exec \"$@\"", "sh"])
            .arg(trainer.get_program())
            .args(trainer.get_args())
            .envs(
                trainer
                    .get_envs()
                    .filter_map(|(name, value)| Some((name, value?))),
            )
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self::wait_for_folder(artifacts, child, None)
    }

    /// Goes on with the latest run.
    pub fn resume(artifacts: &Path) -> Self {
        let child = command(artifacts, &["--resume", "latest"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self::wait_for_folder(artifacts, child, None)
    }

    fn wait_for_folder(artifacts: &Path, child: Child, before: Option<&Path>) -> Self {
        loop {
            if let Ok(run) = fs::canonicalize(artifacts.join("latest"))
                && before != Some(&run)
                && run.join("config.toml").exists()
            {
                return Self { child, run };
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Waits until a checkpoint of step `step` or later is there.
    pub fn wait_for_step(&mut self, step: u64) {
        while last_step(&self.run) < step {
            assert!(self.child.try_wait().unwrap().is_none(), "it ended early");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Sends a signal and gives the exit code, which a killed process has not.
    pub fn signal(&mut self, name: &str) -> Option<i32> {
        let id = self.child.id().to_string();
        let sent = Command::new("kill").args([name, &id]).status().unwrap();
        assert!(sent.success());
        self.child.wait().unwrap().code()
    }
}

/// The step of the newest checkpoint; 0 where there is none.
pub fn last_step(run: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(run.join("checkpoints")) else {
        return 0;
    };
    entries
        .filter_map(|entry| {
            let name = entry.ok()?.file_name().into_string().ok()?;
            name.strip_prefix("step-")?.split('-').next()?.parse().ok()
        })
        .max()
        .unwrap_or(0)
}

/// Resumes the latest run to its end and gives what it said.
pub fn resumed(artifacts: &Path, extra: &[&str]) -> String {
    resumed_by(command(
        artifacts,
        &[&["--resume", "latest"], extra].concat(),
    ))
}

/// Runs a command that resumes to its end and gives what it said.
pub fn resumed_by(mut command: Command) -> String {
    let output = command.output().unwrap();
    let said = text(&output.stderr);
    assert!(output.status.success(), "{said}");
    said
}

/// Kills a run before its first checkpoint, inside an epoch and inside another one after a
/// resumption.
fn killed_again_and_again(settings: &[&str]) {
    let artifacts = tempfile::tempdir().unwrap();
    let artifacts = artifacts.path();
    let whole = finished(artifacts, settings);
    let mut running = Running::start(artifacts, settings);
    running.signal("-KILL");
    let run = running.run.clone();
    for step in [3, 15] {
        let mut running = Running::resume(artifacts);
        running.wait_for_step(step);
        running.signal("-KILL");
    }
    assert!(last_step(&run) < 39, "it was killed after its end");
    let said = resumed(artifacts, &["--threads", "1"]);
    assert!(said.contains("going on from"), "{said}");
    assert_equal_runs(&run, &whole);
    let environment = fs::read(run.join("environment.json")).unwrap();
    let environment: Value = serde_json::from_slice(&environment).unwrap();
    let resumptions = environment["resumptions"].as_array().unwrap();
    assert_eq!(resumptions.len(), 3);
    assert_eq!(resumptions[2]["threads"], 1);
}

#[test]
fn a_run_that_is_killed_anywhere_and_again_resumes_to_the_same_end_with_another_thread_count() {
    killed_again_and_again(&["--set", "checkpoint.every_steps=3"]);
}

/// AdamW has two moments and a count for each parameter, and the best epoch's weights are selected.
#[test]
fn so_does_one_with_adamw_that_selects_its_best_epoch() {
    killed_again_and_again(&[
        "--set",
        "checkpoint.every_steps=3",
        "--set",
        "optimizer.name=\"adamw\"",
        "--lr",
        "0.002",
        "--set",
        "select=\"best\"",
    ]);
}

/// Running statistics that are one step behind show here and not in a network without them.
#[test]
fn so_does_a_network_with_running_statistics() {
    killed_again_and_again(&[
        "--set",
        "checkpoint.every_steps=3",
        "--network",
        "resnet20",
        "--set",
        "validation=190",
    ]);
}

#[test]
fn each_signal_saves_the_step_exits_130_and_the_run_resumes_to_the_same_end() {
    let artifacts = tempfile::tempdir().unwrap();
    let artifacts = artifacts.path();
    let long = ["--epochs", "12"];
    let whole = finished(artifacts, &long);
    // These tests may themselves have been started by a program that ignores SIGHUP.
    let hang_up = (!hang_up_is_ignored()).then_some("-HUP");
    for signal in ["-INT", "-TERM"].into_iter().chain(hang_up) {
        let mut running = Running::start(artifacts, &long);
        running.wait_for_step(13);
        assert_eq!(running.signal(signal), Some(130), "{signal}");
        let run = &running.run;
        let stopped = result(run);
        assert_eq!(stopped["state"], "interrupted");
        assert!(stopped["steps"].as_u64().unwrap() < 12 * 13);
        assert_eq!(stopped["steps"].as_u64(), Some(last_step(run)), "{signal}");
        resumed(artifacts, &[]);
        assert_equal_runs(run, &whole);
    }
    let again = trainer(artifacts, &["--resume", "latest"]);
    assert_eq!(again.status.code(), Some(1));
    assert!(text(&again.stderr).contains("finished"));
}

/// Whether this process ignores SIGHUP, and so each that it starts.
fn hang_up_is_ignored() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    u64::from_str_radix(ignored.unwrap().trim(), 16).unwrap() & 1 == 1
}

#[test]
fn a_run_under_nohup_outlives_its_terminal() {
    let artifacts = tempfile::tempdir().unwrap();
    let mut running = Running::start_under_nohup(artifacts.path(), &["--epochs", "4"]);
    running.wait_for_step(13);
    assert_eq!(running.signal("-HUP"), Some(0));
    assert_eq!(result(&running.run)["state"], "finished");
}

#[test]
fn a_checkpoint_with_a_flipped_byte_is_named_and_the_previous_one_leads_to_the_same_end() {
    let artifacts = tempfile::tempdir().unwrap();
    let artifacts = artifacts.path();
    let settings = ["--set", "checkpoint.every_steps=3"];
    let whole = finished(artifacts, &settings);
    let mut running = Running::start(artifacts, &settings);
    running.wait_for_step(15);
    running.signal("-KILL");
    let altered = format!("step-{}", last_step(&running.run));
    let part = running
        .run
        .join("checkpoints")
        .join(&altered)
        .join("optimizer.bpk");
    let mut bytes = fs::read(&part).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&part, bytes).unwrap();
    let said = resumed(artifacts, &[]);
    let named = |line: &&str| line.contains(&altered) && line.contains("optimizer.bpk is altered");
    assert_eq!(said.lines().filter(named).count(), 1, "{said}");
    assert_equal_runs(&running.run, &whole);
}

/// The checkpoints of a run, the oldest first.
fn checkpoints(run: &Path) -> Vec<String> {
    let entries = fs::read_dir(run.join("checkpoints")).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// An altered checkpoint that counted as one of the two newest would push a whole one out.
#[test]
fn an_altered_checkpoint_takes_no_place_among_those_that_are_kept() {
    let artifacts = tempfile::tempdir().unwrap();
    let run = finished(artifacts.path(), &[]);
    assert_eq!(checkpoints(&run), ["step-26", "step-39"]);
    fs::remove_file(run.join("result.json")).unwrap();
    fs::write(run.join("checkpoints/step-39/model.bpk"), "").unwrap();
    resumed(artifacts.path(), &[]);
    // Its name is free again, and it does not stay beside the new one.
    assert_eq!(checkpoints(&run), ["step-26", "step-39"]);
    assert!(
        fs::metadata(run.join("checkpoints/step-39/model.bpk"))
            .unwrap()
            .len()
            > 0
    );
}

#[test]
fn a_table_that_is_gone_is_named_and_begun_again() {
    let artifacts = tempfile::tempdir().unwrap();
    let run = finished(artifacts.path(), &[]);
    fs::remove_file(run.join("result.json")).unwrap();
    fs::remove_dir_all(run.join("checkpoints/step-39")).unwrap();
    fs::remove_file(run.join("steps.csv")).unwrap();
    let said = resumed(artifacts.path(), &[]);
    assert!(
        said.contains("steps.csv is gone; its rows up to step 26 are lost"),
        "{said}"
    );
    assert!(!said.contains("metrics.csv"), "{said}");
    let rows = fs::read_to_string(run.join("steps.csv")).unwrap();
    assert!(rows.lines().nth(1).unwrap().starts_with("27,"), "{rows}");
    assert_eq!(rows.lines().count(), 1 + 13);
}

/// So short a time has always passed after a step.
#[test]
fn a_run_is_saved_when_the_minutes_between_checkpoints_have_passed() {
    let artifacts = tempfile::tempdir().unwrap();
    let settings = ["--set", "checkpoint.every_epochs=3"];
    let whole = finished(artifacts.path(), &settings);
    assert!(!checkpoints(&whole).contains(&"step-38".to_owned()));
    let minutes = ["--set", "checkpoint.every_minutes=1e-7"];
    let often = finished(artifacts.path(), &[settings, minutes].concat());
    assert!(checkpoints(&often).contains(&"step-38".to_owned()));
    assert_equal_runs(&often, &whole);
}

/// Momenta of two optimisers, slow weights and the average, each with running statistics of its own.
#[test]
fn so_does_one_with_muon_lookahead_and_averaged_weights() {
    let groups = "optimizer.group=[{role=\"filters\",name=\"muon\",lr=0.05},\
                  {role=\"biases\",lr=0.02,epochs=2}]";
    killed_again_and_again(&[
        "--set",
        "checkpoint.every_steps=3",
        "--network",
        "resnet20",
        "--set",
        "validation=190",
        "--set",
        groups,
        "--set",
        "lookahead={every_steps=4,decay=0.5,power=1}",
        "--set",
        "select=\"average\"",
        "--set",
        "average.decay=0.8",
    ]);
}

#[test]
fn so_does_one_with_every_augmentation_clipped_and_accumulated_gradients() {
    killed_again_and_again(&[
        "--set",
        "checkpoint.every_steps=3",
        "--set",
        "data.augment=[{name=\"translate\"},{name=\"flip\",mode=\"alternating\"},\
         {name=\"trivial_augment\"},{name=\"cutout\"},{name=\"cutmix\"}]",
        "--set",
        "optimizer={clip_norm=0.5,accumulate=3}",
    ]);
}

/// The best epoch and how long ago it was must be known after a kill, the last one's included.
#[test]
fn a_run_that_stops_early_stops_after_the_same_epoch_when_it_was_killed() {
    let artifacts = tempfile::tempdir().unwrap();
    let artifacts = artifacts.path();
    // Such a rate learns nothing, so that no epoch after the first is better for long.
    let settings = [
        "--set",
        "checkpoint.every_steps=3",
        "--epochs",
        "40",
        "--lr",
        "1e-9",
        "--set",
        "early_stopping.patience=2",
        "--set",
        "evaluation.tta=\"flip_translate\"",
    ];
    let whole = finished(artifacts, &settings);
    let epochs = result(&whole)["epochs"].as_f64().unwrap();
    let best = result(&whole)["best_epoch"].as_f64().unwrap();
    assert_eq!(epochs, best + 2.0);
    assert!(epochs < 40.0);
    assert!(result(&whole)["test_accuracy_tta"].is_f64());
    let mut running = Running::start(artifacts, &settings);
    running.wait_for_step(15);
    running.signal("-KILL");
    resumed(artifacts, &[]);
    assert_equal_runs(&running.run, &whole);
    // A run that was killed after its last checkpoint and before its result trains no epoch more.
    fs::remove_file(running.run.join("result.json")).unwrap();
    resumed(artifacts, &[]);
    assert_equal_runs(&running.run, &whole);
}

#[test]
fn a_run_goes_on_with_the_precision_that_it_began_with() {
    // A network in which fast convolutions round otherwise.
    let as_begun = [
        "--network",
        "resnet20",
        "--precision",
        "exact",
        "--epochs",
        "1",
    ];
    let recipe = [&SMALL[..6], &as_begun].concat();
    let whole = tempfile::tempdir().unwrap();
    assert!(trainer(whole.path(), &recipe).status.success());

    let cut = tempfile::tempdir().unwrap();
    let child = command(cut.path(), &recipe)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut running = Running::wait_for_folder(cut.path(), child, None);
    while !running.run.join("events.jsonl").exists() {
        std::thread::sleep(Duration::from_millis(2));
    }
    assert_eq!(running.signal("-INT"), Some(130));
    let said = text(&trainer(cut.path(), &["--resume", "latest"]).stderr);
    assert!(
        said.contains("as the run began: --precision exact"),
        "{said}"
    );
    let environment = fs::read(running.run.join("environment.json")).unwrap();
    let environment: Value = serde_json::from_slice(&environment).unwrap();
    let gone_on = &environment["resumptions"][0];
    assert_eq!(gone_on["precision"], "exact");
    assert_eq!(gone_on["isa"], environment["isa"]);
    let whole = fs::canonicalize(whole.path().join("latest")).unwrap();
    assert_equal_runs(&whole, &running.run);
}
