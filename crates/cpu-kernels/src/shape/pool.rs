//! The shape of a pooling layer.

use super::{ShapeError, check_positive, elements, positions};

/// The shape of a pooling layer with a square kernel and no padding:
/// `[batch, channels, height, width]` to `[batch, channels, out_height, out_width]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PoolShape {
    pub(crate) planes: usize,
    pub(crate) height: usize,
    pub(crate) width: usize,
    pub(crate) kernel: usize,
    pub(crate) stride: usize,
    pub(crate) out_height: usize,
    pub(crate) out_width: usize,
    batch: usize,
    channels: usize,
}

impl PoolShape {
    /// The greatest kernel: the place of a maximum within its window is kept in a byte.
    pub const GREATEST_KERNEL: usize = 16;

    /// Pooling of an input `[batch, channels, height, width]`.
    ///
    /// # Errors
    ///
    /// A size is zero, the kernel is larger than the input or than
    /// [`PoolShape::GREATEST_KERNEL`], or an operand would have more elements than fit into memory.
    pub fn new(input: [usize; 4], kernel: usize, stride: usize) -> Result<Self, ShapeError> {
        let [batch, channels, height, width] = input;
        check_positive(&[
            ("batch", batch),
            ("channels", channels),
            ("height", height),
            ("width", width),
            ("kernel", kernel),
            ("stride", stride),
        ])?;
        if kernel > Self::GREATEST_KERNEL {
            return Err(ShapeError::PoolKernelTooLarge {
                kernel,
                greatest: Self::GREATEST_KERNEL,
            });
        }
        elements("x", &input)?;
        Ok(Self {
            planes: batch * channels,
            height,
            width,
            kernel,
            stride,
            out_height: positions("height", height, kernel, stride, 0)?,
            out_width: positions("width", width, kernel, stride, 0)?,
            batch,
            channels,
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

    /// The shape of the output, `[batch, channels, out_height, out_width]`.
    #[must_use]
    pub fn output(&self) -> [usize; 4] {
        [self.batch, self.channels, self.out_height, self.out_width]
    }

    /// The height of the output in pixels.
    #[must_use]
    pub fn out_height(&self) -> usize {
        self.out_height
    }

    /// The width of the output in pixels.
    #[must_use]
    pub fn out_width(&self) -> usize {
        self.out_width
    }

    /// The number of elements of the input.
    #[must_use]
    pub fn input_len(&self) -> usize {
        self.planes * self.height * self.width
    }

    /// The number of elements of the output.
    #[must_use]
    pub fn output_len(&self) -> usize {
        self.planes * self.out_height * self.out_width
    }
}
