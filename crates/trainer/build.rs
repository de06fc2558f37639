//! Tells the program what it was built from, for each run's record.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::process::Command;

/// What the program is made of.
const SOURCES: [&str; 7] = [
    "build.rs",
    "src",
    "../cifar10/src",
    "../cpu-kernels/src",
    "../gpu-kernels/src",
    "../model/src",
    "../../Cargo.lock",
];

fn main() {
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    if let Some(version) = output(&rustc, &["--version"]) {
        println!("cargo::rustc-env=TRAINER_RUSTC={version}");
    }
    // A source archive has no repository, and then a run's record says so.
    if let Some(commit) = output("git", &["rev-parse", "HEAD"]) {
        println!("cargo::rustc-env=TRAINER_GIT_COMMIT={commit}{}", changes());
    }
    for sources in SOURCES {
        println!("cargo::rerun-if-changed={sources}");
    }
    // HEAD's log grows with every commit and checkout.
    if let Some(log) = output("git", &["rev-parse", "--git-path", "logs/HEAD"])
        && Path::new(&log).exists()
    {
        println!("cargo::rerun-if-changed={log}");
    }
}

/// What tells a build of changed sources from one of its commit, and from one of other changes: two programs that
/// say the same of themselves compute the same.
fn changes() -> String {
    let arguments = [&["diff", "HEAD", "--"][..], &SOURCES].concat();
    match output("git", &arguments) {
        Some(difference) if !difference.is_empty() => {
            let mut hasher = DefaultHasher::new();
            difference.hash(&mut hasher);
            format!("-changed-{:08x}", hasher.finish() & 0xffff_ffff)
        }
        _ => String::new(),
    }
}

/// What a command prints, trimmed, if it succeeds.
fn output(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}
