//! The files of a run's folder: results, tables, and weights.

use std::fs;
use std::sync::OnceLock;

use cifar10::CLASS_NAMES;
use model::{Network, NetworkKind};
use trainer::device::{BackendName, DeviceChoice, DeviceName};
use trainer::run::{self, LogRow, MetricsRow, RunResult, StepRow, read_rows};
use trainer::training::checkpoint::Manifest;
use trainer::training::weights;

use super::Read;
use crate::scratch;

/// Between the files of a run in the input of the target `runs`.
pub const FILE_SEPARATOR: &[u8] = b"\n=====\n";

/// `result.json`: what is read and written again reads the same.
pub(super) fn result(input: &[u8]) -> Read {
    let path = scratch::file("result.json", input);
    let result = RunResult::read(&path);
    if let Ok(result) = &result {
        // Numbers of a file are finite, and so none of them turns into `null`.
        let text = serde_json::to_vec(result).unwrap_or_default();
        let again = RunResult::read(&scratch::file("again.json", &text));
        assert_eq!(again.ok().as_ref(), Some(result));
    }
    Read::of(&result)
}

/// A checkpoint's `manifest.json`: what is read and written again reads the same.
pub(super) fn manifest(input: &[u8]) -> Read {
    let manifest = Manifest::parse(input);
    if let Ok(manifest) = &manifest {
        let text = manifest.to_json().unwrap_or_default();
        assert_eq!(Manifest::parse(&text).ok().as_ref(), Some(manifest));
    }
    Read::of(&manifest)
}

/// `predictions.csv`: every label that is read is one of the ten classes.
pub(super) fn predictions(input: &[u8]) -> Read {
    let path = scratch::file("predictions.csv", input);
    let predictions = run::read_predictions(&path, &CLASS_NAMES);
    for prediction in predictions.iter().flatten() {
        assert!(usize::from(prediction.label) < run::CLASSES);
    }
    Read::of(&predictions)
}

/// A folder with one run, whose files stand in the input one after the other: it is always listed,
/// and a damaged file is a problem of that run.
pub(super) fn runs(input: &[u8]) -> Read {
    let names = [
        "config.toml",
        "environment.json",
        "result.json",
        "metrics.csv",
        "steps.csv",
    ];
    let mut parts = split(input);
    for name in names {
        let path = scratch::file(
            &format!("runs/one/{name}"),
            parts.next().unwrap_or_default(),
        );
        match name {
            "metrics.csv" => check_rows::<MetricsRow>(&path),
            "steps.csv" => check_rows::<StepRow>(&path),
            _ => {}
        }
    }
    let list = run::list(&scratch::folder().join("runs"));
    assert_eq!(list.as_ref().map(Vec::len).ok(), Some(1), "{list:?}");
    match list.as_deref() {
        Ok([run]) if run.problem.is_none() => Read::Whole,
        _ => Read::Refused,
    }
}

/// A table that is read has no more rows than the file has lines.
fn check_rows<R: LogRow>(path: &std::path::Path) {
    if let (Ok(rows), Ok(text)) = (read_rows::<R>(path), fs::read(path)) {
        assert!(rows.len() <= text.iter().filter(|byte| **byte == b'\n').count());
    }
}

/// The input's parts between separators.
fn split(mut input: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        if input.is_empty() {
            return None;
        }
        let length = FILE_SEPARATOR.len();
        let end = input
            .windows(length)
            .position(|part| part == FILE_SEPARATOR);
        let (part, rest) = match end {
            Some(end) => (&input[..end], &input[end + length..]),
            None => (input, &[][..]),
        };
        input = rest;
        Some(part)
    })
}

/// A burnpack of the tutorial's network. The input is the file's first byte to its last one before
/// the numbers, which are the same in every file: they come from a file that was saved here.
pub(super) fn weights(input: &[u8]) -> Read {
    static SAVED: OnceLock<Option<(Network, Vec<u8>)>> = OnceLock::new();
    let Some((network, file)) = SAVED.get_or_init(saved_network) else {
        return Read::Refused;
    };
    let mut bytes = input.to_vec();
    bytes.extend(file.get(input.len()..).unwrap_or_default());
    let path = scratch::file("model.bpk", &bytes);
    Read::of(&weights::load(network.clone(), &path))
}

/// A network and the burnpack of its weights.
pub fn saved_network() -> Option<(Network, Vec<u8>)> {
    let device = processor().open().ok()?;
    let network = Network::init(NetworkKind::SimpleCnn, run::CLASSES, 0, &device).ok()?;
    let path = scratch::file("saved.bpk", &[]);
    weights::save(&network, &path).ok()?;
    let file = fs::read(path).ok()?;
    Some((network, file))
}

/// The processor, with one thread.
pub(super) fn processor() -> DeviceChoice {
    DeviceChoice {
        backend: BackendName::Ndarray,
        device: DeviceName::Default,
        threads: Some(1),
        precision: Default::default(),
        token_file: None,
    }
}
