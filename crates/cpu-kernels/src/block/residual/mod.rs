//! The basic block of a residual network (He et al., 2015, arXiv:1512.03385): two convolutions of
//! 3 by 3, each normalised by the batch's own statistics, around which the input is added. Where
//! the block changes the shape, the input goes through a normalised convolution of 1 by 1.

mod operands;

use super::conv_norm::{self, Backward, Images, Input, InputGradient, OutputGradient};
use super::normalization::{Parameters, ScaleAndShift, Statistics, gradient_factors, statistics};
use super::stem::{out_grid, values};
use crate::context::{Context, Scratch};
use crate::conv::images_from;
use crate::divide::Chunked;
use crate::image::{Activate, AddGated, GradientSums, MaskedSums, Shortcut, TwoGradientSums};
use crate::partition::images_per_chunk;
use crate::shape::{ConvShape, ShapeError, check_len};
use operands::check_backward;

pub use operands::{
    BlockGradients, BlockParameters, Convolved, Outputs, ResidualShape, Saved, SavedConvolution,
};

/// Convolves, and writes the batch's statistics.
fn convolve<'c>(
    context: &'c Context,
    shape: &ConvShape,
    input: Input,
    parameters: &Parameters,
    eps: f32,
    out: &mut Convolved,
) -> Result<ScaleAndShift<'c>, ShapeError> {
    parameters.check(shape.weight_len(), shape.out_channels)?;
    check_len("c", out.c, shape.output_len())?;
    check_len("mean", out.mean, shape.out_channels)?;
    check_len("variance", out.variance, shape.out_channels)?;
    let sums = conv_norm::forward(context, shape, input, parameters.weight, out.c);
    statistics(&sums, values(shape), out.mean, out.variance);
    let of_batch = Statistics {
        mean: out.mean,
        variance: out.variance,
    };
    Ok(ScaleAndShift::new(context, parameters, &of_batch, eps))
}

/// `y = relu(normalise(relu(normalise(x * first)) * second) + shortcut)`, where the shortcut is `x`
/// or `normalise(x * projection)`.
///
/// # Errors
///
/// A slice does not have the length that `shape` asks for, or parameters and outputs of a
/// projection are not there exactly where the block has one.
pub fn forward(
    context: &Context,
    shape: &ResidualShape,
    x: &[f32],
    parameters: &BlockParameters,
    eps: f32,
    out: Outputs,
) -> Result<(), ShapeError> {
    check_len("x", x, shape.input_len())?;
    check_len("y", out.y, shape.output_len())?;
    let plain = Input::Plain(Images::Pixels(x));
    let (mut out_first, mut out_second) = (out.first, out.second);
    let first = &parameters.first;
    let first = convolve(context, &shape.first, plain, first, eps, &mut out_first)?;
    let activated = Input::Activated(out_first.c, first.affine());
    let second = &parameters.second;
    let second = convolve(
        context,
        &shape.second,
        activated,
        second,
        eps,
        &mut out_second,
    )?;
    let c = &*out_second.c;
    let mut out_projection = out.projection;
    let projected = match (
        &shape.projection,
        &parameters.projection,
        &mut out_projection,
    ) {
        (None, None, None) => None,
        (Some(shape), Some(parameters), Some(out)) => {
            let scale = convolve(context, shape, plain, parameters, eps, out)?;
            Some((&*out.c, scale))
        }
        _ => return Err(ShapeError::Projection),
    };
    let len = shape.second.out_image_len();
    let y = Chunked::new(out.y, len);
    context.divide(shape.first.batch, y, |image, y| {
        let shortcut = match &projected {
            None => Shortcut::Identity(images_from(x, image, len)),
            Some((c, scale)) => Shortcut::Normalized(images_from(c, image, len), scale.affine()),
        };
        context.compute(Activate {
            grid: out_grid(&shape.second),
            x: images_from(c, image, len),
            affine: Some(second.affine()),
            shortcut,
            out: y.data,
        });
    });
    Ok(())
}

/// The gradients of [`forward`] by its parameters and, in `dx`, by its input.
///
/// # Errors
///
/// As [`forward`].
#[allow(clippy::too_many_arguments)]
pub fn backward(
    context: &Context,
    shape: &ResidualShape,
    saved: &Saved,
    parameters: &BlockParameters,
    eps: f32,
    dy: &[f32],
    gradients: BlockGradients,
    dx: &mut [f32],
) -> Result<(), ShapeError> {
    check_backward(shape, saved, parameters, dy, &gradients, dx)?;
    let channels = shape.second.out_channels;
    let count = values(&shape.second);
    let sums = shared_sums(context, shape, saved, dy);
    let (of_gradient, of_products) = sums.split_at(channels);
    let (of_second, of_projection) = of_products.split_at(channels);

    // The second convolution, and the rectifier before it.
    let second = gradients.second;
    let factors = gradient_factors(
        context,
        (of_gradient, of_second),
        count,
        parameters.second.gamma,
        &saved.second.statistics,
        eps,
        (second.gamma, second.beta),
    );
    let first_scale = ScaleAndShift::new(context, &parameters.first, &saved.first.statistics, eps);
    let middle_len = shape.first.out_image_len();
    let mut middle = context.floats(shape.first.output_len());
    let backward = Backward {
        shape: &shape.second,
        input: Input::Activated(saved.first.c, first_scale.affine()),
        weight: parameters.second.weight,
        output: OutputGradient {
            gradient: dy,
            gate: Some(saved.y),
            c: saved.second.c,
            factors: &factors,
        },
    };
    let mask = |first: usize, gradients: &mut [f32], sums: &mut [f64]| {
        for (image, gradient) in (first..).zip(gradients.chunks_exact_mut(middle_len)) {
            context.compute(MaskedSums {
                gradient,
                x: &images_from(saved.first.c, image, middle_len)[..middle_len],
                affine: first_scale.affine(),
                channels,
                sums,
            });
        }
    };
    let sums_of_first = backward.run(
        context,
        second.weight,
        InputGradient::Write(&mut middle),
        2 * channels,
        mask,
    );

    // The projection writes its part of the input's gradient first.
    if let (Some(shape), Some(parameters), Some(saved_projection), Some(gradients)) = (
        &shape.projection,
        &parameters.projection,
        &saved.projection,
        gradients.projection,
    ) {
        let factors = gradient_factors(
            context,
            (of_gradient, of_projection),
            count,
            parameters.gamma,
            &saved_projection.statistics,
            eps,
            (gradients.gamma, gradients.beta),
        );
        let backward = Backward {
            shape,
            input: Input::Plain(Images::Pixels(saved.x)),
            weight: parameters.weight,
            output: OutputGradient {
                gradient: dy,
                gate: Some(saved.y),
                c: saved_projection.c,
                factors: &factors,
            },
        };
        backward.run(
            context,
            gradients.weight,
            InputGradient::Write(dx),
            0,
            |_, _, _| {},
        );
    }

    // The first convolution, and the sum with what came around.
    let first = gradients.first;
    let factors = gradient_factors(
        context,
        sums_of_first.split_at(channels),
        count,
        parameters.first.gamma,
        &saved.first.statistics,
        eps,
        (first.gamma, first.beta),
    );
    let backward = Backward {
        shape: &shape.first,
        input: Input::Plain(Images::Pixels(saved.x)),
        weight: parameters.first.weight,
        output: OutputGradient {
            gradient: &middle,
            gate: None,
            c: saved.first.c,
            factors: &factors,
        },
    };
    if shape.projects() {
        let dx = InputGradient::Add(dx);
        backward.run(context, first.weight, dx, 0, |_, _, _| {});
        return Ok(());
    }
    let len = shape.first.image_len();
    let around = |first: usize, dx: &mut [f32], _: &mut [f64]| {
        for (image, out) in (first..).zip(dx.chunks_exact_mut(len)) {
            context.compute(AddGated {
                gradient: &images_from(dy, image, len)[..len],
                gate: Some(&images_from(saved.y, image, len)[..len]),
                out,
            });
        }
    };
    backward.run(context, first.weight, InputGradient::Write(dx), 0, around);
    Ok(())
}

/// The sums of `dy`, where `y` is above zero, and of its products with the outputs of the second
/// convolution and of the projection, `[2 or 3, channels]`.
fn shared_sums<'c>(
    context: &'c Context,
    shape: &ResidualShape,
    saved: &Saved,
    dy: &[f32],
) -> Scratch<'c, f64> {
    let (len, channels) = (shape.second.out_image_len(), shape.second.out_channels);
    let batch = shape.second.batch;
    let sums_len = channels * if shape.projects() { 3 } else { 2 };
    let per_chunk = images_per_chunk(batch, sums_len);
    let chunks = batch.div_ceil(per_chunk);
    let mut partials = context.doubles(chunks * sums_len);
    let parts = Chunked::new(&mut partials, sums_len);
    context.divide(chunks, parts, |chunk, sums| {
        sums.data.fill(0.0);
        let begin = chunk * per_chunk;
        for image in begin..(begin + per_chunk).min(batch) {
            let of_image = |data| images_from(data, image, len).get(..len).unwrap_or_default();
            let (gradient, gate) = (of_image(dy), of_image(saved.y));
            let x = of_image(saved.second.c);
            match &saved.projection {
                None => context.compute(GradientSums {
                    gradient,
                    gate,
                    x,
                    channels,
                    sums: sums.data,
                }),
                Some(projection) => context.compute(TwoGradientSums {
                    gradient,
                    gate,
                    x,
                    shortcut: of_image(projection.c),
                    channels,
                    sums: sums.data,
                }),
            }
        }
    });
    conv_norm::total(context, &partials, sums_len)
}
