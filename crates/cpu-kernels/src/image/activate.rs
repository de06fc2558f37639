//! `relu(x * scale + shift + shortcut)`, and plain copies.

#![allow(unsafe_code)]

use super::{Grid, load, store};
use crate::activation::Activation;
use crate::simd::gelu::gelu;
use crate::simd::{Kernel, Simd};

/// What normalisation does once its statistics are known: `x * scale + shift`, by channel.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Affine<'a> {
    pub(crate) scale: &'a [f32],
    pub(crate) shift: &'a [f32],
}

/// What is added before the rectifier.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Shortcut<'a> {
    None,
    /// An image as it is.
    Identity(&'a [f32]),
    /// A normalised image.
    Normalized(&'a [f32], Affine<'a>),
}

/// Writes `relu(x * scale + shift + shortcut)`, or `x` itself where there is no affine, to the
/// framed image `out`.
pub(crate) struct Activate<'a> {
    pub(crate) grid: Grid,
    pub(crate) x: &'a [f32],
    pub(crate) affine: Option<Affine<'a>>,
    pub(crate) shortcut: Shortcut<'a>,
    pub(crate) out: &'a mut [f32],
}

impl Activate<'_> {
    fn is_within_bounds(&self) -> bool {
        let (len, channels) = (self.grid.len(), self.grid.channels);
        let fits =
            |affine: &Affine| affine.scale.len() >= channels && affine.shift.len() >= channels;
        let shortcut = match &self.shortcut {
            Shortcut::None => true,
            Shortcut::Identity(image) => image.len() >= len,
            Shortcut::Normalized(image, affine) => image.len() >= len && fits(affine),
        };
        shortcut
            && self.x.len() >= len
            && self.affine.as_ref().is_none_or(fits)
            && self.out.len() >= self.grid.framed_end()
    }
}

impl Kernel for Activate<'_> {
    type Output = ();

    /// # Panics
    ///
    /// A slice is too short, which is a defect of the caller.
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        assert!(self.is_within_bounds(), "slices hold the image");
        let (x, out) = (self.x.as_ptr(), self.out.as_mut_ptr());
        let grid = self.grid;
        // SAFETY: of the blocks below: `is_within_bounds` was asserted, and `for_each_vector`
        // gives places of this grid with as many channels left as it says.
        match (&self.affine, &self.shortcut) {
            (None, _) => {
                let len = grid.width * grid.channels;
                let rows = self.out[grid.origin..].chunks_mut(grid.row);
                for (from, to) in self.x.chunks_exact(len).zip(rows).take(grid.height) {
                    to[..len].copy_from_slice(from);
                }
            }
            (Some(affine), Shortcut::None) => {
                grid.for_each_vector(
                    S::LANES,
                    #[inline(always)]
                    |dense, framed, channel, left| unsafe {
                        let y = normalized(simd, x, affine, dense, channel, left);
                        store(simd, out.add(framed), simd.max(simd.zero(), y), left);
                    },
                );
            }
            (Some(affine), Shortcut::Identity(image)) => {
                let image = image.as_ptr();
                grid.for_each_vector(
                    S::LANES,
                    #[inline(always)]
                    |dense, framed, channel, left| unsafe {
                        let y = normalized(simd, x, affine, dense, channel, left);
                        let y = simd.add(y, load(simd, image.add(dense), left));
                        store(simd, out.add(framed), simd.max(simd.zero(), y), left);
                    },
                );
            }
            (Some(affine), Shortcut::Normalized(image, of_image)) => {
                let image = image.as_ptr();
                grid.for_each_vector(
                    S::LANES,
                    #[inline(always)]
                    |dense, framed, channel, left| unsafe {
                        let y = normalized(simd, x, affine, dense, channel, left);
                        let y =
                            simd.add(y, normalized(simd, image, of_image, dense, channel, left));
                        store(simd, out.add(framed), simd.max(simd.zero(), y), left);
                    },
                );
            }
        }
    }
}

/// `image * scale + shift` of the vector at `at`, whose first channel is `channel`.
///
/// # Safety
///
/// The vector and its channels can be read, or `left` elements of each if that is less.
#[inline(always)]
pub(super) unsafe fn normalized<S: Simd>(
    simd: S,
    image: *const f32,
    affine: &Affine,
    at: usize,
    channel: usize,
    left: usize,
) -> S::V {
    // SAFETY: the caller's.
    unsafe {
        let scale = load(simd, affine.scale.as_ptr().add(channel), left);
        let shift = load(simd, affine.shift.as_ptr().add(channel), left);
        simd.mul_add(load(simd, image.add(at), left), scale, shift)
    }
}

/// Adds `bias` by channel and `around` to the dense image `out`, and activates the sum.
pub(crate) struct AddBias<'a> {
    pub(crate) grid: Grid,
    pub(crate) bias: &'a [f32],
    pub(crate) around: Option<&'a [f32]>,
    pub(crate) activation: Activation,
    pub(crate) out: &'a mut [f32],
}

impl AddBias<'_> {
    /// The sum for the vector of `out` at `dense`, whose first channel is `channel`.
    ///
    /// # Safety
    ///
    /// The vector and its channels can be read, or `left` elements of each if that is less.
    #[inline(always)]
    unsafe fn sum<S: Simd>(
        &self,
        simd: S,
        out: *const f32,
        dense: usize,
        channel: usize,
        left: usize,
    ) -> S::V {
        // SAFETY: the caller's.
        unsafe {
            let y = load(simd, out.add(dense), left);
            let y = simd.add(y, load(simd, self.bias.as_ptr().add(channel), left));
            match self.around {
                Some(around) => simd.add(y, load(simd, around.as_ptr().add(dense), left)),
                None => y,
            }
        }
    }
}

impl Kernel for AddBias<'_> {
    type Output = ();

    /// # Panics
    ///
    /// A slice is too short, which is a defect of the caller.
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let grid = self.grid;
        assert!(
            self.bias.len() >= grid.channels
                && self.around.is_none_or(|around| around.len() >= grid.len())
                && self.out.len() >= grid.len(),
            "slices hold the image"
        );
        let out = self.out.as_mut_ptr();
        // SAFETY: of the blocks below: the lengths were asserted, and `for_each_vector` gives places
        // of this grid with as many channels left as it says.
        match self.activation {
            Activation::None | Activation::Relu => {
                // Where nothing is rectified, the least is below every number.
                let rectify = self.activation == Activation::Relu;
                let least = simd.splat(if rectify { 0.0 } else { f32::NEG_INFINITY });
                grid.for_each_vector(
                    S::LANES,
                    #[inline(always)]
                    |dense, _, channel, left| unsafe {
                        let y = simd.max(least, self.sum(simd, out, dense, channel, left));
                        store(simd, out.add(dense), y, left);
                    },
                );
            }
            Activation::Gelu => grid.for_each_vector(
                S::LANES,
                #[inline(always)]
                |dense, _, channel, left| unsafe {
                    let y = gelu(simd, self.sum(simd, out, dense, channel, left));
                    store(simd, out.add(dense), y, left);
                },
            ),
        }
    }
}
