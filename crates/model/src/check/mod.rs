//! Whether a device computes what it should: every operation of [`CnnBackend`](crate::CnnBackend) and
//! every network, forward and backward, against Burn's own operations in double precision on the host.
//!
//! | file | what it holds |
//! | --- | --- |
//! | [`operations`] | the operations as functions of tensors, on the device of their arguments |
//! | [`mod@reference`] | the same functions of Burn's own operations, which no backend here replaces |
//! | [`tape`] | a case's inputs and results, on any device |
//! | [`case`] | an operation on some inputs, and the bounds of its errors |
//! | [`cases`] | the operations on small images of odd and of even sizes |
//! | [`half`] | the operations with images in half precision |
//! | [`networks`] | whole networks and their training steps |
//!
//! The reference is neither this project's kernels nor the composed bodies of the contract, so that a
//! check of any backend, the CPU's too, compares two things. In double precision it has no rounding
//! errors of its own that would count.

pub mod case;
pub mod cases;
pub mod half;
pub mod networks;
pub mod operations;
pub mod reference;
pub mod tape;

use crate::NetworkError;

/// A device could not be checked to the end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CheckError {
    /// What the device computed could not be read.
    #[error("the device's results could not be read: {0}")]
    Read(String),
    /// A network could not be built.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// The reference of a network has other parameters than the network, which is a defect.
    #[error("the reference of a network has other parameters than the network")]
    Parameters,
}

impl CheckError {
    fn read(reason: impl std::fmt::Display) -> Self {
        Self::Read(reason.to_string())
    }
}

/// How far results are from what they should be: infinite where one is no number, is missing, or has
/// another shape.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Errors {
    /// The largest difference of a result, over the largest value of that result.
    pub value: f64,
    /// The same of gradients; 0 where there are none.
    pub gradient: f64,
}

impl Errors {
    /// The larger ones of two.
    #[must_use]
    pub fn or_larger(self, other: Self) -> Self {
        Self {
            value: self.value.max(other.value),
            gradient: self.gradient.max(other.gradient),
        }
    }

    /// Whether neither is above its bound in `bounds`.
    #[must_use]
    pub fn are_within(self, bounds: Self) -> bool {
        self.value <= bounds.value && self.gradient <= bounds.gradient
    }
}

/// The largest difference over the largest expected value; infinite where a value is no number or the
/// lengths differ.
fn distance(found: &[f64], expected: &[f64]) -> f64 {
    if found.len() != expected.len() || !found.iter().all(|value| value.is_finite()) {
        return f64::INFINITY;
    }
    let largest = expected.iter().map(|value| value.abs()).fold(0.0, f64::max);
    let pairs = found.iter().zip(expected);
    let difference = pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    difference / largest.max(1e-6)
}

/// The Euclidean norm of the difference over the expected values' own; infinite where a value is no
/// number or the lengths differ.
fn distance_of_vectors(found: &[Vec<f64>], expected: &[Vec<f64>]) -> f64 {
    let lengths = |all: &[Vec<f64>]| all.iter().map(Vec::len).collect::<Vec<_>>();
    if lengths(found) != lengths(expected) {
        return f64::INFINITY;
    }
    let pairs = found.iter().flatten().zip(expected.iter().flatten());
    let (difference, norm) = pairs.fold((0.0, 0.0), |(difference, norm), (a, b)| {
        (difference + (a - b) * (a - b), norm + b * b)
    });
    let ratio = (difference / f64::max(norm, 1e-12)).sqrt();
    if ratio.is_finite() {
        ratio
    } else {
        f64::INFINITY
    }
}
