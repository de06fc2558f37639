//! Sums over pixels: `out[i][column] += sum over pixels of x[pixel][i] * dy[pixel][column]`.

#![allow(unsafe_code)]

use super::dot::{load_columns, store_columns};
use super::next_tile;
use crate::simd::{Kernel, Simd};

/// Two images whose pixels are multiplied, each input with each column, and summed.
pub(crate) struct Outer<'a> {
    pub(crate) x: &'a [f32],
    pub(crate) x_row: usize,
    pub(crate) x_pixel: usize,
    /// Inputs of a pixel, side by side in memory.
    pub(crate) inputs: usize,
    pub(crate) dy: &'a [f32],
    pub(crate) dy_row: usize,
    pub(crate) dy_pixel: usize,
    /// Columns of a pixel of `dy`.
    pub(crate) columns: usize,
    pub(crate) height: usize,
    pub(crate) width: usize,
    /// `[inputs]` rows of `out_step` elements, of which `columns` are used.
    pub(crate) out: &'a mut [f32],
    pub(crate) out_step: usize,
    /// Whether the sums are added to what `out` holds.
    pub(crate) keep: bool,
}

impl Outer<'_> {
    fn is_within_bounds(&self) -> bool {
        let end = |row: usize, pixel: usize, len: usize| {
            (self.height - 1) * row + (self.width - 1) * pixel + len
        };
        end(self.x_row, self.x_pixel, self.inputs) <= self.x.len()
            && end(self.dy_row, self.dy_pixel, self.columns) <= self.dy.len()
            && (self.inputs - 1) * self.out_step + self.columns <= self.out.len()
    }
}

impl Kernel for Outer<'_> {
    type Output = ();

    /// # Panics
    ///
    /// A slice is too short, which is a defect of the caller.
    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        if self.height == 0 || self.width == 0 || self.columns == 0 || self.inputs == 0 {
            return;
        }
        assert!(self.is_within_bounds(), "slices hold the product");
        let mut first = 0;
        while first < self.columns {
            let left = self.columns - first;
            if left >= 2 * S::LANES {
                self.block::<S, 2, true>(simd, first, S::TILE, 2 * S::LANES);
                first += 2 * S::LANES;
            } else {
                let most = 12.min(2 * S::TILE);
                if left >= S::LANES {
                    self.block::<S, 1, true>(simd, first, most, S::LANES);
                } else {
                    self.block::<S, 1, false>(simd, first, most, left);
                }
                first += S::LANES;
            }
        }
    }
}

impl Outer<'_> {
    /// `columns` columns from `first` on, for all inputs.
    #[inline(always)]
    fn block<S: Simd, const B: usize, const FULL: bool>(
        &mut self,
        simd: S,
        first: usize,
        most: usize,
        columns: usize,
    ) {
        let mut input = 0;
        while input < self.inputs {
            let inputs = next_tile(self.inputs - input, most);
            // SAFETY: `run` asserted `is_within_bounds`; the tile has inputs `input` to
            // `input + inputs` and columns `first` to `first + columns` of every pixel.
            unsafe {
                let tile = Tile {
                    x: self.x.as_ptr().add(input),
                    dy: self.dy.as_ptr().add(first),
                    out: self.out.as_mut_ptr().add(input * self.out_step + first),
                    columns,
                    image: self,
                };
                with_tile_of!(inputs, S::TILE * 2 / B, I => tile.compute::<S, I, B, FULL>(simd));
            }
            input += inputs;
        }
    }
}

/// Some inputs by one or two vectors of columns.
struct Tile<'a, 'b> {
    x: *const f32,
    dy: *const f32,
    out: *mut f32,
    columns: usize,
    image: &'a Outer<'b>,
}

impl Tile<'_, '_> {
    /// # Safety
    ///
    /// For each pixel of the image, `I` inputs and `columns` columns can be read, and as many can
    /// be read and written in `I` rows of `out`.
    #[inline(always)]
    unsafe fn compute<S: Simd, const I: usize, const B: usize, const FULL: bool>(&self, simd: S) {
        let image = self.image;
        // SAFETY: of all blocks below, the caller's.
        unsafe {
            let mut sums = [[simd.zero(); B]; I];
            if image.keep {
                for (input, sums) in sums.iter_mut().enumerate() {
                    let out = self.out.add(input * image.out_step);
                    *sums = load_columns::<S, B, FULL>(simd, out, self.columns);
                }
            }
            for y in 0..image.height {
                let mut x = self.x.add(y * image.x_row);
                let mut dy = self.dy.add(y * image.dy_row);
                for _ in 0..image.width {
                    let row = load_columns::<S, B, FULL>(simd, dy, self.columns);
                    for (input, sums) in sums.iter_mut().enumerate() {
                        let value = simd.splat(*x.add(input));
                        for (sum, gradient) in sums.iter_mut().zip(row) {
                            *sum = simd.mul_add(value, gradient, *sum);
                        }
                    }
                    // The last step leaves the image and is never read.
                    x = x.wrapping_add(image.x_pixel);
                    dy = dy.wrapping_add(image.dy_pixel);
                }
            }
            for (input, sums) in sums.into_iter().enumerate() {
                let out = self.out.add(input * image.out_step);
                store_columns::<S, B>(simd, out, sums, self.columns);
            }
        }
    }
}
