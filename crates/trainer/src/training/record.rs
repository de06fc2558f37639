//! What a run has done so far, apart from its tensors. A checkpoint holds all of it.

use serde::{Deserialize, Serialize};

use super::unread::BatchFigures;
use super::{exact, mean::Mean};

/// Where a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// The epoch that is under way or comes next, from 1.
    pub epoch: u64,
    /// Steps done in it. An epoch whose steps are all done and which is still to be validated has
    /// all of them; after validation the place is the next epoch's step 0.
    pub step: u64,
}

impl Default for Place {
    fn default() -> Self {
        Self { epoch: 1, step: 0 }
    }
}

/// What a run has done so far.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// Steps done.
    pub steps: u64,
    /// Images trained on.
    pub images: u64,
    /// Mean loss of the last epoch that was trained on.
    #[serde(with = "exact::option")]
    pub train_loss: Option<f64>,
    /// Validation accuracy after the last epoch, from 0 to 1.
    #[serde(with = "exact::option")]
    pub valid_accuracy: Option<f64>,
    /// The best epoch.
    pub best: Option<Best>,
    /// Seconds from the first step's start to the last step's end, validation and saving included,
    /// summed over resumptions.
    #[serde(with = "exact")]
    pub seconds: f64,
}

impl Record {
    /// Whether the run ends before `epoch` because the `patience` epochs before it, or more, were no
    /// better than the best. A patience of 0 never ends.
    #[must_use]
    pub fn ends_before(&self, epoch: u64, patience: u64) -> bool {
        let without = |best: Best| epoch.saturating_sub(1).saturating_sub(best.epoch);
        patience > 0 && self.best.is_some_and(|best| without(best) >= patience)
    }
}

/// The epoch with the highest validation accuracy.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Best {
    /// The epoch, from 1.
    pub epoch: u64,
    /// Steps done at its end.
    pub step: u64,
    /// Its accuracy, from 0 to 1.
    #[serde(with = "exact")]
    pub accuracy: f64,
}

/// Means over an epoch, or over what is done of it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Figures {
    /// Loss by images.
    pub loss: Mean,
    /// Share of right answers by images.
    pub hits: Mean,
    /// The learning rate of the last step.
    #[serde(with = "exact")]
    pub learning_rate: f64,
    /// How long the steps took.
    #[serde(with = "exact")]
    pub seconds: f64,
}

impl Figures {
    /// Adds a batch.
    pub fn add(&mut self, batch: BatchFigures) {
        let images = batch.images as f64;
        self.loss.add(batch.loss, images);
        self.hits.add(batch.hits as f64 / images, images);
    }
}
