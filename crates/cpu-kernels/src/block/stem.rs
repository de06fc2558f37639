//! Convolution, batch normalisation by the batch's own statistics, rectifier.

use super::conv_norm::{
    self, Backward, Images, Input, InputGradient, OutputGradient, check_images,
};
use super::normalization::{
    NormGradients, Parameters, ScaleAndShift, Statistics, gradient_factors, statistics,
};
use crate::context::{Context, Scratch};
use crate::conv::images_from;
use crate::divide::Chunked;
use crate::image::{Activate, GradientSums, Grid, Shortcut};
use crate::partition::images_per_chunk;
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
    parameters.check(shape.weight_len(), shape.out_channels)?;
    check_images("x", &x, shape.input_len())?;
    check_len("c", out.c, shape.output_len())?;
    check_len("y", out.y, shape.output_len())?;
    check_len("mean", out.mean, shape.out_channels)?;
    check_len("variance", out.variance, shape.out_channels)?;
    let sums = conv_norm::forward(context, shape, Input::Plain(x), parameters.weight, out.c);
    statistics(&sums, values(shape), out.mean, out.variance);
    let of_batch = Statistics {
        mean: out.mean,
        variance: out.variance,
    };
    let scale = ScaleAndShift::new(context, parameters, &of_batch, eps);
    let len = shape.out_image_len();
    let c = &*out.c;
    context.divide(shape.batch, Chunked::new(out.y, len), |image, y| {
        context.compute(Activate {
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
    parameters.check(shape.weight_len(), shape.out_channels)?;
    saved.statistics.check(shape.out_channels)?;
    gradients.check(shape.weight_len(), shape.out_channels)?;
    check_images("x", &saved.x, shape.input_len())?;
    for (name, slice) in [("c", saved.c), ("y", saved.y), ("dy", dy)] {
        check_len(name, slice, shape.output_len())?;
    }
    if !dx.is_empty() {
        check_len("dx", dx, shape.input_len())?;
    }
    let channels = shape.out_channels;
    let sums = gradient_sums(context, shape, dy, saved.y, saved.c);
    let factors = gradient_factors(
        context,
        sums.split_at(channels),
        values(shape),
        parameters.gamma,
        &saved.statistics,
        eps,
        (gradients.gamma, gradients.beta),
    );
    let output = OutputGradient {
        gradient: dy,
        gate: Some(saved.y),
        c: saved.c,
        factors: &factors,
    };
    let backward = Backward {
        shape,
        input: Input::Plain(saved.x),
        weight: parameters.weight,
        output,
    };
    let dx = if dx.is_empty() {
        InputGradient::None
    } else {
        InputGradient::Write(dx)
    };
    backward.run(context, gradients.weight, dx, 0, |_, _, _| {});
    Ok(())
}

/// The sums of `dy`, where `y` is above zero, and of its products with `c`, `[2, channels]`.
fn gradient_sums<'c>(
    context: &'c Context,
    shape: &ConvShape,
    dy: &[f32],
    y: &[f32],
    c: &[f32],
) -> Scratch<'c, f64> {
    let (len, channels) = (shape.out_image_len(), shape.out_channels);
    let per_chunk = images_per_chunk(shape.batch, channels);
    let chunks = shape.batch.div_ceil(per_chunk);
    let mut partials = context.doubles(chunks * 2 * channels);
    let parts = Chunked::new(&mut partials, 2 * channels);
    context.divide(chunks, parts, |chunk, sums| {
        sums.data.fill(0.0);
        let begin = chunk * per_chunk;
        for image in begin..(begin + per_chunk).min(shape.batch) {
            context.compute(GradientSums {
                gradient: &images_from(dy, image, len)[..len],
                gate: &images_from(y, image, len)[..len],
                x: &images_from(c, image, len)[..len],
                channels,
                sums: sums.data,
            });
        }
    });
    conv_norm::total(context, &partials, 2 * channels)
}

/// Values of a channel of the output.
pub(super) fn values(shape: &ConvShape) -> f64 {
    (shape.batch * shape.out_pixels()) as f64
}

/// An output image.
pub(super) fn out_grid(shape: &ConvShape) -> Grid {
    Grid::dense(shape.out_height, shape.out_width, shape.out_channels)
}
