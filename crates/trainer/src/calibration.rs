//! Temperature scaling (Guo et al., "On Calibration of Modern Neural Networks", 2017,
//! arXiv:1706.04599): logits are divided by one number, chosen on the hold-out, so that probabilities
//! agree with shares of right answers. No answer changes, since the order of the classes does not.

use crate::run::{CLASSES, Prediction};

/// The temperatures among which the best is looked for.
const RANGE: [f64; 2] = [1.0 / 64.0, 64.0];
/// The search ends where a step changes the temperature by less than this share of it.
const TOLERANCE: f64 = 1e-9;
/// More steps than bisection alone takes to come from the range's width to the tolerance.
const MOST_STEPS: usize = 64;

/// Why a hold-out gives no temperature.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CalibrationError {
    /// There is no hold-out.
    #[error("the run held no images out")]
    NoImages,
    /// A probability is no number from 0 to 1, or a label no class.
    #[error("image {index} of the hold-out has probabilities that are no numbers from 0 to 1")]
    Damaged {
        /// The image's index.
        index: usize,
    },
    /// The likelihood rises without end as the temperature falls.
    #[error("every answer on the hold-out is right, so that no temperature is the best")]
    AllRight,
    /// The likelihood rises without end as the temperature grows, or is the same for all.
    #[error("the probabilities tell nothing of the classes of the hold-out")]
    Uninformative,
}

/// The temperature that makes the labels of `holdout` most likely: the one minimum of the mean negative
/// log-likelihood, which is convex in the inverse of the temperature.
///
/// Newton's method on the derivative, held inside of an interval in which it changes its sign.
///
/// # Errors
/// [`CalibrationError`] where there is no minimum between 1/64 and 64.
pub fn temperature(holdout: &[Prediction]) -> Result<f64, CalibrationError> {
    let images: Vec<Image> = holdout.iter().map(Image::new).collect::<Result<_, _>>()?;
    if images.is_empty() {
        return Err(CalibrationError::NoImages);
    }
    let [mut low, mut high] = [1.0 / RANGE[1], 1.0 / RANGE[0]];
    if slope_and_curvature(&images, low).0 >= 0.0 {
        return Err(CalibrationError::Uninformative);
    }
    if slope_and_curvature(&images, high).0 <= 0.0 {
        return Err(CalibrationError::AllRight);
    }
    let mut inverse = 1.0;
    for _ in 0..MOST_STEPS {
        let (slope, curvature) = slope_and_curvature(&images, inverse);
        if slope < 0.0 {
            low = inverse;
        } else {
            high = inverse;
        }
        let newton = inverse - slope / curvature;
        let next = if newton > low && newton < high {
            newton
        } else {
            0.5 * (low + high)
        };
        let step = (next - inverse).abs();
        inverse = next;
        if step <= TOLERANCE * inverse {
            break;
        }
    }
    Ok(1.0 / inverse)
}

/// The same answers with logits divided by `temperature`, which is above 0.
#[must_use]
pub fn scaled(predictions: &[Prediction], temperature: f64) -> Vec<Prediction> {
    let of_one = |one: &Prediction| Prediction {
        probabilities: softmax(&logits(one), 1.0 / temperature).map(|p| p as f32),
        ..one.clone()
    };
    predictions.iter().map(of_one).collect()
}

/// An image's logits, up to a constant that no probability depends on, and that of its class.
struct Image {
    logits: [f64; CLASSES],
    of_label: f64,
}

impl Image {
    fn new(prediction: &Prediction) -> Result<Self, CalibrationError> {
        let damaged = CalibrationError::Damaged {
            index: prediction.index,
        };
        let mut probabilities = prediction.probabilities.iter();
        if !probabilities.all(|probability| (0.0..=1.0).contains(probability)) {
            return Err(damaged);
        }
        let logits = logits(prediction);
        let of_label = *logits.get(usize::from(prediction.label)).ok_or(damaged)?;
        Ok(Self { logits, of_label })
    }
}

/// Logarithms of probabilities. One that single precision holds as 0 counts as the smallest number above.
fn logits(prediction: &Prediction) -> [f64; CLASSES] {
    prediction
        .probabilities
        .map(|probability| f64::from(probability.max(f32::MIN_POSITIVE)).ln())
}

/// The probabilities of `logits` times `inverse`.
fn softmax(logits: &[f64; CLASSES], inverse: f64) -> [f64; CLASSES] {
    let most = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let terms = logits.map(|logit| (inverse * (logit - most)).exp());
    let sum: f64 = terms.iter().sum();
    terms.map(|term| term / sum)
}

/// First and second derivative by the inverse temperature of the mean negative log-likelihood: the mean of
/// the expected logit less that of the class, and the mean of the logits' variance.
fn slope_and_curvature(images: &[Image], inverse: f64) -> (f64, f64) {
    let (mut slope, mut curvature) = (0.0, 0.0);
    for image in images {
        // Logits less that of the class keep the sign of the slope exact where an answer is right.
        let above_label = image.logits.map(|logit| logit - image.of_label);
        let probabilities = softmax(&image.logits, inverse);
        let terms = || probabilities.iter().zip(&above_label);
        let mean: f64 = terms().map(|(p, above)| p * above).sum();
        slope += mean;
        curvature += terms()
            .map(|(p, above)| p * (above - mean).powi(2))
            .sum::<f64>();
    }
    let count = images.len() as f64;
    (slope / count, curvature / count)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::statistics;

    /// Images whose labels are drawn by their own probabilities, which a softmax of `sharpness` times
    /// their logits then overstates. A simple generator draws them.
    fn overstated(sharpness: f64, count: usize) -> Vec<Prediction> {
        let mut state = 7_u64;
        let mut uniform = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (state >> 11) as f64 / (1_u64 << 53) as f64
        };
        let draw = |index| {
            let logits: [f64; CLASSES] = std::array::from_fn(|_| 4.0 * uniform());
            let mut left = uniform();
            let label = softmax(&logits, 1.0).iter().position(|probability| {
                left -= probability;
                left < 0.0
            });
            Prediction {
                index,
                label: label.unwrap_or(CLASSES - 1) as u8,
                probabilities: softmax(&logits, sharpness).map(|p| p as f32),
            }
        };
        (0..count).map(draw).collect()
    }

    fn loss(predictions: &[Prediction]) -> f64 {
        let of_one = |one: &Prediction| -logits(one)[usize::from(one.label)];
        predictions.iter().map(of_one).sum::<f64>() / predictions.len() as f64
    }

    #[test]
    fn logits_that_are_three_times_too_large_have_a_temperature_of_three() {
        for sharpness in [3.0, 1.0, 0.5] {
            let found = temperature(&overstated(sharpness, 20_000)).unwrap();
            assert!(
                (found / sharpness - 1.0).abs() < 0.03,
                "{found} for {sharpness}"
            );
        }
        // The same images, sharpened: what is found grows by as much.
        let [plain, sharp] = [1.0, 4.0].map(|by| temperature(&overstated(by, 500)).unwrap());
        assert!((sharp / plain - 4.0).abs() < 1e-4, "{plain} {sharp}");
    }

    #[test]
    fn no_temperature_is_better_than_the_one_found_and_calibration_gets_better_too() {
        let predictions = overstated(3.0, 5_000);
        let found = temperature(&predictions).unwrap();
        let best = loss(&scaled(&predictions, found));
        for factor in [0.5, 0.98, 1.02, 2.0] {
            let other = loss(&scaled(&predictions, factor * found));
            assert!(other > best, "{factor}: {other} {best}");
        }
        let before = statistics::calibration(&predictions).error;
        let after = statistics::calibration(&scaled(&predictions, found)).error;
        assert!(before > 0.1 && after < 0.03, "{before} {after}");
    }

    #[test]
    fn scaling_changes_no_answer_and_a_temperature_of_one_changes_nothing() {
        let predictions = overstated(2.0, 200);
        for (before, after) in predictions.iter().zip(scaled(&predictions, 5.0)) {
            assert_eq!(before.class(), after.class());
            let sum: f32 = after.probabilities.iter().sum();
            assert!((sum - 1.0).abs() < 1e-5 && after.confidence() < before.confidence());
        }
        for (before, after) in predictions.iter().zip(scaled(&predictions, 1.0)) {
            let pairs = before.probabilities.iter().zip(&after.probabilities);
            assert!(pairs.clone().all(|(a, b)| (a - b).abs() < 1e-6));
        }
    }

    #[test]
    fn a_hold_out_without_a_best_temperature_is_refused_and_the_reason_said() {
        let one = |label, probabilities| Prediction {
            index: 5,
            label,
            probabilities,
        };
        let mut sure = [0.01; CLASSES];
        sure[3] = 0.91;
        assert_eq!(temperature(&[]), Err(CalibrationError::NoImages));
        assert_eq!(
            temperature(&[one(3, sure), one(3, sure)]),
            Err(CalibrationError::AllRight)
        );
        for probabilities in [[0.1; CLASSES], sure] {
            assert_eq!(
                temperature(&[one(4, probabilities)]),
                Err(CalibrationError::Uninformative)
            );
        }
        for (label, bad) in [(3, f32::NAN), (3, -0.5), (3, f32::INFINITY), (10, 0.1)] {
            let mut probabilities = [0.1; CLASSES];
            probabilities[0] = bad;
            assert_eq!(
                temperature(&[one(label, probabilities)]),
                Err(CalibrationError::Damaged { index: 5 })
            );
        }
        // A class that is held as impossible and is right after all costs much, and not everything.
        let mut impossible = [0.0; CLASSES];
        impossible[3] = 1.0;
        let found = temperature(&[one(3, impossible), one(3, impossible), one(4, impossible)]);
        assert!(found.is_ok_and(|found| found > 1.0));
    }
}
