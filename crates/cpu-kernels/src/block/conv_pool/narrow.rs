//! The forward pass for few output channels and windows of 2 by 2: vectors lie along a row of
//! windows, where vectors of channels would be filled badly.
//!
//! The columns of the input are split into even and odd ones, so that what neighbouring windows
//! read at the same place lies side by side.

#![allow(unsafe_code)]

use crate::block::Images;
use crate::conv::images_from;
use crate::shape::ConvPoolShape;
use crate::simd::{Kernel, Simd};

/// Output channels of a tile: with four places of a window each, their sums fill half of sixteen
/// registers and hide the latency of their additions.
const CHANNELS: usize = 2;

/// Whether vectors along a row of windows waste less than vectors of `lanes` channels.
pub(super) fn is_better(shape: &ConvPoolShape, lanes: usize) -> bool {
    let channels = shape.conv.out_channels;
    let along_rows = shape.out_width.next_multiple_of(lanes) * channels.next_multiple_of(CHANNELS);
    let along_channels = shape.out_width * channels.next_multiple_of(lanes);
    shape.pool == 2 && along_rows < along_channels
}

/// Even, or odd, columns of a row of the input.
fn half_width(shape: &ConvPoolShape) -> usize {
    shape.conv.width.div_ceil(2)
}

/// Elements of an image whose columns are split, `[in_channels, height, 2, half_width]`, and of a
/// vector beyond it, which the kernel may read.
pub(super) fn split_len(shape: &ConvPoolShape, lanes: usize) -> usize {
    let conv = &shape.conv;
    conv.in_channels * conv.height * 2 * half_width(shape) + lanes
}

/// Copies image `image` of `x` to `split`, `[in_channels, height, 2, half_width]`.
pub(super) fn load(shape: &ConvPoolShape, x: &Images, image: usize, split: &mut [f32]) {
    let (conv, half) = (&shape.conv, half_width(shape));
    let len = conv.image_len();
    let rows = split.chunks_exact_mut(2 * half).enumerate();
    match *x {
        Images::Planes(x) => {
            let planes = &images_from(x, image, len)[..len];
            for ((_, to), from) in rows.zip(planes.chunks_exact(conv.width)) {
                let (even, odd) = to.split_at_mut(half);
                let pairs = from.chunks_exact(2);
                if let ([last], Some(even)) = (pairs.remainder(), even.last_mut()) {
                    *even = *last;
                }
                for ((even, odd), pair) in even.iter_mut().zip(odd).zip(pairs) {
                    (*even, *odd) = (pair[0], pair[1]);
                }
            }
        }
        Images::Pixels(x) => {
            let pixels = &images_from(x, image, len)[..len];
            for (row, to) in rows.take(conv.in_channels * conv.height) {
                let (channel, y) = (row / conv.height, row % conv.height);
                for column in 0..conv.width {
                    let pixel = y * conv.width + column;
                    to[column % 2 * half + column / 2] = pixels[pixel * conv.in_channels + channel];
                }
            }
        }
    }
}

/// The block's output for one image.
pub(super) struct Narrow<'a> {
    pub(super) shape: &'a ConvPoolShape,
    /// As [`load`] makes it.
    pub(super) split: &'a [f32],
    /// `[out_channels, in_channels, kernel_height, kernel_width]`.
    pub(super) weight: &'a [f32],
    pub(super) bias: &'a [f32],
    /// `[out_channels, out_height, out_width]`.
    pub(super) maxima: &'a mut [f32],
    /// The places of the maxima within their windows, alike.
    pub(super) places: &'a mut [u8],
}

impl Kernel for Narrow<'_> {
    type Output = ();

    /// # Panics
    ///
    /// A slice is too short, which is a defect of the caller.
    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        let shape = self.shape;
        assert!(
            shape.pool == 2
                && self.split.len() >= split_len(shape, S::LANES)
                && self.weight.len() >= shape.weight_len(),
            "slices hold the image and the weights"
        );
        for channel in (0..shape.conv.out_channels).step_by(CHANNELS) {
            for row in 0..shape.out_height {
                for column in (0..shape.out_width).step_by(S::LANES) {
                    // SAFETY: the lengths were asserted; channel, row and column exist.
                    unsafe {
                        if shape.conv.out_channels - channel >= CHANNELS {
                            self.tile::<S, CHANNELS>(simd, channel, row, column);
                        } else {
                            self.tile::<S, 1>(simd, channel, row, column);
                        }
                    }
                }
            }
        }
    }
}

impl Narrow<'_> {
    /// The maxima of `C` channels in a vector of windows of row `row` from `column` on.
    ///
    /// # Safety
    ///
    /// The windows are 2 by 2; `split` and `weight` are as long as the shape asks for; channels,
    /// row and column exist.
    #[inline(always)]
    unsafe fn tile<S: Simd, const C: usize>(
        &mut self,
        simd: S,
        channel: usize,
        row: usize,
        column: usize,
    ) {
        let (conv, half) = (&self.shape.conv, half_width(self.shape));
        let fan_in = conv.fan_in();
        let mut sums: [[S::V; 4]; C] =
            std::array::from_fn(|c| [simd.splat(self.bias[channel + c]); 4]);
        // SAFETY: a window's row `2 row + down + y` is below the height, since the convolution
        // has a pixel there, and so is its column; lanes beyond the last window read what follows
        // in the image, or the vector beyond it. There is a weight for each tap of each channel.
        unsafe {
            let mut weights = self.weight.as_ptr().add(channel * fan_in);
            for input in 0..conv.in_channels {
                for y in 0..conv.kernel_height {
                    let from = (input * conv.height + 2 * row + y) * 2 * half + column;
                    let upper = self.split.as_ptr().add(from);
                    let lower = upper.add(2 * half);
                    // Two taps share what they read of the odd columns.
                    let mut even = [simd.load(upper), simd.load(lower)];
                    for pair in 0..conv.kernel_width / 2 {
                        let (at, next) = (half + pair, pair + 1);
                        let odd = [simd.load(upper.add(at)), simd.load(lower.add(at))];
                        let window = [even[0], odd[0], even[1], odd[1]];
                        add_tap(simd, weights, fan_in, window, &mut sums);
                        even = [simd.load(upper.add(next)), simd.load(lower.add(next))];
                        let window = [odd[0], even[0], odd[1], even[1]];
                        add_tap(simd, weights.add(1), fan_in, window, &mut sums);
                        weights = weights.add(2);
                    }
                    if conv.kernel_width % 2 == 1 {
                        let at = half + conv.kernel_width / 2;
                        let odd = [simd.load(upper.add(at)), simd.load(lower.add(at))];
                        let window = [even[0], odd[0], even[1], odd[1]];
                        add_tap(simd, weights, fan_in, window, &mut sums);
                        weights = weights.add(1);
                    }
                }
            }
        }
        for (c, sums) in sums.into_iter().enumerate() {
            self.store(simd, sums, channel + c, row, column);
        }
    }

    /// Writes the maxima of rectified windows, of which `sums` has the four places.
    #[inline(always)]
    fn store<S: Simd>(
        &mut self,
        simd: S,
        sums: [S::V; 4],
        channel: usize,
        row: usize,
        column: usize,
    ) {
        let mut greatest = simd.max(simd.zero(), sums[0]);
        let mut place = simd.zero();
        for (number, sum) in [1.0, 2.0, 3.0].into_iter().zip(&sums[1..]) {
            let value = simd.max(simd.zero(), *sum);
            place = simd.where_wins(value, greatest, simd.splat(number), place);
            greatest = simd.where_wins(value, greatest, value, greatest);
        }
        let mut maxima = [0.0_f32; 16];
        let mut places = [0.0_f32; 16];
        // SAFETY: no instruction set has more than sixteen lanes.
        unsafe {
            simd.store(maxima.as_mut_ptr(), greatest);
            simd.store(places.as_mut_ptr(), place);
        }
        let count = S::LANES.min(self.shape.out_width - column);
        let to = (channel * self.shape.out_height + row) * self.shape.out_width + column;
        self.maxima[to..to + count].copy_from_slice(&maxima[..count]);
        for (to, place) in self.places[to..to + count].iter_mut().zip(places) {
            // A window has four places.
            *to = place as u8;
        }
    }
}

/// Adds the products of what the four places of a window see through one tap with its weight for
/// each of `C` channels.
///
/// # Safety
///
/// `C` weights can be read, each `step` elements after the one before.
#[inline(always)]
unsafe fn add_tap<S: Simd, const C: usize>(
    simd: S,
    weights: *const f32,
    step: usize,
    window: [S::V; 4],
    sums: &mut [[S::V; 4]; C],
) {
    for (c, sums) in sums.iter_mut().enumerate() {
        // SAFETY: the caller's.
        let weight = simd.splat(unsafe { *weights.add(c * step) });
        for (sum, value) in sums.iter_mut().zip(window) {
            *sum = simd.mul_add(weight, value, *sum);
        }
    }
}
