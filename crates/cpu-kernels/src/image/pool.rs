//! Maxima of windows of 2 by 2 pixels, between a convolution and its normalisation.

#![allow(unsafe_code)]

use super::{Grid, load, store};
use crate::simd::{Kernel, Simd};

/// Pixels of a window along an axis.
pub(crate) const WINDOW: usize = 2;
/// Pixels of a window.
pub(crate) const PLACES: usize = WINDOW * WINDOW;

/// As [`load`], of bytes as numbers.
///
/// # Safety
///
/// `left` bytes can be read, or a whole vector's if that is less.
#[inline(always)]
unsafe fn load_bytes<S: Simd>(simd: S, from: *const u8, left: usize) -> S::V {
    // SAFETY: whole vectors can be read, or else only what exists is copied.
    unsafe {
        if left >= S::LANES {
            simd.load_bytes(from)
        } else {
            let mut copy = [0_u8; 16];
            std::ptr::copy_nonoverlapping(from, copy.as_mut_ptr(), left);
            simd.load_bytes(copy.as_ptr())
        }
    }
}

/// As [`store`], of whole numbers as bytes.
///
/// # Safety
///
/// `left` bytes can be written, or a whole vector's if that is less.
#[inline(always)]
unsafe fn store_bytes<S: Simd>(simd: S, to: *mut u8, value: S::V, left: usize) {
    // SAFETY: whole vectors can be written, or else only what there is room for.
    unsafe {
        if left >= S::LANES {
            simd.store_bytes(to, value);
        } else {
            let mut copy = [0_u8; 16];
            simd.store_bytes(copy.as_mut_ptr(), value);
            std::ptr::copy_nonoverlapping(copy.as_ptr(), to, left);
        }
    }
}

/// Takes the maxima of the windows of a dense image, and their places within their windows,
/// `2 * row + column`. The first of equal values wins, and a NaN wins over every number. Rows and
/// columns that fill no window are left out.
pub(crate) struct MaxPool<'a> {
    pub(crate) height: usize,
    pub(crate) width: usize,
    pub(crate) channels: usize,
    pub(crate) x: &'a [f32],
    /// `[height / 2, width / 2, channels]`.
    pub(crate) maxima: &'a mut [f32],
    /// As `maxima`.
    pub(crate) places: &'a mut [u8],
}

impl Kernel for MaxPool<'_> {
    type Output = ();

    /// # Panics
    ///
    /// A slice is too short, which is a defect of the caller.
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let grid = Grid::dense(self.height / WINDOW, self.width / WINDOW, self.channels);
        let (row, pixel) = (self.width * self.channels, self.channels);
        assert!(
            self.x.len() >= self.height * row
                && self.maxima.len() >= grid.len()
                && self.places.len() >= grid.len(),
            "slices hold the image"
        );
        let numbers: [S::V; PLACES] = std::array::from_fn(|place| simd.splat(place as f32));
        let (maxima, places) = (self.maxima.as_mut_ptr(), self.places.as_mut_ptr());
        let mut out = 0;
        for y in 0..grid.height {
            for x in 0..grid.width {
                let window = WINDOW * (y * row + x * pixel);
                for channel in (0..pixel).step_by(S::LANES) {
                    let left = pixel - channel;
                    // SAFETY: a window's four pixels lie within the image, and the lengths were
                    // asserted.
                    unsafe {
                        let from = self.x.as_ptr().add(window + channel);
                        let mut greatest = load(simd, from, left);
                        let mut place = numbers[0];
                        for (number, at) in [pixel, row, row + pixel].into_iter().enumerate() {
                            let value = load(simd, from.add(at), left);
                            place = simd.where_wins(value, greatest, numbers[number + 1], place);
                            greatest = simd.where_wins(value, greatest, value, greatest);
                        }
                        store(simd, maxima.add(out + channel), greatest, left);
                        store_bytes(simd, places.add(out + channel), place, left);
                    }
                }
                out += pixel;
            }
        }
    }
}

/// The gradient of batch normalisation by its input, as
/// [`NormGradient`](super::NormGradient), where that is what [`MaxPool`] gave: it goes to the
/// places of the maxima in the framed image `out`, and zero everywhere else.
pub(crate) struct NormPoolGradient<'a> {
    /// The image before the pooling.
    pub(crate) grid: Grid,
    /// `[grid.height / 2, grid.width / 2, channels]`.
    pub(crate) gradient: &'a [f32],
    pub(crate) x: &'a [f32],
    pub(crate) places: &'a [u8],
    /// `[3, channels]`: by gradient, by input, constant.
    pub(crate) factors: &'a [f32],
    pub(crate) out: &'a mut [f32],
}

impl Kernel for NormPoolGradient<'_> {
    type Output = ();

    /// # Panics
    ///
    /// A slice is too short, which is a defect of the caller.
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let (grid, pixel) = (self.grid, self.grid.channels);
        let (height, width) = (grid.height / WINDOW, grid.width / WINDOW);
        let len = height * width * pixel;
        assert!(
            self.gradient.len() >= len
                && self.x.len() >= len
                && self.places.len() >= len
                && self.factors.len() >= 3 * pixel
                && self.out.len() >= grid.framed_end(),
            "slices hold the image"
        );
        for y in 0..grid.height {
            let whole = if y < height * WINDOW {
                width * WINDOW
            } else {
                0
            };
            let row = &mut self.out[grid.origin + y * grid.row..][..grid.width * pixel];
            row[whole * pixel..].fill(0.0);
        }
        let numbers: [S::V; PLACES] = std::array::from_fn(|place| simd.splat(place as f32));
        let (gradient, x) = (self.gradient.as_ptr(), self.x.as_ptr());
        let (places, factors) = (self.places.as_ptr(), self.factors.as_ptr());
        let out = self.out.as_mut_ptr();
        let offsets = [0, pixel, grid.row, grid.row + pixel];
        let mut at = 0;
        for row in 0..height {
            for column in 0..width {
                let window = grid.origin + WINDOW * (row * grid.row + column * pixel);
                for channel in (0..pixel).step_by(S::LANES) {
                    let left = pixel - channel;
                    // SAFETY: a window's four pixels lie within the framed image, and the lengths
                    // were asserted.
                    unsafe {
                        let factors = factors.add(channel);
                        let by_gradient = load(simd, factors, left);
                        let by_input = load(simd, factors.add(pixel), left);
                        let constant = load(simd, factors.add(2 * pixel), left);
                        let x = load(simd, x.add(at + channel), left);
                        let g = load(simd, gradient.add(at + channel), left);
                        let g = simd.mul_add(g, by_gradient, simd.mul_add(x, by_input, constant));
                        let place = load_bytes(simd, places.add(at + channel), left);
                        for (offset, number) in offsets.into_iter().zip(numbers) {
                            let to = out.add(window + channel + offset);
                            store(simd, to, simd.where_equal(place, number, g), left);
                        }
                    }
                }
                at += pixel;
            }
        }
    }
}
