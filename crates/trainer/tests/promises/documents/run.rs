//! The commands of the program that take less than a minute, as they stand in the documents.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use super::{Shown, shown};
use crate::{finished, result, text};

/// Commands that are run in a folder with a run of the smoke recipe, `cat.jpg`, `holidays/` and
/// `weights.safetensors`.
const RUN: [&str; 18] = [
    "trainer predict --run latest cat.jpg holidays/",
    "trainer predict --run latest --top 1 --json - < cat.jpg",
    "trainer export --run latest --format safetensors --output model.safetensors",
    "trainer export --run latest --format onnx --output model.onnx",
    "trainer eval --run latest --weights weights.safetensors",
    "trainer eval --run latest --robustness",
    "trainer sweep --config tutorial --seeds 5 --set optimizer.lr=0.001,0.002 --collect",
    "trainer compare RUN RUN RUN",
    "trainer data show --config RECIPE",
    "trainer recipes NAME",
    "trainer eval",
    "trainer bench",
    "trainer bench --network resnet20 --batch 128 --threads 2 --mode train",
    "trainer backends",
    "trainer recipes",
    "trainer runs",
    "trainer report",
    "trainer completions bash",
];

/// Commands that tests of their own run, and the beginnings of those that none can run here, with the
/// reason.
const ELSEWHERE: [(&str, &str); 18] = [
    ("trainer serve", "it goes on until it is ended: see below"),
    ("trainer train --resume latest", "see below"),
    (
        "trainer train --config resnet20",
        "it trains for minutes or hours; `network.rs` begins runs from a file so",
    ),
    (
        "trainer train --config tutorial",
        "it trains on CIFAR-10 for ten seconds and more; every recipe's name is checked",
    ),
    (
        "trainer train --config speedrun-94 --backend wgpu",
        "it needs a GPU; `devices.rs` trains in half precision",
    ),
    (
        "trainer train --network resnet20 --device",
        "it needs two GPUs",
    ),
    (
        "trainer worker",
        "it goes on until it is ended; `remote.rs` starts workers",
    ),
    (
        "trainer train --backend remote",
        "it needs a worker; `remote.rs` trains on one",
    ),
    (
        "trainer check",
        "it takes minutes, or a GPU; `devices.rs` checks",
    ),
    (
        "trainer bench --network resnet18 --find-batch",
        "on a processor it takes minutes",
    ),
    (
        "trainer data fetch",
        "it needs a network; the tests of `cifar10` fetch",
    ),
    (
        "trainer sweep",
        "it trains on CIFAR-10 for minutes; `compare.rs` sweeps",
    ),
    (
        "seq 10 | parallel",
        "it trains on CIFAR-10 for minutes; bench/sweep_parallel.sh does it in seconds",
    ),
    (
        "srun --cpus-per-task",
        "it trains on CIFAR-10 for minutes; bench/sweep_slurm.sh does it in seconds",
    ),
    ("- exec trainer sweep", "it needs Kubernetes"),
    ("cargo run", "it builds"),
    ("cargo xtask train-cpu", "it trains on CIFAR-10 for minutes"),
    (
        "trainer compare RUN RUN…",
        "it is another one without its dots",
    ),
];

/// Words of the documents that stand for what a user has.
const NAMES: [(&str, &str); 3] = [("RUN", "latest"), ("RECIPE", "smoke"), ("NAME", "tutorial")];

/// The program in `folder`, with `words` as its command line.
fn command(folder: &Path, words: &[String]) -> Command {
    let words = words.iter().map(|word| {
        let found = NAMES.iter().find(|(name, _)| name == word);
        found.map_or(word.as_str(), |(_, meant)| meant)
    });
    let mut command = Command::new(env!("CARGO_BIN_EXE_trainer"));
    command
        .args(words)
        // The run is one of the processor, and this machine may have no other device.
        .args(["--backend", "ndarray"])
        .current_dir(folder)
        .env("NO_COLOR", "1")
        .stdin(Stdio::null());
    command
}

/// A run of the smoke recipe in `folder`, with what the documents' commands name.
fn prepare(folder: &Path) -> std::path::PathBuf {
    let run = finished(&folder.join("artifacts"), &[]);
    let photo = |name: &str| format!("{}/tests/files/{name}", env!("CARGO_MANIFEST_DIR"));
    fs::copy(photo("turned.jpg"), folder.join("cat.jpg")).unwrap();
    fs::create_dir(folder.join("holidays")).unwrap();
    fs::copy(photo("turned.webp"), folder.join("holidays/beach.webp")).unwrap();
    let weights = run.join("model.safetensors");
    fs::copy(weights, folder.join("weights.safetensors")).unwrap();
    run
}

#[test]
fn every_command_that_a_document_shows_is_run_or_has_a_reason_not_to_be() {
    let mut told = 0;
    for code in shown::code() {
        let Some(shown) = Shown::in_line(&code.text) else {
            continue;
        };
        let is_option = |word: &String| word.starts_with('-');
        let Some(first) = shown.arguments.first() else {
            // The program without a command, or a line of a file that only has its name.
            continue;
        };
        if code.inline && (is_option(first) || shown.arguments.len() == 1) {
            // A sentence about an option, or about a command, of which there is one of that name.
            continue;
        }
        let text = code.text.as_str();
        let is_run = RUN.contains(&text);
        let has_reason = (ELSEWHERE.iter()).any(|(begin, _)| text.starts_with(begin));
        // A sentence or a table may name a command without what a block gives it.
        let is_part = code.inline && RUN.iter().any(|run| run.starts_with(text));
        assert!(
            is_run || has_reason || is_part,
            "{}: `{}`",
            code.place,
            code.text
        );
        told += 1;
    }
    assert!(told > 30, "{told} commands");
}

#[test]
fn the_commands_that_take_seconds_do_what_the_documents_say() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    prepare(folder);
    let code = shown::code();
    for text in RUN {
        let is_shown = code.iter().any(|code| code.text == text);
        assert!(is_shown, "no document shows `{text}`");
        let shown = Shown::in_line(text).unwrap();
        let mut command = command(folder, &shown.arguments);
        if let Some(name) = shown.input {
            command.stdin(File::open(folder.join(name)).unwrap());
        }
        let output = command.output().unwrap();
        let message = crate::text(&output.stderr);
        assert!(output.status.success(), "{text}: {message}");
        assert!(!output.stdout.is_empty(), "{text} says nothing");
    }
}

#[test]
fn a_run_that_was_cut_off_goes_on_by_the_command_of_the_documents() {
    let folder = tempfile::tempdir().unwrap();
    let run = prepare(folder.path());
    for file in ["result.json", "model.bpk", "model.safetensors"] {
        fs::remove_file(run.join(file)).unwrap();
    }
    let shown = Shown::in_line("trainer train --resume latest").unwrap();
    let Output { status, stderr, .. } = command(folder.path(), &shown.arguments).output().unwrap();
    assert!(status.success(), "{}", text(&stderr));
    assert_eq!(result(&run)["state"], "finished");
}

/// Both ways to serve, and the request by `curl` where there is one.
#[cfg(unix)]
#[test]
fn a_served_run_answers_the_request_of_the_documents() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    prepare(folder);
    let code = shown::code();
    for text in [
        "trainer serve --run latest",
        "trainer serve --run latest --address 127.0.0.1:0 --json",
    ] {
        assert!(code.iter().any(|code| code.text == text), "{text}");
        let shown = Shown::in_line(text).unwrap();
        let mut command = command(folder, &shown.arguments);
        // The usual port may be taken on this machine, and of two values the last counts.
        command.args(["--address", "127.0.0.1:0", "--json"]);
        let mut served = command
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut output = BufReader::new(served.stdout.take().unwrap());
        output.read_line(&mut line).unwrap();
        let said: serde_json::Value = serde_json::from_str(&line).unwrap();
        let url = said["url"].as_str().unwrap();
        super::others::curl(&code, folder, url);
        let signal = ["-INT", &served.id().to_string()];
        assert!(
            Command::new("kill")
                .args(signal)
                .status()
                .unwrap()
                .success()
        );
        assert!(served.wait().unwrap().success(), "{text}");
    }
}
