//! Corruptions that move pixels.

use super::filter::{Edge, between, blur, normal_weights};
use super::{Plane, Planes, Severity};
use crate::random::Stream;
use crate::record::{PLANE_BYTES, SIZE};

/// The mean of the image and of the same at growing scales, a hundredth apart.
pub(super) fn zoom(planes: Planes, severity: Severity) -> Planes {
    // The authors' ranges of floating-point numbers have these lengths, the first of which is 1 to 1.06.
    let scales: u32 = severity.of([7, 12, 16, 21, 26]);
    planes.map(|plane| {
        let mut sum = plane;
        for hundredths in 0..scales {
            let scaled = scaled(&plane, 1.0 + 0.01 * f64::from(hundredths));
            for (sum, value) in sum.iter_mut().zip(&scaled) {
                *sum += value;
            }
        }
        sum.map(|value| value / f64::from(scales + 1))
    })
}

/// The middle of the image, larger by `scale`, which is at least 1.
pub(super) fn scaled(plane: &Plane, scale: f64) -> Plane {
    let kept = (SIZE as f64 / scale).ceil();
    let first = ((SIZE as f64 - kept) / 2.0).floor();
    let side = (kept * scale).round_ties_even();
    let trimmed = ((side - SIZE as f64) / 2.0).floor();
    // The middles of the corner pixels stay where they are.
    let step = (kept - 1.0) / (side - 1.0);
    let place = |pixel: usize| first + (pixel as f64 + trimmed) * step;
    std::array::from_fn(|pixel| {
        let (x, y) = (place(pixel % SIZE), place(pixel / SIZE));
        between(plane, x, y, Edge::Nearest)
    })
}

/// Side of the square whose corners a random affine transformation moves.
const SQUARE: f64 = 20.0;
/// The square's first corner, in both directions.
const CORNER: f64 = 6.0;

/// A random affine transformation, then a smooth random shift of each pixel.
pub(super) fn elastic(planes: Planes, severity: Severity, random: &mut Stream) -> Planes {
    let side = SIZE as f64;
    // By how much pixels shift, over which distance shifts are alike, and how far corners move.
    let (shift, smoothness, corners) = severity.of([
        (0.0, 0.0, 0.08),
        (0.05, 0.2, 0.07),
        (0.08, 0.06, 0.06),
        (0.1, 0.04, 0.05),
        (0.1, 0.03, 0.03),
    ]);
    let source = affine(side * corners, random);
    let moved = planes.each_ref().map(|plane| {
        from_places(|x, y| {
            let (x, y) = source(x, y);
            between(plane, x, y, Edge::MirroredOnce)
        })
    });
    let [right, down] = [(); 2].map(|()| {
        let noise: Plane = std::array::from_fn(|_| random.between(-1.0, 1.0));
        let weights = normal_weights(side * smoothness, 3.0);
        blur(&noise, &weights, Edge::Mirrored).map(|value| value * side * shift)
    });
    moved.each_ref().map(|plane| {
        let mut shifts = right.iter().zip(&down);
        from_places(|x, y| {
            let (right, down) = shifts.next().unwrap_or((&0.0, &0.0));
            between(plane, x + right, y + down, Edge::Mirrored)
        })
    })
}

/// A plane of the values that `value` gives for each column and row, row by row.
fn from_places(mut value: impl FnMut(f64, f64) -> f64) -> Plane {
    let mut plane = [0.0; PLANE_BYTES];
    for (pixel, to) in plane.iter_mut().enumerate() {
        *to = value((pixel % SIZE) as f64, (pixel / SIZE) as f64);
    }
    plane
}

/// Where a pixel comes from under the affine transformation that moves three corners of a square each by
/// up to `most` in both directions.
fn affine(most: f64, random: &mut Stream) -> impl Fn(f64, f64) -> (f64, f64) + use<> {
    let far = CORNER + SQUARE;
    let [lower_right, upper_right, upper_left] = [[far, far], [far, CORNER], [CORNER, CORNER]]
        .map(|corner| corner.map(|place| place + random.between(-most, most)));
    // What a step to the right and a step down become.
    let [right, down] = [(upper_right, upper_left), (lower_right, upper_right)]
        .map(|(to, from)| [0, 1].map(|axis| (to[axis] - from[axis]) / SQUARE));
    let determinant = right[0] * down[1] - down[0] * right[1];
    move |x, y| {
        let (x, y) = (x - upper_left[0], y - upper_left[1]);
        (
            CORNER + (down[1] * x - down[0] * y) / determinant,
            CORNER + (right[0] * y - right[1] * x) / determinant,
        )
    }
}
