//! Devices: whether one computes what it should, what there are, how much they hold, and several at once.

use std::fs;
use std::path::Path;

use serde_json::Value;

use super::{finished, program, table, text, trainer};

fn json(arguments: &[&str]) -> (Option<i32>, Value) {
    let output = program(arguments);
    let text = text(&output.stdout);
    let line = text.lines().last().unwrap_or_default();
    let value = serde_json::from_str(line);
    (output.status.code(), value.unwrap_or(Value::Null))
}

#[test]
fn a_short_check_passes_on_both_cpu_backends_and_lists_every_operation() {
    for backend in ["ndarray", "flex"] {
        let (code, report) = json(&["check", "--short", "--backend", backend, "--json"]);
        assert_eq!(code, Some(0), "{report}");
        assert_eq!(report["passed"], true);
        assert_eq!(report["backend"], backend);
        let checks = report["checks"].as_array().unwrap();
        assert!(checks.len() >= 17, "{report}");
        for check in checks {
            let error = check["value"]["error"].as_f64().unwrap();
            assert!(error < check["value"]["bound"].as_f64().unwrap());
        }
    }
    let unknown = program(&["check", "--backend", "flex", "--only", "conv"]);
    let message = text(&unknown.stderr);
    assert_eq!(unknown.status.code(), Some(1));
    assert!(message.contains("`conv`") && message.contains("conv_group"));
}

#[test]
fn backends_are_listed_with_their_devices() {
    let (code, lines) = json(&["backends", "--json"]);
    assert_eq!(code, Some(0));
    let names: Vec<&str> = lines
        .as_array()
        .unwrap()
        .iter()
        .map(|line| {
            let backend = line["backend"].as_str().unwrap();
            let on_this_processor = !["wgpu", "remote"].contains(&backend);
            assert!(!on_this_processor || line["devices"][0]["name"].is_string());
            backend
        })
        .collect();
    assert_eq!(names, ["ndarray", "flex", "wgpu", "remote"]);
    // Asking the graphics drivers prints nothing of its own.
    assert_eq!(text(&program(&["backends"]).stderr), "");
}

const FIND: [&str; 10] = [
    "bench",
    "--backend",
    "ndarray",
    "--threads",
    "1",
    "--find-batch",
    "--seconds",
    "0.01",
    "--json",
    "--network",
];

#[test]
fn the_largest_batch_is_searched_up_to_a_limit() {
    let line = [&FIND[..], &["simple_cnn", "--limit", "40"]].concat();
    let (code, found) = json(&line);
    assert_eq!(code, Some(0), "{found}");
    assert_eq!(found["largest_batch"], 40);
    let trials = found["trials"].as_array().unwrap();
    let batches: Vec<u64> = trials
        .iter()
        .map(|trial| trial["batch"].as_u64().unwrap())
        .collect();
    assert_eq!(batches, [16, 32, 40]);
    assert!(
        trials
            .iter()
            .all(|trial| trial["images_per_s"].as_f64().unwrap() > 0.0)
    );
    let both = program(&["bench", "--find-batch", "--batch", "4"]);
    assert_eq!(both.status.code(), Some(2));
}

/// The process that asks for too much dies, and the one that searches does not.
#[cfg(target_os = "linux")]
#[test]
fn a_batch_that_takes_too_much_memory_is_one_that_does_not_fit() {
    let line = [
        &FIND[..],
        &["resnet20", "--limit", "2048", "--memory", "600"],
    ]
    .concat();
    let (code, found) = json(&line);
    assert_eq!(code, Some(0), "{found}");
    let largest = found["largest_batch"].as_u64().unwrap();
    assert!((1..2048).contains(&largest), "{found}");
    for trial in found["trials"].as_array().unwrap() {
        let fits = trial["images_per_s"].is_f64();
        assert_eq!(fits, trial["batch"].as_u64().unwrap() <= largest, "{found}");
        assert_eq!(fits, trial["reason"].is_null(), "{found}");
    }
    for (memory, words) in [
        ("10", "does not begin in 10 MiB"),
        ("250", "not even one image fits: memory allocation of"),
    ] {
        let output = program(&[&FIND[..], &["resnet18", "--memory", memory]].concat());
        let message = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{message}");
        assert!(message.contains(words), "{message}");
        super::start::assert_one_message(&message);
    }
}

/// No batch would help a trial that cannot compute at all.
#[test]
fn a_trial_that_fails_for_another_reason_ends_the_search_with_its_message_and_its_command() {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_trainer"))
        .args([&FIND[..], &["simple_cnn"]].concat())
        .env("CPU_KERNELS_ISA", "nonsense")
        .output()
        .unwrap();
    let message = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{message}");
    assert_eq!(text(&output.stdout), "");
    for words in [
        "the trial of 16 images failed, and not for want of memory",
        "set it with the variable CPU_KERNELS_ISA",
        "\n  trainer bench --json --network simple_cnn",
        "--batch 16",
    ] {
        assert!(message.contains(words), "{message}");
    }
}

/// The losses of a run, step by step.
fn losses(run: &Path) -> Vec<f64> {
    let rows = table(run, "steps.csv", 1);
    let column = rows[0].iter().position(|name| name == "loss").unwrap();
    rows[1..]
        .iter()
        .map(|row| row[column].parse().unwrap())
        .collect()
}

const TWO: [&str; 4] = ["--device", "default", "--device", "default"];

#[test]
fn two_devices_give_the_losses_of_one_and_say_what_normalisation_sees() {
    let artifacts = tempfile::tempdir().unwrap();
    let network = ["--network", "simple_cnn"];
    let one = finished(artifacts.path(), &network);
    let two = finished(artifacts.path(), &[&network[..], &TWO].concat());
    let (a, b) = (losses(&one), losses(&two));
    assert!(a.len() == 39 && b.len() == 39);
    for (a, b) in a.iter().zip(&b).take(20) {
        assert!((a - b).abs() <= 1e-5 * a, "{a} and {b}");
    }
    let log = fs::read_to_string(two.join("run.log")).unwrap();
    assert!(log.contains("on each of 2 devices with 16 images"), "{log}");
    let environment = fs::read_to_string(two.join("environment.json")).unwrap();
    assert!(environment.contains(" + "), "{environment}");
}

#[test]
fn what_several_devices_cannot_do_is_refused_with_one_message() {
    let artifacts = tempfile::tempdir().unwrap();
    let line = [&["--config", "smoke", "--batch-size", "25"], &TWO[..]].concat();
    let output = trainer(artifacts.path(), &line);
    let message = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert!(message.contains("does not divide among 2"), "{message}");
    assert!(message.contains("--batch-size 26"), "{message}");
    assert_eq!(fs::read_dir(artifacts.path()).unwrap().count(), 0);
    let line = [&["bench", "--backend", "flex"], &TWO[..]].concat();
    let output = program(&line);
    let message = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert!(message.contains("only `train`"), "{message}");
}

#[cfg(feature = "wgpu")]
#[test]
fn the_software_adapter_passes_and_an_absent_one_is_refused_with_what_there_is() {
    let software = ["--backend", "wgpu", "--device", "software"];
    let (code, report) = json(&[&["check", "--short", "--json"], &software[..]].concat());
    assert_eq!(code, Some(0), "{report}");
    let absent = ["check", "--backend", "wgpu", "--device", "discrete:9"];
    let output = program(&absent);
    let message = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert!(message.contains("no device `discrete:9`"), "{message}");
    assert!(message.contains("software"), "{message}");
    assert_eq!(message.lines().count(), 1, "{message}");
}

/// The first training checks the adapter and notes it; the second one does not check again.
#[cfg(all(feature = "wgpu", target_os = "linux"))]
#[test]
fn the_first_training_on_an_adapter_checks_it_and_the_next_does_not() {
    let folder = tempfile::tempdir().unwrap();
    let train = |precision: &str| {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_trainer"))
            .args(["train", "--backend", "wgpu", "--device", "software"])
            .args(["--precision", precision])
            .args(super::SMALL)
            .args(["--epochs", "0.1", "--artifacts"])
            .arg(folder.path().join("runs"))
            .env("XDG_CACHE_HOME", folder.path())
            .output()
            .unwrap();
        let said = text(&output.stderr);
        assert!(output.status.success(), "{said}");
        said
    };
    assert!(train("fast").contains("before the first training"));
    let kept = folder.path().join("cifar10-trainer/devices");
    assert_eq!(fs::read_dir(&kept).unwrap().count(), 1);
    assert!(!train("fast").contains("before the first training"));
    // Half precision is checked by itself, beside what was checked already.
    let said = train("half");
    assert_eq!(said.matches("before the first training").count(), 1);
    assert!(said.contains("training on it in half precision"), "{said}");
    assert_eq!(fs::read_dir(&kept).unwrap().count(), 2);
}

/// The device makes batches, waits are counted, and what is left of a run that is killed inside an epoch is as it
/// would have been.
#[cfg(all(feature = "wgpu", target_os = "linux"))]
#[test]
fn a_run_on_a_gpu_waits_seldom_and_goes_on_inside_an_epoch_to_the_same_end() {
    let artifacts = tempfile::tempdir().unwrap();
    let augment = "data.augment=[{name=\"crop\",padding=4},{name=\"cutout\",size=8}]";
    let whole = goes_on_to_the_same_end(artifacts.path(), &["--set", augment]);
    let log = fs::read_to_string(whole.join("run.log")).unwrap();
    assert!(!log.contains("the processor makes the batches"), "{log}");
    let waits = log
        .lines()
        .filter_map(|line| line.strip_prefix("read the figures of 13 steps in "));
    let waits: Vec<u64> = waits
        .map(|rest| rest.split(' ').next().unwrap().parse().unwrap())
        .collect();
    // A checkpoint every third step, the end of the epoch, and one every 50 milliseconds.
    let rows = fs::read_to_string(whole.join("metrics.csv")).unwrap();
    let seconds = rows.lines().skip(1).map(|row| -> f64 {
        let cells: Vec<_> = row.split(',').collect();
        cells[cells.len() - 2].parse().unwrap()
    });
    assert_eq!(waits.len(), 2, "{log}");
    for (waits, seconds) in waits.into_iter().zip(seconds) {
        let most = 13 / 3 + 1 + (seconds / 0.05) as u64;
        assert!((1..=most).contains(&waits), "{waits} waits, {most} at most");
    }
}

/// A whole run on the software adapter, which one that was killed inside an epoch has become as well. What the
/// resumption is not told it takes from the run.
#[cfg(all(feature = "wgpu", target_os = "linux"))]
fn goes_on_to_the_same_end(artifacts: &Path, more: &[&str]) -> std::path::PathBuf {
    use super::resume::{Running, resumed_by};

    let command = |arguments: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_trainer"));
        command
            .args(["train", "--backend", "wgpu", "--device", "software"])
            .args(["--trust-device", "--artifacts"])
            .arg(artifacts)
            .args(arguments)
            .stdin(std::process::Stdio::null());
        command
    };
    let settings = [
        &super::SMALL[..],
        &["--epochs", "2", "--set", "checkpoint.every_steps=3"],
        more,
    ]
    .concat();
    assert!(command(&settings).status().unwrap().success());
    let whole = fs::canonicalize(artifacts.join("latest")).unwrap();
    let mut running = Running::begin(artifacts, command(&settings));
    running.wait_for_step(6);
    running.signal("-KILL");
    resumed_by(command(&["--resume", "latest"]));
    super::assert_equal_runs(&running.run, &whole);
    whole
}

/// Images in half precision change the losses in their third digit, and nothing else of what a run promises.
#[cfg(all(feature = "wgpu", target_os = "linux"))]
#[test]
fn a_run_in_half_precision_is_near_one_in_single_and_goes_on_so() {
    let artifacts = tempfile::tempdir().unwrap();
    let [half, single] = ["half", "fast"].map(|precision| {
        let whole = goes_on_to_the_same_end(artifacts.path(), &["--precision", precision]);
        let environment = fs::read_to_string(whole.join("environment.json")).unwrap();
        let recorded = format!("\"precision\": \"{precision}\"");
        assert!(environment.contains(&recorded), "{environment}");
        losses(&whole)
    });
    assert_eq!(half.len(), single.len());
    assert_ne!(half, single);
    for (half, single) in half.iter().zip(&single) {
        assert!((half - single).abs() < 1e-2 * single, "{half} {single}");
    }
}

#[test]
fn half_precision_is_refused_where_there_is_none() {
    let refused = ["train", "--backend", "ndarray", "--precision", "half"];
    let output = program(&refused);
    let message = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert!(message.contains("--backend wgpu"), "{message}");
    assert_eq!(message.lines().count(), 1, "{message}");
}

/// A batch whose images do not fit into a buffer of the adapter stands for one that does not fit its
/// memory, since a test cannot fill that.
#[cfg(feature = "wgpu")]
#[test]
fn a_batch_that_the_adapter_cannot_hold_is_named_with_a_smaller_one_and_no_panic() {
    let artifacts = tempfile::tempdir().unwrap();
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_trainer"));
    command
        .args(["train", "--backend", "wgpu", "--device", "software"])
        .args(["--trust-device", "--config", "smoke", "--batch-size"])
        .args(["25000", "--artifacts"])
        .arg(artifacts.path());
    let output = command
        .env("XDG_RUNTIME_DIR", artifacts.path())
        .output()
        .unwrap();
    let message = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{message}");
    super::start::assert_one_message(&message);
    for words in [
        "does not hold a batch of 25000 images",
        "--batch-size 12500",
    ] {
        assert!(message.contains(words), "{message}");
    }
}

#[cfg(not(feature = "remote"))]
#[test]
fn a_program_without_workers_says_how_to_build_one_that_has_them() {
    for line in [
        &["worker"][..],
        &["bench", "--backend", "remote", "--device", "ws://gpu:3000"],
    ] {
        let output = program(line);
        let message = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1));
        assert!(message.contains("`--features remote`"), "{message}");
        assert_eq!(message.lines().count(), 1, "{message}");
    }
}
