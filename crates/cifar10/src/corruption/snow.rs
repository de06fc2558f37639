//! Snow: flakes that fall over an image with less colour.

use super::blur::Line;
use super::geometry::scaled;
use super::{Plane, Planes, Severity, byte};
use crate::random::Stream;
use crate::record::{CHANNELS, PLANE_BYTES};

/// The weights of red, green and blue in grey, by ITU-R BT.601.
const GREY: [f64; CHANNELS] = [0.299, 0.587, 0.114];

/// Blends an image with a bright grey one, and lets flakes fall on it: noise, enlarged, of which the brightest
/// stays and is blurred downwards. They fall once more turned by half a circle.
pub(super) fn snow(mut planes: Planes, severity: Severity, random: &mut Stream) -> Planes {
    // Mean and deviation of the noise, how much larger it is made, what stays of it, radius and deviation of
    // the blur, and how much stays of the image.
    let (mean, deviation, scale, threshold, radius, sigma, kept) = severity.of([
        (0.1, 0.2, 1.0, 0.6, 8, 3.0, 0.95),
        (0.1, 0.2, 1.0, 0.5, 10, 4.0, 0.9),
        (0.15, 0.3, 1.75, 0.55, 10, 4.0, 0.9),
        (0.25, 0.3, 2.25, 0.6, 12, 6.0, 0.85),
        (0.3, 0.3, 1.25, 0.65, 14, 12.0, 0.8),
    ]);
    let noise: Plane = std::array::from_fn(|_| mean + deviation * random.normal());
    let flakes = scaled(&noise, scale).map(|value| {
        // ImageMagick blurs a picture of bytes.
        let flake = if value < threshold { 0 } else { byte(value) };
        f64::from(flake) / 255.0
    });
    let flakes = Line::new(radius, sigma, random.between(-135.0, -45.0)).blur(&flakes);
    for pixel in 0..PLANE_BYTES {
        let colours = planes.iter().zip(GREY);
        let grey: f64 = colours.map(|(plane, weight)| weight * plane[pixel]).sum();
        let bright = 1.5 * grey + 0.5;
        let fallen = flakes[pixel] + flakes[PLANE_BYTES - 1 - pixel];
        for plane in &mut planes {
            let value = plane[pixel];
            plane[pixel] = kept * value + (1.0 - kept) * value.max(bright) + fallen;
        }
    }
    planes
}
