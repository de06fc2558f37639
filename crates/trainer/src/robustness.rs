//! A network's accuracy on corrupted test images, as CIFAR-10-C measures it (Hendrycks and Dietterich,
//! 2019, arXiv:1903.12261).

use burn::tensor::Device;
use cifar10::{Corruption, Images, Loader, LoaderConfig, Severity};
use indicatif::ProgressBar;
use model::Network;

use crate::evaluation::{self, EvaluationError};
use crate::recipe::Tta;

/// What corruptions are drawn by, so that every network sees the same images.
const SEED: u64 = 0;
/// Images that are corrupted and classified at a time. A request to stop is heard between them.
const IMAGES: usize = 1_000;

/// What is measured.
#[derive(Debug)]
pub struct Subject<'a> {
    /// The network, on a device without autodiff.
    pub network: &'a Network,
    /// The device.
    pub device: &'a Device,
    /// The clean images.
    pub test: &'a Images,
    /// How they become batches.
    pub config: &'a LoaderConfig,
    /// The views of each image whose answers are averaged.
    pub tta: Tta,
    /// Threads that corrupt images; 0 for one a core. No figure depends on it.
    pub threads: usize,
}

/// The accuracies under one corruption.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// The corruption.
    pub corruption: Corruption,
    /// The share of right answers at each severity, the weakest first.
    pub accuracies: [f64; 5],
}

impl Row {
    /// The mean over the severities.
    #[must_use]
    pub fn mean(&self) -> f64 {
        mean(&self.accuracies)
    }
}

/// The mean corruption accuracy: the mean of `rows`, which is that of all their sets of images.
#[must_use]
pub fn mean_accuracy(rows: &[Row]) -> f64 {
    mean(&rows.iter().map(Row::mean).collect::<Vec<_>>())
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

impl Subject<'_> {
    /// How many images are classified in all.
    #[must_use]
    pub fn images(&self) -> u64 {
        (self.test.len() * Corruption::ALL.len() * Severity::ALL.len()) as u64
    }

    /// The accuracies under each corruption, one after the other. `bar`, of [`Subject::images`], moves on,
    /// and `stop` is asked before each batch.
    ///
    /// # Errors
    /// [`EvaluationError`] where a batch or the device fails, or `stop` says so.
    pub fn rows<'b>(
        &'b self,
        bar: &'b ProgressBar,
        stop: &'b dyn Fn() -> bool,
    ) -> impl Iterator<Item = Result<Row, EvaluationError>> + 'b {
        Corruption::ALL.into_iter().map(move |corruption| {
            let mut accuracies = [0.0; 5];
            for (accuracy, severity) in accuracies.iter_mut().zip(Severity::ALL) {
                *accuracy = self.accuracy(corruption, severity, bar, stop)?;
            }
            Ok(Row {
                corruption,
                accuracies,
            })
        })
    }

    fn accuracy(
        &self,
        corruption: Corruption,
        severity: Severity,
        bar: &ProgressBar,
        stop: &dyn Fn() -> bool,
    ) -> Result<f64, EvaluationError> {
        let mut hits = 0;
        for first in (0..self.test.len()).step_by(IMAGES) {
            if stop() {
                return Err(EvaluationError::Interrupted);
            }
            let range = first..first + IMAGES;
            let images = corruption.apply_to(self.test, range, severity, SEED, self.threads);
            let loader = Loader::all(images, self.config.clone())?;
            let predictions = evaluation::predict_beside(
                self.network,
                &loader,
                self.device,
                self.tta,
                bar,
                stop,
            )?;
            hits += predictions.iter().filter(|one| one.is_right()).count();
        }
        Ok(hits as f64 / self.test.len().max(1) as f64)
    }
}
