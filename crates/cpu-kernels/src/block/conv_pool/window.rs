//! The maxima of a row of windows.

#![allow(unsafe_code)]

use crate::simd::{Kernel, Simd};

/// Takes the maxima of `width` windows that lie side by side. The first of equal values wins, and
/// a NaN wins over every number.
pub(super) struct MaximaOfRow<'a> {
    /// `[pool, width * pool, step]`.
    pub(super) pixels: &'a [f32],
    /// From a pixel to the next: the channels in whole vectors.
    pub(super) step: usize,
    pub(super) channels: usize,
    pub(super) pool: usize,
    pub(super) width: usize,
    /// The maxima of a channel are written side by side, `plane` elements after those of the
    /// channel before.
    pub(super) maxima: &'a mut [f32],
    /// The places of the maxima within their windows, `row * pool + column`, alike.
    pub(super) places: &'a mut [u8],
    pub(super) plane: usize,
}

impl Kernel for MaximaOfRow<'_> {
    type Output = ();

    /// # Panics
    ///
    /// A slice is too short, which is a defect of the caller.
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let (pool, row) = (self.pool, self.width * self.pool * self.step);
        assert!(
            self.channels <= self.step
                && self.step.is_multiple_of(S::LANES)
                && self.pixels.len() >= pool * row,
            "the slice holds whole windows"
        );
        for first in (0..self.channels).step_by(S::LANES) {
            let channels = (self.channels - first).min(S::LANES);
            for column in 0..self.width {
                let start = column * pool * self.step + first;
                let mut maxima = [0.0_f32; 16];
                let mut places = [0.0_f32; 16];
                // SAFETY: all pixels of the window lie within `pool` rows of whole vectors, whose
                // length was asserted; no instruction set has more than sixteen lanes.
                unsafe {
                    let window = self.pixels.as_ptr().add(start);
                    let mut greatest = simd.load(window);
                    let mut place = simd.zero();
                    let mut number = 0.0;
                    for down in 0..pool {
                        for across in 0..pool {
                            let value = simd.load(window.add(down * row + across * self.step));
                            place = simd.where_wins(value, greatest, simd.splat(number), place);
                            greatest = simd.where_wins(value, greatest, value, greatest);
                            number += 1.0;
                        }
                    }
                    simd.store(maxima.as_mut_ptr(), greatest);
                    simd.store(places.as_mut_ptr(), place);
                }
                for lane in 0..channels {
                    let to = (first + lane) * self.plane + column;
                    self.maxima[to] = maxima[lane];
                    // A window has at most 256 places.
                    self.places[to] = places[lane] as u8;
                }
            }
        }
    }
}

/// The sum of `values` where `gate` is above zero.
pub(super) struct GatedSum<'a> {
    pub(super) values: &'a [f32],
    pub(super) gate: &'a [f32],
}

impl Kernel for GatedSum<'_> {
    type Output = f32;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> f32 {
        let whole = self.values.len() / S::LANES * S::LANES;
        let (values, last_values) = self.values.split_at(whole);
        let (gate, last_gate) = self.gate.split_at(whole);
        let mut sum = simd.zero();
        for (values, gate) in values
            .chunks_exact(S::LANES)
            .zip(gate.chunks_exact(S::LANES))
        {
            // SAFETY: both chunks are whole vectors.
            let (value, gate) = unsafe { (simd.load(values.as_ptr()), simd.load(gate.as_ptr())) };
            sum = simd.add(sum, simd.where_positive(gate, value));
        }
        let mut total = simd.sum(sum);
        for (value, gate) in last_values.iter().zip(last_gate) {
            if *gate > 0.0 {
                total += value;
            }
        }
        total
    }
}
