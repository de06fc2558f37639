//! The shape of a block, and what goes in and comes out.

use crate::block::normalization::{Convolved, NormGradients, Parameters, SavedConvolution};
use crate::shape::{ConvShape, ShapeError, check_len};

/// The shapes of a block's convolutions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResidualShape {
    pub(super) first: ConvShape,
    pub(super) second: ConvShape,
    pub(super) projection: Option<ConvShape>,
}

impl ResidualShape {
    /// A block from `[batch, in_channels, height, width]` to `out_channels`. The first convolution
    /// has `stride`; a block that changes the shape has a projection.
    ///
    /// # Errors
    ///
    /// As [`ConvShape::new`].
    pub fn new(input: [usize; 4], out_channels: usize, stride: usize) -> Result<Self, ShapeError> {
        let [batch, in_channels, ..] = input;
        let first = ConvShape::new(input, [out_channels, in_channels, 3, 3], stride, 1)?;
        let middle = [batch, out_channels, first.out_height, first.out_width];
        let second = ConvShape::new(middle, [out_channels, out_channels, 3, 3], 1, 1)?;
        let projection = (stride != 1 || in_channels != out_channels)
            .then(|| ConvShape::new(input, [out_channels, in_channels, 1, 1], stride, 0))
            .transpose()?;
        Ok(Self {
            first,
            second,
            projection,
        })
    }

    /// Elements of the input.
    #[must_use]
    pub fn input_len(&self) -> usize {
        self.first.input_len()
    }

    /// Elements of the output, and of the output of each convolution.
    #[must_use]
    pub fn output_len(&self) -> usize {
        self.second.output_len()
    }

    /// The shape of the output, `[batch, channels, height, width]`.
    #[must_use]
    pub fn output(&self) -> [usize; 4] {
        self.second.output()
    }

    /// Multiplications and additions of the direct convolutions, forward, for the whole batch.
    #[must_use]
    pub fn flops(&self) -> f64 {
        let around = self.projection.map_or(0.0, |shape| shape.flops());
        self.first.flops() + self.second.flops() + around
    }

    /// Whether the input goes through a projection.
    #[must_use]
    pub fn projects(&self) -> bool {
        self.projection.is_some()
    }
}

/// The parameters of a block.
#[derive(Debug, Clone, Copy)]
pub struct BlockParameters<'a> {
    /// The first convolution.
    pub first: Parameters<'a>,
    /// The second convolution.
    pub second: Parameters<'a>,
    /// The convolution of 1 by 1 around them, where the block has one.
    pub projection: Option<Parameters<'a>>,
}

/// What the forward pass writes.
#[derive(Debug)]
pub struct Outputs<'a> {
    /// Of the first convolution.
    pub first: Convolved<'a>,
    /// Of the second convolution.
    pub second: Convolved<'a>,
    /// Of the projection, where the block has one.
    pub projection: Option<Convolved<'a>>,
    /// The block's output.
    pub y: &'a mut [f32],
}

/// What the backward pass reads.
#[derive(Debug, Clone, Copy)]
pub struct Saved<'a> {
    /// The input, `[batch, height, width, in_channels]`.
    pub x: &'a [f32],
    /// Of the first convolution.
    pub first: SavedConvolution<'a>,
    /// Of the second convolution.
    pub second: SavedConvolution<'a>,
    /// Of the projection, where the block has one.
    pub projection: Option<SavedConvolution<'a>>,
    /// The block's output.
    pub y: &'a [f32],
}

/// Where the gradients of [`BlockParameters`] go.
#[derive(Debug)]
pub struct BlockGradients<'a> {
    /// Of the first convolution.
    pub first: NormGradients<'a>,
    /// Of the second convolution.
    pub second: NormGradients<'a>,
    /// Of the projection, where the block has one.
    pub projection: Option<NormGradients<'a>>,
}

/// Refuses slices that do not fit `shape`.
pub(super) fn check_backward(
    shape: &ResidualShape,
    saved: &Saved,
    parameters: &BlockParameters,
    dy: &[f32],
    gradients: &BlockGradients,
    dx: &[f32],
) -> Result<(), ShapeError> {
    check_len("x", saved.x, shape.input_len())?;
    check_len("dx", dx, shape.input_len())?;
    check_len("y", saved.y, shape.output_len())?;
    check_len("dy", dy, shape.output_len())?;
    let one = |shape: &ConvShape, p: &Parameters, s: &SavedConvolution, g: &NormGradients| {
        p.check(shape)?;
        g.check(shape)?;
        s.check(shape, shape.output_len())
    };
    one(
        &shape.first,
        &parameters.first,
        &saved.first,
        &gradients.first,
    )?;
    one(
        &shape.second,
        &parameters.second,
        &saved.second,
        &gradients.second,
    )?;
    match (
        &shape.projection,
        &parameters.projection,
        &saved.projection,
        &gradients.projection,
    ) {
        (None, None, None, None) => Ok(()),
        (Some(shape), Some(p), Some(s), Some(g)) => one(shape, p, s, g),
        _ => Err(ShapeError::Projection),
    }
}
