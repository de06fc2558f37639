//! Two-dimensional convolution and its gradients, on images whose channels lie side by side.
//!
//! | pass | direct | by Winograd's algorithm |
//! | --- | --- | --- |
//! | forward | `Dot` over the rows of the kernel | transforms, 36 `Dot`s, transform |
//! | by the input | `Dot` by classes of pixels | the forward pass with the kernel turned around |
//! | by the weights | `Outer` over the pixels | transforms, 36 `Outer`s, transform |
//!
//! `algorithm` chooses. Each image is first copied into a frame of zeros, which stays in the
//! second-level cache while the pass reads it.

pub(crate) mod algorithm;
mod backward_input;
mod backward_weight;
mod forward;
mod winograd;

use crate::context::Context;
use crate::divide::Chunked;
use crate::image::{Activate, Grid, Shortcut};
use crate::layout::Frame;
use crate::shape::{ConvShape, ShapeError, check_len};

pub(crate) use backward_input::BackwardInput;
pub(crate) use backward_weight::BackwardWeight;
pub(crate) use forward::Forward;

/// Convolution without bias: `y[n, o] = sum over i of x[n, i] * w[o, i]`, where `*` is the
/// cross-correlation of a plane with a kernel.
///
/// `x` is `[batch, height, width, in_channels]`, `w` is
/// `[out_channels, in_channels, kernel_height, kernel_width]` and `y` is
/// `[batch, out_height, out_width, out_channels]`.
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
    let forward = Forward::new(context, shape, w);
    let (frame, most) = (forward.frame(), forward.images_at_a_time());
    let chunk_len = most * shape.out_image_len();
    let y = Chunked::new(y, chunk_len);
    context.divide(shape.batch.div_ceil(most), y, |worker, chunk, y| {
        let x = images_from(x, chunk * most, shape.image_len());
        let images = y.data.len() / shape.out_image_len();
        let mut framed = worker.floats(most * frame.len());
        load_plain(worker, &frame, images, x, &mut framed);
        forward.run(worker, images, &framed, y.data);
    });
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
    let backward = BackwardInput::new(context, shape, w);
    let (frame, most) = (backward.frame(), backward.images_at_a_time());
    let dx = Chunked::new(dx, most * shape.image_len());
    context.divide(shape.batch.div_ceil(most), dx, |worker, chunk, dx| {
        let dy = images_from(dy, chunk * most, shape.out_image_len());
        let images = dx.data.len() / shape.image_len();
        let mut framed = worker.floats(most * frame.len());
        load_plain(worker, &frame, images, dy, &mut framed);
        backward.run(worker, images, &framed, dx.data);
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
    let backward = BackwardWeight::new(context, shape);
    let x_frame = backward.x_frame();
    let dy_frame = Frame::new(shape.out_height, shape.out_width, shape.out_channels, 0);
    let (chunk_images, most) = (backward.images_per_chunk(), backward.images_at_a_time());
    let chunks = shape.batch.div_ceil(chunk_images);
    let mut partials = context.floats(chunks * shape.weight_len());
    let parts = Chunked::new(&mut partials, shape.weight_len());
    context.divide(chunks, parts, |worker, chunk, partial| {
        let mut sums = backward.begin(worker);
        let mut x_framed = worker.floats(most * x_frame.len());
        let mut dy_framed = worker.floats(most * dy_frame.len());
        let first = chunk * chunk_images;
        let end = (first + chunk_images).min(shape.batch);
        for first in (first..end).step_by(most) {
            let images = most.min(end - first);
            let x = images_from(x, first, shape.image_len());
            let dy = images_from(dy, first, shape.out_image_len());
            load_plain(worker, &x_frame, images, x, &mut x_framed);
            load_plain(worker, &dy_frame, images, dy, &mut dy_framed);
            let (x, dy) = ((&x_frame, &*x_framed), (&dy_frame, &*dy_framed));
            backward.add(worker, images, x, dy, &mut sums);
        }
        backward.end(worker, &sums, partial.data);
    });
    backward.total(context, &partials, dw);
    Ok(())
}

/// The images of `data` from image `first` on, each of `len` elements.
pub(crate) fn images_from(data: &[f32], first: usize, len: usize) -> &[f32] {
    data.get(first * len..).unwrap_or_default()
}

/// Copies `images` dense images into frames, one after the other.
fn load_plain(context: &Context, frame: &Frame, images: usize, dense: &[f32], framed: &mut [f32]) {
    let grid = Grid::inside(frame);
    let frames = frame.cleared(images, framed);
    for (x, out) in dense.chunks_exact(frame.image_len()).zip(frames) {
        context.compute(Activate {
            grid,
            x,
            affine: None,
            shortcut: Shortcut::None,
            out,
        });
    }
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
