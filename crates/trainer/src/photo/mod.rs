//! Photographs to what a network sees: 32 by 32 pixels.
//!
//! | file | what it holds |
//! | --- | --- |
//! | `decode` | PNG, JPEG and WebP to pixels, within limits |
//! | `orientation` | which way up the camera was held |
//! | `sources` | the files that the user names |

mod decode;
mod orientation;
pub mod sources;
#[cfg(test)]
mod tests;

use std::panic::catch_unwind;

use cifar10::Normalization;
use cifar10::record::{CHANNELS, IMAGE_BYTES};
use model::PictureError;

pub use orientation::Orientation;

/// The longest file that is read, in bytes.
pub const LONGEST: usize = 32 * MILLION;
/// The most pixels of a photo that is decoded: those of a large camera's.
pub const MOST_PIXELS: usize = 64 * MILLION;
/// Messages name both limits in millions.
pub(crate) const MILLION: usize = 1_000_000;

/// Why a photo has no answer. Each message is a part of a line.
#[derive(Debug, thiserror::Error)]
pub enum PhotoError {
    /// The file could not be read.
    #[error("cannot read this: {0}")]
    Io(#[from] std::io::Error),
    /// A folder holds no files.
    #[error("this folder has no files")]
    NoFiles,
    /// A folder holds something that is no file.
    #[error("this is a pipe, a socket or a device")]
    NotAFile,
    /// The file has no bytes.
    #[error("this is empty")]
    Empty,
    /// The file is too long.
    #[error("this has more than {} megabytes", LONGEST / MILLION)]
    TooLong,
    /// The file is no image that is read.
    #[error("this is no PNG, JPEG or WebP")]
    Unknown,
    /// The image has too many pixels, perhaps on purpose.
    #[error("this has {width} by {height} pixels, more than {} million", MOST_PIXELS / MILLION)]
    TooLarge {
        /// Its width.
        width: usize,
        /// Its height.
        height: usize,
    },
    /// The image is damaged.
    #[error("this {format} is damaged or of a rare kind: {reason}")]
    Damaged {
        /// Its format.
        format: &'static str,
        /// What the decoder said.
        reason: String,
    },
    /// The image is none that a network could see.
    #[error(transparent)]
    Picture(#[from] PictureError),
}

/// A photo as the network sees it, as CIFAR-10 stores images: 32 rows of 32 pixels of red, then of
/// green, then of blue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Photo {
    /// The bytes.
    pub pixels: Box<[u8; IMAGE_BYTES]>,
}

impl Photo {
    /// The photo in `bytes`, a PNG, JPEG or WebP file of any size: its middle square, as the camera was
    /// held, made smaller by a filter that averages. What is transparent becomes white.
    ///
    /// # Errors
    /// [`PhotoError`] where it is no image, a damaged one or too large.
    pub fn decode(bytes: &[u8]) -> Result<Self, PhotoError> {
        // Decoders are other people's, and a defect in one ends this photo and nothing else.
        catch_unwind(|| {
            let square = decode::decode(bytes)?.middle()?;
            let orientation = Orientation::of(bytes);
            Ok(Self {
                pixels: orientation.planes(&square),
            })
        })
        .unwrap_or_else(|_| {
            Err(PhotoError::Damaged {
                format: "image",
                reason: "its decoder failed".to_owned(),
            })
        })
    }

    /// The numbers that a network takes, `[3, 32, 32]`, added to `images`.
    pub fn append_to(&self, images: &mut Vec<f32>, normalization: &Normalization) {
        let tables = normalization.tables();
        let planes = self.pixels.chunks_exact(IMAGE_BYTES / CHANNELS);
        for (plane, table) in planes.zip(&tables) {
            images.extend(
                plane
                    .iter()
                    .filter_map(|byte| table.get(usize::from(*byte))),
            );
        }
    }
}
