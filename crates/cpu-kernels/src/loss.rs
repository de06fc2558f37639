//! Softmax cross-entropy.

use thiserror::Error;

use crate::shape::{LossShape, ShapeError, check_len};

/// Why a loss could not be computed.
#[derive(Debug, Clone, PartialEq, Error)]
#[non_exhaustive]
pub enum LossError {
    /// A slice has the wrong length.
    #[error(transparent)]
    Shape(#[from] ShapeError),
    /// A label is not a class.
    #[error("label {label} of row {row} is not in 0..{classes}")]
    Label {
        /// The row of the batch.
        row: usize,
        /// Its label.
        label: i32,
        /// The number of classes.
        classes: usize,
    },
    /// The label smoothing is not a fraction.
    #[error("label smoothing is {smoothing}, but it must be from 0 to 1")]
    Smoothing {
        /// The smoothing that was asked for.
        smoothing: f32,
    },
}

/// The mean cross-entropy of `logits` `[batch, classes]` against `labels` `[batch]`, and its
/// gradient by the logits in `d_logits` `[batch, classes]`.
///
/// With a `smoothing` of `s` the target of a row is `1 - s` for its label plus `s / classes` for
/// every class (Szegedy et al. 2016, as PyTorch's `label_smoothing`). The gradient is
/// `(softmax(logits) - target) / batch`.
///
/// The batch is small beside everything else, so this runs on the caller's thread.
///
/// # Errors
///
/// A slice does not have the length that `shape` asks for, a label is not a class, or `smoothing`
/// is not from 0 to 1. `d_logits` is then unspecified.
pub fn softmax_cross_entropy(
    shape: &LossShape,
    logits: &[f32],
    labels: &[i32],
    smoothing: f32,
    d_logits: &mut [f32],
) -> Result<f32, LossError> {
    check_len("logits", logits, shape.logits_len())?;
    check_len("labels", labels, shape.batch)?;
    check_len("d_logits", d_logits, shape.logits_len())?;
    if !(0.0..=1.0).contains(&smoothing) {
        return Err(LossError::Smoothing { smoothing });
    }
    let scale = 1.0 / shape.batch as f32;
    let everywhere = smoothing / shape.classes as f32;
    let mut total = 0.0_f64;
    let rows = logits
        .chunks_exact(shape.classes)
        .zip(d_logits.chunks_exact_mut(shape.classes))
        .zip(labels);
    for (row, ((logits, d_logits), &label)) in rows.enumerate() {
        let not_a_class = LossError::Label {
            row,
            label,
            classes: shape.classes,
        };
        let Ok(index) = usize::try_from(label) else {
            return Err(not_a_class);
        };
        let Some(&label_logit) = logits.get(index) else {
            return Err(not_a_class);
        };
        // The greatest logit is subtracted, so that no exponential overflows.
        let greatest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let mut sum = 0.0_f32;
        let mut sum_of_logits = 0.0_f32;
        for (exponential, &logit) in d_logits.iter_mut().zip(logits) {
            *exponential = (logit - greatest).exp();
            sum += *exponential;
            sum_of_logits += logit - greatest;
        }
        let log_sum = sum.ln();
        let of_label = log_sum - (label_logit - greatest);
        let of_all = shape.classes as f32 * log_sum - sum_of_logits;
        total += f64::from((1.0 - smoothing) * of_label + everywhere * of_all);
        for (class, gradient) in d_logits.iter_mut().enumerate() {
            let hit = if class == index { 1.0 - smoothing } else { 0.0 };
            *gradient = (*gradient / sum - everywhere - hit) * scale;
        }
    }
    Ok((total / shape.batch as f64) as f32)
}
