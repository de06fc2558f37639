//! A picture of any size to what a network sees: 32 by 32 pixels.

use resize::px::RGB;
use resize::{Pixel, Type};

use crate::{IMAGE_CHANNELS, IMAGE_SIZE};

/// A picture in memory, red, green and blue, whatever its file held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    width: usize,
    height: usize,
    pixels: Vec<RGB<u8>>,
}

/// Samples make no picture.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PictureError {
    /// There are other samples than the picture has pixels.
    #[error(
        "a picture of {width} by {height} pixels has one to four bytes a pixel, and not {bytes} in all"
    )]
    Samples {
        /// Its width in pixels.
        width: usize,
        /// Its height in pixels.
        height: usize,
        /// The bytes that were given.
        bytes: usize,
    },
    /// It cannot be made smaller.
    #[error("the picture cannot be brought to {IMAGE_SIZE} by {IMAGE_SIZE} pixels: {0}")]
    Resize(String),
}

impl Picture {
    /// The picture of `width` by `height` pixels in `samples`, row by row, the samples of a pixel side by
    /// side, each a byte: grey, grey and opacity, red-green-blue, or those and opacity, by how many there
    /// are of them. What is transparent becomes white.
    ///
    /// # Errors
    /// [`PictureError::Samples`] for no pixels, and for another number of bytes.
    pub fn new(width: usize, height: usize, samples: &[u8]) -> Result<Self, PictureError> {
        let pixels = match samples_a_pixel(width, height, samples.len()) {
            Some(1) => samples.iter().map(|v| RGB::new(*v, *v, *v)).collect(),
            Some(2) => each(samples, |[v, a]| on_white([v, v, v], a)),
            Some(3) => each(samples, |[r, g, b]| RGB::new(r, g, b)),
            Some(4) => each(samples, |[r, g, b, a]| on_white([r, g, b], a)),
            _ => {
                return Err(PictureError::Samples {
                    width,
                    height,
                    bytes: samples.len(),
                });
            }
        };
        Ok(Self {
            width,
            height,
            pixels,
        })
    }

    /// What a network sees of it, row by row: the largest square in the middle, by a triangle filter as
    /// wide as what a pixel stands for, so that fine patterns average out.
    ///
    /// # Errors
    /// [`PictureError::Resize`] where there is no memory for the filter.
    pub fn middle(&self) -> Result<[RGB<u8>; IMAGE_SIZE * IMAGE_SIZE], PictureError> {
        let failed = |reason: String| PictureError::Resize(reason);
        let side = self.width.min(self.height);
        let (left, top) = ((self.width - side) / 2, (self.height - side) / 2);
        let square = (self.pixels.get(top * self.width + left..))
            .ok_or_else(|| failed("it has fewer pixels than it says".to_owned()))?;
        let mut small = [RGB::new(0, 0, 0); IMAGE_SIZE * IMAGE_SIZE];
        let (pixel, filter) = (Pixel::RGB8, Type::Triangle);
        resize::new(side, side, IMAGE_SIZE, IMAGE_SIZE, pixel, filter)
            .and_then(|mut resizer| resizer.resize_stride(square, self.width, &mut small))
            .map_err(|error| failed(error.to_string()))?;
        Ok(small)
    }

    /// What a network takes, `[3, 32, 32]`: byte `p` of channel `c` as `(p / 255 - mean[c]) / std[c]`.
    ///
    /// # Errors
    /// As [`Picture::middle`].
    pub fn normalized(
        &self,
        mean: [f32; IMAGE_CHANNELS],
        std: [f32; IMAGE_CHANNELS],
    ) -> Result<Vec<f32>, PictureError> {
        let small = self.middle()?;
        let channel: [fn(&RGB<u8>) -> u8; IMAGE_CHANNELS] = [|p| p.r, |p| p.g, |p| p.b];
        let channels = channel.into_iter().zip(mean).zip(std);
        Ok(channels
            .flat_map(|((channel, mean), std)| {
                let number = move |byte: u8| (f32::from(byte) / 255.0 - mean) / std;
                small.iter().map(move |pixel| number(channel(pixel)))
            })
            .collect())
    }
}

/// Samples of each pixel, where they are as many for all.
fn samples_a_pixel(width: usize, height: usize, samples: usize) -> Option<usize> {
    let pixels = width.checked_mul(height).filter(|pixels| *pixels > 0)?;
    samples.is_multiple_of(pixels).then_some(samples / pixels)
}

fn each<const N: usize>(samples: &[u8], pixel: impl Fn([u8; N]) -> RGB<u8>) -> Vec<RGB<u8>> {
    let pixels = samples.as_chunks::<N>().0;
    pixels.iter().map(|samples| pixel(*samples)).collect()
}

/// A pixel over white.
fn on_white(color: [u8; 3], alpha: u8) -> RGB<u8> {
    let alpha = u32::from(alpha);
    let [r, g, b] = color.map(|value| {
        let value = (u32::from(value) * alpha + 255 * (255 - alpha) + 127) / 255;
        u8::try_from(value).unwrap_or(u8::MAX)
    });
    RGB::new(r, g, b)
}
