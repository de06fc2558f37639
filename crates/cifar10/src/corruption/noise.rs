//! Noise that is drawn for each value of each channel.

use super::{Planes, Severity};
use crate::random::Stream;

/// Adds a number of the normal distribution.
pub(super) fn gaussian(mut planes: Planes, severity: Severity, random: &mut Stream) -> Planes {
    let deviation = severity.of([0.04, 0.06, 0.08, 0.09, 0.10]);
    for value in planes.as_flattened_mut() {
        *value += deviation * random.normal();
    }
    planes
}

/// Counts light: the more of it makes white, the less noise.
pub(super) fn shot(mut planes: Planes, severity: Severity, random: &mut Stream) -> Planes {
    let white = severity.of([500.0, 250.0, 100.0, 75.0, 50.0]);
    for value in planes.as_flattened_mut() {
        *value = poisson(*value * white, random) / white;
    }
    planes
}

/// A number of the Poisson distribution with `mean`, at most some hundreds: the first one at which the
/// distribution function is above a number from 0 to 1.
fn poisson(mean: f64, random: &mut Stream) -> f64 {
    let unit = random.unit();
    let mut count = 0.0;
    let mut probability = (-mean).exp();
    let mut below = probability;
    // Beyond the mean the probabilities fall, and rounding keeps their sum just below 1.
    while below <= unit && (count < mean || probability > f64::EPSILON) {
        count += 1.0;
        probability *= mean / count;
        below += probability;
    }
    count
}

/// Makes values black or white, both equally likely.
pub(super) fn impulse(mut planes: Planes, severity: Severity, random: &mut Stream) -> Planes {
    let share = severity.of([0.01, 0.02, 0.03, 0.05, 0.07]);
    for value in planes.as_flattened_mut() {
        if random.unit() < share {
            *value = f64::from(u8::from(random.coin()));
        }
    }
    planes
}

/// Adds the value times a number of the normal distribution.
pub(super) fn speckle(mut planes: Planes, severity: Severity, random: &mut Stream) -> Planes {
    let deviation = severity.of([0.06, 0.1, 0.12, 0.16, 0.2]);
    for value in planes.as_flattened_mut() {
        *value += *value * deviation * random.normal();
    }
    planes
}
