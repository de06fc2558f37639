//! `cargo xtask test`: what has to hold before a change is taken in.

use super::{cargo, cargo_with, kernels};

/// Formatting, lints, every test and the documentation, until one of them fails.
pub fn all() -> u8 {
    [formatting, lints, tests, documentation]
        .iter()
        .map(|step| step())
        .find(|code| *code != 0)
        .unwrap_or(0)
}

fn formatting() -> u8 {
    let benchmarks = ["--manifest-path", "bench/kernels/Cargo.toml"];
    match cargo(&["fmt", "--all", "--check"]) {
        0 => cargo(&[&["fmt", "--check"][..], &benchmarks].concat()),
        code => code,
    }
}

fn lints() -> u8 {
    let deny = ["--deny", "warnings"];
    let workspace = ["clippy", "--workspace", "--all-targets", "--"];
    match cargo(&[&workspace[..], &deny].concat()) {
        0 => kernels("clippy", &deny.map(str::to_owned)),
        code => code,
    }
}

fn tests() -> u8 {
    cargo(&["test", "--workspace"])
}

fn documentation() -> u8 {
    cargo(&[
        "doc",
        "--workspace",
        "--no-deps",
        "--document-private-items",
    ])
}

/// Lints and tests of `packages` with a feature that the plain build has not: `wgpu`, which needs an adapter,
/// for which a software one is enough, or `remote`.
pub fn of_feature(feature: &str, packages: &[&str]) -> u8 {
    let mut with_feature = vec!["--features", feature];
    with_feature.extend(packages.iter().flat_map(|name| ["--package", name]));
    let lints = ["--all-targets", "--", "--deny", "warnings"];
    match cargo(&[&["clippy"][..], &with_feature, &lints].concat()) {
        0 => cargo(&[&["test"][..], &with_feature].concat()),
        code => code,
    }
}

/// The tests of the kernels under valgrind, which knows the portable and the AVX2 ones. It takes a
/// hundred times as long, so that operations meet fewer random shapes. It runs one thread at a time: on
/// one core, where threads that have nothing to do sleep.
pub fn valgrind() -> u8 {
    let runner = r#"target."cfg(all())".runner = "taskset --cpu-list 0 valgrind --quiet --error-exitcode=9""#;
    let line = ["test", "--package", "cpu-kernels", "--test", "operations"];
    cargo_with(
        &[&["--config", runner][..], &line].concat(),
        &[("CPU_KERNELS_CASES", "4")],
    )
}
