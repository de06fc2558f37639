//! Fog: a cloud over the image.

use super::{Plane, Planes, Severity};
use crate::random::Stream;
use crate::record::{PLANE_BYTES, SIZE};

/// Adds a cloud, and makes the brightest value what it was.
pub(super) fn fog(planes: Planes, severity: Severity, random: &mut Stream) -> Planes {
    let (strength, decay) =
        severity.of([(0.2, 3.0), (0.5, 3.0), (0.75, 2.5), (1.0, 2.0), (1.5, 1.75)]);
    let cloud = cloud(decay, random);
    let brightest = planes.as_flattened().iter().copied().fold(0.0, f64::max);
    let factor = brightest / (brightest + strength);
    planes.map(|mut plane| {
        for (value, cloud) in plane.iter_mut().zip(&cloud) {
            *value = (*value + strength * cloud) * factor;
        }
        plane
    })
}

/// A random landscape from 0 to 1 by the diamond-square algorithm (Fournier, Fussell and Carpenter, 1982)
/// on a torus. At each halving of the distance what is random is divided by `decay` twice, since the authors
/// scale it by itself.
fn cloud(decay: f64, random: &mut Stream) -> Plane {
    let mut height = [0.0; PLANE_BYTES];
    let mut step = SIZE;
    let mut wobble = 100.0;
    while step >= 2 {
        let half = step / 2;
        let at = |x: usize, y: usize| y % SIZE * SIZE + x % SIZE;
        let mut middle = |height: &mut Plane, around: [usize; 4], to: usize| {
            let sum: f64 = around.map(|place| height[place]).iter().sum();
            height[to] = sum / 4.0 + wobble * random.between(-wobble, wobble);
        };
        let corners = || {
            (0..SIZE)
                .step_by(step)
                .flat_map(move |y| (0..SIZE).step_by(step).map(move |x| (x, y)))
        };
        for (x, y) in corners() {
            let around = [
                at(x, y),
                at(x + step, y),
                at(x, y + step),
                at(x + step, y + step),
            ];
            middle(&mut height, around, at(x + half, y + half));
        }
        // The middles of edges lie between two corners and two middles of squares.
        for (x, y) in corners() {
            let (above, below) = (at(x + half, y + SIZE - half), at(x + half, y + half));
            middle(
                &mut height,
                [at(x, y), at(x + step, y), above, below],
                at(x + half, y),
            );
            let (left, right) = (at(x + SIZE - half, y + half), at(x + half, y + half));
            middle(
                &mut height,
                [at(x, y), at(x, y + step), left, right],
                at(x, y + half),
            );
        }
        step = half;
        wobble /= decay;
    }
    let low = height.iter().copied().fold(f64::INFINITY, f64::min);
    let high = height.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    height.map(|value| (value - low) / (high - low))
}
