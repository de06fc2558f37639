//! The forward pass.

use super::narrow::{self, Narrow};
use super::window::MaximaOfRow;
use super::{image_room, load};
use crate::block::Images;
use crate::block::conv_norm::check_images;
use crate::context::Context;
use crate::divide::Chunked;
use crate::layout::{block_width, packed_len};
use crate::partition::images_per_chunk;
use crate::product::{Dot, Output, Run, Weights, padded_columns};
use crate::scratch::Scratch;
use crate::shape::{ConvPoolShape, ConvShape, ShapeError, check_len};

/// `y = max_pool(relu(x * weight + bias))`, with the place of each maximum within its window,
/// `row * pool + column`, in `indices`. Both are `[batch, out_channels, out_height, out_width]`.
/// As in PyTorch the first of equal values wins, and NaN wins over every number.
///
/// # Errors
///
/// A slice does not have the length that `shape` asks for.
pub fn forward(
    context: &Context,
    shape: &ConvPoolShape,
    x: Images,
    weight: &[f32],
    bias: &[f32],
    y: &mut [f32],
    indices: &mut [u8],
) -> Result<(), ShapeError> {
    check_images("x", &x, shape.input_len())?;
    check_len("weight", weight, shape.weight_len())?;
    check_len("bias", bias, shape.bias_len())?;
    check_len("y", y, shape.output_len())?;
    check_len("indices", indices, shape.output_len())?;
    let len = shape.out_image_len();
    let per_chunk = images_per_chunk(shape.conv.batch, 0);
    let chunks = shape.conv.batch.div_ceil(per_chunk);
    let parts = (
        Chunked::new(y, per_chunk * len),
        Chunked::new(indices, per_chunk * len),
    );
    if narrow::is_better(shape, context.lanes()) {
        context.divide(chunks, parts, |worker, chunk, (y, indices)| {
            let mut split = worker.floats(narrow::split_len(shape, worker.lanes()));
            let images = (y.data.chunks_exact_mut(len)).zip(indices.data.chunks_exact_mut(len));
            for (image, (maxima, places)) in (chunk * per_chunk..).zip(images) {
                narrow::load(shape, &x, image, &mut split);
                worker.compute(Narrow {
                    shape,
                    split: &split,
                    weight,
                    bias,
                    maxima,
                    places,
                });
            }
        });
    } else {
        let convolution = Convolution::new(context, shape, weight, bias);
        context.divide(chunks, parts, |worker, chunk, (y, indices)| {
            let mut pixels = image_room(worker, shape);
            let mut rows = worker.floats(convolution.rows_len());
            let images = (y.data.chunks_exact_mut(len)).zip(indices.data.chunks_exact_mut(len));
            for (image, (y, indices)) in (chunk * per_chunk..).zip(images) {
                load(shape, &x, image, &mut pixels);
                convolution.image(worker, &pixels, &mut rows, y, indices);
            }
        });
    }
    Ok(())
}

/// The convolution with its weights packed. Output channels are whole vectors, of which the last
/// channels may be zero, so that inner loops load and store nothing else.
struct Convolution<'c> {
    shape: ConvPoolShape,
    channels: usize,
    weights: Scratch<'c, f32>,
    bias: Scratch<'c, f32>,
    runs: Scratch<'c, Run>,
}

impl<'c> Convolution<'c> {
    fn new(context: &'c Context, shape: &ConvPoolShape, weight: &[f32], bias: &[f32]) -> Self {
        let conv = &shape.conv;
        let channels = padded_columns(conv.out_channels, context.lanes());
        let mut weights = context.floats(packed_len(conv.fan_in(), channels, context.lanes()));
        pack(conv, context.lanes(), weight, &mut weights);
        let mut padded_bias = context.floats(channels);
        padded_bias.fill(0.0);
        padded_bias[..bias.len()].copy_from_slice(bias);
        let mut runs = context.runs(conv.kernel_height);
        let len = conv.kernel_width * conv.in_channels;
        for (y, run) in runs.iter_mut().enumerate() {
            *run = Run {
                input: y * conv.width * conv.in_channels,
                weight: y * len,
                len,
            };
        }
        Self {
            shape: *shape,
            channels,
            weights,
            bias: padded_bias,
            runs,
        }
    }

    /// Pixels of the convolution's output that lie in the windows of one row of windows.
    fn width(&self) -> usize {
        self.shape.out_width * self.shape.pool
    }

    /// Elements of the rows that one row of windows covers.
    fn rows_len(&self) -> usize {
        self.shape.pool * self.width() * self.channels
    }

    /// The block's output for one image.
    fn image(
        &self,
        context: &Context,
        pixels: &[f32],
        rows: &mut [f32],
        y: &mut [f32],
        indices: &mut [u8],
    ) {
        let shape = &self.shape;
        for row in 0..shape.out_height {
            self.rows_of_windows(context, row, pixels, rows);
            let first = row * shape.out_width;
            context.compute(MaximaOfRow {
                pixels: rows,
                step: self.channels,
                channels: shape.conv.out_channels,
                pool: shape.pool,
                width: shape.out_width,
                maxima: &mut y[first..],
                places: &mut indices[first..],
                plane: shape.out_plane_len(),
            });
        }
    }

    /// Convolves what row `row` of the windows covers: `[pool, width, channels]`, rectified.
    fn rows_of_windows(&self, context: &Context, row: usize, pixels: &[f32], rows: &mut [f32]) {
        let conv = &self.shape.conv;
        let in_row = conv.width * conv.in_channels;
        context.compute(Dot {
            runs: &self.runs,
            input: &pixels[row * self.shape.pool * in_row..],
            row: in_row,
            pixel: conv.in_channels,
            weights: Weights::Packed(&self.weights),
            weight_rows: conv.fan_in(),
            columns: self.channels,
            height: self.shape.pool,
            width: self.width(),
            bias: Some(&self.bias),
            rectify: true,
            out: Output {
                data: rows,
                row: self.width() * self.channels,
                pixel: self.channels,
            },
        });
    }
}

/// Packs `weight`, `[out_channels, in_channels, kernel_height, kernel_width]`, with a row for each
/// kernel row, kernel column and input channel, in this order.
fn pack(conv: &ConvShape, lanes: usize, weight: &[f32], packed: &mut [f32]) {
    packed.fill(0.0);
    let (inputs, taps) = (conv.in_channels, conv.kernel_height * conv.kernel_width);
    let kernels = weight.chunks_exact(conv.fan_in()).enumerate();
    for (output, kernels) in kernels {
        let first = output / (2 * lanes) * 2 * lanes;
        let width = block_width(first, conv.out_channels, lanes);
        let block = &mut packed[first * conv.fan_in() + output - first..];
        for (input, kernel) in kernels.chunks_exact(taps).enumerate() {
            let to = block.iter_mut().skip(input * width);
            for (to, value) in to.step_by(inputs * width).zip(kernel) {
                *to = *value;
            }
        }
    }
}
