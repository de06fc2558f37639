//! The shape of a convolution.

use super::{ShapeError, check_positive, elements, positions};

/// The shape of a two-dimensional convolution, without groups or dilation.
///
/// The input is `[batch, in_channels, height, width]`, the weights are
/// `[out_channels, in_channels, kernel_height, kernel_width]` and the output is
/// `[batch, out_channels, out_height, out_width]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ConvShape {
    pub(crate) batch: usize,
    pub(crate) in_channels: usize,
    pub(crate) height: usize,
    pub(crate) width: usize,
    pub(crate) out_channels: usize,
    pub(crate) kernel_height: usize,
    pub(crate) kernel_width: usize,
    pub(crate) stride: usize,
    pub(crate) padding: usize,
    pub(crate) out_height: usize,
    pub(crate) out_width: usize,
}

impl ConvShape {
    /// The convolution of an input `[batch, in_channels, height, width]` with weights
    /// `[out_channels, in_channels, kernel_height, kernel_width]`; `stride` and `padding` (zeros
    /// on each side) are the same along both axes.
    ///
    /// # Errors
    ///
    /// A size or the stride is zero, the channels disagree, the kernel is larger than the padded
    /// input, or an operand would have more elements than fit into memory.
    pub fn new(
        input: [usize; 4],
        weight: [usize; 4],
        stride: usize,
        padding: usize,
    ) -> Result<Self, ShapeError> {
        let [batch, in_channels, height, width] = input;
        let [out_channels, weight_channels, kernel_height, kernel_width] = weight;
        check_positive(&[
            ("batch", batch),
            ("in_channels", in_channels),
            ("height", height),
            ("width", width),
            ("out_channels", out_channels),
            ("kernel_height", kernel_height),
            ("kernel_width", kernel_width),
            ("stride", stride),
        ])?;
        if in_channels != weight_channels {
            return Err(ShapeError::Channels {
                input: in_channels,
                weight: weight_channels,
            });
        }
        let out_height = positions("height", height, kernel_height, stride, padding)?;
        let out_width = positions("width", width, kernel_width, stride, padding)?;
        elements("x", &input)?;
        elements("w", &weight)?;
        elements("y", &[batch, out_channels, out_height, out_width])?;
        // The unfolded image of the kernels must fit as well.
        let unfolded = [
            in_channels,
            kernel_height,
            kernel_width,
            out_height,
            out_width,
        ];
        elements("the unfolded image", &unfolded)?;
        Ok(Self {
            batch,
            in_channels,
            height,
            width,
            out_channels,
            kernel_height,
            kernel_width,
            stride,
            padding,
            out_height,
            out_width,
        })
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

    /// The shape of the output, `[batch, out_channels, out_height, out_width]`.
    #[must_use]
    pub fn output(&self) -> [usize; 4] {
        [
            self.batch,
            self.out_channels,
            self.out_height,
            self.out_width,
        ]
    }

    /// The number of elements of the input.
    #[must_use]
    pub fn input_len(&self) -> usize {
        self.batch * self.image_len()
    }

    /// The number of elements of the weights.
    #[must_use]
    pub fn weight_len(&self) -> usize {
        self.out_channels * self.fan_in()
    }

    /// The number of elements of the bias.
    #[must_use]
    pub fn bias_len(&self) -> usize {
        self.out_channels
    }

    /// The number of elements of the output.
    #[must_use]
    pub fn output_len(&self) -> usize {
        self.batch * self.out_image_len()
    }

    /// Multiplications and additions of the direct algorithm, forward, for the whole batch. Taps
    /// that fall on padding count.
    #[must_use]
    pub fn flops(&self) -> f64 {
        2.0 * self.output_len() as f64 * self.fan_in() as f64
    }

    /// Elements of one input image.
    pub(crate) fn image_len(&self) -> usize {
        self.in_channels * self.height * self.width
    }

    /// Elements of one output image.
    pub(crate) fn out_image_len(&self) -> usize {
        self.out_channels * self.out_pixels()
    }

    /// Pixels of one output plane.
    pub(crate) fn out_pixels(&self) -> usize {
        self.out_height * self.out_width
    }

    /// Inputs of one output value: `in_channels * kernel_height * kernel_width`.
    pub(crate) fn fan_in(&self) -> usize {
        self.in_channels * self.kernel_height * self.kernel_width
    }
}
