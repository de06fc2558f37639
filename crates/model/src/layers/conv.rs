//! Convolutions, with a bias and without.

use burn::backend::Dispatch;
use burn::module::{Module, Param};
use burn::tensor::Tensor;

use super::BatchNorm;
use crate::backend::CnnBackend;
use crate::backend::types::Affine;
use crate::random::WeightSource;

/// A convolution without a bias, before a normalisation.
#[derive(Module, Debug)]
pub struct Conv2d {
    pub(super) weight: Param<Tensor<4>>,
    pub(super) stride: usize,
    pub(super) padding: usize,
}

impl Conv2d {
    /// Filters of `[out_channels, in_channels, kernel, kernel]`, normal with deviation
    /// `sqrt(2 / (out_channels * kernel^2))` (He et al., 2015, by the number of outputs).
    #[must_use]
    pub fn kaiming(
        source: &mut WeightSource,
        [out_channels, in_channels, kernel]: [usize; 3],
        stride: usize,
    ) -> Self {
        let fan_out = (out_channels * kernel * kernel) as f64;
        Self {
            weight: source.normal(
                [out_channels, in_channels, kernel, kernel],
                (2.0 / fan_out).sqrt(),
            ),
            stride,
            padding: kernel / 2,
        }
    }

    /// `relu(norm(convolution))`: `[batch, in_channels, height, width]` to
    /// `[batch, out_channels, height / stride, width / stride]`. On an autodiff device the batch's
    /// own statistics normalise, and the running ones follow; elsewhere the running ones
    /// normalise.
    #[must_use]
    pub fn forward_norm_relu(&self, norm: &BatchNorm, x: Tensor<4>) -> Tensor<4> {
        let training = x.device().is_autodiff();
        let x = x.into_dispatch();
        let (stride, padding) = (self.stride, self.padding);
        Tensor::from_dispatch(if training {
            let parameters = norm.with_convolution(&self.weight);
            let forward = <Dispatch as CnnBackend>::conv_norm_relu(x, parameters, stride, padding);
            norm.follow(forward.convolved);
            forward.y
        } else {
            let folded = norm.folded(&self.weight);
            <Dispatch as CnnBackend>::conv_bias(x, folded, stride, padding, true)
        })
    }
}

/// A convolution with a bias, stride 1 and no padding.
#[derive(Module, Debug)]
pub struct ConvBias2d {
    weight: Param<Tensor<4>>,
    bias: Param<Tensor<1>>,
}

impl ConvBias2d {
    /// Filters of `[out_channels, in_channels, kernel, kernel]` and biases, both uniform within
    /// `1 / sqrt(in_channels * kernel^2)`, which is PyTorch's default.
    #[must_use]
    pub fn uniform(
        source: &mut WeightSource,
        [out_channels, in_channels, kernel]: [usize; 3],
    ) -> Self {
        let bound = 1.0 / ((in_channels * kernel * kernel) as f64).sqrt();
        Self {
            weight: source.uniform([out_channels, in_channels, kernel, kernel], bound),
            bias: source.uniform([out_channels], bound),
        }
    }

    /// `max_pool(relu(convolution))` with windows of `pool` by `pool` pixels:
    /// `[batch, in_channels, height, width]` to `[batch, out_channels, (height - kernel + 1) /
    /// pool, (width - kernel + 1) / pool]`.
    #[must_use]
    pub fn forward_relu_pool(&self, x: Tensor<4>, pool: usize) -> Tensor<4> {
        let parameters = Affine {
            weight: self.weight.val().into_dispatch(),
            bias: self.bias.val().into_dispatch(),
        };
        let pooled = <Dispatch as CnnBackend>::conv_relu_pool(x.into_dispatch(), parameters, pool);
        Tensor::from_dispatch(pooled.y)
    }
}
