//! Corruptions of each pixel's colour alone.

use super::{Planes, Severity};
use crate::record::PLANE_BYTES;

/// Adds to the value of hue, saturation and value, and leaves the other two as they are.
pub(super) fn brightness(mut planes: Planes, severity: Severity) -> Planes {
    let more = severity.of([0.05, 0.1, 0.15, 0.2, 0.3]);
    for pixel in 0..PLANE_BYTES {
        let value = brightest(&planes, pixel);
        let brighter = (value + more).min(1.0);
        for plane in &mut planes {
            // With hue and saturation fixed the channels are in proportion to the value; black has neither.
            plane[pixel] = if value > 0.0 {
                plane[pixel] / value * brighter
            } else {
                brighter
            };
        }
    }
    planes
}

/// Draws each channel towards its mean.
pub(super) fn contrast(planes: Planes, severity: Severity) -> Planes {
    let factor = severity.of([0.75, 0.5, 0.4, 0.3, 0.15]);
    planes.map(|plane| {
        let mean = plane.iter().sum::<f64>() / PLANE_BYTES as f64;
        plane.map(|value| mean + factor * (value - mean))
    })
}

/// Scales the saturation of hue, saturation and value and adds to it. The weaker severities take colour
/// away, the others add it. Grey, which has no hue, becomes red, as with scikit-image.
pub(super) fn saturate(mut planes: Planes, severity: Severity) -> Planes {
    let (factor, more) = severity.of([(0.3, 0.0), (0.1, 0.0), (1.5, 0.0), (2.0, 0.1), (2.5, 0.2)]);
    for pixel in 0..PLANE_BYTES {
        let value = brightest(&planes, pixel);
        let range = value - planes.iter().map(|plane| plane[pixel]).fold(1.0, f64::min);
        let saturation = if value > 0.0 { range / value } else { 0.0 };
        let saturation = (saturation * factor + more).clamp(0.0, 1.0);
        for (channel, plane) in planes.iter_mut().enumerate() {
            // How far below the value a channel is, as a share of the range: what the hue says.
            let below = if range > 0.0 {
                (value - plane[pixel]) / range
            } else {
                f64::from(u8::from(channel > 0))
            };
            plane[pixel] = value * (1.0 - saturation * below);
        }
    }
    planes
}

/// The value of hue, saturation and value: the largest of the three channels.
fn brightest(planes: &Planes, pixel: usize) -> f64 {
    planes.iter().map(|plane| plane[pixel]).fold(0.0, f64::max)
}
