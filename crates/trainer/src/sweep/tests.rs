//! What a plan promises.

#![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

use super::*;

fn plan(settings: &[&str], seeds: usize) -> Result<Plan, SweepError> {
    let settings: Vec<String> = settings.iter().map(|text| (*text).to_owned()).collect();
    Plan::new(Path::new("a"), "smoke", &settings, seeds)
}

#[test]
fn a_plan_has_every_combination_with_every_seed_and_each_its_own_folder() {
    let found = plan(&["optimizer.lr=0.1,0.2", "batch_size=8,16"], 2).unwrap();
    let runs: Vec<_> = found
        .tasks
        .iter()
        .map(|task| (task.settings.join(" "), task.seed))
        .collect();
    assert_eq!(runs.len(), 8);
    assert_eq!(runs[0], ("optimizer.lr=0.1 batch_size=8".to_owned(), 0));
    assert_eq!(runs[7], ("optimizer.lr=0.2 batch_size=16".to_owned(), 1));
    let mut folders: Vec<_> = found.tasks.iter().map(|task| &task.folder).collect();
    folders.dedup();
    assert_eq!(folders.len(), 8);
}

#[test]
fn the_same_command_line_has_the_same_folder_and_another_has_another() {
    let folder = |settings: &[&str], seeds| plan(settings, seeds).unwrap().folder;
    let first = folder(&["optimizer.lr=0.1,0.2"], 2);
    assert_eq!(first, folder(&["optimizer.lr=0.1, 0.2"], 2));
    assert_ne!(first, folder(&["optimizer.lr=0.1,0.3"], 2));
    assert_ne!(first, folder(&["optimizer.lr=0.1,0.2"], 3));
}

#[test]
fn a_run_that_would_count_twice_is_refused_in_one_line() {
    for settings in [
        &["optimizer.lr=0.1,0.1"][..],
        &["optimizer.lr=0.1,1e-1"],
        &["optimizer.lr=0.1,0.2", "optimizer.lr=0.3"],
        &["seed=0,1"],
    ] {
        let message = plan(settings, 2).unwrap_err().to_string();
        let key = settings[0].split('=').next().unwrap();
        assert!(
            message.contains("twice") && message.contains(key),
            "{message}"
        );
        assert_eq!(message.lines().count(), 1, "{message}");
    }
    // Seeds apart, these have no run in common.
    assert_eq!(plan(&["seed=0,2"], 2).unwrap().tasks.len(), 4);
}

#[test]
fn commas_inside_of_brackets_and_quotes_belong_to_a_value() {
    assert_eq!(values("1, 2"), ["1", "2"]);
    assert_eq!(values("[1, 2],[3]"), ["[1, 2]", "[3]"]);
    assert_eq!(values("\"a,b\",c"), ["\"a,b\"", "c"]);
}

#[test]
fn a_wrong_setting_a_plan_without_runs_and_one_of_too_many_are_refused_before_any_run() {
    let message = |settings: &[&str], seeds| plan(settings, seeds).unwrap_err().to_string();
    assert!(message(&["bach_size=1,2"], 1).contains("batch_size"));
    assert!(message(&["batch_size=8,0"], 1).contains("batch_size"));
    assert!(message(&[], 0).contains("0 runs"));
    assert!(message(&["seed=1,2"], 6_000).contains("12000 runs"));
    assert!(message(&["seed=9223372036854775807"], 2).contains("smaller seed"));
    let found = plan(&[], 3).unwrap();
    assert!(found.task(0).is_err() && found.task(4).is_err() && found.task(3).is_ok());
}
