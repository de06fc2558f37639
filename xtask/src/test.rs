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

/// Features that the plain build has not, and the packages that have them. `wgpu` needs an adapter, for which a
/// software one is enough.
const FEATURES: [(&str, &[&str]); 2] = [
    ("wgpu", &["gpu-kernels", "model", "trainer"]),
    ("remote", &["model", "trainer"]),
];

/// Lints and tests with the features that `options` name (`--wgpu`, `--remote`), all in one build; nothing where
/// an option is another one.
pub fn with_features(options: &[&str]) -> Option<u8> {
    let named = options.iter().map(|option| {
        let name = option.strip_prefix("--")?;
        FEATURES.iter().find(|(feature, _)| *feature == name)
    });
    let named: Vec<_> = named.collect::<Option<_>>()?;
    let mut line: Vec<String> = Vec::new();
    for (feature, packages) in named {
        for package in *packages {
            let words = [
                "--package",
                package,
                "--features",
                &format!("{package}/{feature}"),
            ];
            line.extend(words.map(str::to_owned));
        }
    }
    let line: Vec<&str> = line.iter().map(String::as_str).collect();
    let lints = ["--all-targets", "--", "--deny", "warnings"];
    Some(match cargo(&[&["clippy"][..], &line, &lints].concat()) {
        0 => cargo(&[&["test"][..], &line].concat()),
        code => code,
    })
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
