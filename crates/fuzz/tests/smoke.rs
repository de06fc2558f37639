//! A short run of every target, and that its seeds reach what it is for. The fuzzer of this test is
//! not guided by coverage: its inputs are seeds with a few mutations.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use fuzz::{Read, SLOWEST_VARIABLE, TARGET_VARIABLE, TARGETS};

fn seeds(target: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("seeds")
        .join(target);
    let entries = fs::read_dir(&folder);
    let entries = entries.unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    entries.map(|entry| entry.unwrap().path()).collect()
}

/// Runs the fuzzer on a target, with a temporary folder that vanishes.
fn fuzzer(target: &str, arguments: &[String]) -> Output {
    let scratch = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_fuzz"))
        .env(TARGET_VARIABLE, target)
        .env(SLOWEST_VARIABLE, scratch.path().join("slowest"))
        .env("TMPDIR", scratch.path())
        .arg("-rss_limit_mb=200")
        .args(arguments)
        .output()
        .unwrap();
    assert!(
        scratch.path().join("slowest").exists() || !output.status.success(),
        "no input was timed"
    );
    output
}

#[test]
fn every_target_has_a_seed_that_is_read_whole() {
    for target in TARGETS {
        let read = seeds(target.name).iter().any(|seed| {
            let input = fs::read(seed).unwrap();
            (target.read)(&input) == Read::Whole
        });
        assert!(read, "{}: every seed is refused", target.name);
    }
}

#[test]
fn no_target_fails_on_its_seeds_with_a_few_mutations() {
    let findings = Path::new(env!("CARGO_TARGET_TMPDIR"));
    for target in TARGETS {
        let folder = seeds(target.name)[0]
            .parent()
            .unwrap()
            .display()
            .to_string();
        let output = fuzzer(
            target.name,
            &[
                folder,
                // Without coverage no seed shows anything new, and would be dropped.
                "-keep_seed=1".to_owned(),
                "-seed=1".to_owned(),
                format!("-runs={}", target.smoke_runs),
                format!("-artifact_prefix={}/{}-", findings.display(), target.name),
            ],
        );
        assert!(
            output.status.success(),
            "{}: replay the input that is named below with `cargo xtask fuzz --target {0} \
             --replay FILE`\n{}",
            target.name,
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

#[test]
fn an_unknown_target_is_refused_with_the_list() {
    let output = fuzzer("png", &[]);
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2));
    assert!(
        message.contains("`png`; there are records, pickle"),
        "{message}"
    );
}
