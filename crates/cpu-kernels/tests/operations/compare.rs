//! How results are compared with the reference.

use std::fmt::Debug;

/// The greatest root-mean-square error, as a fraction of the root-mean-square value.
const TOLERANCE: f64 = 1e-6;

pub fn to_f64(values: &[f32]) -> Vec<f64> {
    values.iter().copied().map(f64::from).collect()
}

fn root_mean_square(values: impl ExactSizeIterator<Item = f64>) -> f64 {
    let len = values.len() as f64;
    (values.map(|value| value * value).sum::<f64>() / len).sqrt()
}

/// Asserts that the root-mean-square error of `actual` is at most [`TOLERANCE`] of the
/// root-mean-square value of `expected`.
#[track_caller]
pub fn assert_close(case: &dyn Debug, actual: &[f32], expected: &[f64]) {
    let scale = root_mean_square(expected.iter().copied());
    assert_close_on_scale(case, actual, expected, scale);
}

/// As [`assert_close`] with a bound of its own.
#[track_caller]
pub fn assert_within(bound: f64, case: &dyn Debug, actual: &[f32], expected: &[f64]) {
    assert_eq!(actual.len(), expected.len(), "{case:?}");
    let scale = root_mean_square(expected.iter().copied());
    let error = root_mean_square(actual.iter().zip(expected).map(|(&a, e)| f64::from(a) - e));
    assert!(
        error <= bound * scale,
        "{case:?}: error {error:e} of {scale:e} is above {bound:e}"
    );
}

/// As [`assert_close`] on a given scale, for results that may cancel to nearly zero.
#[track_caller]
pub fn assert_close_on_scale(case: &dyn Debug, actual: &[f32], expected: &[f64], scale: f64) {
    assert_eq!(actual.len(), expected.len(), "{case:?}");
    let errors = actual.iter().zip(expected);
    let error = root_mean_square(errors.map(|(&a, e)| f64::from(a) - e));
    assert!(
        error <= TOLERANCE * scale,
        "{case:?}: error {error:e} of {scale:e}"
    );
}

/// Asserts that `gradient` is the gradient of `value` at `point`, by central differences.
#[track_caller]
pub fn assert_gradient(
    case: &dyn Debug,
    gradient: &[f64],
    point: &[f64],
    value: impl Fn(&[f64]) -> f64,
) {
    const STEP: f64 = 1e-4;
    let mut moved = point.to_vec();
    for (index, &gradient) in gradient.iter().enumerate() {
        moved[index] = point[index] + STEP;
        let above = value(&moved);
        moved[index] = point[index] - STEP;
        let below = value(&moved);
        moved[index] = point[index];
        let difference = (above - below) / (2.0 * STEP);
        assert!(
            (gradient - difference).abs() <= 1e-6 * (1.0 + difference.abs()),
            "{case:?}, element {index}: gradient {gradient}, finite difference {difference}"
        );
    }
}

/// The sum of products, a scalar whose gradient by `a` is `b`.
pub fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}
