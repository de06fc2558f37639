//! `manifest.json`: where a run stood, and what a checkpoint consists of.

use serde::{Deserialize, Serialize};

use super::error::Problem;
use super::{BEST, FORMAT, MODEL, OPTIMIZER, PARTS, SCHEDULE};
use crate::training::record::{Figures, Place, Record};

/// What `manifest.json` holds. Numbers that training goes on with are written as their bits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// [`FORMAT`].
    pub format: u32,
    /// The version of the program that wrote it.
    pub program: String,
    /// Which run it belongs to.
    pub identity: Identity,
    /// Where the run stood.
    pub place: Place,
    /// Sums over what is done of the epoch.
    pub figures: Figures,
    /// What the run had done.
    pub record: Record,
    /// How long the run's tables were.
    pub tables: TableLengths,
    /// The other files.
    pub parts: Vec<Part>,
}

/// What the steps of a run are a function of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// SHA-256 of the recipe.
    pub recipe: String,
    /// SHA-256 of the data set's name and its files' hashes.
    pub data: String,
    /// The seed.
    pub seed: u64,
}

/// Bytes of the run's tables that were written when the checkpoint was made. A resumed run cuts the
/// tables there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TableLengths {
    /// Of `metrics.csv`.
    pub metrics: u64,
    /// Of `steps.csv`.
    pub steps: u64,
    /// Of `events.jsonl`; 0 in checkpoints from before it was written.
    #[serde(default)]
    pub events: u64,
    /// Of TensorBoard's file; 0 in checkpoints from before it was written.
    #[serde(default)]
    pub tensorboard: u64,
}

/// A file of a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// Its name, one of [`PARTS`].
    pub file: String,
    /// Its size.
    pub bytes: u64,
    /// Its SHA-256 in hexadecimal.
    pub sha256: String,
}

impl Part {
    /// The entry of a file with this content.
    pub(super) fn of(file: &str, content: &[u8]) -> Self {
        Self {
            file: file.to_owned(),
            bytes: content.len() as u64,
            sha256: cifar10::checksum::sha256(content),
        }
    }

    /// Compares the file's content with this entry.
    pub(super) fn check(&self, content: &[u8]) -> Result<(), Problem> {
        if content.len() as u64 != self.bytes {
            return Err(Problem::Size {
                file: self.file.clone(),
                found: content.len() as u64,
                expected: self.bytes,
            });
        }
        if cifar10::checksum::sha256(content) != self.sha256 {
            return Err(Problem::Altered(self.file.clone()));
        }
        Ok(())
    }
}

/// The one field that every format has.
#[derive(Deserialize)]
struct AnyFormat {
    format: u32,
}

impl Manifest {
    /// Reads a manifest and checks what can be checked without the other files.
    ///
    /// # Errors
    /// [`Problem::Manifest`] where it is no manifest, [`Problem::Format`] where it is one of another
    /// version.
    pub fn parse(text: &[u8]) -> Result<Self, Problem> {
        let not_understood = |error: serde_json::Error| Problem::Manifest(error.to_string());
        let any: AnyFormat = serde_json::from_slice(text).map_err(not_understood)?;
        if any.format != FORMAT {
            return Err(Problem::Format(any.format));
        }
        let manifest: Self = serde_json::from_slice(text).map_err(not_understood)?;
        manifest.check().map_err(Problem::Manifest)?;
        Ok(manifest)
    }

    /// The manifest as JSON.
    ///
    /// # Errors
    /// What serde says; nothing in a manifest gives it cause to.
    pub fn to_json(&self) -> Result<Vec<u8>, serde_json::Error> {
        let mut text = serde_json::to_vec_pretty(self)?;
        text.push(b'\n');
        Ok(text)
    }

    fn check(&self) -> Result<(), String> {
        let mut named: Vec<&str> = self.parts.iter().map(|part| part.file.as_str()).collect();
        named.sort_unstable();
        named.dedup();
        if named.len() != self.parts.len() {
            return Err("a part is named twice".to_owned());
        }
        if let Some(part) = named.iter().find(|part| !PARTS.contains(part)) {
            return Err(format!("`{}` is no part", part.escape_debug()));
        }
        let needs_best = self.record.best.is_some();
        for part in [MODEL, OPTIMIZER, SCHEDULE] {
            if !named.contains(&part) {
                return Err(format!("{part} is not named"));
            }
        }
        if named.contains(&BEST) != needs_best {
            return Err(format!("{BEST} and the best epoch do not go together"));
        }
        if self.place.epoch == 0 || self.place.step > self.record.steps {
            return Err("there is no such place in a run".to_owned());
        }
        Ok(())
    }
}

/// The content of `manifest.sha256`, as `sha256sum` writes it.
pub(super) fn seal(manifest: &[u8]) -> String {
    format!("{}  manifest.json\n", cifar10::checksum::sha256(manifest))
}
