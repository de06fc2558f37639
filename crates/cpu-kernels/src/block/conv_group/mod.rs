//! The group of convolutions of the airbench networks (Jordan, 2024, arXiv:2404.00498): a
//! convolution of 3 by 3, maxima of windows of 2 by 2 pixels, normalisation, GELU, and a second
//! convolution with normalisation and GELU. A larger group has a third, to whose normalised output
//! the first GELU's output is added before the last GELU.

mod operands;

use super::conv_norm::{Backward, Images, Input, InputGradient, convolve, out_grid, total};
use super::normalization::{Convolved, Parameters, ScaleAndShift};
use crate::context::Context;
use crate::conv::images_from;
use crate::divide::Chunked;
use crate::image::{ActivateGelu, Affine, GeluGradient, GeluInput, OutputGradient};
use crate::partition::images_per_chunk;
use crate::scratch::Scratch;
use crate::shape::{ConvShape, ShapeError, check_len};
use operands::check_backward;

pub use operands::{GroupGradients, GroupParameters, GroupShape, Outputs, Saved};

/// `y = gelu(normalise(a * second))` with `a = gelu(normalise(max_pool(x * first)))`, or
/// `y = gelu(normalise(gelu(normalise(a * second)) * third) + a)`. Each convolution is normalised
/// by the batch's own statistics.
///
/// # Errors
///
/// A slice does not have the length that `shape` asks for, or operands of a third convolution are
/// not there exactly where the group has one.
pub fn forward(
    context: &Context,
    shape: &GroupShape,
    x: &[f32],
    parameters: &GroupParameters,
    eps: f32,
    out: Outputs,
) -> Result<(), ShapeError> {
    check_len("x", x, shape.input_len())?;
    check_len("y", out.y, shape.output_len())?;
    let convolve = |shape, input, parameters, out: &mut Convolved, places| {
        convolve(context, shape, input, parameters, eps, out, places)
    };
    let plain = Input::Plain(Images::Pixels(x));
    let (mut of_first, mut of_second) = (out.first, out.second);
    let p = parameters;
    let first = convolve(
        &shape.first,
        plain,
        &p.first,
        &mut of_first,
        Some(out.places),
    )?;
    let activated = Input::Gelu(of_first.c, first.affine());
    let second = convolve(&shape.second, activated, &p.second, &mut of_second, None)?;
    match (shape.has_third, &p.third, out.third) {
        (false, None, None) => {
            let last = GeluInput {
                x: of_second.c,
                affine: second.affine(),
                around: None,
            };
            activate(context, &shape.second, last, out.y);
        }
        (true, Some(parameters), Some(mut of_third)) => {
            let activated = Input::Gelu(of_second.c, second.affine());
            let third = convolve(&shape.second, activated, parameters, &mut of_third, None)?;
            let last = GeluInput {
                x: of_third.c,
                affine: third.affine(),
                around: Some((of_first.c, first.affine())),
            };
            activate(context, &shape.second, last, out.y);
        }
        _ => return Err(ShapeError::ThirdConvolution),
    }
    Ok(())
}

/// The part of `input` that is image `image` of `len` elements.
fn image_of<'a>(input: &GeluInput<'a>, image: usize, len: usize) -> GeluInput<'a> {
    GeluInput {
        x: images_from(input.x, image, len),
        affine: input.affine,
        around: (input.around).map(|(x, affine)| (images_from(x, image, len), affine)),
    }
}

/// Writes `gelu(input)` to `y`.
fn activate(context: &Context, shape: &ConvShape, input: GeluInput, y: &mut [f32]) {
    let len = shape.out_image_len();
    context.divide(shape.batch, Chunked::new(y, len), |worker, image, y| {
        worker.compute(ActivateGelu {
            grid: out_grid(shape),
            input: image_of(&input, image, len),
            out: y.data,
        });
    });
}

/// Writes the gradient by the input of the last GELU to `gradient`, and gives its sums and those of
/// its products with `input.x`, `[2, channels]`.
fn last_gradient<'c>(
    context: &'c Context,
    shape: &ConvShape,
    input: GeluInput,
    dy: &[f32],
    gradient: &mut [f32],
) -> Scratch<'c, f64> {
    let (len, sums_len) = (shape.out_image_len(), 2 * shape.out_channels);
    let per_chunk = images_per_chunk(shape.batch, sums_len);
    let chunks = shape.batch.div_ceil(per_chunk);
    let mut partials = context.doubles(chunks * sums_len);
    let parts = (
        Chunked::new(gradient, per_chunk * len),
        Chunked::new(&mut partials, sums_len),
    );
    context.divide(chunks, parts, |worker, chunk, (gradient, sums)| {
        sums.data.fill(0.0);
        let images = gradient.data.chunks_exact_mut(len);
        for (image, gradient) in (chunk * per_chunk..).zip(images) {
            worker.compute(GeluGradient {
                input: image_of(&input, image, len),
                of_output: OutputGradient::From(images_from(dy, image, len)),
                gradient,
                channels: shape.out_channels,
                sums: sums.data,
            });
        }
    });
    total(context, &partials, sums_len)
}

/// What turns the gradient by a GELU's output, to which `added` is added, into that by its input,
/// which is `x` normalised, and takes its sums and those of its products with `x`: for
/// [`Backward::run`].
fn through<'a>(
    context: &'a Context,
    shape: &'a ConvShape,
    x: &'a [f32],
    affine: Affine<'a>,
    added: Option<&'a [f32]>,
) -> impl Fn(usize, &mut [f32], &mut [f64]) + Send + Sync + 'a {
    let len = shape.image_len();
    move |first, gradients, sums| {
        for (image, gradient) in (first..).zip(gradients.chunks_exact_mut(len)) {
            let input = GeluInput {
                x,
                affine,
                around: None,
            };
            context.compute(GeluGradient {
                input: image_of(&input, image, len),
                of_output: match added {
                    None => OutputGradient::InPlace,
                    Some(added) => OutputGradient::Plus(images_from(added, image, len)),
                },
                gradient,
                channels: shape.in_channels,
                sums,
            });
        }
    }
}

/// The gradients of [`forward`] by its parameters, and by its input where `dx`,
/// `[batch, height, width, in_channels]`, is not empty.
///
/// # Errors
///
/// As [`forward`], and where a place does not lie in its window.
#[allow(clippy::too_many_arguments)]
pub fn backward(
    context: &Context,
    shape: &GroupShape,
    saved: &Saved,
    parameters: &GroupParameters,
    eps: f32,
    dy: &[f32],
    gradients: GroupGradients,
    dx: &mut [f32],
) -> Result<(), ShapeError> {
    check_backward(shape, saved, parameters, dy, &gradients, dx)?;
    let channels = shape.second.out_channels;
    let scale = |parameters: &Parameters, statistics| {
        ScaleAndShift::new(context, parameters, statistics, eps)
    };
    let first_scale = scale(&parameters.first, &saved.first.statistics);
    let second_scale = scale(&parameters.second, &saved.second.statistics);
    let mut last = context.floats(shape.output_len());
    let mut before_third = context.floats(if shape.has_third { last.len() } else { 0 });
    // The last GELU, and the third convolution with the GELU before it.
    let around = Some((saved.first.c, first_scale.affine()));
    let of_last = match (&parameters.third, saved.third, gradients.third) {
        (Some(parameters), Some(third), Some(gradients)) => {
            let third_scale = scale(parameters, &third.statistics);
            let input = GeluInput {
                x: third.c,
                affine: third_scale.affine(),
                around,
            };
            let sums = last_gradient(context, &shape.second, input, dy, &mut last);
            let backward = Backward {
                shape: &shape.second,
                input: Input::Gelu(saved.second.c, second_scale.affine()),
                parameters,
                saved: third,
                eps,
                gradient: &last,
                gate: None,
                places: None,
                sums: sums.split_at(channels),
            };
            let dx = InputGradient::Write(&mut before_third);
            let then = through(
                context,
                &shape.second,
                saved.second.c,
                second_scale.affine(),
                None,
            );
            backward.run(context, gradients, dx, 2 * channels, then)
        }
        _ => {
            let input = GeluInput {
                x: saved.second.c,
                affine: second_scale.affine(),
                around: None,
            };
            last_gradient(context, &shape.second, input, dy, &mut last)
        }
    };

    // The second convolution, and the first GELU, whose output also came around to the last.
    let (gradient, added) = if shape.has_third {
        (&*before_third, Some(&*last))
    } else {
        (&*last, None)
    };
    let mut middle = context.floats(shape.output_len());
    let second = Backward {
        shape: &shape.second,
        input: Input::Gelu(saved.first.c, first_scale.affine()),
        parameters: &parameters.second,
        saved: saved.second,
        eps,
        gradient,
        gate: None,
        places: None,
        sums: of_last.split_at(channels),
    };
    let affine = first_scale.affine();
    let then = through(context, &shape.second, saved.first.c, affine, added);
    let to_middle = InputGradient::Write(&mut middle);
    let of_first = second.run(context, gradients.second, to_middle, 2 * channels, then);

    // The pooling and the first convolution.
    let first = Backward {
        shape: &shape.first,
        input: Input::Plain(Images::Pixels(saved.x)),
        parameters: &parameters.first,
        saved: saved.first,
        eps,
        gradient: &middle,
        gate: None,
        places: Some(saved.places),
        sums: of_first.split_at(channels),
    };
    let dx = if dx.is_empty() {
        InputGradient::None
    } else {
        InputGradient::Write(dx)
    };
    first.run(context, gradients.first, dx, 0, |_, _, _| {});
    Ok(())
}
