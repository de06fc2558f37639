//! Unfolding an image into the inputs of every kernel position, and folding gradients back.

use std::ops::Range;

use crate::matmul::{Matrix, MatrixMut};
use crate::shape::ConvShape;

/// The most elements of a strip's unfolded image: 192 KiB, which leaves room for the weights and
/// the output in a second-level cache of 512 KiB.
const GREATEST_STRIP_ELEMENTS: usize = 48 * 1024;

/// Some rows of a convolution's output.
pub(super) struct Strip<'a> {
    shape: &'a ConvShape,
    rows: Range<usize>,
}

impl<'a> Strip<'a> {
    /// The strips of an output image, from top to bottom.
    pub(super) fn all(shape: &'a ConvShape) -> impl Iterator<Item = Strip<'a>> {
        let row_elements = shape.fan_in() * shape.out_width;
        let affordable = (GREATEST_STRIP_ELEMENTS / row_elements).max(1);
        // Strips of nearly equal height are faster than full ones and a small remainder.
        let strips = shape.out_height.div_ceil(affordable);
        let height = shape.out_height.div_ceil(strips);
        (0..shape.out_height).step_by(height).map(move |top| Strip {
            shape,
            rows: top..(top + height).min(shape.out_height),
        })
    }

    /// Output pixels of the strip.
    pub(super) fn pixels(&self) -> usize {
        self.rows.len() * self.shape.out_width
    }

    /// Elements of a buffer for the unfolded image.
    pub(super) fn unfolded_len(&self) -> usize {
        self.shape.fan_in() * self.pixels()
    }

    /// The unfolded image in its buffer, `[in_channels * kernel_height * kernel_width, pixels]`.
    pub(super) fn of_unfolded<'b>(&self, unfolded: &'b [f32]) -> Matrix<'b> {
        Matrix::new(unfolded, self.shape.fan_in(), self.pixels())
    }

    /// As [`Strip::of_unfolded`], to be written.
    pub(super) fn of_unfolded_mut<'b>(&self, unfolded: &'b mut [f32]) -> MatrixMut<'b> {
        MatrixMut::new(unfolded, self.shape.fan_in(), self.pixels())
    }

    /// The strip of an output image, `[out_channels, pixels]`.
    pub(super) fn of_output<'b>(&self, output: &'b [f32]) -> Matrix<'b> {
        let start = self.rows.start * self.shape.out_width;
        Matrix::with_stride(
            &output[start..],
            self.shape.out_channels,
            self.pixels(),
            self.shape.out_pixels(),
        )
    }

    /// The strip of an output image, `[out_channels, pixels]`, to be written.
    pub(super) fn of_output_mut<'b>(&self, output: &'b mut [f32]) -> MatrixMut<'b> {
        let start = self.rows.start * self.shape.out_width;
        MatrixMut::with_stride(
            &mut output[start..],
            self.shape.out_channels,
            self.pixels(),
            self.shape.out_pixels(),
        )
    }
}

/// The outputs along one axis whose input at one tap of the kernel is not padding.
struct Reach {
    outputs: Range<usize>,
    /// The input of the first output.
    first_input: usize,
}

impl Reach {
    fn new(tap: usize, size: usize, outputs: usize, stride: usize, padding: usize) -> Self {
        // Output `o` reads input `o * stride + tap - padding`, which must be in `0..size`.
        let start = padding.saturating_sub(tap).div_ceil(stride).min(outputs);
        let end = (size + padding).saturating_sub(tap).div_ceil(stride);
        let end = end.clamp(start, outputs);
        Self {
            outputs: start..end,
            first_input: (start * stride + tap).saturating_sub(padding),
        }
    }
}

/// Writes the unfolded image `[in_channels * kernel_height * kernel_width, strip.pixels()]` of an
/// input image `[in_channels, height, width]`. Taps that fall on padding are zero.
pub(super) fn unfold(strip: &Strip, image: &[f32], unfolded: &mut [f32]) {
    let shape = strip.shape;
    let mut taps = unfolded.chunks_exact_mut(strip.pixels());
    for plane in image.chunks_exact(shape.height * shape.width) {
        for tap_y in 0..shape.kernel_height {
            for tap_x in 0..shape.kernel_width {
                let Some(tap) = taps.next() else { return };
                let across = Reach::new(
                    tap_x,
                    shape.width,
                    shape.out_width,
                    shape.stride,
                    shape.padding,
                );
                for (row, outputs) in strip
                    .rows
                    .clone()
                    .zip(tap.chunks_exact_mut(shape.out_width))
                {
                    let input_row = (row * shape.stride + tap_y)
                        .checked_sub(shape.padding)
                        .filter(|&input_row| input_row < shape.height);
                    match input_row {
                        Some(input_row) => {
                            let inputs = &plane[input_row * shape.width..][..shape.width];
                            unfold_row(&across, inputs, shape.stride, outputs);
                        }
                        None => outputs.fill(0.0),
                    }
                }
            }
        }
    }
}

fn unfold_row(across: &Reach, inputs: &[f32], stride: usize, outputs: &mut [f32]) {
    let Range { start, end } = across.outputs;
    outputs[..start].fill(0.0);
    outputs[end..].fill(0.0);
    let outputs = &mut outputs[start..end];
    if outputs.is_empty() {
        return;
    }
    let inputs = &inputs[across.first_input..];
    if stride == 1 {
        outputs.copy_from_slice(&inputs[..outputs.len()]);
    } else {
        for (output, input) in outputs.iter_mut().zip(inputs.iter().step_by(stride)) {
            *output = *input;
        }
    }
}

/// Adds a strip's unfolded gradient, laid out as by [`unfold`], to the gradient of the input image
/// `[in_channels, height, width]`.
pub(super) fn fold(strip: &Strip, unfolded: &[f32], image: &mut [f32]) {
    let shape = strip.shape;
    let mut taps = unfolded.chunks_exact(strip.pixels());
    for plane in image.chunks_exact_mut(shape.height * shape.width) {
        for tap_y in 0..shape.kernel_height {
            for tap_x in 0..shape.kernel_width {
                let Some(tap) = taps.next() else { return };
                let across = Reach::new(
                    tap_x,
                    shape.width,
                    shape.out_width,
                    shape.stride,
                    shape.padding,
                );
                for (row, outputs) in strip.rows.clone().zip(tap.chunks_exact(shape.out_width)) {
                    let input_row = (row * shape.stride + tap_y)
                        .checked_sub(shape.padding)
                        .filter(|&input_row| input_row < shape.height);
                    if let Some(input_row) = input_row {
                        let inputs = &mut plane[input_row * shape.width..][..shape.width];
                        fold_row(&across, outputs, shape.stride, inputs);
                    }
                }
            }
        }
    }
}

fn fold_row(across: &Reach, outputs: &[f32], stride: usize, inputs: &mut [f32]) {
    let outputs = &outputs[across.outputs.clone()];
    if outputs.is_empty() {
        return;
    }
    let inputs = &mut inputs[across.first_input..];
    if stride == 1 {
        for (input, output) in inputs.iter_mut().zip(outputs) {
            *input += output;
        }
    } else {
        for (input, output) in inputs.iter_mut().step_by(stride).zip(outputs) {
            *input += output;
        }
    }
}
