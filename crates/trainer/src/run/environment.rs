//! `environment.json`: what a run ran on.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::error::RunError;
use super::write::{read_json, write_json};
use crate::weight_file::Fit;

/// Burn's version.
pub const BURN: &str = "0.22.1";

/// What a run ran on: enough to tell two runs' machines, programs and data apart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Environment {
    /// The program's version.
    pub version: String,
    /// The commit it was built from; nothing where it was built outside of its repository.
    #[serde(default)]
    pub git_commit: Option<String>,
    /// The compiler, as `rustc --version` says it.
    pub rustc: String,
    /// Burn's version.
    pub burn: String,
    /// The backend's name, such as `ndarray` or `wgpu`.
    pub backend: String,
    /// The device or adapter, as the backend names it.
    pub device: String,
    /// The devices as they were asked for (`--device`), the first one first.
    #[serde(default)]
    pub asked_devices: Vec<String>,
    /// The file with the token of a worker (`--token-file`), its whole path. The token is not kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_file: Option<PathBuf>,
    /// `fast`, `exact` or `half` (`--precision`).
    #[serde(default = "fast")]
    pub precision: String,
    /// The instruction set of the CPU's kernels; nothing on a GPU, and in the records of older runs.
    #[serde(default)]
    pub isa: Option<String>,
    /// Threads that the CPU's kernels use.
    pub threads: usize,
    /// The processor, as [`cpu_model`] names it.
    pub cpu: String,
    /// The operating system, such as `linux`.
    pub os: String,
    /// The processor's architecture, such as `x86_64`.
    pub arch: String,
    /// The images.
    pub data: DataRecord,
    /// SHA-256 of the recipe, as `Recipe::hash` gives it.
    pub recipe_hash: String,
    /// The file that its first weights came from; nothing where the seed drew them all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub initial_weights: Option<InitialWeights>,
    /// The command line, the program's name first.
    pub command: Vec<String>,
    /// When the run started, in RFC 3339.
    pub started: String,
    /// Each time that the run went on, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub resumptions: Vec<Resumption>,
}

/// What a run went on with, where it may differ from what it began with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resumption {
    /// Steps that had been done.
    pub step: u64,
    /// The program's version.
    pub version: String,
    /// The backend's name.
    pub backend: String,
    /// The device or adapter, as the backend names it.
    pub device: String,
    /// `fast`, `exact` or `half` (`--precision`).
    #[serde(default = "fast")]
    pub precision: String,
    /// The instruction set of the CPU's kernels; nothing on a GPU, and in the records of older runs.
    #[serde(default)]
    pub isa: Option<String>,
    /// Threads that the CPU's kernels use.
    pub threads: usize,
    /// The command line, the program's name first.
    pub command: Vec<String>,
    /// When, in RFC 3339.
    pub started: String,
}

/// The weights that a run began with (`--init-from`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InitialWeights {
    /// The file's whole path.
    pub file: PathBuf,
    /// Its SHA-256.
    pub sha256: String,
    /// Which of its tensors the network took, and which not.
    #[serde(flatten)]
    pub fit: Fit,
}

/// The images that a run used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataRecord {
    /// `cifar10` or `synthetic`.
    pub dataset: String,
    /// Where they came from: a folder, an address, or the generator.
    pub origin: String,
    /// The SHA-256 of each file by its name, in the order of the files; of generated images, those of
    /// the two parts.
    pub sha256: Vec<(String, String)>,
}

/// What is asked for where nothing is said, which is what the records of older runs do.
fn fast() -> String {
    "fast".to_owned()
}

impl DataRecord {
    /// The hashes of the test images.
    pub fn test_hashes(&self) -> impl Iterator<Item = &str> {
        let files = self.sha256.iter();
        files
            .filter(|(file, _)| file.starts_with("test"))
            .map(|(_, hash)| hash.as_str())
    }

    /// SHA-256 over the set's name and its files' hashes, wherever they came from.
    pub fn hash(&self) -> String {
        let mut text = self.dataset.clone();
        for (file, hash) in &self.sha256 {
            text.push_str(&format!("\n{hash}  {file}"));
        }
        cifar10::checksum::sha256(text.as_bytes())
    }
}

impl Environment {
    /// Writes `environment.json` in one step.
    ///
    /// # Errors
    /// [`RunError::Io`] with the path.
    pub fn write(&self, path: &Path) -> Result<(), RunError> {
        write_json(path, self)
    }

    /// Reads `environment.json`. Fields of newer versions are passed over.
    ///
    /// # Errors
    /// [`RunError::Io`] or [`RunError::Damaged`] with the path.
    pub fn read(path: &Path) -> Result<Self, RunError> {
        read_json(path)
    }

    /// The time for [`Environment::started`]: RFC 3339 in UTC, with whole seconds. A clock outside of the
    /// years that the calendar has gives 1970.
    pub fn timestamp(now: SystemTime) -> String {
        jiff::Timestamp::try_from(now)
            .unwrap_or(jiff::Timestamp::UNIX_EPOCH)
            .strftime("%Y-%m-%dT%H:%M:%SZ")
            .to_string()
    }
}

/// The processor's name as the system gives it, or its architecture where the system gives none.
pub fn cpu_model() -> String {
    fs::read_to_string("/proc/cpuinfo")
        .ok()
        .and_then(|text| cpu_model_in(&text))
        .unwrap_or_else(|| std::env::consts::ARCH.to_owned())
}

/// The first processor's name in the text of Linux's `/proc/cpuinfo`.
pub(super) fn cpu_model_in(cpuinfo: &str) -> Option<String> {
    cpuinfo
        .lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(key, value)| key.trim() == "model name" && !value.trim().is_empty())
        .map(|(_, value)| value.trim().to_owned())
}
