//! What the runs of a plan gave.

use serde::Serialize;

use super::{Plan, State};
use crate::run::RunError;
use crate::statistics::mean_and_deviation;

/// The runs of one combination of values.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// The values, as texts for `--set`.
    pub settings: Vec<String>,
    /// Mean accuracy on the hold-out, from 0 to 1, by which settings are chosen; nothing without a hold-out.
    pub mean_valid: Option<f64>,
    /// Its standard deviation.
    pub deviation_valid: Option<f64>,
    /// Mean test accuracy, from 0 to 1; nothing before a run is finished.
    pub mean: Option<f64>,
    /// Its standard deviation over the seeds, with n - 1; nothing with one run.
    pub deviation: Option<f64>,
    /// The mean with test-time augmentation, where the recipe asks for it.
    pub mean_tta: Option<f64>,
    /// Its standard deviation.
    pub deviation_tta: Option<f64>,
    /// Finished runs.
    pub n: usize,
    /// Runs that are not finished, those that failed included.
    pub missing: usize,
    /// Runs that ended with an error.
    pub failed: usize,
}

/// Reads what is there of `plan`, a row a combination, in the plan's order.
///
/// # Errors
/// [`RunError`] where a result cannot be read.
pub fn collect(plan: &Plan) -> Result<Vec<Row>, RunError> {
    plan.tasks
        .chunk_by(|a, b| a.settings == b.settings)
        .map(|tasks| {
            let (mut held_out, mut accuracies, mut augmented) =
                (Vec::new(), Vec::new(), Vec::new());
            let mut failed = 0;
            for task in tasks {
                match task.state()? {
                    State::Finished(result) => {
                        held_out.extend(result.valid_accuracy);
                        accuracies.extend(result.test_accuracy);
                        augmented.extend(result.test_accuracy_tta);
                    }
                    State::Failed(_) => failed += 1,
                    State::New | State::Begun => {}
                }
            }
            let figures = |accuracies: &[f64]| {
                let found = mean_and_deviation(accuracies);
                let mean = found.map(|(mean, _)| mean);
                (mean, found.and_then(|(_, deviation)| deviation))
            };
            let (mean_valid, deviation_valid) = figures(&held_out);
            let (mean, deviation) = figures(&accuracies);
            let (mean_tta, deviation_tta) = figures(&augmented);
            Ok(Row {
                settings: tasks
                    .first()
                    .map(|task| task.settings.clone())
                    .unwrap_or_default(),
                mean_valid,
                deviation_valid,
                mean,
                deviation,
                mean_tta,
                deviation_tta,
                n: accuracies.len(),
                missing: tasks.len() - accuracies.len(),
                failed,
            })
        })
        .collect()
}
