//! The shape of a convolution with a maximum pooling after it.

use super::{ConvShape, ShapeError, check_positive, positions};

/// The shape of a convolution of stride 1 without padding, and of a maximum pooling of its output
/// in windows that touch but do not overlap. Pixels that fill no window are left out.
///
/// The input is `[batch, in_channels, height, width]`, the weights are
/// `[out_channels, in_channels, kernel_height, kernel_width]` and the output is
/// `[batch, out_channels, out_height, out_width]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ConvPoolShape {
    pub(crate) conv: ConvShape,
    /// Height and width of a window.
    pub(crate) pool: usize,
    pub(crate) out_height: usize,
    pub(crate) out_width: usize,
}

impl ConvPoolShape {
    /// The greatest window: the place of a maximum within its window is kept in a byte.
    pub const GREATEST_POOL: usize = 16;

    /// The convolution of an input `[batch, in_channels, height, width]` with weights
    /// `[out_channels, in_channels, kernel_height, kernel_width]`, pooled in windows of `pool` by
    /// `pool` pixels.
    ///
    /// # Errors
    ///
    /// A size is zero, the channels disagree, the kernel is larger than the input, the window is
    /// larger than the output of the convolution or than [`ConvPoolShape::GREATEST_POOL`], or an
    /// operand would have more elements than fit into memory.
    pub fn new(input: [usize; 4], weight: [usize; 4], pool: usize) -> Result<Self, ShapeError> {
        let conv = ConvShape::new(input, weight, 1, 0)?;
        check_positive(&[("pool", pool)])?;
        if pool > Self::GREATEST_POOL {
            return Err(ShapeError::PoolKernelTooLarge {
                kernel: pool,
                greatest: Self::GREATEST_POOL,
            });
        }
        // Places within an image and within the weights are kept in 32 bits. A row of a kernel
        // grows to whole vectors at most sixteenfold.
        let greatest = u32::MAX as usize / 32;
        for (operand, len) in [("x", conv.image_len()), ("w", conv.weight_len())] {
            if len > greatest {
                return Err(ShapeError::Overflow { operand });
            }
        }
        Ok(Self {
            conv,
            pool,
            out_height: positions("height", conv.out_height, pool, pool, 0)?,
            out_width: positions("width", conv.out_width, pool, pool, 0)?,
        })
    }

    /// The shape of the input, `[batch, in_channels, height, width]`.
    #[must_use]
    pub fn input(&self) -> [usize; 4] {
        let conv = &self.conv;
        [conv.batch, conv.in_channels, conv.height, conv.width]
    }

    /// The shape of the output, `[batch, out_channels, out_height, out_width]`.
    #[must_use]
    pub fn output(&self) -> [usize; 4] {
        [
            self.conv.batch,
            self.conv.out_channels,
            self.out_height,
            self.out_width,
        ]
    }

    /// The number of elements of the input.
    #[must_use]
    pub fn input_len(&self) -> usize {
        self.conv.input_len()
    }

    /// The number of elements of the weights.
    #[must_use]
    pub fn weight_len(&self) -> usize {
        self.conv.weight_len()
    }

    /// The number of elements of the bias.
    #[must_use]
    pub fn bias_len(&self) -> usize {
        self.conv.bias_len()
    }

    /// The number of elements of the output.
    #[must_use]
    pub fn output_len(&self) -> usize {
        self.conv.batch * self.out_image_len()
    }

    /// Elements of one output image.
    pub(crate) fn out_image_len(&self) -> usize {
        self.conv.out_channels * self.out_plane_len()
    }

    /// Pixels of one output plane.
    pub(crate) fn out_plane_len(&self) -> usize {
        self.out_height * self.out_width
    }
}
