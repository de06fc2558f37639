//! Sums over channels: `out[pixel][column] = sum over c of input[pixel][c] * weights[c][column]`.

#![allow(unsafe_code)]

use super::next_tile;
use crate::simd::{Kernel, Simd};

/// Inputs that lie side by side in memory and meet rows of the weights that do so too. A
/// convolution has a run for each row of its kernel.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Run {
    /// Where it begins, from the first input of the pixel.
    pub(crate) input: usize,
    /// The first row of the weights.
    pub(crate) weight: usize,
    /// How many there are.
    pub(crate) len: usize,
}

/// A matrix of weights with a column for each output channel.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Weights<'a> {
    /// Blocks of two vectors of columns (the last may have one), each with all its rows, as
    /// [`crate::layout::pack`] makes them. Columns beyond the last are zero.
    Packed(&'a [f32]),
    /// Rows of so many elements, one after the other.
    Rows(&'a [f32], usize),
}

/// Where results go.
#[derive(Debug)]
pub(crate) struct Output<'a> {
    pub(crate) data: &'a mut [f32],
    /// From a row of pixels to the next.
    pub(crate) row: usize,
    /// From a pixel to the next.
    pub(crate) pixel: usize,
}

/// A product of an image with weights. `out[y][x][column]` gets the sum over all runs, and over
/// all `i` of a run, of `input[y * row + x * pixel + run.input + i]` times
/// `weights[run.weight + i][column]`, and the bias.
pub(crate) struct Dot<'a> {
    pub(crate) runs: &'a [Run],
    pub(crate) input: &'a [f32],
    pub(crate) row: usize,
    pub(crate) pixel: usize,
    pub(crate) weights: Weights<'a>,
    /// Rows of the weights.
    pub(crate) weight_rows: usize,
    /// Columns of the weights, of which each gives a channel of the output.
    pub(crate) columns: usize,
    pub(crate) height: usize,
    pub(crate) width: usize,
    pub(crate) bias: Option<&'a [f32]>,
    /// Whether negative results become zero.
    pub(crate) rectify: bool,
    pub(crate) out: Output<'a>,
}

/// `columns` rounded up to whole vectors of `lanes`.
pub(crate) fn padded_columns(columns: usize, lanes: usize) -> usize {
    columns.next_multiple_of(lanes)
}

impl Dot<'_> {
    /// Whether every element that the tiles read and write lies within its slice.
    fn is_within_bounds(&self, lanes: usize) -> bool {
        let last_pixel =
            |row: usize, pixel: usize| (self.height - 1) * row + (self.width - 1) * pixel;
        let runs_fit = self.runs.iter().all(|run| {
            let input = last_pixel(self.row, self.pixel) + run.input + run.len;
            input <= self.input.len() && run.weight + run.len <= self.weight_rows
        });
        let weights_fit = match self.weights {
            Weights::Packed(data) => {
                data.len() >= self.weight_rows * padded_columns(self.columns, lanes)
            }
            Weights::Rows(data, step) => {
                step >= self.columns && data.len() >= (self.weight_rows - 1) * step + self.columns
            }
        };
        let out = last_pixel(self.out.row, self.out.pixel) + self.columns;
        runs_fit
            && weights_fit
            && out <= self.out.data.len()
            && self.bias.is_none_or(|bias| bias.len() >= self.columns)
    }
}

impl Kernel for Dot<'_> {
    type Output = ();

    /// # Panics
    ///
    /// A slice is too short, which is a defect of the caller.
    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        if self.height == 0 || self.width == 0 || self.columns == 0 || self.weight_rows == 0 {
            return;
        }
        assert!(self.is_within_bounds(S::LANES), "slices hold the product");
        let mut first = 0;
        while first < self.columns {
            let left = self.columns - first;
            let packed = matches!(self.weights, Weights::Packed(_));
            // Packed weights have two vectors wherever one is begun and another is left.
            let two = if packed {
                padded_columns(left, S::LANES) >= 2 * S::LANES
            } else {
                left >= 2 * S::LANES
            };
            if two {
                self.block::<S, 2, true>(simd, first, S::TILE, left.min(2 * S::LANES));
                first += 2 * S::LANES;
            } else {
                let most = 12.min(2 * S::TILE);
                if packed || left >= S::LANES {
                    self.block::<S, 1, true>(simd, first, most, left.min(S::LANES));
                } else {
                    self.block::<S, 1, false>(simd, first, most, left);
                }
                first += S::LANES;
            }
        }
    }
}

impl Dot<'_> {
    /// `columns` columns from `first` on, for all pixels.
    #[inline(always)]
    fn block<S: Simd, const B: usize, const FULL: bool>(
        &mut self,
        simd: S,
        first: usize,
        most: usize,
        columns: usize,
    ) {
        let (weights, step, readable) = match self.weights {
            Weights::Packed(data) => {
                let block = &data[first * self.weight_rows..];
                (block.as_ptr(), B * S::LANES, B * S::LANES)
            }
            Weights::Rows(data, step) => (data[first..].as_ptr(), step, columns),
        };
        let bias = self.bias.map(|bias| &bias[first..first + columns]);
        let out = self.out.data.as_mut_ptr();
        for y in 0..self.height {
            let mut x = 0;
            while x < self.width {
                let pixels = next_tile(self.width - x, most);
                // SAFETY: `run` asserted `is_within_bounds`, so that every place which a pixel of
                // this image reads or writes lies within its slice; the tile has pixels `x` to
                // `x + pixels` of row `y`, and columns `first` to `first + columns`.
                unsafe {
                    let tile = Tile {
                        runs: self.runs,
                        input: self.input.as_ptr().add(y * self.row + x * self.pixel),
                        pixel: self.pixel,
                        weights,
                        step,
                        readable,
                        bias,
                        rectify: self.rectify,
                        out: out.add(y * self.out.row + x * self.out.pixel + first),
                        out_pixel: self.out.pixel,
                        columns,
                    };
                    tile.compute_pixels::<S, B, FULL>(simd, pixels);
                }
                x += pixels;
            }
        }
    }
}

/// Some pixels by one or two vectors of columns.
struct Tile<'a> {
    runs: &'a [Run],
    input: *const f32,
    pixel: usize,
    weights: *const f32,
    /// From a row of the weights to the next.
    step: usize,
    /// Columns of the weights that may be read.
    readable: usize,
    bias: Option<&'a [f32]>,
    rectify: bool,
    out: *mut f32,
    out_pixel: usize,
    /// Columns to be written.
    columns: usize,
}

impl Tile<'_> {
    /// # Safety
    ///
    /// As [`Tile::compute`], for `pixels` pixels, of which there are at most twelve.
    #[inline(always)]
    unsafe fn compute_pixels<S: Simd, const B: usize, const FULL: bool>(
        &self,
        simd: S,
        pixels: usize,
    ) {
        // SAFETY: the caller's.
        unsafe {
            with_tile_of!(pixels, S::TILE * 2 / B, P => self.compute::<S, P, B, FULL>(simd));
        }
    }

    /// # Safety
    ///
    /// For each of `P` pixels and each run, the inputs can be read and the rows of the weights
    /// have `readable` columns that can be read; `columns` columns of each pixel can be written,
    /// and a bias has as many.
    #[inline(always)]
    unsafe fn compute<S: Simd, const P: usize, const B: usize, const FULL: bool>(&self, simd: S) {
        // SAFETY: of all blocks below, the caller's.
        unsafe {
            let mut sums = [[simd.zero(); B]; P];
            if let Some(bias) = self.bias {
                let bias = load_columns::<S, B, false>(simd, bias.as_ptr(), bias.len());
                sums = [bias; P];
            }
            for run in self.runs {
                let input = self.input.add(run.input);
                let mut weights = self.weights.add(run.weight * self.step);
                for index in 0..run.len {
                    let row = load_columns::<S, B, FULL>(simd, weights, self.readable);
                    for (pixel, sums) in sums.iter_mut().enumerate() {
                        let value = simd.splat(*input.add(pixel * self.pixel + index));
                        for (sum, weight) in sums.iter_mut().zip(row) {
                            *sum = simd.mul_add(value, weight, *sum);
                        }
                    }
                    // After the last row this may point beyond the weights, and is read no more.
                    weights = weights.wrapping_add(self.step);
                }
            }
            if self.rectify {
                for sums in &mut sums {
                    for sum in sums {
                        *sum = simd.max(simd.zero(), *sum);
                    }
                }
            }
            if self.columns >= B * S::LANES {
                for (pixel, sums) in sums.into_iter().enumerate() {
                    let out = self.out.add(pixel * self.out_pixel);
                    for (index, sum) in sums.into_iter().enumerate() {
                        simd.store(out.add(index * S::LANES), sum);
                    }
                }
            } else {
                let copy = sums;
                self.store_some(simd, &copy);
            }
        }
    }

    /// Writes the sums of a tile that has fewer columns than its vectors have elements. It is apart because
    /// it reads the sums from memory, where the loop above would otherwise keep them too.
    ///
    /// # Safety
    ///
    /// As [`Tile::compute`].
    #[inline(always)]
    unsafe fn store_some<S: Simd, const P: usize, const B: usize>(
        &self,
        simd: S,
        sums: &[[S::V; B]; P],
    ) {
        for (pixel, sums) in sums.iter().enumerate() {
            // SAFETY: the caller's.
            unsafe {
                let out = self.out.add(pixel * self.out_pixel);
                store_columns::<S, B>(simd, out, *sums, self.columns);
            }
        }
    }
}

/// `B` vectors from `from` on. Unless they are `FULL`, only `readable` elements exist, and the rest is
/// zero.
///
/// # Safety
///
/// All elements can be read, or `readable` of them.
#[inline(always)]
pub(super) unsafe fn load_columns<S: Simd, const B: usize, const FULL: bool>(
    simd: S,
    from: *const f32,
    readable: usize,
) -> [S::V; B] {
    let mut vectors = [simd.zero(); B];
    // SAFETY: either whole vectors are readable, or the elements that are get copied first.
    unsafe {
        if FULL {
            for (index, vector) in vectors.iter_mut().enumerate() {
                *vector = simd.load(from.add(index * S::LANES));
            }
        } else {
            let mut copy = [0.0_f32; 32];
            std::ptr::copy_nonoverlapping(from, copy.as_mut_ptr(), readable);
            for (index, vector) in vectors.iter_mut().enumerate() {
                *vector = simd.load(copy.as_ptr().add(index * S::LANES));
            }
        }
    }
    vectors
}

/// Writes the first `columns` elements of `B` vectors to `to`.
///
/// # Safety
///
/// `columns` elements can be written, and `B` vectors have at most 32.
#[inline(always)]
pub(super) unsafe fn store_columns<S: Simd, const B: usize>(
    simd: S,
    to: *mut f32,
    vectors: [S::V; B],
    columns: usize,
) {
    // SAFETY: either whole vectors can be written, or only as many elements as there is room for.
    unsafe {
        if columns >= B * S::LANES {
            for (index, vector) in vectors.into_iter().enumerate() {
                simd.store(to.add(index * S::LANES), vector);
            }
        } else {
            let mut copy = [0.0_f32; 32];
            for (index, vector) in vectors.into_iter().enumerate() {
                simd.store(copy.as_mut_ptr().add(index * S::LANES), vector);
            }
            std::ptr::copy_nonoverlapping(copy.as_ptr(), to, columns);
        }
    }
}
