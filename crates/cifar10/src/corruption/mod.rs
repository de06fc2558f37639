//! The corruptions of CIFAR-10-C (Hendrycks and Dietterich, "Benchmarking Neural Network Robustness to
//! Common Corruptions and Perturbations", 2019, arXiv:1903.12261), computed from clean images with the
//! constants that its authors published for CIFAR-10.
//!
//! | file | what it holds |
//! | --- | --- |
//! | here | the kinds, their severities, and whole sets of images |
//! | `noise` | Gaussian, shot, impulse and speckle noise |
//! | `filter` | convolutions, and what lies beyond an image's edge |
//! | `blur` | Gaussian, defocus, glass and motion blur |
//! | `geometry` | zoom blur and elastic transformation |
//! | `snow` | snow |
//! | `fog` | fog |
//! | `colour` | brightness, contrast, saturation |
//! | `digital` | pixelation |
//! | `jpeg` | what JPEG loses |
//!
//! Frost and spatter are left out: frost needs photographs of ice, and spatter an image library's edge
//! detection, distance transform and histogram equalisation. Random numbers are our own, so that single
//! images differ from the published ones and their distribution does not.

mod blur;
mod colour;
mod digital;
mod filter;
mod fog;
mod geometry;
mod jpeg;
mod noise;
mod snow;

use std::num::NonZero;
use std::ops::Range;
use std::thread;

use crate::dataset::Images;
use crate::random::{Purpose, Stream};
use crate::record::{CHANNELS, IMAGE_BYTES, PLANE_BYTES};

/// An image's bytes, `[channel, height, width]`.
type Image = [u8; IMAGE_BYTES];
/// One channel from 0 to 1, row by row.
type Plane = [f64; PLANE_BYTES];
/// Red, green and blue from 0 to 1.
type Planes = [Plane; CHANNELS];

/// A kind of corruption. Its place here is part of the key of its random numbers, so that new kinds come last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Corruption {
    /// Noise of a normal distribution.
    GaussianNoise,
    /// Noise of counted light: a Poisson distribution.
    ShotNoise,
    /// Values that become black or white.
    ImpulseNoise,
    /// Noise of a normal distribution in proportion to the value.
    SpeckleNoise,
    /// A blur by a normal distribution.
    GaussianBlur,
    /// The blur of a lens out of focus: a disk.
    DefocusBlur,
    /// Pixels that move to neighbours, as behind frosted glass.
    GlassBlur,
    /// A blur along a direction.
    MotionBlur,
    /// A blur towards the middle.
    ZoomBlur,
    /// A bright cloud (a fractal by the diamond-square algorithm).
    Fog,
    /// More light.
    Brightness,
    /// Less contrast.
    Contrast,
    /// Less or more colour.
    Saturate,
    /// Small regions that are stretched or drawn together.
    ElasticTransform,
    /// Fewer pixels.
    Pixelate,
    /// What JPEG loses.
    JpegCompression,
    /// Flakes that fall over an image with less colour.
    Snow,
}

impl Corruption {
    /// All of them, in the order of tables.
    pub const ALL: [Self; 17] = [
        Self::GaussianNoise,
        Self::ShotNoise,
        Self::ImpulseNoise,
        Self::SpeckleNoise,
        Self::GaussianBlur,
        Self::DefocusBlur,
        Self::GlassBlur,
        Self::MotionBlur,
        Self::ZoomBlur,
        Self::Snow,
        Self::Fog,
        Self::Brightness,
        Self::Contrast,
        Self::Saturate,
        Self::ElasticTransform,
        Self::Pixelate,
        Self::JpegCompression,
    ];

    /// The name of its file in CIFAR-10-C, without the extension.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::GaussianNoise => "gaussian_noise",
            Self::ShotNoise => "shot_noise",
            Self::ImpulseNoise => "impulse_noise",
            Self::SpeckleNoise => "speckle_noise",
            Self::GaussianBlur => "gaussian_blur",
            Self::DefocusBlur => "defocus_blur",
            Self::GlassBlur => "glass_blur",
            Self::MotionBlur => "motion_blur",
            Self::ZoomBlur => "zoom_blur",
            Self::Fog => "fog",
            Self::Brightness => "brightness",
            Self::Contrast => "contrast",
            Self::Saturate => "saturate",
            Self::ElasticTransform => "elastic_transform",
            Self::Pixelate => "pixelate",
            Self::JpegCompression => "jpeg_compression",
            Self::Snow => "snow",
        }
    }

    /// `image`, `[channel, height, width]`, corrupted. What is random in it is a function of the kind,
    /// `severity`, `seed` and `index`, the image's place in its set.
    #[must_use]
    pub fn apply(self, image: &Image, severity: Severity, seed: u64, index: u64) -> Image {
        let kind = self as u64 * Severity::ALL.len() as u64 + u64::from(severity.0);
        let mut stream = Stream::new(seed, Purpose::Corruption, kind, index);
        let random = &mut stream;
        let planes = planes(image);
        bytes(&match self {
            Self::GaussianNoise => noise::gaussian(planes, severity, random),
            Self::ShotNoise => noise::shot(planes, severity, random),
            Self::ImpulseNoise => noise::impulse(planes, severity, random),
            Self::SpeckleNoise => noise::speckle(planes, severity, random),
            Self::GaussianBlur => blur::gaussian(planes, severity),
            Self::DefocusBlur => blur::defocus(planes, severity),
            Self::GlassBlur => blur::glass(planes, severity, random),
            Self::MotionBlur => blur::motion(planes, severity, random),
            Self::ZoomBlur => geometry::zoom(planes, severity),
            Self::Snow => snow::snow(planes, severity, random),
            Self::Fog => fog::fog(planes, severity, random),
            Self::Brightness => colour::brightness(planes, severity),
            Self::Contrast => colour::contrast(planes, severity),
            Self::Saturate => colour::saturate(planes, severity),
            Self::ElasticTransform => geometry::elastic(planes, severity, random),
            Self::Pixelate => return digital::pixelate(image, severity),
            Self::JpegCompression => return jpeg::jpeg(image, severity),
        })
    }

    /// Those of `images` whose indices lie in `range` corrupted, with their labels. As many `threads` share
    /// the work, or one a core where they are 0, and the result does not depend on how many. Indices beyond
    /// the end are passed over.
    #[must_use]
    pub fn apply_to(
        self,
        images: &Images,
        range: Range<usize>,
        severity: Severity,
        seed: u64,
        threads: usize,
    ) -> Images {
        let range = range.start.min(images.len())..range.end.min(images.len());
        let (clean, _) = images.pixels().as_chunks::<IMAGE_BYTES>();
        let clean = clean.get(range.clone()).unwrap_or_default();
        let labels = images.labels().get(range.clone()).unwrap_or_default();
        let mut pixels = vec![0; clean.len() * IMAGE_BYTES];
        let (corrupted, _) = pixels.as_chunks_mut::<IMAGE_BYTES>();
        let threads = match threads {
            0 => thread::available_parallelism().map_or(1, NonZero::get),
            threads => threads,
        };
        let share = clean.len().div_ceil(threads).max(1);
        thread::scope(|scope| {
            let shares = clean.chunks(share).zip(corrupted.chunks_mut(share));
            for (place, (clean, corrupted)) in shares.enumerate() {
                scope.spawn(move || {
                    let indices = (range.start + place * share) as u64..;
                    for ((image, to), index) in clean.iter().zip(corrupted).zip(indices) {
                        *to = self.apply(image, severity, seed, index);
                    }
                });
            }
        });
        Images::from_parts(pixels.into(), labels.into())
    }
}

/// How strong a corruption is, from 1 to 5.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Severity(u8);

impl Severity {
    /// All of them, the weakest first.
    pub const ALL: [Self; 5] = [Self(1), Self(2), Self(3), Self(4), Self(5)];

    /// The number, from 1 to 5.
    #[must_use]
    pub fn number(self) -> u8 {
        self.0
    }

    /// The constant of this severity, of those from the weakest to the strongest.
    fn of<T: Copy>(self, constants: [T; 5]) -> T {
        constants[usize::from(self.0 - 1)]
    }
}

/// Bytes as numbers from 0 to 1.
fn planes(image: &Image) -> Planes {
    let (planes, _) = image.as_chunks::<PLANE_BYTES>();
    std::array::from_fn(|channel| planes[channel].map(|byte| f64::from(byte) / 255.0))
}

/// What rounding may have taken from a whole number, before it is cut off to one.
const ROUNDING: f64 = 1e-9;

/// Numbers from 0 to 1 as bytes.
fn bytes(planes: &Planes) -> Image {
    let mut image = [0; IMAGE_BYTES];
    for (to, value) in image.iter_mut().zip(planes.as_flattened()) {
        *to = byte(*value);
    }
    image
}

/// A number from 0 to 1 as a byte, cut off to a whole one as the authors' program does. Beyond the range the
/// nearest counts.
fn byte(value: f64) -> u8 {
    (255.0 * value + ROUNDING).clamp(0.0, 255.0) as u8
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests;
