//! Sums by channel over an image. They are taken in `f32` within one image and added to sums of
//! the batch in `f64`.

#![allow(unsafe_code)]

use super::{gated, load};
use crate::simd::{Kernel, Simd};

/// Adds the sums over all pixels of what `at(place, channel, left)` gives to `sums`, `[N,
/// channels]`.
#[inline(always)]
pub(super) fn reduce<S: Simd, const N: usize>(
    simd: S,
    pixels: usize,
    channels: usize,
    sums: &mut [f64],
    mut at: impl FnMut(usize, usize, usize) -> [S::V; N],
) {
    let mut channel = 0;
    while channel < channels {
        let left = channels - channel;
        // Two sums in turn hide the latency of additions.
        let mut even = [simd.zero(); N];
        let mut odd = [simd.zero(); N];
        let mut pixel = 0;
        while pixel + 1 < pixels {
            let first = at(pixel * channels + channel, channel, left);
            let second = at((pixel + 1) * channels + channel, channel, left);
            for index in 0..N {
                even[index] = simd.add(even[index], first[index]);
                odd[index] = simd.add(odd[index], second[index]);
            }
            pixel += 2;
        }
        if pixel < pixels {
            let last = at(pixel * channels + channel, channel, left);
            for (even, last) in even.iter_mut().zip(last) {
                *even = simd.add(*even, last);
            }
        }
        for index in 0..N {
            let mut lanes = [0.0_f32; 16];
            // SAFETY: no instruction set has more than sixteen lanes.
            unsafe { simd.store(lanes.as_mut_ptr(), simd.add(even[index], odd[index])) };
            let sums = &mut sums[index * channels + channel..(index + 1) * channels];
            for (sum, lane) in sums.iter_mut().zip(&lanes[..S::LANES]) {
                *sum += f64::from(*lane);
            }
        }
        channel += S::LANES;
    }
}

/// Adds the sums of `x` and of its squares to `sums`, `[2, channels]`.
pub(crate) struct SquareSums<'a> {
    pub(crate) x: &'a [f32],
    pub(crate) channels: usize,
    pub(crate) sums: &'a mut [f64],
}

impl Kernel for SquareSums<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let (pixels, x) = (self.x.len() / self.channels, self.x.as_ptr());
        reduce::<S, 2>(
            simd,
            pixels,
            self.channels,
            self.sums,
            #[inline(always)]
            |at, _, left| {
                // SAFETY: `reduce` asks for places of `pixels` whole pixels.
                let x = unsafe { load(simd, x.add(at), left) };
                [x, simd.mul(x, x)]
            },
        );
    }
}

/// Adds the sums of `gradient`, where `gate` is above zero, of its products with `x`, and of those
/// with `shortcut` if there is one, to `sums`, `[2 or 3, channels]`.
pub(crate) struct GradientSums<'a> {
    pub(crate) gradient: &'a [f32],
    pub(crate) gate: &'a [f32],
    pub(crate) x: &'a [f32],
    pub(crate) shortcut: Option<&'a [f32]>,
    pub(crate) channels: usize,
    pub(crate) sums: &'a mut [f64],
}

impl Kernel for GradientSums<'_> {
    type Output = ();

    /// # Panics
    ///
    /// Lengths differ, which is a defect of the caller.
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let len = self.gradient.len();
        assert!(
            self.gate.len() == len
                && self.x.len() == len
                && self.shortcut.is_none_or(|shortcut| shortcut.len() == len),
            "slices hold the image"
        );
        let (gradient, gate, x) = (self.gradient.as_ptr(), self.gate.as_ptr(), self.x.as_ptr());
        let (pixels, channels) = (len / self.channels, self.channels);
        // SAFETY: of the blocks below: `reduce` asks for places of `pixels` whole pixels, which all
        // images have.
        match self.shortcut {
            None => reduce::<S, 2>(
                simd,
                pixels,
                channels,
                self.sums,
                #[inline(always)]
                |at, _, left| unsafe {
                    let g = gated(simd, gradient.add(at), gate.add(at), left);
                    [g, simd.mul(g, load(simd, x.add(at), left))]
                },
            ),
            Some(shortcut) => reduce::<S, 3>(
                simd,
                pixels,
                channels,
                self.sums,
                #[inline(always)]
                |at, _, left| unsafe {
                    let g = gated(simd, gradient.add(at), gate.add(at), left);
                    let around = load(simd, shortcut.as_ptr().add(at), left);
                    let x = load(simd, x.add(at), left);
                    [g, simd.mul(g, x), simd.mul(g, around)]
                },
            ),
        }
    }
}

/// Makes `gradient` zero where `x * scale + shift` is not above zero, which is where a rectifier
/// after it was closed, and adds its sums and those of its products with `x` to `sums`,
/// `[2, channels]`.
pub(crate) struct MaskedSums<'a> {
    pub(crate) gradient: &'a mut [f32],
    pub(crate) x: &'a [f32],
    pub(crate) affine: super::Affine<'a>,
    pub(crate) channels: usize,
    pub(crate) sums: &'a mut [f64],
}

impl Kernel for MaskedSums<'_> {
    type Output = ();

    /// # Panics
    ///
    /// Lengths differ, which is a defect of the caller.
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let len = self.gradient.len();
        assert!(
            self.x.len() == len
                && self.affine.scale.len() >= self.channels
                && self.affine.shift.len() >= self.channels,
            "slices hold the image"
        );
        let (gradient, x) = (self.gradient.as_mut_ptr(), self.x.as_ptr());
        let affine = self.affine;
        let pixels = len / self.channels;
        reduce::<S, 2>(
            simd,
            pixels,
            self.channels,
            self.sums,
            #[inline(always)]
            |at, channel, left| {
                // SAFETY: `reduce` asks for places of `pixels` whole pixels, and for channels below
                // `channels`.
                unsafe {
                    let scale = load(simd, affine.scale.as_ptr().add(channel), left);
                    let shift = load(simd, affine.shift.as_ptr().add(channel), left);
                    let x = load(simd, x.add(at), left);
                    let g = load(simd, gradient.add(at), left);
                    let g = simd.where_positive(simd.mul_add(x, scale, shift), g);
                    super::store(simd, gradient.add(at), g, left);
                    [g, simd.mul(g, x)]
                }
            },
        );
    }
}
