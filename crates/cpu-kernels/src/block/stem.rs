//! Convolution, batch normalisation by the batch's own statistics, rectifier.

use super::conv_norm::{
    Backward, Images, Input, InputGradient, check_images, convolve, gradient_sums, out_grid,
};
use super::normalization::{Convolved, NormGradients, Parameters, SavedConvolution, Statistics};
use crate::context::Context;
use crate::conv::images_from;
use crate::divide::Chunked;
use crate::image::{Activate, Shortcut};
use crate::shape::{ConvShape, ShapeError, check_len};

/// What the forward pass writes.
#[derive(Debug)]
pub struct Outputs<'a> {
    /// The convolution's output, `[batch, out_height, out_width, out_channels]`.
    pub c: &'a mut [f32],
    /// The block's output, shaped alike.
    pub y: &'a mut [f32],
    /// The batch's mean by channel.
    pub mean: &'a mut [f32],
    /// The batch's biased variance by channel.
    pub variance: &'a mut [f32],
}

/// What the backward pass reads.
#[derive(Debug, Clone, Copy)]
pub struct Saved<'a> {
    /// The input.
    pub x: Images<'a>,
    /// The convolution's output.
    pub c: &'a [f32],
    /// The block's output.
    pub y: &'a [f32],
    /// The batch's statistics.
    pub statistics: Statistics<'a>,
}

/// `y = relu(normalise(x * weight))`.
///
/// # Errors
///
/// A slice does not have the length that `shape` asks for.
pub fn forward(
    context: &Context,
    shape: &ConvShape,
    x: Images,
    parameters: &Parameters,
    eps: f32,
    out: Outputs,
) -> Result<(), ShapeError> {
    check_images("x", &x, shape.input_len())?;
    check_len("y", out.y, shape.output_len())?;
    let mut convolved = Convolved {
        c: out.c,
        mean: out.mean,
        variance: out.variance,
    };
    let plain = Input::Plain(x);
    let scale = convolve(context, shape, plain, parameters, eps, &mut convolved, None)?;
    let len = shape.out_image_len();
    let c = &*convolved.c;
    context.divide(shape.batch, Chunked::new(out.y, len), |worker, image, y| {
        worker.compute(Activate {
            grid: out_grid(shape),
            x: images_from(c, image, len),
            affine: Some(scale.affine()),
            shortcut: Shortcut::None,
            out: y.data,
        });
    });
    Ok(())
}

/// The gradients of [`forward`] by its parameters, and by its input where `dx`,
/// `[batch, height, width, in_channels]`, is not empty.
///
/// # Errors
///
/// A slice does not have the length that `shape` asks for.
#[allow(clippy::too_many_arguments)]
pub fn backward(
    context: &Context,
    shape: &ConvShape,
    saved: &Saved,
    parameters: &Parameters,
    eps: f32,
    dy: &[f32],
    gradients: NormGradients,
    dx: &mut [f32],
) -> Result<(), ShapeError> {
    let convolution = SavedConvolution {
        c: saved.c,
        statistics: saved.statistics,
    };
    parameters.check(shape)?;
    convolution.check(shape, shape.output_len())?;
    gradients.check(shape)?;
    check_images("x", &saved.x, shape.input_len())?;
    for (name, slice) in [("y", saved.y), ("dy", dy)] {
        check_len(name, slice, shape.output_len())?;
    }
    if !dx.is_empty() {
        check_len("dx", dx, shape.input_len())?;
    }
    let sums = gradient_sums(context, shape, dy, saved.y, saved.c, None);
    let backward = Backward {
        shape,
        input: Input::Plain(saved.x),
        parameters,
        saved: convolution,
        eps,
        gradient: dy,
        gate: Some(saved.y),
        places: None,
        sums: sums.split_at(shape.out_channels),
    };
    let dx = if dx.is_empty() {
        InputGradient::None
    } else {
        InputGradient::Write(dx)
    };
    backward.run(context, gradients, dx, 0, |_, _, _| {});
    Ok(())
}
