//! The basic block of a residual network (He et al., 2015, arXiv:1512.03385): two convolutions of
//! 3 by 3, each normalised by the batch's own statistics, around which the input is added. Where
//! the block changes the shape, the input goes through a normalised convolution of 1 by 1.

mod operands;

use super::conv_norm::{Backward, Images, Input, InputGradient, convolve, gradient_sums, out_grid};
use super::normalization::ScaleAndShift;
use crate::context::Context;
use crate::conv::images_from;
use crate::divide::Chunked;
use crate::image::{Activate, AddGated, MaskedSums, Shortcut};
use crate::shape::{ShapeError, check_len};
use operands::check_backward;

pub use super::normalization::{Convolved, SavedConvolution};
pub use operands::{BlockGradients, BlockParameters, Outputs, ResidualShape, Saved};

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
    let first = convolve(
        context,
        &shape.first,
        plain,
        first,
        eps,
        &mut out_first,
        None,
    )?;
    let activated = Input::Activated(out_first.c, first.affine());
    let second = &parameters.second;
    let second = convolve(
        context,
        &shape.second,
        activated,
        second,
        eps,
        &mut out_second,
        None,
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
            let scale = convolve(context, shape, plain, parameters, eps, out, None)?;
            Some((&*out.c, scale))
        }
        _ => return Err(ShapeError::Projection),
    };
    let len = shape.second.out_image_len();
    let y = Chunked::new(out.y, len);
    context.divide(shape.first.batch, y, |worker, image, y| {
        let shortcut = match &projected {
            None => Shortcut::Identity(images_from(x, image, len)),
            Some((c, scale)) => Shortcut::Normalized(images_from(c, image, len), scale.affine()),
        };
        worker.compute(Activate {
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
    let around = saved.projection.map(|projection| projection.c);
    let sums = gradient_sums(context, &shape.second, dy, saved.y, saved.second.c, around);
    let (of_gradient, of_products) = sums.split_at(channels);
    let (of_second, of_projection) = of_products.split_at(channels);
    let plain = Input::Plain(Images::Pixels(saved.x));

    // The second convolution, and the rectifier before it.
    let first_scale = ScaleAndShift::new(context, &parameters.first, &saved.first.statistics, eps);
    let middle_len = shape.first.out_image_len();
    let mut middle = context.floats(shape.first.output_len());
    let second = Backward {
        shape: &shape.second,
        input: Input::Activated(saved.first.c, first_scale.affine()),
        parameters: &parameters.second,
        saved: saved.second,
        eps,
        gradient: dy,
        gate: Some(saved.y),
        places: None,
        sums: (of_gradient, of_second),
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
    let to_middle = InputGradient::Write(&mut middle);
    let sums_of_first = second.run(context, gradients.second, to_middle, 2 * channels, mask);

    // The projection writes its part of the input's gradient first.
    if let (Some(shape), Some(parameters), Some(saved_projection), Some(gradients)) = (
        &shape.projection,
        &parameters.projection,
        saved.projection,
        gradients.projection,
    ) {
        let projection = Backward {
            shape,
            input: plain,
            parameters,
            saved: saved_projection,
            eps,
            gradient: dy,
            gate: Some(saved.y),
            places: None,
            sums: (of_gradient, of_projection),
        };
        let dx = InputGradient::Write(dx);
        projection.run(context, gradients, dx, 0, |_, _, _| {});
    }

    // The first convolution, and the sum with what came around.
    let first = Backward {
        shape: &shape.first,
        input: plain,
        parameters: &parameters.first,
        saved: saved.first,
        eps,
        gradient: &middle,
        gate: None,
        places: None,
        sums: sums_of_first.split_at(channels),
    };
    if shape.projects() {
        let dx = InputGradient::Add(dx);
        first.run(context, gradients.first, dx, 0, |_, _, _| {});
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
    first.run(
        context,
        gradients.first,
        InputGradient::Write(dx),
        0,
        around,
    );
    Ok(())
}
