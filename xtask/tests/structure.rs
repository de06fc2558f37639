//! The invariants of ARCHITECTURE.md that a look at the sources can check.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_owned()
}

fn rust_files(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// The direct dependencies that a crate's manifest names, development ones left out.
fn dependencies(name: &str) -> Vec<String> {
    let manifest = fs::read_to_string(root().join("crates").join(name).join("Cargo.toml")).unwrap();
    let mut inside = false;
    let mut found = Vec::new();
    for line in manifest.lines() {
        if line.starts_with('[') {
            inside = line.ends_with("dependencies]") && !line.contains("dev-");
        } else if inside && let Some((key, _)) = line.split_once(['.', ' ', '=']) {
            found.push(key.to_owned());
        }
    }
    assert!(!found.is_empty(), "{name} names no dependency");
    found
}

#[test]
fn unsafe_code_stands_in_the_kernels_only() {
    let mut files = Vec::new();
    for folder in [
        "crates/cifar10",
        "crates/fuzz",
        "crates/model",
        "crates/trainer",
        "xtask/src",
    ] {
        rust_files(&root().join(folder), &mut files);
    }
    assert!(files.len() > 50);
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        let found = text.lines().any(|line| {
            let code = line.split("//").next().unwrap_or("");
            code.contains("unsafe {") || code.contains("unsafe fn") || code.contains("unsafe impl")
        });
        assert!(!found, "{}", file.display());
    }
}

#[test]
fn each_crate_uses_only_what_stands_below_it() {
    let forbidden: [(&str, &[&str]); 3] = [
        ("cpu-kernels", &["burn", "model", "cifar10", "trainer"]),
        ("cifar10", &["burn", "model", "cpu-kernels", "trainer"]),
        ("model", &["cifar10", "trainer", "burn-train"]),
    ];
    for (name, others) in forbidden {
        let dependencies = dependencies(name);
        for other in others {
            assert!(
                !dependencies.iter().any(|d| d == other),
                "{name} uses {other}"
            );
        }
    }
}

#[test]
fn no_source_file_is_longer_than_500_lines() {
    let mut files = Vec::new();
    rust_files(&root().join("crates"), &mut files);
    rust_files(&root().join("xtask"), &mut files);
    for file in files {
        let lines = fs::read_to_string(&file).unwrap().lines().count();
        assert!(lines <= 500, "{} has {lines} lines", file.display());
    }
}

/// A clock that jumps back can only spoil a name or a date: durations and `checkpoint.every_minutes`
/// come from a clock that never does.
#[test]
fn the_time_of_day_is_read_where_a_run_is_named_and_nowhere_else() {
    let mut files = Vec::new();
    rust_files(&root().join("crates/trainer/src"), &mut files);
    let reading: Vec<String> = files
        .iter()
        .filter(|file| {
            let text = fs::read_to_string(file).unwrap();
            text.contains("SystemTime::now") || text.contains("Timestamp::now")
        })
        .map(|file| file.file_name().unwrap().to_string_lossy().into_owned())
        .collect();
    assert_eq!(reading, ["start.rs"]);
}
