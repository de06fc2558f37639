//! Convolutions, and what lies beyond an image's edge.

use super::Plane;
use crate::record::{PLANE_BYTES, SIZE};

/// What a pixel beyond the edge shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Edge {
    /// The pixel at the edge.
    Nearest,
    /// The mirror image, the pixel at the edge taken twice.
    Mirrored,
    /// The mirror image, the pixel at the edge taken once.
    MirroredOnce,
}

impl Edge {
    /// The place inside of a row or column that `place` shows. A mirror's own end shows the edge.
    pub(super) fn inside(self, place: isize) -> usize {
        let last = SIZE as isize - 1;
        let twice = isize::from(self == Self::Mirrored);
        let place = match self {
            Self::Nearest => place,
            _ if place < 0 => -place - twice,
            _ if place > last => 2 * last - place + twice,
            _ => place,
        };
        place.clamp(0, last) as usize
    }
}

/// The value at a column and row.
pub(super) fn at(plane: &Plane, x: isize, y: isize, edge: Edge) -> f64 {
    plane[edge.inside(y) * SIZE + edge.inside(x)]
}

/// The value between pixels, by straight lines between the four around it.
pub(super) fn between(plane: &Plane, x: f64, y: f64, edge: Edge) -> f64 {
    let (left, top) = (x.floor(), y.floor());
    let (right_share, lower_share) = (x - left, y - top);
    let (left, top) = (left as isize, top as isize);
    let row = |y| {
        let [one, other] = [left, left + 1].map(|x| at(plane, x, y, edge));
        one + right_share * (other - one)
    };
    let (upper, lower) = (row(top), row(top + 1));
    upper + lower_share * (lower - upper)
}

/// The weights of a normal distribution with deviation `sigma`, from the middle outwards, as far as
/// `truncate` deviations. The middle once and all others twice come to 1.
pub(super) fn normal_weights(sigma: f64, truncate: f64) -> Vec<f64> {
    let radius = (truncate * sigma + 0.5) as usize;
    weights_within(sigma, radius)
}

/// As [`normal_weights`], as far as `radius` pixels.
pub(super) fn weights_within(sigma: f64, radius: usize) -> Vec<f64> {
    let mut weights: Vec<f64> = (0..=radius)
        .map(|distance| match distance {
            0 => 1.0,
            _ => (-0.5 * (distance as f64 / sigma).powi(2)).exp(),
        })
        .collect();
    let sum = 2.0 * weights.iter().sum::<f64>() - 1.0;
    weights.iter_mut().for_each(|weight| *weight /= sum);
    weights
}

/// Blurs rows, then columns, by symmetric weights from the middle outwards.
pub(super) fn blur(plane: &Plane, weights: &[f64], edge: Edge) -> Plane {
    let rows = blur_lines(plane, weights, |line, place| {
        line * SIZE + edge.inside(place)
    });
    blur_lines(&rows, weights, |line, place| {
        edge.inside(place) * SIZE + line
    })
}

/// Blurs along lines. `index` gives the value of a line at a place, which may lie beyond the edge.
fn blur_lines(plane: &Plane, weights: &[f64], index: impl Fn(usize, isize) -> usize) -> Plane {
    let mut blurred = [0.0; PLANE_BYTES];
    for line in 0..SIZE {
        for place in 0..SIZE as isize {
            let mut sum = 0.0;
            for (distance, weight) in (0..).zip(weights) {
                let mut value = plane[index(line, place + distance)];
                if distance > 0 {
                    value += plane[index(line, place - distance)];
                }
                sum += weight * value;
            }
            blurred[index(line, place)] = sum;
        }
    }
    blurred
}
