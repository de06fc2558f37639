//! TrivialAugment (Müller and Hutter, 2021, arXiv:2103.10158): one operation an image, at a strength of
//! its own. Operations and ranges are those of torchvision's `TrivialAugmentWide`, with the nearest
//! pixel where an image is turned or slanted, and black beyond its edge.

use super::pixels::{self, Image};
use crate::random::Stream;
use crate::record::SIZE;

/// Strengths of an operation, from none to the strongest.
pub const STRENGTHS: u32 = 31;

/// One of TrivialAugment's operations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Leaves the image as it is.
    Identity,
    /// Slants columns, by up to 0.99 pixels a row.
    ShearX,
    /// Slants rows, by up to 0.99 pixels a column.
    ShearY,
    /// Moves to a side, by up to 32 pixels.
    TranslateX,
    /// Moves up or down, by up to 32 pixels.
    TranslateY,
    /// Turns, by up to 135 degrees.
    Rotate,
    /// Multiplies.
    Brightness,
    /// Changes the saturation.
    Color,
    /// Moves away from or towards the mean grey.
    Contrast,
    /// Moves away from or towards the smoothed image.
    Sharpness,
    /// Keeps 8 to 2 bits.
    Posterize,
    /// Turns bright bytes over.
    Solarize,
    /// Spreads each channel over the whole range.
    AutoContrast,
    /// Makes each channel's histogram even.
    Equalize,
}

impl Operation {
    /// All of them, in torchvision's order.
    pub const ALL: [Self; 14] = [
        Self::Identity,
        Self::ShearX,
        Self::ShearY,
        Self::TranslateX,
        Self::TranslateY,
        Self::Rotate,
        Self::Brightness,
        Self::Color,
        Self::Contrast,
        Self::Sharpness,
        Self::Posterize,
        Self::Solarize,
        Self::AutoContrast,
        Self::Equalize,
    ];

    /// Draws an operation and its strength: from 0 to `STRENGTHS - 1`, below 0 for the other direction.
    pub fn draw(stream: &mut Stream) -> (Self, i32) {
        let place = stream.below(Self::ALL.len() as u32) as usize;
        let strength = stream.below(STRENGTHS) as i32;
        let strength = if stream.coin() { -strength } else { strength };
        (
            Self::ALL.get(place).copied().unwrap_or(Self::Identity),
            strength,
        )
    }

    /// Changes `image`, `[channel, height, width]`. Operations without a direction take a negative
    /// strength as a positive one, and strengths beyond the last are the last.
    pub fn apply(self, strength: i32, image: &mut Image) {
        let factor = || (1.0 + magnitude(0.99, strength)) as f32;
        match self {
            Self::Identity => {}
            Self::ShearX => {
                let by = magnitude(0.99, strength);
                affine(image, |x, y| (x + by * (y + 0.5), y));
            }
            Self::ShearY => {
                let by = magnitude(0.99, strength);
                affine(image, |x, y| (x, y + by * (x + 0.5)));
            }
            Self::TranslateX => {
                let by = magnitude(SIZE as f32, strength).trunc();
                affine(image, |x, y| (x - by, y));
            }
            Self::TranslateY => {
                let by = magnitude(SIZE as f32, strength).trunc();
                affine(image, |x, y| (x, y - by));
            }
            Self::Rotate => {
                let (sin, cos) = (-magnitude(135.0, strength)).to_radians().sin_cos();
                let centre = SIZE as f64 / 2.0 - 0.5;
                affine(image, |x, y| {
                    let (x, y) = (x - centre, y - centre);
                    (cos * x + sin * y + centre, cos * y - sin * x + centre)
                });
            }
            Self::Brightness => pixels::brightness(image, factor()),
            Self::Color => pixels::saturation(image, factor()),
            Self::Contrast => pixels::contrast(image, factor()),
            Self::Sharpness => pixels::sharpness(image, factor()),
            Self::Posterize => {
                let fewer = magnitude(6.0, strength).abs().round_ties_even() as u32;
                pixels::posterize(image, 8 - fewer);
            }
            Self::Solarize => {
                let threshold = 255.0 - magnitude(255.0, strength).abs();
                pixels::solarize(image, threshold as f32);
            }
            Self::AutoContrast => pixels::autocontrast(image),
            Self::Equalize => pixels::equalize(image),
        }
    }
}

/// How much of `most` a strength is, with its direction: `torch.linspace(0, most, 31)`, which counts in
/// single precision up from 0 in the first half and down from `most` in the second, and rounds once a
/// number. Half of 32 so becomes 15.999999, of which a translation keeps 15 pixels.
fn magnitude(most: f32, strength: i32) -> f64 {
    let last = STRENGTHS - 1;
    let place = strength.unsigned_abs();
    let step = most / last as f32;
    let magnitude = if place < STRENGTHS / 2 {
        step * place as f32
    } else {
        (-step).mul_add(last.saturating_sub(place) as f32, most)
    };
    f64::from(magnitude) * f64::from(strength.signum())
}

/// Takes each pixel from the one nearest to where `source` says.
fn affine(image: &mut Image, source: impl Fn(f64, f64) -> (f64, f64)) {
    pixels::resample(image, |x, y| {
        let (x, y) = source(x as f64, y as f64);
        let inside = |value: f64| {
            let nearest = value.round_ties_even();
            (0.0..SIZE as f64)
                .contains(&nearest)
                .then_some(nearest as usize)
        };
        Some((inside(x)?, inside(y)?))
    });
}
