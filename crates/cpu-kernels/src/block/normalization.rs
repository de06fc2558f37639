//! What batch normalisation (Ioffe and Szegedy, 2015) computes for each channel from sums over the
//! batch.

use crate::context::Context;
use crate::image::Affine;
use crate::scratch::Scratch;
use crate::shape::{ConvShape, ShapeError, check_len};

/// A convolution's weights, `[out_channels, in_channels, kernel, kernel]`, and the scale and shift
/// of the normalisation after it, each `[out_channels]`.
#[derive(Debug, Clone, Copy)]
pub struct Parameters<'a> {
    /// The weights of the convolution.
    pub weight: &'a [f32],
    /// The scale of the normalisation.
    pub gamma: &'a [f32],
    /// The shift of the normalisation.
    pub beta: &'a [f32],
}

/// A batch's mean and biased variance by channel, each `[out_channels]`.
#[derive(Debug, Clone, Copy)]
pub struct Statistics<'a> {
    /// Means over batch and pixels.
    pub mean: &'a [f32],
    /// Biased variances over batch and pixels.
    pub variance: &'a [f32],
}

/// Where the gradients of [`Parameters`] go.
#[derive(Debug)]
pub struct NormGradients<'a> {
    /// By the weights of the convolution.
    pub weight: &'a mut [f32],
    /// By the scale of the normalisation.
    pub gamma: &'a mut [f32],
    /// By the shift of the normalisation.
    pub beta: &'a mut [f32],
}

/// A convolution's output and its statistics, to be written.
#[derive(Debug)]
pub struct Convolved<'a> {
    /// The convolution's output, `[batch, out_height, out_width, out_channels]`.
    pub c: &'a mut [f32],
    /// The batch's mean by channel.
    pub mean: &'a mut [f32],
    /// The batch's biased variance by channel.
    pub variance: &'a mut [f32],
}

/// A convolution's output and its statistics.
#[derive(Debug, Clone, Copy)]
pub struct SavedConvolution<'a> {
    /// The convolution's output.
    pub c: &'a [f32],
    /// The batch's statistics.
    pub statistics: Statistics<'a>,
}

impl Parameters<'_> {
    pub(super) fn check(&self, shape: &ConvShape) -> Result<(), ShapeError> {
        check_len("weight", self.weight, shape.weight_len())?;
        check_len("gamma", self.gamma, shape.out_channels)?;
        check_len("beta", self.beta, shape.out_channels)
    }
}

impl Convolved<'_> {
    /// `len` elements are what the normalisation takes.
    pub(super) fn check(&self, shape: &ConvShape, len: usize) -> Result<(), ShapeError> {
        check_len("c", self.c, len)?;
        check_len("mean", self.mean, shape.out_channels)?;
        check_len("variance", self.variance, shape.out_channels)
    }
}

impl SavedConvolution<'_> {
    /// `len` elements are what the normalisation takes.
    pub(super) fn check(&self, shape: &ConvShape, len: usize) -> Result<(), ShapeError> {
        check_len("c", self.c, len)?;
        check_len("mean", self.statistics.mean, shape.out_channels)?;
        check_len("variance", self.statistics.variance, shape.out_channels)
    }
}

impl NormGradients<'_> {
    pub(super) fn check(&self, shape: &ConvShape) -> Result<(), ShapeError> {
        check_len("the gradient by weight", self.weight, shape.weight_len())?;
        check_len("the gradient by gamma", self.gamma, shape.out_channels)?;
        check_len("the gradient by beta", self.beta, shape.out_channels)
    }
}

/// Mean and biased variance from the sums `[2, channels]` of `count` values and of their squares.
pub(super) fn statistics(sums: &[f64], count: f64, mean: &mut [f32], variance: &mut [f32]) {
    let (values, squares) = sums.split_at(mean.len());
    let channels = mean.iter_mut().zip(variance.iter_mut());
    for ((mean, variance), (value, square)) in channels.zip(values.iter().zip(squares)) {
        let exact = value / count;
        let of_squares = square / count - exact * exact;
        *mean = exact as f32;
        // Rounding may leave a constant channel a little below zero; NaN must stay NaN.
        *variance = if of_squares < 0.0 {
            0.0
        } else {
            of_squares as f32
        };
    }
}

/// `scale` and `shift` by channel, such that `x * scale + shift` is the normalised `x`.
pub(super) struct ScaleAndShift<'c>(Scratch<'c, f32>);

impl<'c> ScaleAndShift<'c> {
    pub(super) fn new(
        context: &'c Context,
        parameters: &Parameters,
        statistics: &Statistics,
        eps: f32,
    ) -> Self {
        let channels = parameters.gamma.len();
        let mut values = context.floats(2 * channels);
        let (scale, shift) = values.split_at_mut(channels);
        for (channel, (scale, shift)) in scale.iter_mut().zip(shift).enumerate() {
            let inverse = 1.0 / (f64::from(statistics.variance[channel]) + f64::from(eps)).sqrt();
            let exact = f64::from(parameters.gamma[channel]) * inverse;
            *scale = exact as f32;
            let centre = f64::from(statistics.mean[channel]) * exact;
            *shift = (f64::from(parameters.beta[channel]) - centre) as f32;
        }
        Self(values)
    }

    pub(super) fn affine(&self) -> Affine<'_> {
        let (scale, shift) = self.0.split_at(self.0.len() / 2);
        Affine { scale, shift }
    }
}

/// The gradients of scale and shift, and the factors of
/// [`NormGradient`](crate::image::NormGradient), from the sums of the output's gradient `g` and of
/// `g * x` over `count` values: with `h = (x - mean) / sqrt(variance + eps)`,
/// `dbeta = sum g`, `dgamma = sum g h`, and
/// `dx = gamma / sqrt(variance + eps) * (g - dbeta / count - h dgamma / count)`.
pub(super) fn gradient_factors<'c>(
    context: &'c Context,
    (of_gradient, of_products): (&[f64], &[f64]),
    count: f64,
    gamma: &[f32],
    statistics: &Statistics,
    eps: f32,
    (dgamma, dbeta): (&mut [f32], &mut [f32]),
) -> Scratch<'c, f32> {
    let channels = gamma.len();
    let mut factors = context.floats(3 * channels);
    for channel in 0..channels {
        let mean = f64::from(statistics.mean[channel]);
        let inverse = 1.0 / (f64::from(statistics.variance[channel]) + f64::from(eps)).sqrt();
        let by_shift = of_gradient[channel];
        let by_scale = inverse * (of_products[channel] - mean * by_shift);
        dgamma[channel] = by_scale as f32;
        dbeta[channel] = by_shift as f32;
        let by_gradient = f64::from(gamma[channel]) * inverse;
        let by_input = -by_gradient * inverse * by_scale / count;
        factors[channel] = by_gradient as f32;
        factors[channels + channel] = by_input as f32;
        factors[2 * channels + channel] =
            (-by_gradient * by_shift / count - by_input * mean) as f32;
    }
    factors
}
