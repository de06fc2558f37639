//! Sums of few terms: `out[row][i] += sum over terms of factor * source[row][i]`, where each term
//! has a place of its own in the source.

#![allow(unsafe_code)]

use super::next_tile;
use crate::simd::{Kernel, Simd};

/// A patch of the source, and what it is multiplied with.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Term {
    /// Where the patch begins in the source.
    pub(crate) from: u32,
    pub(crate) factor: f32,
}

/// Terms whose sum is added to one patch of the output.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Group {
    /// The first term.
    pub(crate) first: u32,
    /// How many there are.
    pub(crate) count: u32,
    /// Where the patch begins in the output.
    pub(crate) to: u32,
}

/// For each group, and for all `row` below `rows` and `i` below `len`, `out[to + row * out_row + i]`
/// grows by the sum over the group's terms of
/// `factor * source[from + row * source_row + i]`.
///
/// Elements up to whole vectors beyond `len` must exist in both; those of `out` keep their value.
pub(crate) struct Sparse<'a> {
    pub(crate) groups: &'a [Group],
    pub(crate) terms: &'a [Term],
    pub(crate) source: &'a [f32],
    pub(crate) source_row: usize,
    pub(crate) rows: usize,
    pub(crate) len: usize,
    pub(crate) out: &'a mut [f32],
    pub(crate) out_row: usize,
}

impl Kernel for Sparse<'_> {
    type Output = ();

    /// # Panics
    ///
    /// A patch does not lie within its slice, which is a defect of the caller.
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        if self.rows == 0 || self.len == 0 {
            return;
        }
        let padded = self.len.next_multiple_of(S::LANES);
        let limit = |slice: &[f32], row: usize| {
            let reach = (self.rows - 1) * row + padded;
            assert!(reach <= slice.len(), "a slice holds a patch");
            slice.len() - reach
        };
        let source_limit = limit(self.source, self.source_row);
        let out_limit = limit(self.out, self.out_row);
        let mut within = [0.0_f32; 16];
        within[..self.len + S::LANES - padded].fill(1.0);
        // SAFETY: no instruction set has more than sixteen lanes.
        let within = unsafe { simd.load(within.as_ptr()) };
        for group in self.groups {
            let terms = &self.terms[group.first as usize..][..group.count as usize];
            if terms.is_empty() {
                continue;
            }
            let to = group.to as usize;
            assert!(to <= out_limit, "the output holds the patch");
            let mut row = 0;
            while row < self.rows {
                let rows = next_tile(self.rows - row, 6);
                let mut column = 0;
                while column < padded {
                    let two = padded - column >= 2 * S::LANES;
                    let width = if two { 2 * S::LANES } else { S::LANES };
                    // SAFETY: `to` was checked against the reach of a patch, and every term is
                    // before it is read; the tile lies within the padded patch.
                    unsafe {
                        let tile = Tile {
                            terms,
                            source: self.source.as_ptr().add(row * self.source_row + column),
                            source_limit,
                            source_row: self.source_row,
                            out: self.out.as_mut_ptr().add(to + row * self.out_row + column),
                            out_row: self.out_row,
                            within: (column + width > self.len).then_some(within),
                        };
                        if two {
                            tile.compute_rows::<S, 2>(simd, rows);
                        } else {
                            tile.compute_rows::<S, 1>(simd, rows);
                        }
                    }
                    column += width;
                }
                row += rows;
            }
        }
    }
}

/// Some rows of a patch by one or two vectors.
struct Tile<'a, V> {
    terms: &'a [Term],
    source: *const f32,
    /// The greatest place at which a term may begin.
    source_limit: usize,
    source_row: usize,
    out: *mut f32,
    out_row: usize,
    /// Above zero in the lanes of the last vector that lie within the patch, if not all do.
    within: Option<V>,
}

impl<V: Copy> Tile<'_, V> {
    /// # Safety
    ///
    /// As [`Tile::compute`], for `rows` rows, of which there are at most six.
    #[inline(always)]
    unsafe fn compute_rows<S: Simd<V = V>, const B: usize>(&self, simd: S, rows: usize) {
        // SAFETY: the caller's.
        unsafe {
            match rows {
                1 => self.compute::<S, 1, B>(simd),
                2 => self.compute::<S, 2, B>(simd),
                3 => self.compute::<S, 3, B>(simd),
                4 => self.compute::<S, 4, B>(simd),
                5 => self.compute::<S, 5, B>(simd),
                _ => self.compute::<S, 6, B>(simd),
            }
        }
    }

    /// # Safety
    ///
    /// `R` rows of `B` vectors can be read from every place of the source up to `source_limit`,
    /// and be read and written in `out`.
    #[inline(always)]
    unsafe fn compute<S: Simd<V = V>, const R: usize, const B: usize>(&self, simd: S) {
        // SAFETY: of all blocks below, the caller's; a term's place is checked first.
        unsafe {
            let mut sums = [[simd.zero(); B]; R];
            for term in self.terms {
                let from = term.from as usize;
                assert!(from <= self.source_limit, "the source holds the patch");
                let source = self.source.add(from);
                let factor = simd.splat(term.factor);
                for (row, sums) in sums.iter_mut().enumerate() {
                    for (vector, sum) in sums.iter_mut().enumerate() {
                        let at = row * self.source_row + vector * S::LANES;
                        *sum = simd.mul_add(factor, simd.load(source.add(at)), *sum);
                    }
                }
            }
            for (row, mut sums) in sums.into_iter().enumerate() {
                if let Some(within) = self.within {
                    sums[B - 1] = simd.where_positive(within, sums[B - 1]);
                }
                for (vector, sum) in sums.into_iter().enumerate() {
                    let out = self.out.add(row * self.out_row + vector * S::LANES);
                    simd.store(out, simd.add(simd.load(out), sum));
                }
            }
        }
    }
}
