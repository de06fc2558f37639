//! Blurs by a kernel, and by pixels that move.

use super::filter::{Edge, at, blur, normal_weights, weights_within};
use super::{Plane, Planes, Severity};
use crate::random::Stream;
use crate::record::SIZE;

/// Deviations of the normal distribution that a blur takes into account, as in scikit-image.
const TRUNCATE: f64 = 4.0;

/// A blur by a normal distribution.
pub(super) fn gaussian(planes: Planes, severity: Severity) -> Planes {
    normal_blur(&planes, severity.of([0.4, 0.6, 0.7, 0.8, 1.0]))
}

fn normal_blur(planes: &Planes, sigma: f64) -> Planes {
    let weights = normal_weights(sigma, TRUNCATE);
    planes
        .each_ref()
        .map(|plane| blur(plane, &weights, Edge::Nearest))
}

/// Pixels from the middle of a defocus kernel to its edge: a disk's two and one that smoothing adds.
const DISK: isize = 3;
/// Height and width of that kernel.
const DISK_SIDE: usize = 2 * DISK as usize + 1;

/// A blur by a disk whose edge is smoothed.
pub(super) fn defocus(planes: Planes, severity: Severity) -> Planes {
    let (radius, smoothing) =
        severity.of([(0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1.0, 0.2), (1.5, 0.1)]);
    let kernel = disk(radius, smoothing);
    planes.each_ref().map(|plane| correlate(plane, &kernel))
}

/// The share of each pixel around the middle, `[row][column]`. Smoothing reaches the next pixels only.
fn disk(radius: f64, smoothing: f64) -> [[f64; DISK_SIDE]; DISK_SIDE] {
    let inside = |x: isize, y: isize| ((x * x + y * y) as f64) <= radius * radius;
    let around = || (-DISK..=DISK).flat_map(|y| (-DISK..=DISK).map(move |x| (x, y)));
    let pixels = around().filter(|(x, y)| inside(*x, *y)).count() as f64;
    let weights = weights_within(smoothing, 1);
    let [middle, next] = [0, 1].map(|distance| weights.get(distance).copied().unwrap_or(0.0));
    let mut kernel = [[0.0; DISK_SIDE]; DISK_SIDE];
    for (row, y) in kernel.iter_mut().zip(-DISK..) {
        for (share, x) in row.iter_mut().zip(-DISK..) {
            for (down, right) in (-1..=1).flat_map(|v| (-1..=1).map(move |u| (v, u))) {
                if inside(x + right, y + down) {
                    let weight = |by: isize| if by == 0 { middle } else { next };
                    *share += weight(right) * weight(down) / pixels;
                }
            }
        }
    }
    kernel
}

/// The sum of the pixels around each one by the kernel's shares.
fn correlate(plane: &Plane, kernel: &[[f64; DISK_SIDE]; DISK_SIDE]) -> Plane {
    std::array::from_fn(|pixel| {
        let (x, y) = ((pixel % SIZE) as isize, (pixel / SIZE) as isize);
        let mut sum = 0.0;
        for (row, down) in kernel.iter().zip(-DISK..) {
            for (share, right) in row.iter().zip(-DISK..) {
                if *share != 0.0 {
                    sum += share * at(plane, x + right, y + down, Edge::MirroredOnce);
                }
            }
        }
        sum
    })
}

/// Pixels take the place of neighbours, once or twice over the image, between two blurs.
///
/// The authors' program means to exchange pixels. Since a pixel of a NumPy array is a view of it, one is
/// copied over the other; so it is here.
pub(super) fn glass(planes: Planes, severity: Severity, random: &mut Stream) -> Planes {
    let (sigma, rounds) = severity.of([(0.05, 1), (0.25, 1), (0.4, 1), (0.25, 2), (0.4, 2)]);
    let mut moved = super::planes(&super::bytes(&normal_blur(&planes, sigma)));
    for _ in 0..rounds {
        for y in (2..SIZE).rev() {
            for x in (2..SIZE).rev() {
                let [right, down] = [(); 2].map(|()| usize::from(random.coin()));
                let (from, to) = ((y - down) * SIZE + x - right, y * SIZE + x);
                for plane in &mut moved {
                    plane[to] = plane[from];
                }
            }
        }
    }
    normal_blur(&moved, sigma)
}

/// A blur along a line whose direction is at most 45 degrees from the horizontal.
pub(super) fn motion(planes: Planes, severity: Severity, random: &mut Stream) -> Planes {
    let (radius, sigma) = severity.of([(6, 1.0), (6, 1.5), (6, 2.0), (8, 2.0), (9, 2.5)]);
    let line = Line::new(radius, sigma, random.between(-45.0, 45.0));
    planes.each_ref().map(|plane| line.blur(plane))
}

/// A line that begins at a pixel, whose weights fall as a normal distribution, as ImageMagick's: the weight
/// of each place, and how far right of and below the pixel it is.
pub(super) struct Line(Vec<(f64, isize, isize)>);

impl Line {
    /// The line of `2 * radius + 1` places in the direction of `degrees` below the horizontal, whose weights
    /// have the deviation `sigma`.
    pub(super) fn new(radius: i32, sigma: f64, degrees: f64) -> Self {
        let (sine, cosine) = degrees.to_radians().sin_cos();
        let length = 2 * radius + 1;
        let weight = |place: i32| (-0.5 * (f64::from(place) / sigma).powi(2)).exp();
        let sum: f64 = (0..length).map(weight).sum();
        let places = (0..length).map(|place| {
            let [right, down] =
                [cosine, sine].map(|part| (f64::from(place) * part - 0.5).ceil() as isize);
            (weight(place) / sum, right, down)
        });
        Self(places.collect())
    }

    /// `plane` blurred along the line.
    pub(super) fn blur(&self, plane: &Plane) -> Plane {
        std::array::from_fn(|pixel| {
            let (x, y) = ((pixel % SIZE) as isize, (pixel / SIZE) as isize);
            let terms = self.0.iter().map(|(weight, right, down)| {
                weight * at(plane, x + right, y + down, Edge::Nearest)
            });
            // ImageMagick rounds to the nearest byte, where the other corruptions are cut off.
            (255.0 * terms.sum::<f64>()).round() / 255.0
        })
    }
}
