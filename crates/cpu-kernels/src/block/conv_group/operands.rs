//! The shape of a group, and what goes in and comes out.

use crate::block::conv_norm::normalized_len;
use crate::block::normalization::{Convolved, NormGradients, Parameters, SavedConvolution};
use crate::image::{PLACES, WINDOW};
use crate::shape::{ConvShape, ShapeError, check_len, positions};

/// The shapes of a group's convolutions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GroupShape {
    pub(super) first: ConvShape,
    pub(super) second: ConvShape,
    pub(super) has_third: bool,
}

impl GroupShape {
    /// A group from `[batch, in_channels, height, width]` to `out_channels`, with a third
    /// convolution or without.
    ///
    /// # Errors
    ///
    /// As [`ConvShape::new`], and for images too small for a window of 2 by 2 pixels.
    pub fn new(
        input: [usize; 4],
        out_channels: usize,
        has_third: bool,
    ) -> Result<Self, ShapeError> {
        let [batch, in_channels, ..] = input;
        let first = ConvShape::new(input, [out_channels, in_channels, 3, 3], 1, 1)?;
        let height = positions("height", first.out_height, WINDOW, WINDOW, 0)?;
        let width = positions("width", first.out_width, WINDOW, WINDOW, 0)?;
        let pooled = [batch, out_channels, height, width];
        let second = ConvShape::new(pooled, [out_channels, out_channels, 3, 3], 1, 1)?;
        Ok(Self {
            first,
            second,
            has_third,
        })
    }

    /// Elements of the input.
    #[must_use]
    pub fn input_len(&self) -> usize {
        self.first.input_len()
    }

    /// Elements of the output, of the maxima, and of the output of each convolution after them.
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
        let after_maxima = if self.has_third { 2.0 } else { 1.0 };
        self.first.flops() + after_maxima * self.second.flops()
    }
}

/// The parameters of a group.
#[derive(Debug, Clone, Copy)]
pub struct GroupParameters<'a> {
    /// The first convolution.
    pub first: Parameters<'a>,
    /// The second convolution.
    pub second: Parameters<'a>,
    /// The third convolution, where the group has one.
    pub third: Option<Parameters<'a>>,
}

/// What the forward pass writes.
#[derive(Debug)]
pub struct Outputs<'a> {
    /// The maxima of the first convolution's output, and their statistics.
    pub first: Convolved<'a>,
    /// Where these maxima were within their windows, `2 * row + column`.
    pub places: &'a mut [u8],
    /// Of the second convolution.
    pub second: Convolved<'a>,
    /// Of the third convolution, where the group has one.
    pub third: Option<Convolved<'a>>,
    /// The group's output.
    pub y: &'a mut [f32],
}

/// What the backward pass reads.
#[derive(Debug, Clone, Copy)]
pub struct Saved<'a> {
    /// The input, `[batch, height, width, in_channels]`.
    pub x: &'a [f32],
    /// The maxima of the first convolution's output, and their statistics.
    pub first: SavedConvolution<'a>,
    /// Where these maxima were.
    pub places: &'a [u8],
    /// Of the second convolution.
    pub second: SavedConvolution<'a>,
    /// Of the third convolution, where the group has one.
    pub third: Option<SavedConvolution<'a>>,
}

/// Where the gradients of [`GroupParameters`] go.
#[derive(Debug)]
pub struct GroupGradients<'a> {
    /// Of the first convolution.
    pub first: NormGradients<'a>,
    /// Of the second convolution.
    pub second: NormGradients<'a>,
    /// Of the third convolution, where the group has one.
    pub third: Option<NormGradients<'a>>,
}

/// Refuses slices that do not fit `shape`.
pub(super) fn check_backward(
    shape: &GroupShape,
    saved: &Saved,
    parameters: &GroupParameters,
    dy: &[f32],
    gradients: &GroupGradients,
    dx: &[f32],
) -> Result<(), ShapeError> {
    check_len("x", saved.x, shape.input_len())?;
    check_len("dy", dy, shape.output_len())?;
    check_len("places", saved.places, shape.output_len())?;
    if !dx.is_empty() {
        check_len("dx", dx, shape.input_len())?;
    }
    let greatest = saved.places.iter().copied().max().unwrap_or(0);
    if usize::from(greatest) >= PLACES {
        return Err(ShapeError::PoolIndex {
            index: greatest,
            places: PLACES,
        });
    }
    let one = |shape: &ConvShape, p: &Parameters, s: &SavedConvolution, g: &NormGradients, len| {
        p.check(shape)?;
        g.check(shape)?;
        s.check(shape, len)
    };
    let (p, s, g) = (parameters, saved, gradients);
    let pooled_len = shape.first.batch * normalized_len(&shape.first, true);
    one(&shape.first, &p.first, &s.first, &g.first, pooled_len)?;
    let len = shape.output_len();
    one(&shape.second, &p.second, &s.second, &g.second, len)?;
    match (shape.has_third, &p.third, &s.third, &g.third) {
        (false, None, None, None) => Ok(()),
        (true, Some(p), Some(s), Some(g)) => one(&shape.second, p, s, g, len),
        _ => Err(ShapeError::ThirdConvolution),
    }
}
