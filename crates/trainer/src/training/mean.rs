//! A weighted mean.

use serde::{Deserialize, Serialize};

use super::exact;

/// The mean of values with weights, such as of batches with their numbers of images.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mean {
    #[serde(with = "exact")]
    sum: f64,
    #[serde(with = "exact")]
    weight: f64,
}

impl Mean {
    /// Adds `value` with `weight`.
    pub fn add(&mut self, value: f64, weight: f64) {
        self.sum += value * weight;
        self.weight += weight;
    }

    /// The mean, if anything was added.
    #[must_use]
    pub fn value(&self) -> Option<f64> {
        (self.weight > 0.0).then(|| self.sum / self.weight)
    }

    /// The sum of the weights: how many images were counted.
    #[must_use]
    pub fn count(&self) -> f64 {
        self.weight
    }
}
