//! The shape of an operation that treats the pixels of a channel alike.

use super::{ShapeError, check_positive, elements};

/// The shape of an operation that treats the pixels of a channel alike:
/// `[batch, channels, pixels]`, where `pixels` is height times width.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ChannelShape {
    pub(crate) batch: usize,
    pub(crate) channels: usize,
    pub(crate) pixels: usize,
}

impl ChannelShape {
    /// Planes of `pixels` for each of `channels` channels of `batch` images.
    ///
    /// # Errors
    ///
    /// A size is zero, or the input would have more elements than fit into memory.
    pub fn new(batch: usize, channels: usize, pixels: usize) -> Result<Self, ShapeError> {
        check_positive(&[("batch", batch), ("channels", channels), ("pixels", pixels)])?;
        elements("x", &[batch, channels, pixels])?;
        Ok(Self {
            batch,
            channels,
            pixels,
        })
    }

    /// The number of images.
    #[must_use]
    pub fn batch(&self) -> usize {
        self.batch
    }

    /// The number of channels.
    #[must_use]
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// The number of elements of the input.
    #[must_use]
    pub fn input_len(&self) -> usize {
        self.batch * self.channels * self.pixels
    }

    /// Elements of one image.
    pub(crate) fn image_len(&self) -> usize {
        self.channels * self.pixels
    }
}
