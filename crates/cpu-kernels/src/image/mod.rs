//! Passes over the pixels of one image whose channels lie side by side: what happens to a
//! convolution's input as it is loaded, and to its output once it is there.
//!
//! Each is a [`Kernel`](crate::simd::Kernel) over one image, so that it works on what the cache
//! still holds.

mod activate;
mod gelu;
mod gradient;
mod pool;
mod reduce;

use activate::normalized;

pub(crate) use activate::{Activate, AddBias, Affine, Shortcut};
pub(crate) use gelu::{ActivateGelu, GeluBiasGradient, GeluGradient, GeluInput, OutputGradient};
pub(crate) use gradient::{AddGated, NormGradient};
pub(crate) use pool::{MaxPool, NormPoolGradient, PLACES, WINDOW};
pub(crate) use reduce::{GradientSums, MaskedSums, SquareSums};

use crate::simd::Simd;

/// The vector at `from`, of which `left` elements or more exist; what does not is zero.
///
/// # Safety
///
/// `left` elements can be read, or a whole vector if that is less.
#[allow(unsafe_code)]
#[inline(always)]
unsafe fn load<S: Simd>(simd: S, from: *const f32, left: usize) -> S::V {
    // SAFETY: a whole vector can be read, or else only what exists is copied.
    unsafe {
        if left >= S::LANES {
            simd.load(from)
        } else {
            let mut copy = [0.0_f32; 16];
            std::ptr::copy_nonoverlapping(from, copy.as_mut_ptr(), left);
            simd.load(copy.as_ptr())
        }
    }
}

/// The vector at `gradient` where the one at `gate` is above zero, and zero elsewhere.
///
/// # Safety
///
/// As [`load`], for both.
#[allow(unsafe_code)]
#[inline(always)]
unsafe fn gated<S: Simd>(simd: S, gradient: *const f32, gate: *const f32, left: usize) -> S::V {
    // SAFETY: the caller's.
    unsafe { simd.where_positive(load(simd, gate, left), load(simd, gradient, left)) }
}

/// Writes the vector `value` to `to`, or its first `left` elements if that is less.
///
/// # Safety
///
/// `left` elements can be written, or a whole vector if that is less.
#[allow(unsafe_code)]
#[inline(always)]
unsafe fn store<S: Simd>(simd: S, to: *mut f32, value: S::V, left: usize) {
    // SAFETY: a whole vector can be written, or else only what there is room for.
    unsafe {
        if left >= S::LANES {
            simd.store(to, value);
        } else {
            let mut copy = [0.0_f32; 16];
            simd.store(copy.as_mut_ptr(), value);
            std::ptr::copy_nonoverlapping(copy.as_ptr(), to, left);
        }
    }
}

/// An image whose rows have gaps between them, such as one in a frame.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Grid {
    pub(crate) height: usize,
    pub(crate) width: usize,
    pub(crate) channels: usize,
    /// Where the first pixel begins in the framed image.
    pub(crate) origin: usize,
    /// From a row to the next in the framed image.
    pub(crate) row: usize,
}

impl Grid {
    /// An image without gaps.
    pub(crate) fn dense(height: usize, width: usize, channels: usize) -> Self {
        Self {
            height,
            width,
            channels,
            origin: 0,
            row: width * channels,
        }
    }

    /// The image inside `frame`.
    pub(crate) fn inside(frame: &crate::layout::Frame) -> Self {
        Self {
            height: frame.height,
            width: frame.width,
            channels: frame.channels,
            origin: frame.origin(),
            row: frame.row(),
        }
    }

    /// Elements of the image without gaps.
    pub(crate) fn len(&self) -> usize {
        self.height * self.width * self.channels
    }

    /// Elements of the framed image up to the end of its last pixel.
    fn framed_end(&self) -> usize {
        if self.height == 0 {
            return 0;
        }
        self.origin + (self.height - 1) * self.row + self.width * self.channels
    }

    /// Calls `body(dense, framed, channel, left)` for every vector of every pixel: its place in an
    /// image without gaps, its place in the framed image, its first channel, and how many channels
    /// are left from there on.
    #[inline(always)]
    fn for_each_vector(&self, lanes: usize, mut body: impl FnMut(usize, usize, usize, usize)) {
        let mut dense = 0;
        for y in 0..self.height {
            let mut framed = self.origin + y * self.row;
            for _ in 0..self.width {
                let mut channel = 0;
                while channel < self.channels {
                    body(
                        dense + channel,
                        framed + channel,
                        channel,
                        self.channels - channel,
                    );
                    channel += lanes;
                }
                dense += self.channels;
                framed += self.channels;
            }
        }
    }
}
