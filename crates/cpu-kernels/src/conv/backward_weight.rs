//! The gradient of a convolution by its weights.

use super::algorithm::Algorithm;
use super::forward::{input_frame, tiles_at_a_time};
use super::winograd::{
    POSITIONS, Tiles, TransformGradient, TransformInput, TransformKernelGradients, position_len,
};
use crate::context::{Context, Worker};
use crate::divide::Chunked;
use crate::layout::Frame;
use crate::partition::images_per_chunk;
use crate::product::{Each, Outer};
use crate::scratch::Scratch;
use crate::shape::ConvShape;

/// Products of channels in and out from which on the sums of all positions are too large for the
/// second-level cache.
const LARGE_SUMS: usize = 64 * 64;
/// Tiles in a chunk of images, below which turning sums into a gradient would cost too much.
const LEAST_TILES: usize = 64;
/// Products of channels in and out from which on the sums of all positions do not stay in the
/// third-level cache beside those of another thread.
const WIDE_SUMS: usize = 128 * 128;
/// Tiles that are summed over at a time for so many channels.
const TILES_OF_WIDE: usize = 256;
/// Elements of the output's gradient that stay in the first-level cache while all taps meet them.
const ELEMENTS_AT_A_TIME: usize = 3 * 1024;

/// The gradient by the weights, summed over images.
pub(crate) struct BackwardWeight {
    shape: ConvShape,
    algorithm: Algorithm,
}

/// Sums over the images of a chunk, not yet a gradient by the weights as they are.
pub(crate) struct Sums<'c> {
    sums: Scratch<'c, f32>,
    /// Whether the sums hold anything yet.
    begun: bool,
}

impl BackwardWeight {
    pub(crate) fn new(context: &Context, shape: &ConvShape) -> Self {
        Self {
            shape: *shape,
            algorithm: Algorithm::choose(shape, context.precision(), context.lanes()),
        }
    }

    /// How an image of the input lies in memory.
    pub(crate) fn x_frame(&self) -> Frame {
        input_frame(&self.shape, self.algorithm)
    }

    /// How many images a chunk has, whose sums are turned into a partial gradient at its end: so
    /// many that turning costs little beside summing, but two chunks at least.
    pub(crate) fn images_per_chunk(&self) -> usize {
        let shape = &self.shape;
        let least = match self.algorithm {
            Algorithm::Direct => 1,
            Algorithm::Winograd => {
                let tiles = Tiles::of(shape.out_height, shape.out_width).count();
                LEAST_TILES.div_ceil(tiles)
            }
        };
        images_per_chunk(shape.batch, shape.weight_len())
            .max(least)
            .min(shape.batch.div_ceil(2))
    }

    /// Tiles that are summed over at a time. The sums are read and written once for each block of
    /// tiles, so that blocks are larger where the sums do not stay in the second-level cache.
    fn tiles_at_a_time(&self) -> usize {
        let (inputs, outputs) = (self.shape.in_channels, self.shape.out_channels);
        if inputs * outputs >= WIDE_SUMS {
            TILES_OF_WIDE
        } else if inputs * outputs >= LARGE_SUMS {
            LEAST_TILES
        } else {
            tiles_at_a_time(inputs, outputs)
        }
    }

    /// How many images are best taken at a time.
    pub(crate) fn images_at_a_time(&self) -> usize {
        match self.algorithm {
            Algorithm::Direct => 1,
            Algorithm::Winograd => {
                let tiles = Tiles::of(self.shape.out_height, self.shape.out_width).count();
                (self.tiles_at_a_time() / tiles).max(1)
            }
        }
    }

    /// No sums yet.
    pub(crate) fn begin<'c>(&self, worker: &Worker<'c>) -> Sums<'c> {
        let channels = self.shape.in_channels * self.shape.out_channels;
        let len = match self.algorithm {
            Algorithm::Direct => self.shape.weight_len(),
            Algorithm::Winograd => POSITIONS * channels,
        };
        Sums {
            sums: worker.floats(len),
            begun: false,
        }
    }

    /// Adds what `images` images give: framed inputs `x` and framed gradients `dy`, one after the
    /// other.
    pub(crate) fn add(
        &self,
        worker: &Worker,
        images: usize,
        (x_frame, x): (&Frame, &[f32]),
        (dy_frame, dy): (&Frame, &[f32]),
        sums: &mut Sums<'_>,
    ) {
        match self.algorithm {
            Algorithm::Direct => {
                let x = x.chunks_exact(x_frame.len()).take(images);
                for (x, dy) in x.zip(dy.chunks_exact(dy_frame.len())) {
                    self.direct(worker, (x_frame, x), (dy_frame, dy), sums);
                    sums.begun = true;
                }
            }
            Algorithm::Winograd => {
                self.winograd(worker, images, (x_frame, x), (dy_frame, dy), sums);
            }
        }
    }

    fn direct(
        &self,
        context: &Context,
        (x_frame, x): (&Frame, &[f32]),
        (dy_frame, dy): (&Frame, &[f32]),
        sums: &mut Sums<'_>,
    ) {
        let shape = &self.shape;
        let inputs = shape.kernel_width * shape.in_channels;
        let of_row = inputs * shape.out_channels;
        let out_row = shape.out_width * shape.out_channels;
        let rows = (ELEMENTS_AT_A_TIME / out_row.max(1)).clamp(1, shape.out_height);
        for first in (0..shape.out_height).step_by(rows) {
            for (down, out) in sums.sums.chunks_exact_mut(of_row).enumerate() {
                context.compute(Outer {
                    x: &x[(first * shape.stride + down) * x_frame.row()..],
                    x_row: shape.stride * x_frame.row(),
                    x_pixel: shape.stride * shape.in_channels,
                    inputs,
                    dy: &dy[dy_frame.origin() + first * dy_frame.row()..],
                    dy_row: dy_frame.row(),
                    dy_pixel: shape.out_channels,
                    columns: shape.out_channels,
                    height: rows.min(shape.out_height - first),
                    width: shape.out_width,
                    out,
                    out_step: shape.out_channels,
                    keep: sums.begun || first > 0,
                });
            }
        }
    }

    fn winograd(
        &self,
        worker: &Worker,
        images: usize,
        (x_frame, x): (&Frame, &[f32]),
        (dy_frame, dy): (&Frame, &[f32]),
        sums: &mut Sums<'_>,
    ) {
        let shape = &self.shape;
        let (inputs, outputs) = (shape.in_channels, shape.out_channels);
        let tiles = Tiles::of(shape.out_height, shape.out_width);
        let all = images * tiles.count();
        let most = self.tiles_at_a_time();
        let (from, to) = (position_len(most, inputs), position_len(most, outputs));
        let mut transformed = worker.floats(POSITIONS * from);
        let mut gradients = worker.floats(POSITIONS * to);
        for first in (0..all).step_by(most) {
            let count = most.min(all - first);
            worker.compute(TransformInput {
                tiles,
                first,
                count,
                frame: *x_frame,
                framed: x,
                out: &mut transformed,
                position: from,
            });
            worker.compute(TransformGradient {
                tiles,
                first,
                count,
                frame: *dy_frame,
                framed: dy,
                out: &mut gradients,
                position: to,
            });
            let positions = transformed
                .chunks_exact(from)
                .zip(gradients.chunks_exact(to));
            let all_sums = sums.sums.chunks_exact_mut(inputs * outputs);
            let keep = sums.begun;
            worker.compute(Each(positions.zip(all_sums).map(|((x, dy), out)| Outer {
                x,
                x_row: 0,
                x_pixel: inputs,
                inputs,
                dy,
                dy_row: 0,
                dy_pixel: outputs,
                columns: outputs,
                height: 1,
                width: count,
                out,
                out_step: outputs,
                keep,
            })));
            sums.begun = true;
        }
    }

    /// Writes the gradient by the weights, `[taps, in_channels, out_channels]`, to `partial`.
    pub(crate) fn end(&self, context: &Context, sums: &Sums<'_>, partial: &mut [f32]) {
        let channels = self.shape.in_channels * self.shape.out_channels;
        if !sums.begun {
            partial.fill(0.0);
            return;
        }
        match self.algorithm {
            Algorithm::Direct => partial.copy_from_slice(&sums.sums),
            Algorithm::Winograd => context.compute(TransformKernelGradients {
                count: channels,
                sums: &sums.sums,
                out: partial,
            }),
        }
    }

    /// Adds the partial gradients of all chunks, in their order, and writes them to `dw`,
    /// `[out_channels, in_channels, kernel_height, kernel_width]`.
    pub(crate) fn total(&self, context: &Context, partials: &[f32], dw: &mut [f32]) {
        let (inputs, outputs) = (self.shape.in_channels, self.shape.out_channels);
        let taps = self.shape.kernel_height * self.shape.kernel_width;
        let weights = taps * inputs * outputs;
        let block_len = OUTPUTS_AT_A_TIME * inputs * taps;
        let blocks = outputs.div_ceil(OUTPUTS_AT_A_TIME);
        context.divide(blocks, Chunked::new(dw, block_len), |_, block, dw| {
            let first = block * OUTPUTS_AT_A_TIME;
            let width = OUTPUTS_AT_A_TIME.min(outputs - first);
            for input in 0..inputs {
                for tap in 0..taps {
                    let row = (tap * inputs + input) * outputs + first;
                    let mut sums = [0.0_f32; OUTPUTS_AT_A_TIME];
                    for partial in partials.chunks_exact(weights) {
                        let values = partial.get(row..row + width).unwrap_or_default();
                        for (sum, value) in sums.iter_mut().zip(values) {
                            *sum += value;
                        }
                    }
                    let to = dw.data.iter_mut().skip(input * taps + tap);
                    for (to, sum) in to.step_by(inputs * taps).zip(sums) {
                        *to = sum;
                    }
                }
            }
        });
    }
}

/// Output channels whose partial gradients one task adds up: a cache line of `f32`.
const OUTPUTS_AT_A_TIME: usize = 16;
