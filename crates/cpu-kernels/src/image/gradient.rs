//! Gradients of normalisation and of shortcuts.

#![allow(unsafe_code)]

use super::{Grid, gated, load, store};
use crate::simd::{Kernel, Simd};

/// The gradient of batch normalisation by its input, once the sums over the batch are known:
/// `g * by_gradient + x * by_input + constant` by channel, where `x` is the input of the
/// normalisation and `g` the gradient of its output, taken only where `gate` is above zero. It is
/// written to the framed image `out`.
pub(crate) struct NormGradient<'a> {
    pub(crate) grid: Grid,
    pub(crate) gradient: &'a [f32],
    pub(crate) gate: Option<&'a [f32]>,
    pub(crate) x: &'a [f32],
    /// `[3, channels]`: by gradient, by input, constant.
    pub(crate) factors: &'a [f32],
    pub(crate) out: &'a mut [f32],
}

impl Kernel for NormGradient<'_> {
    type Output = ();

    /// # Panics
    ///
    /// A slice is too short, which is a defect of the caller.
    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        let (len, channels) = (self.grid.len(), self.grid.channels);
        assert!(
            self.gradient.len() >= len
                && self.gate.is_none_or(|gate| gate.len() >= len)
                && self.x.len() >= len
                && self.factors.len() >= 3 * channels
                && self.out.len() >= self.grid.framed_end(),
            "slices hold the image"
        );
        // SAFETY: of the blocks below: the lengths were asserted, and `for_each_vector` gives
        // places of this grid with as many channels left as it says.
        let grid = self.grid;
        if let Some(gate) = self.gate {
            grid.for_each_vector(
                S::LANES,
                #[inline(always)]
                |dense, framed, channel, left| unsafe {
                    let (g, gate) = (self.gradient.as_ptr(), gate.as_ptr());
                    let g = gated(simd, g.add(dense), gate.add(dense), left);
                    self.write(simd, g, dense, framed, channel, left);
                },
            );
        } else {
            grid.for_each_vector(
                S::LANES,
                #[inline(always)]
                |dense, framed, channel, left| unsafe {
                    let g = load(simd, self.gradient.as_ptr().add(dense), left);
                    self.write(simd, g, dense, framed, channel, left);
                },
            );
        }
    }
}

impl NormGradient<'_> {
    /// Writes the gradient by the input for one vector of the output's gradient.
    ///
    /// # Safety
    ///
    /// The places lie within the slices, with `left` channels left.
    #[inline(always)]
    unsafe fn write<S: Simd>(
        &mut self,
        simd: S,
        g: S::V,
        dense: usize,
        framed: usize,
        channel: usize,
        left: usize,
    ) {
        let channels = self.grid.channels;
        // SAFETY: the caller's.
        unsafe {
            let factors = self.factors.as_ptr().add(channel);
            let by_gradient = load(simd, factors, left);
            let by_input = load(simd, factors.add(channels), left);
            let constant = load(simd, factors.add(2 * channels), left);
            let x = load(simd, self.x.as_ptr().add(dense), left);
            let y = simd.mul_add(g, by_gradient, simd.mul_add(x, by_input, constant));
            store(simd, self.out.as_mut_ptr().add(framed), y, left);
        }
    }
}

/// Adds `gradient` to `out`, where `gate`, if there is one, is above zero.
pub(crate) struct AddGated<'a> {
    pub(crate) gradient: &'a [f32],
    pub(crate) gate: Option<&'a [f32]>,
    pub(crate) out: &'a mut [f32],
}

impl Kernel for AddGated<'_> {
    type Output = ();

    /// # Panics
    ///
    /// Lengths differ, which is a defect of the caller.
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let len = self.out.len();
        assert!(
            self.gradient.len() == len && self.gate.is_none_or(|gate| gate.len() == len),
            "slices hold the image"
        );
        let mut at = 0;
        while at < len {
            // SAFETY: `at` is below the length of all three, and `len - at` elements are left.
            unsafe {
                let left = len - at;
                let mut g = load(simd, self.gradient.as_ptr().add(at), left);
                if let Some(gate) = self.gate {
                    g = simd.where_positive(load(simd, gate.as_ptr().add(at), left), g);
                }
                let out = self.out.as_mut_ptr().add(at);
                store(simd, out, simd.add(load(simd, out, left), g), left);
            }
            at += S::LANES;
        }
    }
}
