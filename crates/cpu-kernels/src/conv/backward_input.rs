//! The gradient of a convolution by its input.
//!
//! It is a convolution too: of the gradient of the output with the kernel turned around. Where the
//! stride is above 1, the input's pixels fall into classes by their remainder, and each class meets
//! only some of the kernel's taps: no zeros are inserted, and no work is done on them.

use super::algorithm::Algorithm;
use super::forward::Forward;
use crate::context::{Context, Worker};
use crate::layout::{Frame, pack, packed_len};
use crate::product::{Dot, Output, Run, Weights};
use crate::scratch::Scratch;
use crate::shape::ConvShape;

/// The gradient by the input, with the weights packed.
// It exists once an operation, on the stack: a box would be an allocation a step.
#[allow(clippy::large_enum_variant)]
pub(crate) enum BackwardInput<'c> {
    /// Stride 1 by Winograd's algorithm: the convolution with the kernel turned around.
    Turned(Forward<'c>),
    /// Any stride, by classes of pixels.
    Direct(Classes<'c>),
}

impl<'c> BackwardInput<'c> {
    /// Packs `weights`, `[out_channels, in_channels, kernel_height, kernel_width]`.
    pub(crate) fn new(context: &'c Context, shape: &ConvShape, weights: &[f32]) -> Self {
        let taps = shape.kernel_height * shape.kernel_width;
        if let Some(turned) = turned(shape)
            && Algorithm::choose(&turned, context.precision(), context.lanes())
                == Algorithm::Winograd
        {
            let at = |tap: usize, output: usize, input: usize| {
                weights[(output * shape.in_channels + input) * taps + taps - 1 - tap]
            };
            return Self::Turned(Forward::with(context, &turned, Algorithm::Winograd, at));
        }
        Self::Direct(Classes::new(context, shape, weights))
    }

    /// How an image of the output's gradient lies in memory.
    pub(crate) fn frame(&self) -> Frame {
        match self {
            Self::Turned(forward) => forward.frame(),
            Self::Direct(classes) => classes.frame,
        }
    }

    /// How many images are best taken at a time.
    pub(crate) fn images_at_a_time(&self) -> usize {
        match self {
            Self::Turned(forward) => forward.images_at_a_time(),
            Self::Direct(_) => 1,
        }
    }

    /// The gradient `dx`, dense, from `images` framed images `dy` that lie one after the other.
    pub(crate) fn run(&self, worker: &Worker, images: usize, dy: &[f32], dx: &mut [f32]) {
        match self {
            Self::Turned(forward) => forward.run(worker, images, dy, dx),
            Self::Direct(classes) => {
                let dy = dy.chunks_exact(classes.frame.len()).take(images);
                for (dy, dx) in dy.zip(dx.chunks_exact_mut(classes.shape.image_len())) {
                    classes.run(worker, dy, dx);
                }
            }
        }
    }
}

/// The convolution that gives the gradient by the input where the stride is 1.
fn turned(shape: &ConvShape) -> Option<ConvShape> {
    let padding = (shape.kernel_height - 1).checked_sub(shape.padding)?;
    if shape.stride != 1 || shape.kernel_height != shape.kernel_width {
        return None;
    }
    Some(ConvShape {
        in_channels: shape.out_channels,
        height: shape.out_height,
        width: shape.out_width,
        out_channels: shape.in_channels,
        padding,
        out_height: shape.height,
        out_width: shape.width,
        ..*shape
    })
}

/// Pixels of the input by the remainder of their place by the stride.
pub(crate) struct Classes<'c> {
    shape: ConvShape,
    frame: Frame,
    weights: Scratch<'c, f32>,
    /// For each class, row by row, as many places as the kernel has taps. Those that the class
    /// does not meet come last and have no length.
    runs: Scratch<'c, Run>,
}

/// A tap of the kernel along one axis that pixels of one class meet.
#[derive(Clone, Copy)]
struct Tap {
    tap: usize,
    /// Output pixel less the index of the input pixel within its class.
    offset: isize,
}

/// The taps that input pixels of class `class` meet along an axis.
fn taps(class: usize, kernel: usize, shape: &ConvShape) -> impl Iterator<Item = Tap> {
    let (stride, padding) = (shape.stride as isize, shape.padding as isize);
    (0..kernel).filter_map(move |tap| {
        let distance = class as isize + padding - tap as isize;
        (distance.rem_euclid(stride) == 0).then_some(Tap {
            tap,
            offset: distance.div_euclid(stride),
        })
    })
}

/// Pixels of class `class` along an axis of `len` pixels.
fn class_len(class: usize, len: usize, stride: usize) -> usize {
    len.saturating_sub(class).div_ceil(stride)
}

impl<'c> Classes<'c> {
    fn new(context: &'c Context, shape: &ConvShape, weights: &[f32]) -> Self {
        let (inputs, outputs, lanes) = (shape.in_channels, shape.out_channels, context.lanes());
        let kernel = shape.kernel_height * shape.kernel_width;
        let rows = kernel * outputs;
        let mut packed = context.floats(packed_len(rows, inputs, lanes));
        // One output's kernels lie side by side, so that they are taken together.
        let order = |index: usize| index % kernel * outputs + index / kernel;
        pack(rows, inputs, lanes, &mut packed, order, |row, input| {
            weights[(row % outputs * inputs + input) * kernel + row / outputs]
        });
        let frame = frame(shape);
        let before = frame.before as isize;
        let mut runs = context.runs(shape.stride * shape.stride * kernel);
        runs.fill(Run::default());
        let mut classes = runs.chunks_exact_mut(kernel);
        for down in 0..shape.stride {
            for across in 0..shape.stride {
                let mut of_class = classes.next().unwrap_or_default().iter_mut();
                for y in taps(down, shape.kernel_height, shape) {
                    for x in taps(across, shape.kernel_width, shape) {
                        // The frame is wide enough for every offset.
                        let row = (y.offset + before) as usize * frame.row();
                        let column = (x.offset + before) as usize * outputs;
                        let run = Run {
                            input: row + column,
                            weight: (y.tap * shape.kernel_width + x.tap) * outputs,
                            len: outputs,
                        };
                        if let Some(place) = of_class.next() {
                            *place = run;
                        }
                    }
                }
            }
        }
        Self {
            shape: *shape,
            frame,
            weights: packed,
            runs,
        }
    }

    fn run(&self, context: &Context, dy: &[f32], dx: &mut [f32]) {
        let shape = &self.shape;
        let (channels, row) = (shape.in_channels, shape.width * shape.in_channels);
        let kernel = shape.kernel_height * shape.kernel_width;
        for (class, runs) in self.runs.chunks_exact(kernel).enumerate() {
            let met = runs.iter().take_while(|run| run.len > 0).count();
            let runs = &runs[..met];
            let (down, across) = (class / shape.stride, class % shape.stride);
            let Some(data) = dx.get_mut(down * row + across * channels..) else {
                continue;
            };
            context.compute(Dot {
                runs,
                input: dy,
                row: self.frame.row(),
                pixel: shape.out_channels,
                weights: Weights::Packed(&self.weights),
                weight_rows: shape.kernel_height * shape.kernel_width * shape.out_channels,
                columns: channels,
                height: class_len(down, shape.height, shape.stride),
                width: class_len(across, shape.width, shape.stride),
                bias: None,
                rectify: false,
                out: Output {
                    data,
                    row: shape.stride * row,
                    pixel: shape.stride * channels,
                },
            });
        }
    }
}

/// The frame of the output's gradient: as many zeros as the taps of any class reach beyond it.
fn frame(shape: &ConvShape) -> Frame {
    let mut frame = Frame::new(shape.out_height, shape.out_width, shape.out_channels, 0);
    let axes = [
        (shape.height, shape.kernel_height, shape.out_height),
        (shape.width, shape.kernel_width, shape.out_width),
    ];
    for (len, kernel, out_len) in axes {
        for class in 0..shape.stride.min(len) {
            let last = class_len(class, len, shape.stride) as isize - 1;
            for tap in taps(class, kernel, shape) {
                let before = -tap.offset;
                let after = last + tap.offset - (out_len as isize - 1);
                frame.before = frame.before.max(usize::try_from(before).unwrap_or(0));
                frame.after = frame.after.max(usize::try_from(after).unwrap_or(0));
            }
        }
    }
    frame
}
