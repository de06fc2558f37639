//! Sums along vectors: `out[row][column] = sum over i of x[row][i] * weights[column][i]`.

#![allow(unsafe_code)]

use super::dot::load_columns;
use super::next_tile;
use crate::simd::{Kernel, Simd};

/// Rows of `x` in a tile.
const ROWS: usize = 4;
/// Rows of the weights in a tile. With one more, the sums and the factors of a step would need one
/// more than sixteen registers.
const COLUMNS: usize = 2;

/// Two matrices whose rows are multiplied, each of one with each of the other, and a bias.
pub(crate) struct Inner<'a> {
    /// `[rows, len]`.
    pub(crate) x: &'a [f32],
    pub(crate) rows: usize,
    /// `[columns, len]`.
    pub(crate) weights: &'a [f32],
    pub(crate) columns: usize,
    pub(crate) len: usize,
    /// `[columns]`.
    pub(crate) bias: &'a [f32],
    /// Whether negative results become zero.
    pub(crate) rectify: bool,
    /// `[rows, columns]`.
    pub(crate) out: &'a mut [f32],
}

impl Kernel for Inner<'_> {
    type Output = ();

    /// # Panics
    ///
    /// A slice is too short, which is a defect of the caller.
    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        assert!(
            self.x.len() >= self.rows * self.len
                && self.weights.len() >= self.columns * self.len
                && self.bias.len() >= self.columns
                && self.out.len() >= self.rows * self.columns,
            "slices hold the product"
        );
        let mut row = 0;
        while row < self.rows {
            let rows = next_tile(self.rows - row, ROWS);
            let mut column = 0;
            while column < self.columns {
                let columns = next_tile(self.columns - column, COLUMNS);
                // SAFETY: the lengths were asserted; the tile has rows `row` to `row + rows` of
                // `x`, and rows `column` to `column + columns` of the weights.
                let sums = unsafe {
                    let x = self.x.as_ptr().add(row * self.len);
                    let weights = self.weights.as_ptr().add(column * self.len);
                    match rows {
                        1 => tile_columns::<S, 1>(simd, x, weights, self.len, columns),
                        2 => tile_columns::<S, 2>(simd, x, weights, self.len, columns),
                        3 => tile_columns::<S, 3>(simd, x, weights, self.len, columns),
                        _ => tile_columns::<S, 4>(simd, x, weights, self.len, columns),
                    }
                };
                self.store(row..row + rows, column..column + columns, &sums);
                column += columns;
            }
            row += rows;
        }
    }
}

impl Inner<'_> {
    /// Writes the sums `[columns][rows]` of a tile.
    #[inline(always)]
    fn store(
        &mut self,
        rows: std::ops::Range<usize>,
        columns: std::ops::Range<usize>,
        sums: &[[f32; ROWS]; COLUMNS],
    ) {
        for (column, sums) in columns.zip(sums) {
            let bias = self.bias[column];
            for (row, sum) in rows.clone().zip(sums) {
                let value = sum + bias;
                // NaN is not below zero, and stays.
                let closed = self.rectify && value < 0.0;
                self.out[row * self.columns + column] = if closed { 0.0 } else { value };
            }
        }
    }
}

/// # Safety
///
/// As [`tile`], for `columns` rows of the weights, of which there are at most two.
#[inline(always)]
unsafe fn tile_columns<S: Simd, const R: usize>(
    simd: S,
    x: *const f32,
    weights: *const f32,
    len: usize,
    columns: usize,
) -> [[f32; ROWS]; COLUMNS] {
    // SAFETY: the caller's.
    unsafe {
        match columns {
            1 => tile::<S, R, 1>(simd, x, weights, len),
            _ => tile::<S, R, 2>(simd, x, weights, len),
        }
    }
}

/// The sums of `R` rows of `x` with `C` rows of the weights.
///
/// # Safety
///
/// `R` rows and `C` rows of `len` elements can be read.
#[inline(always)]
unsafe fn tile<S: Simd, const R: usize, const C: usize>(
    simd: S,
    x: *const f32,
    weights: *const f32,
    len: usize,
) -> [[f32; ROWS]; COLUMNS] {
    let mut sums = [[simd.zero(); ROWS]; C];
    // SAFETY: of all blocks below, the caller's; the last, partial vectors are copied.
    unsafe {
        let mut at = 0;
        while at + S::LANES <= len {
            let w: [S::V; C] = std::array::from_fn(|c| simd.load(weights.add(c * len + at)));
            for row in 0..R {
                let x = simd.load(x.add(row * len + at));
                for (sums, w) in sums.iter_mut().zip(w) {
                    sums[row] = simd.mul_add(x, w, sums[row]);
                }
            }
            at += S::LANES;
        }
        if at < len {
            let last = |from: *const f32| {
                let [vector] = load_columns::<S, 1, false>(simd, from.add(at), len - at);
                vector
            };
            let w: [S::V; C] = std::array::from_fn(|c| last(weights.add(c * len)));
            for row in 0..R {
                let x = last(x.add(row * len));
                for (sums, w) in sums.iter_mut().zip(w) {
                    sums[row] = simd.mul_add(x, w, sums[row]);
                }
            }
        }
    }
    let mut totals = [[0.0; ROWS]; COLUMNS];
    for (totals, sums) in totals.iter_mut().zip(sums) {
        *totals = simd.sums(sums);
    }
    totals
}
