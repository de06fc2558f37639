//! Two-dimensional convolution and its gradients.
//!
//! The image is unfolded strip by strip into a matrix that has a row for each input of a kernel and
//! a column for each output pixel. Each pass is then one product of matrices a strip:
//!
//! | pass | product |
//! | --- | --- |
//! | forward | `y = w unfolded` |
//! | by the input | `unfolded gradient = w^T dy`, folded back into `dx` |
//! | by the weights | `dw^T += unfolded dy^T` |
//!
//! A strip is a few rows of the output, so that its unfolded image stays in the second-level
//! cache. The gradient by the weights is summed transposed, because the product is then twice as
//! fast: the large unfolded image is read in its own order and only the small `dy` is packed.

mod unfold;

use crate::context::Context;
use crate::matmul::{Before, Matrix, MatrixMut, multiply};
use crate::partition::images_per_chunk;
use crate::shape::{ConvShape, ShapeError, check_len};
use unfold::{Strip, fold, unfold};

/// Output channels of which one task adds up the partial gradients: a cache line of `f32`.
const CHANNELS_PER_TASK: usize = 16;

/// Convolution without bias: `y[n, o] = sum over i of x[n, i] * w[o, i]`, where `*` is the
/// cross-correlation of a plane with a kernel.
///
/// `x` is `[batch, in_channels, height, width]`, `w` is
/// `[out_channels, in_channels, kernel_height, kernel_width]` and `y` is
/// `[batch, out_channels, out_height, out_width]`.
///
/// # Errors
///
/// A slice does not have the length that `shape` asks for.
pub fn conv2d(
    context: &Context,
    shape: &ConvShape,
    x: &[f32],
    w: &[f32],
    y: &mut [f32],
) -> Result<(), ShapeError> {
    check_operands(shape, ("x", x), ("w", w), ("y", y))?;
    forward(context, shape, x, w, None, y);
    Ok(())
}

/// Convolution with a bias `[out_channels]`; otherwise as [`conv2d`].
///
/// # Errors
///
/// A slice does not have the length that `shape` asks for.
pub fn conv2d_bias(
    context: &Context,
    shape: &ConvShape,
    x: &[f32],
    w: &[f32],
    bias: &[f32],
    y: &mut [f32],
) -> Result<(), ShapeError> {
    check_operands(shape, ("x", x), ("w", w), ("y", y))?;
    check_len("bias", bias, shape.bias_len())?;
    forward(context, shape, x, w, Some(bias), y);
    Ok(())
}

/// The gradient of a convolution by its input: from `w` and `dy`, shaped as the output, to `dx`,
/// shaped as the input.
///
/// # Errors
///
/// A slice does not have the length that `shape` asks for.
pub fn conv2d_backward_input(
    context: &Context,
    shape: &ConvShape,
    w: &[f32],
    dy: &[f32],
    dx: &mut [f32],
) -> Result<(), ShapeError> {
    check_operands(shape, ("dx", dx), ("w", w), ("dy", dy))?;
    let weights = Matrix::new(w, shape.out_channels, shape.fan_in()).transposed();
    context.for_each_chunk(dx, shape.image_len(), |image, dx| {
        let dy = &dy[image * shape.out_image_len()..][..shape.out_image_len()];
        dx.fill(0.0);
        for strip in Strip::all(shape) {
            let mut unfolded = context.floats(strip.unfolded_len());
            let gradient = strip.of_unfolded_mut(&mut unfolded);
            multiply(gradient, Before::Replaced, weights, strip.of_output(dy));
            fold(&strip, &unfolded, dx);
        }
    });
    Ok(())
}

/// The gradient of a convolution by its weights: from `x` and `dy`, shaped as the output, to `dw`,
/// shaped as the weights.
///
/// # Errors
///
/// A slice does not have the length that `shape` asks for.
pub fn conv2d_backward_weight(
    context: &Context,
    shape: &ConvShape,
    x: &[f32],
    dy: &[f32],
    dw: &mut [f32],
) -> Result<(), ShapeError> {
    check_operands(shape, ("x", x), ("dw", dw), ("dy", dy))?;
    let images = images_per_chunk(shape.batch, shape.weight_len());
    let chunks = shape.batch.div_ceil(images);
    let mut partials = context.floats(chunks * shape.weight_len());
    context.for_each_chunk(&mut partials, shape.weight_len(), |chunk, partial| {
        partial.fill(0.0);
        let first = chunk * images;
        for image in first..(first + images).min(shape.batch) {
            let x = &x[image * shape.image_len()..][..shape.image_len()];
            let dy = &dy[image * shape.out_image_len()..][..shape.out_image_len()];
            for strip in Strip::all(shape) {
                let mut unfolded = context.floats(strip.unfolded_len());
                unfold(&strip, x, &mut unfolded);
                multiply(
                    MatrixMut::new(partial, shape.fan_in(), shape.out_channels),
                    Before::Kept,
                    strip.of_unfolded(&unfolded),
                    strip.of_output(dy).transposed(),
                );
            }
        }
    });
    add_transposed(context, shape, &partials, dw);
    Ok(())
}

/// The gradient of a convolution by its bias: the sum of `dy`, shaped as the output, over images
/// and pixels, in `db` of length `out_channels`.
///
/// # Errors
///
/// A slice does not have the length that `shape` asks for.
pub fn conv2d_backward_bias(
    context: &Context,
    shape: &ConvShape,
    dy: &[f32],
    db: &mut [f32],
) -> Result<(), ShapeError> {
    check_len("dy", dy, shape.output_len())?;
    check_len("db", db, shape.bias_len())?;
    let pixels = shape.out_pixels();
    // One channel a chunk: every sum has one owner, so that no partial sums are needed.
    context.for_each_chunk(db, 1, |channel, db| {
        let planes = dy.chunks_exact(pixels).skip(channel);
        let sum: f64 = planes
            .step_by(shape.out_channels)
            .map(crate::norm::sum_of)
            .sum();
        db.fill(sum as f32);
    });
    Ok(())
}

fn check_operands(
    shape: &ConvShape,
    (input_name, input): (&'static str, &[f32]),
    (weight_name, weight): (&'static str, &[f32]),
    (output_name, output): (&'static str, &[f32]),
) -> Result<(), ShapeError> {
    check_len(input_name, input, shape.input_len())?;
    check_len(weight_name, weight, shape.weight_len())?;
    check_len(output_name, output, shape.output_len())
}

fn forward(
    context: &Context,
    shape: &ConvShape,
    x: &[f32],
    w: &[f32],
    bias: Option<&[f32]>,
    y: &mut [f32],
) {
    let weights = Matrix::new(w, shape.out_channels, shape.fan_in());
    context.for_each_chunk(y, shape.out_image_len(), |image, y| {
        let x = &x[image * shape.image_len()..][..shape.image_len()];
        let before = match bias {
            Some(bias) => {
                for (plane, &bias) in y.chunks_exact_mut(shape.out_pixels()).zip(bias) {
                    plane.fill(bias);
                }
                Before::Kept
            }
            None => Before::Replaced,
        };
        for strip in Strip::all(shape) {
            let mut unfolded = context.floats(strip.unfolded_len());
            unfold(&strip, x, &mut unfolded);
            let unfolded = strip.of_unfolded(&unfolded);
            multiply(strip.of_output_mut(y), before, weights, unfolded);
        }
    });
}

/// Writes the sum of `partials`, each `[fan_in, out_channels]`, in their order, to `dw`
/// `[out_channels, fan_in]`.
fn add_transposed(context: &Context, shape: &ConvShape, partials: &[f32], dw: &mut [f32]) {
    let fan_in = shape.fan_in();
    context.for_each_chunk(dw, CHANNELS_PER_TASK * fan_in, |task, rows| {
        let first = task * CHANNELS_PER_TASK;
        let channels = rows.len() / fan_in;
        rows.fill(0.0);
        for partial in partials.chunks_exact(shape.weight_len()) {
            for (input, column) in partial.chunks_exact(shape.out_channels).enumerate() {
                let column = &column[first..first + channels];
                for (sum, value) in rows.iter_mut().skip(input).step_by(fan_in).zip(column) {
                    *sum += value;
                }
            }
        }
    });
}
