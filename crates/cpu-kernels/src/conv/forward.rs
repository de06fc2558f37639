//! A convolution of framed images, with its weights made ready once.

use super::algorithm::Algorithm;
use super::winograd::{
    INPUTS, OUTPUTS, POSITIONS, Tiles, TransformInput, TransformKernels, TransformOutput,
    position_len,
};
use crate::context::{Context, Worker};
use crate::layout::{Frame, block_width, pack, packed_len};
use crate::product::{Dot, Each, Output, Run, Weights};
use crate::scratch::Scratch;
use crate::shape::ConvShape;

/// The most tiles that are transformed at a time, such that transformed tiles and products stay
/// in the second-level cache.
const TILES_AT_A_TIME: usize = 32;
/// Elements that transformed tiles and products may take together at a time.
const ELEMENTS_AT_A_TIME: usize = 72 * 1024;
/// Products of channels in and out from which on the weights do not stay in the second-level cache:
/// they are read once for each block of tiles, so that blocks are larger.
const WIDE: usize = 128 * 128;
/// Tiles at a time for so many channels.
const TILES_OF_WIDE: usize = 64;

/// Tiles that are transformed at a time for so many channels in and out.
pub(super) fn tiles_at_a_time(in_channels: usize, out_channels: usize) -> usize {
    if in_channels * out_channels > WIDE {
        return TILES_OF_WIDE;
    }
    let fit = ELEMENTS_AT_A_TIME / (POSITIONS * (in_channels + out_channels));
    fit.clamp(16, TILES_AT_A_TIME)
}

/// A convolution whose weights are packed.
pub(crate) struct Forward<'c> {
    shape: ConvShape,
    algorithm: Algorithm,
    frame: Frame,
    weights: Scratch<'c, f32>,
    runs: Scratch<'c, Run>,
}

impl<'c> Forward<'c> {
    /// Packs `weights`, `[out_channels, in_channels, kernel_height, kernel_width]`.
    pub(crate) fn new(context: &'c Context, shape: &ConvShape, weights: &[f32]) -> Self {
        let taps = shape.kernel_height * shape.kernel_width;
        let at = |tap: usize, input: usize, output: usize| {
            weights[(output * shape.in_channels + input) * taps + tap]
        };
        let algorithm = Algorithm::choose(shape, context.precision(), context.lanes());
        Self::with(context, shape, algorithm, at)
    }

    /// Packs the weights that `at(tap, input, output)` gives.
    pub(super) fn with(
        context: &'c Context,
        shape: &ConvShape,
        algorithm: Algorithm,
        at: impl Fn(usize, usize, usize) -> f32,
    ) -> Self {
        let (inputs, outputs) = (shape.in_channels, shape.out_channels);
        let lanes = context.lanes();
        let frame = input_frame(shape, algorithm);
        let taps = shape.kernel_height * shape.kernel_width;
        let rows = match algorithm {
            Algorithm::Direct => taps * inputs,
            Algorithm::Winograd => POSITIONS * inputs,
        };
        let mut packed = context.floats(packed_len(rows, outputs, lanes));
        let runs = match algorithm {
            Algorithm::Direct => {
                // A kernel's taps lie side by side, so that they are taken one after the other.
                let order = |index: usize| index % taps * inputs + index / taps;
                pack(rows, outputs, lanes, &mut packed, order, |row, output| {
                    at(row / inputs, row % inputs, output)
                });
                let len = shape.kernel_width * inputs;
                let mut runs = context.runs(shape.kernel_height);
                for (y, run) in runs.iter_mut().enumerate() {
                    *run = Run {
                        input: y * frame.row(),
                        weight: y * len,
                        len,
                    };
                }
                runs
            }
            Algorithm::Winograd => {
                transform(context, inputs, outputs, lanes, &mut packed, at);
                let mut runs = context.runs(1);
                runs.fill(Run {
                    input: 0,
                    weight: 0,
                    len: inputs,
                });
                runs
            }
        };
        Self {
            shape: *shape,
            algorithm,
            frame,
            weights: packed,
            runs,
        }
    }

    /// How an input image lies in memory.
    pub(crate) fn frame(&self) -> Frame {
        self.frame
    }

    /// How many images are best convolved at a time: enough to fill a block of tiles.
    pub(crate) fn images_at_a_time(&self) -> usize {
        match self.algorithm {
            Algorithm::Direct => 1,
            Algorithm::Winograd => {
                let tiles = Tiles::of(self.shape.out_height, self.shape.out_width).count();
                (self.most_tiles() / tiles).max(1)
            }
        }
    }

    fn most_tiles(&self) -> usize {
        tiles_at_a_time(self.shape.in_channels, self.shape.out_channels)
    }

    /// Convolves `images` framed images that lie one after the other; `y` is dense.
    pub(crate) fn run(&self, worker: &Worker, images: usize, framed: &[f32], y: &mut [f32]) {
        match self.algorithm {
            Algorithm::Direct => {
                let len = self.shape.out_image_len();
                let inputs = framed.chunks_exact(self.frame.len()).take(images);
                for (framed, y) in inputs.zip(y.chunks_exact_mut(len)) {
                    self.direct(worker, framed, y);
                }
            }
            Algorithm::Winograd => self.winograd(worker, images, framed, y),
        }
    }

    fn direct(&self, context: &Context, framed: &[f32], y: &mut [f32]) {
        let shape = &self.shape;
        context.compute(Dot {
            runs: &self.runs,
            input: framed,
            row: shape.stride * self.frame.row(),
            pixel: shape.stride * shape.in_channels,
            weights: Weights::Packed(&self.weights),
            weight_rows: shape.fan_in(),
            columns: shape.out_channels,
            height: shape.out_height,
            width: shape.out_width,
            bias: None,
            rectify: false,
            out: Output {
                data: y,
                row: shape.out_width * shape.out_channels,
                pixel: shape.out_channels,
            },
        });
    }

    fn winograd(&self, worker: &Worker, images: usize, framed: &[f32], y: &mut [f32]) {
        let shape = &self.shape;
        let (inputs, outputs) = (shape.in_channels, shape.out_channels);
        let tiles = Tiles::of(shape.out_height, shape.out_width);
        let all = images * tiles.count();
        let most = self.most_tiles();
        let (from, to) = (position_len(most, inputs), position_len(most, outputs));
        let mut transformed = worker.floats(POSITIONS * from);
        let mut products = worker.floats(POSITIONS * to);
        let weights_len = packed_len(inputs, outputs, worker.lanes());
        for first in (0..all).step_by(most) {
            let count = most.min(all - first);
            worker.compute(TransformInput {
                tiles,
                first,
                count,
                frame: self.frame,
                framed,
                out: &mut transformed,
                position: from,
            });
            let positions = transformed
                .chunks_exact(from)
                .zip(products.chunks_exact_mut(to));
            let positions = positions.zip(self.weights.chunks_exact(weights_len));
            worker.compute(Each(positions.map(|((input, data), weights)| Dot {
                runs: &self.runs,
                input,
                row: 0,
                pixel: inputs,
                weights: Weights::Packed(weights),
                weight_rows: inputs,
                columns: outputs,
                height: 1,
                width: count,
                bias: None,
                rectify: false,
                out: Output {
                    data,
                    row: 0,
                    pixel: outputs,
                },
            })));
            worker.compute(TransformOutput {
                tiles,
                first,
                count,
                products: &products,
                position: to,
                height: shape.out_height,
                width: shape.out_width,
                channels: outputs,
                out: y,
            });
        }
    }
}

/// How an input image lies in memory: for Winograd's algorithm with as many zeros below and to the
/// right that every tile of inputs lies within the frame.
pub(super) fn input_frame(shape: &ConvShape, algorithm: Algorithm) -> Frame {
    let mut frame = Frame::new(shape.height, shape.width, shape.in_channels, shape.padding);
    if algorithm == Algorithm::Direct {
        return frame;
    }
    let tiles = Tiles::of(shape.out_height, shape.out_width);
    let needed = |tiles: usize, len: usize| {
        (tiles * OUTPUTS + INPUTS - OUTPUTS).saturating_sub(shape.padding + len)
    };
    frame.after = needed(tiles.rows, shape.height)
        .max(needed(tiles.columns, shape.width))
        .max(shape.padding);
    frame
}

/// Transforms all kernels and packs each position's matrix, one position after the other.
fn transform(
    context: &Context,
    inputs: usize,
    outputs: usize,
    lanes: usize,
    packed: &mut [f32],
    at: impl Fn(usize, usize, usize) -> f32,
) {
    let position = packed_len(inputs, outputs, lanes);
    let mut kernels = context.floats(9 * 2 * lanes);
    let mut first = 0;
    while first < outputs {
        let width = block_width(first, outputs, lanes);
        for input in 0..inputs {
            for column in 0..width {
                for tap in 0..9 {
                    kernels[tap * width + column] = at(tap, input, first + column);
                }
            }
            context.compute(TransformKernels {
                count: width,
                kernels: &kernels,
                out: &mut packed[first * inputs + input * width..],
                position,
            });
        }
        first += width;
    }
}
