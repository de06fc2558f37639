//! `result.json`: what a run gave.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::error::RunError;
use super::write::{read_json, write_json};

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// It trained to its last step.
    Finished,
    /// The user stopped it and it saved; it can be resumed.
    Interrupted,
    /// It stopped with an error.
    Failed,
}

impl RunState {
    /// `finished`, `interrupted` or `failed`, as in `result.json`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Finished => "finished",
            Self::Interrupted => "interrupted",
            Self::Failed => "failed",
        }
    }
}

/// What a run gave. Accuracies are fractions from 0 to 1, and the fields that hold times stand last.
///
/// Numbers that are not finite are written as `null`, since JSON has no other way to hold them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunResult {
    /// The recipe's name.
    pub recipe: String,
    /// The network's name.
    pub network: String,
    /// The backend's name.
    pub backend: String,
    /// The seed.
    pub seed: u64,
    /// `cifar10` or `synthetic`.
    pub dataset: String,
    /// Epochs trained, the last one perhaps in part.
    pub epochs: f64,
    /// Optimiser steps taken.
    pub steps: u64,
    /// Mean training loss of the last epoch.
    #[serde(default)]
    pub train_loss: Option<f64>,
    /// Validation accuracy of the selected weights; nothing without a hold-out.
    #[serde(default)]
    pub valid_accuracy: Option<f64>,
    /// The epoch with the highest validation accuracy, from 1; nothing without a hold-out.
    #[serde(default)]
    pub best_epoch: Option<u64>,
    /// The highest validation accuracy; nothing without a hold-out.
    #[serde(default)]
    pub best_valid_accuracy: Option<f64>,
    /// Test accuracy of the selected weights; nothing where the run did not finish.
    #[serde(default)]
    pub test_accuracy: Option<f64>,
    /// The same with test-time augmentation; nothing where the recipe asks for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test_accuracy_tta: Option<f64>,
    /// What logits are divided by so that probabilities agree best with the labels of the hold-out, by the
    /// selected weights; nothing without a hold-out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
    /// Expected calibration error of the selected weights on the test set, from 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test_calibration_error: Option<f64>,
    /// The same with logits divided by the temperature.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test_calibration_error_scaled: Option<f64>,
    /// How the run ended.
    pub state: RunState,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Seconds from the first step's start to the last step's end, summed over resumptions, the final
    /// test excluded.
    #[serde(deserialize_with = "zero_for_null")]
    pub seconds: f64,
    /// Training images per second.
    #[serde(default, deserialize_with = "zero_for_null")]
    pub images_per_second: f64,
}

impl RunResult {
    /// Writes `result.json` in one step.
    ///
    /// # Errors
    /// [`RunError::Io`] with the path.
    pub fn write(&self, path: &Path) -> Result<(), RunError> {
        write_json(path, self)
    }

    /// Reads `result.json`. Fields of newer versions are passed over.
    ///
    /// # Errors
    /// [`RunError::Io`] or [`RunError::Damaged`] with the path.
    pub fn read(path: &Path) -> Result<Self, RunError> {
        read_json(path)
    }
}

/// A time that was not finite, such as the rate of a run without a step, counts as none.
fn zero_for_null<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    Option::<f64>::deserialize(deserializer).map(Option::unwrap_or_default)
}
