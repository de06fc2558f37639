//! Winograd's minimal filtering F(4x4, 3x3) (Lavin and Gray, 2015, arXiv:1509.09308): a convolution
//! of 3 by 3 as 36 products of matrices, a quarter of the multiplications.
//!
//! With `d` a tile of 6 by 6 inputs, `g` a kernel of 3 by 3 and `*` the product by elements, a tile
//! of 4 by 4 outputs is `A^T [(G g G^T) * (B^T d B)] A`. The matrices are those of the
//! interpolation points 0, 1, -1, 2 and -2, with `G` the matrix of [`kernel_pass`]. For all channels at once, each of the 36 elements is a
//! product of matrices: tiles by input channels, and input channels by output channels.
//!
//! The gradient by the weights is `G^T [(A dy A^T) * (B^T d B)] G`, summed over all tiles, so that
//! `G` is applied once.

#![allow(unsafe_code)]

use crate::layout::Frame;
use crate::simd::{Kernel, Simd};

/// Outputs of a tile along an axis.
pub(crate) const OUTPUTS: usize = 4;
/// Inputs of a tile along an axis.
pub(crate) const INPUTS: usize = 6;
/// Elements of a transformed tile, each a product of matrices.
pub(crate) const POSITIONS: usize = INPUTS * INPUTS;

/// A transform along both axes, first down each column and then across each row: reads `I` by `I`
/// vectors and writes `O` by `O`, `read(row, column)` and `write(row, column, value)`.
#[inline(always)]
fn along_both_axes<S: Simd, const I: usize, const O: usize>(
    simd: S,
    pass: impl Fn([S::V; I]) -> [S::V; O],
    read: impl Fn(usize, usize) -> S::V,
    mut write: impl FnMut(usize, usize, S::V),
) {
    let mut half = [[simd.zero(); I]; O];
    for column in 0..I {
        let mut down = [simd.zero(); I];
        for (row, value) in down.iter_mut().enumerate() {
            *value = read(row, column);
        }
        for (half, value) in half.iter_mut().zip(pass(down)) {
            half[column] = value;
        }
    }
    for (row, half) in half.into_iter().enumerate() {
        for (column, value) in pass(half).into_iter().enumerate() {
            write(row, column, value);
        }
    }
}

/// `G v`.
#[inline(always)]
fn kernel_pass<S: Simd>(s: S, v: [S::V; 3]) -> [S::V; INPUTS] {
    let (quarter, sixth) = (s.splat(1.0 / 4.0), s.splat(1.0 / 6.0));
    let (twelfth, twenty_fourth) = (s.splat(1.0 / 12.0), s.splat(1.0 / 24.0));
    let near = s.mul(sixth, s.add(v[0], v[2]));
    let near_middle = s.mul(sixth, v[1]);
    let far = s.mul_add(twenty_fourth, v[0], s.mul(sixth, v[2]));
    let far_middle = s.mul(twelfth, v[1]);
    [
        s.mul(quarter, v[0]),
        s.sub(s.zero(), s.add(near, near_middle)),
        s.sub(near_middle, near),
        s.add(far, far_middle),
        s.sub(far, far_middle),
        v[2],
    ]
}

/// `G^T v`.
#[inline(always)]
fn kernel_gradient_pass<S: Simd>(s: S, v: [S::V; INPUTS]) -> [S::V; 3] {
    let (quarter, sixth) = (s.splat(1.0 / 4.0), s.splat(1.0 / 6.0));
    let (twelfth, twenty_fourth) = (s.splat(1.0 / 12.0), s.splat(1.0 / 24.0));
    let (near_sum, near_difference) = (s.add(v[1], v[2]), s.sub(v[2], v[1]));
    let (far_sum, far_difference) = (s.add(v[3], v[4]), s.sub(v[3], v[4]));
    let far_minus_near = s.sub(far_sum, near_sum);
    [
        s.mul_add(
            quarter,
            v[0],
            s.neg_mul_add(sixth, near_sum, s.mul(twenty_fourth, far_sum)),
        ),
        s.mul_add(sixth, near_difference, s.mul(twelfth, far_difference)),
        s.mul_add(sixth, far_minus_near, v[5]),
    ]
}

/// `G g G^T` of some kernels side by side: from `[9][lanes]` to 36 vectors, each `position`
/// elements after the one before.
pub(crate) struct TransformKernels<'a> {
    /// Kernels, a whole number of vectors.
    pub(crate) count: usize,
    /// `[9][count]`.
    pub(crate) kernels: &'a [f32],
    pub(crate) out: &'a mut [f32],
    pub(crate) position: usize,
}

impl Kernel for TransformKernels<'_> {
    type Output = ();

    /// # Panics
    ///
    /// A slice is too short, which is a defect of the caller.
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let count = self.count;
        assert!(
            count.is_multiple_of(S::LANES)
                && self.kernels.len() >= 9 * count
                && self.out.len() >= (POSITIONS - 1) * self.position + count
        );
        for first in (0..count).step_by(S::LANES) {
            // SAFETY: `count` is whole vectors, and the lengths were asserted.
            unsafe {
                let from = self.kernels.as_ptr().add(first);
                let to = self.out.as_mut_ptr().add(first);
                along_both_axes(
                    simd,
                    #[inline(always)]
                    |v| kernel_pass(simd, v),
                    #[inline(always)]
                    |y, x| simd.load(from.add((y * 3 + x) * count)),
                    #[inline(always)]
                    |y, x, value| simd.store(to.add((y * INPUTS + x) * self.position), value),
                );
            }
        }
    }
}

/// `G^T u G` of all pairs of channels, whole vectors: from `[36][count]` to `[9][count]`.
pub(crate) struct TransformKernelGradients<'a> {
    pub(crate) count: usize,
    pub(crate) sums: &'a [f32],
    pub(crate) out: &'a mut [f32],
}

impl Kernel for TransformKernelGradients<'_> {
    type Output = ();

    /// # Panics
    ///
    /// A slice is too short, which is a defect of the caller.
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let count = self.count;
        assert!(
            count.is_multiple_of(S::LANES)
                && self.sums.len() >= POSITIONS * count
                && self.out.len() >= 9 * count
        );
        for first in (0..count).step_by(S::LANES) {
            // SAFETY: `count` is whole vectors, and the lengths were asserted.
            unsafe {
                let from = self.sums.as_ptr().add(first);
                let to = self.out.as_mut_ptr().add(first);
                along_both_axes(
                    simd,
                    #[inline(always)]
                    |v| kernel_gradient_pass(simd, v),
                    #[inline(always)]
                    |y, x| simd.load(from.add((y * INPUTS + x) * count)),
                    #[inline(always)]
                    |y, x, value| simd.store(to.add((y * 3 + x) * count), value),
                );
            }
        }
    }
}

/// `B^T v`.
#[inline(always)]
fn input_pass<S: Simd>(s: S, v: [S::V; INPUTS]) -> [S::V; INPUTS] {
    let (two, four, five) = (s.splat(2.0), s.splat(4.0), s.splat(5.0));
    let even = s.neg_mul_add(four, v[2], v[4]);
    let odd = s.neg_mul_add(four, v[1], v[3]);
    let even_near = s.sub(v[4], v[2]);
    let odd_near = s.sub(v[3], v[1]);
    [
        s.mul_add(four, v[0], s.neg_mul_add(five, v[2], v[4])),
        s.add(even, odd),
        s.sub(even, odd),
        s.mul_add(two, odd_near, even_near),
        s.neg_mul_add(two, odd_near, even_near),
        s.mul_add(four, v[1], s.neg_mul_add(five, v[3], v[5])),
    ]
}

/// `A^T v`.
#[inline(always)]
fn output_pass<S: Simd>(s: S, v: [S::V; INPUTS]) -> [S::V; OUTPUTS] {
    let (two, four, eight) = (s.splat(2.0), s.splat(4.0), s.splat(8.0));
    let (sum, difference) = (s.add(v[1], v[2]), s.sub(v[1], v[2]));
    let (far_sum, far_difference) = (s.add(v[3], v[4]), s.sub(v[3], v[4]));
    [
        s.add(v[0], s.add(sum, far_sum)),
        s.mul_add(two, far_difference, difference),
        s.mul_add(four, far_sum, sum),
        s.add(s.mul_add(eight, far_difference, difference), v[5]),
    ]
}

/// `A v`.
#[inline(always)]
fn gradient_pass<S: Simd>(s: S, v: [S::V; OUTPUTS]) -> [S::V; INPUTS] {
    let (two, four) = (s.splat(2.0), s.splat(4.0));
    let (even, odd) = (s.add(v[0], v[2]), s.add(v[1], v[3]));
    let far_even = s.mul_add(four, v[2], v[0]);
    let far_odd = s.mul_add(four, v[3], v[1]);
    [
        v[0],
        s.add(even, odd),
        s.sub(even, odd),
        s.mul_add(two, far_odd, far_even),
        s.neg_mul_add(two, far_odd, far_even),
        v[3],
    ]
}

/// The tiles of some images that lie one after the other.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tiles {
    /// Tiles of an image, one below the other.
    pub(crate) rows: usize,
    /// Tiles of an image, side by side.
    pub(crate) columns: usize,
}

impl Tiles {
    /// The tiles of an output of `height` by `width` pixels.
    pub(crate) fn of(height: usize, width: usize) -> Self {
        Self {
            rows: height.div_ceil(OUTPUTS),
            columns: width.div_ceil(OUTPUTS),
        }
    }

    pub(crate) fn count(&self) -> usize {
        self.rows * self.columns
    }

    /// Image, row and column of the output pixel at which tile `tile` begins.
    fn place(&self, tile: usize) -> (usize, usize, usize) {
        let within = tile % self.count();
        (
            tile / self.count(),
            OUTPUTS * (within / self.columns),
            OUTPUTS * (within % self.columns),
        )
    }
}

/// Elements from a position to the next where each has `tiles` rows of `channels`. Sixty-four
/// bytes more than the rows need, because positions a power of two apart would share a set of the
/// first-level cache.
pub(crate) fn position_len(tiles: usize, channels: usize) -> usize {
    tiles * channels + 16
}

/// `B^T d B` of `count` tiles from `first` on, for all channels, which are whole vectors: from
/// framed images to `[36][count][channels]`.
pub(crate) struct TransformInput<'a> {
    pub(crate) tiles: Tiles,
    pub(crate) first: usize,
    pub(crate) count: usize,
    pub(crate) frame: Frame,
    pub(crate) framed: &'a [f32],
    pub(crate) out: &'a mut [f32],
    /// Elements from a position to the next.
    pub(crate) position: usize,
}

impl Kernel for TransformInput<'_> {
    type Output = ();

    /// # Panics
    ///
    /// A slice is too short, which is a defect of the caller.
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let (channels, row) = (self.frame.channels, self.frame.row());
        let out_end = (POSITIONS - 1) * self.position + self.count * channels;
        assert!(channels.is_multiple_of(S::LANES) && self.out.len() >= out_end);
        for index in 0..self.count {
            let (image, y, x) = self.tiles.place(self.first + index);
            let start = image * self.frame.len() + y * row + x * channels;
            let tile = &self.framed[start..start + 5 * row + INPUTS * channels];
            for channel in (0..channels).step_by(S::LANES) {
                // SAFETY: the tile has six rows of six pixels, and whole vectors of channels; the
                // end of what is written was asserted.
                unsafe {
                    let from = tile.as_ptr().add(channel);
                    let to = self.out.as_mut_ptr().add(index * channels + channel);
                    along_both_axes(
                        simd,
                        #[inline(always)]
                        |v| input_pass(simd, v),
                        #[inline(always)]
                        |y, x| simd.load(from.add(y * row + x * channels)),
                        #[inline(always)]
                        |y, x, value| simd.store(to.add((y * INPUTS + x) * self.position), value),
                    );
                }
            }
        }
    }
}

/// `A^T m A` of `count` tiles from `first` on, for all channels, which are whole vectors: from
/// `[36][count][channels]` to dense images. What a tile has beyond the image is left out.
pub(crate) struct TransformOutput<'a> {
    pub(crate) tiles: Tiles,
    pub(crate) first: usize,
    pub(crate) count: usize,
    pub(crate) products: &'a [f32],
    pub(crate) position: usize,
    pub(crate) height: usize,
    pub(crate) width: usize,
    pub(crate) channels: usize,
    pub(crate) out: &'a mut [f32],
}

impl Kernel for TransformOutput<'_> {
    type Output = ();

    /// # Panics
    ///
    /// A slice is too short, which is a defect of the caller.
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let (channels, row) = (self.channels, self.width * self.channels);
        let end = (POSITIONS - 1) * self.position + self.count * channels;
        assert!(channels.is_multiple_of(S::LANES) && self.products.len() >= end);
        for index in 0..self.count {
            let (image, y, x) = self.tiles.place(self.first + index);
            let rows = OUTPUTS.min(self.height - y);
            let columns = OUTPUTS.min(self.width - x);
            let start = (image * self.height + y) * row + x * channels;
            let tile = &mut self.out[start..start + (rows - 1) * row + columns * channels];
            for channel in (0..channels).step_by(S::LANES) {
                // SAFETY: the end of what is read was asserted; the tile has `rows` rows of
                // `columns` pixels, and whole vectors of channels.
                unsafe {
                    let from = self.products.as_ptr().add(index * channels + channel);
                    let to = tile.as_mut_ptr().add(channel);
                    along_both_axes(
                        simd,
                        #[inline(always)]
                        |v| output_pass(simd, v),
                        #[inline(always)]
                        |y, x| simd.load(from.add((y * INPUTS + x) * self.position)),
                        #[inline(always)]
                        |y, x, value| {
                            if y < rows && x < columns {
                                simd.store(to.add(y * row + x * channels), value);
                            }
                        },
                    );
                }
            }
        }
    }
}

/// `A dy A^T` of `count` tiles from `first` on, for all channels, which are whole vectors: from
/// framed images, whose frame counts as zeros beyond the image, to `[36][count][channels]`.
pub(crate) struct TransformGradient<'a> {
    pub(crate) tiles: Tiles,
    pub(crate) first: usize,
    pub(crate) count: usize,
    pub(crate) frame: Frame,
    pub(crate) framed: &'a [f32],
    pub(crate) out: &'a mut [f32],
    pub(crate) position: usize,
}

impl Kernel for TransformGradient<'_> {
    type Output = ();

    /// # Panics
    ///
    /// A slice is too short, which is a defect of the caller.
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let (frame, channels, row) = (self.frame, self.frame.channels, self.frame.row());
        let out_end = (POSITIONS - 1) * self.position + self.count * channels;
        assert!(channels.is_multiple_of(S::LANES) && self.out.len() >= out_end);
        for index in 0..self.count {
            let (image, y, x) = self.tiles.place(self.first + index);
            let rows = OUTPUTS.min(frame.height - y);
            let columns = OUTPUTS.min(frame.width - x);
            let start = image * frame.len() + frame.origin() + y * row + x * channels;
            let tile = &self.framed[start..start + (rows - 1) * row + columns * channels];
            for channel in (0..channels).step_by(S::LANES) {
                // SAFETY: the tile has `rows` rows of `columns` pixels, and whole vectors of
                // channels; the end of what is written was asserted.
                unsafe {
                    let from = tile.as_ptr().add(channel);
                    let to = self.out.as_mut_ptr().add(index * channels + channel);
                    along_both_axes(
                        simd,
                        #[inline(always)]
                        |v| gradient_pass(simd, v),
                        #[inline(always)]
                        |y, x| {
                            if y < rows && x < columns {
                                simd.load(from.add(y * row + x * channels))
                            } else {
                                simd.zero()
                            }
                        },
                        #[inline(always)]
                        |y, x, value| simd.store(to.add((y * INPUTS + x) * self.position), value),
                    );
                }
            }
        }
    }
}
