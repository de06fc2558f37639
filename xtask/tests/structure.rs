//! The invariants of ARCHITECTURE.md that a look at the sources can check.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
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

/// What a command of cargo prints in this workspace.
fn cargo(arguments: &[&str]) -> String {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = std::process::Command::new(cargo)
        .args(arguments)
        .arg("--offline")
        .current_dir(root())
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap()
}

/// The direct dependencies of a crate of the workspace as cargo resolves them, development ones left out.
fn dependencies(name: &str) -> Vec<String> {
    let text = cargo(&["metadata", "--format-version", "1", "--no-deps"]);
    let metadata: serde_json::Value = serde_json::from_str(&text).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let package = packages
        .iter()
        .find(|package| package["name"] == name)
        .unwrap();
    let dependencies = package["dependencies"].as_array().unwrap();
    let used = dependencies.iter().filter(|one| one["kind"] != "dev");
    used.map(|one| one["name"].as_str().unwrap().to_owned())
        .collect()
}

/// Every package that a program of a crate of the workspace consists of, with its features; with those of the
/// crate's examples where `dev` says so.
fn features(name: &str, dev: bool) -> BTreeMap<String, String> {
    let edges = if dev {
        "normal,dev,no-proc-macro"
    } else {
        "normal,no-proc-macro"
    };
    let tree = ["tree", "--package", name, "--edges", edges];
    let format = ["--prefix", "none", "--no-dedupe", "--format", "{p}|{f}"];
    let text = cargo(&[tree, format].concat());
    let lines = text.lines().filter_map(|line| line.split_once('|'));
    lines
        .map(|(package, features)| (package.to_owned(), features.replace(" (*)", "")))
        .collect()
}

#[test]
fn an_example_of_the_networks_takes_the_burn_that_the_trainer_has_built() {
    let trainer = features("trainer", false);
    let model = features("model", true);
    assert!(
        model
            .keys()
            .any(|package| package.starts_with("burn-ndarray "))
    );
    for (package, features) in &model {
        if let Some(built) = trainer.get(package) {
            assert_eq!(
                features, built,
                "{package}: see [dev-dependencies] of model"
            );
        }
    }
}

/// The sources of a crate without the text of comments.
fn code_of(folder: &str) -> Vec<(PathBuf, String)> {
    let mut files = Vec::new();
    rust_files(&root().join(folder), &mut files);
    assert!(!files.is_empty(), "{folder} has no sources");
    files
        .into_iter()
        .map(|file| {
            let text = fs::read_to_string(&file).unwrap();
            let code = text
                .lines()
                .map(|line| line.split("//").next().unwrap_or(""));
            let code = code.collect::<Vec<_>>().join("\n");
            (file, code)
        })
        .collect()
}

#[test]
fn unsafe_code_stands_in_the_kernels_only() {
    for folder in [
        "crates/cifar10",
        "crates/fuzz",
        "crates/model",
        "crates/trainer",
        "xtask/src",
        "bench",
    ] {
        for (file, code) in code_of(folder) {
            // The lint `unsafe_code`, names such as this test's and a web page's "unsafe-inline" are other
            // words.
            let words = code.split(|c: char| !c.is_alphanumeric() && !matches!(c, '_' | '-'));
            assert!(
                words.into_iter().all(|word| word != "unsafe"),
                "{}",
                file.display()
            );
        }
    }
}

#[test]
fn each_crate_uses_only_what_stands_below_it() {
    // Beginnings of names: whatever belongs to Burn, or to the terminal.
    let terminal = ["ctrlc", "ratatui", "crossterm", "indicatif", "clap"];
    let forbidden: [(&str, &[&str]); 4] = [
        ("cpu-kernels", &["burn", "model", "cifar10", "trainer"]),
        ("gpu-kernels", &["burn", "model", "cifar10", "trainer"]),
        ("cifar10", &["model", "cpu-kernels", "trainer"]),
        (
            "model",
            &["cifar10", "trainer", "burn-train", "burn-dataset"],
        ),
    ];
    for (name, others) in forbidden {
        let dependencies = dependencies(name);
        assert!(!dependencies.is_empty(), "{name} uses nothing");
        for dependency in dependencies {
            let refused = others.iter().chain(&terminal);
            let found = refused
                .into_iter()
                .find(|other| dependency.starts_with(**other));
            assert_eq!(found, None, "{name} uses {dependency}");
            // The data crate implements Burn's trait of data sets, and knows no tensor.
            let of_burn = dependency.starts_with("burn") && dependency != "burn-dataset";
            assert!(name != "cifar10" || !of_burn, "{name} uses {dependency}");
        }
    }
}

#[test]
fn the_networks_read_no_file_and_no_clock_and_know_nothing_of_training() {
    for (file, code) in code_of("crates/model/src") {
        for word in [
            "std::fs",
            "std::io",
            "std::net",
            "std::time",
            "std::env",
            "Instant",
            "SystemTime",
            "println",
            "burn_train",
        ] {
            assert!(!code.contains(word), "{}: {word}", file.display());
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
