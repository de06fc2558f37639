//! The Gaussian error linear unit after a normalisation, and its gradient.

#![allow(unsafe_code)]

use super::reduce::reduce;
use super::{Affine, Grid, load, normalized, store};
use crate::simd::gelu::{gelu, gelu_derivative};
use crate::simd::{Kernel, Simd};

/// What goes into the unit: `x * scale + shift`, and `gelu(around * scale + shift)` where a block's
/// first activation comes around its other convolutions.
#[derive(Clone, Copy)]
pub(crate) struct GeluInput<'a> {
    pub(crate) x: &'a [f32],
    pub(crate) affine: Affine<'a>,
    pub(crate) around: Option<(&'a [f32], Affine<'a>)>,
}

impl GeluInput<'_> {
    fn holds(&self, len: usize, channels: usize) -> bool {
        let fits =
            |affine: &Affine| affine.scale.len() >= channels && affine.shift.len() >= channels;
        let around = self.around.as_ref();
        self.x.len() >= len
            && fits(&self.affine)
            && around.is_none_or(|(image, affine)| image.len() >= len && fits(affine))
    }

    /// The vector of inputs at `at`, whose first channel is `channel`.
    ///
    /// # Safety
    ///
    /// The vector and its channels can be read, or `left` elements of each if that is less.
    #[inline(always)]
    unsafe fn vector<S: Simd>(&self, simd: S, at: usize, channel: usize, left: usize) -> S::V {
        // SAFETY: the caller's.
        unsafe {
            let x = normalized(simd, self.x.as_ptr(), &self.affine, at, channel, left);
            match &self.around {
                None => x,
                Some((image, affine)) => {
                    let around = normalized(simd, image.as_ptr(), affine, at, channel, left);
                    simd.add(x, gelu(simd, around))
                }
            }
        }
    }
}

/// Writes `gelu` of its input to the framed image `out`.
pub(crate) struct ActivateGelu<'a> {
    pub(crate) grid: Grid,
    pub(crate) input: GeluInput<'a>,
    pub(crate) out: &'a mut [f32],
}

impl Kernel for ActivateGelu<'_> {
    type Output = ();

    /// # Panics
    ///
    /// A slice is too short, which is a defect of the caller.
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let grid = self.grid;
        assert!(
            self.input.holds(grid.len(), grid.channels) && self.out.len() >= grid.framed_end(),
            "slices hold the image"
        );
        let out = self.out.as_mut_ptr();
        grid.for_each_vector(
            S::LANES,
            #[inline(always)]
            |dense, framed, channel, left| {
                // SAFETY: the lengths were asserted, and `for_each_vector` gives places of this
                // grid with as many channels left as it says.
                unsafe {
                    let x = self.input.vector(simd, dense, channel, left);
                    store(simd, out.add(framed), gelu(simd, x), left);
                }
            },
        );
    }
}

/// Where the gradient by a unit's output comes from.
#[derive(Clone, Copy)]
pub(crate) enum OutputGradient<'a> {
    /// From where the gradient by the input goes.
    InPlace,
    /// From there, with this added.
    Plus(&'a [f32]),
    /// From elsewhere.
    From(&'a [f32]),
}

/// Writes the gradient by a unit's input to `gradient`, and adds its sums and those of its products
/// with `input.x` to `sums`, `[2, channels]`.
pub(crate) struct GeluGradient<'a> {
    pub(crate) input: GeluInput<'a>,
    pub(crate) of_output: OutputGradient<'a>,
    pub(crate) gradient: &'a mut [f32],
    pub(crate) channels: usize,
    pub(crate) sums: &'a mut [f64],
}

impl Kernel for GeluGradient<'_> {
    type Output = ();

    /// # Panics
    ///
    /// A slice is too short, which is a defect of the caller.
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let (len, channels) = (self.gradient.len(), self.channels);
        let other = match self.of_output {
            OutputGradient::InPlace => None,
            OutputGradient::Plus(other) | OutputGradient::From(other) => Some(other),
        };
        assert!(
            self.input.holds(len, channels) && other.is_none_or(|other| other.len() >= len),
            "slices hold the image"
        );
        let gradient = self.gradient.as_mut_ptr();
        reduce::<S, 2>(
            simd,
            len / channels,
            channels,
            self.sums,
            #[inline(always)]
            |at, channel, left| {
                // SAFETY: `reduce` asks for places of whole pixels and for channels below
                // `channels`, and the lengths were asserted.
                unsafe {
                    let g = match self.of_output {
                        OutputGradient::InPlace => load(simd, gradient.add(at), left),
                        OutputGradient::From(other) => load(simd, other.as_ptr().add(at), left),
                        OutputGradient::Plus(other) => simd.add(
                            load(simd, gradient.add(at), left),
                            load(simd, other.as_ptr().add(at), left),
                        ),
                    };
                    let input = self.input.vector(simd, at, channel, left);
                    let g = simd.mul(g, gelu_derivative(simd, input));
                    store(simd, gradient.add(at), g, left);
                    let x = load(simd, self.input.x.as_ptr().add(at), left);
                    [g, simd.mul(g, x)]
                }
            },
        );
    }
}

/// Adds the sums of `dy` times the derivative at `x + bias` to `sums`, `[channels]`: the gradient
/// of a unit's output by the bias before it.
pub(crate) struct GeluBiasGradient<'a> {
    pub(crate) x: &'a [f32],
    pub(crate) bias: &'a [f32],
    pub(crate) dy: &'a [f32],
    pub(crate) sums: &'a mut [f64],
}

impl Kernel for GeluBiasGradient<'_> {
    type Output = ();

    /// # Panics
    ///
    /// Lengths differ, which is a defect of the caller.
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let (len, channels) = (self.x.len(), self.bias.len());
        assert!(self.dy.len() == len, "slices hold the image");
        let (x, dy, bias) = (self.x.as_ptr(), self.dy.as_ptr(), self.bias.as_ptr());
        reduce::<S, 1>(
            simd,
            len / channels,
            channels,
            self.sums,
            #[inline(always)]
            |at, channel, left| {
                // SAFETY: `reduce` asks for places of whole pixels, and for channels that there
                // are biases for.
                unsafe {
                    let input = load(simd, x.add(at), left);
                    let input = simd.add(input, load(simd, bias.add(channel), left));
                    let dy = load(simd, dy.add(at), left);
                    [simd.mul(dy, gelu_derivative(simd, input))]
                }
            },
        );
    }
}
