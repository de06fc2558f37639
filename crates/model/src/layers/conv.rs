//! Convolutions, with a bias and without.

use burn::backend::Dispatch;
use burn::module::{Module, Param};
use burn::tensor::Tensor;

use crate::backend::CnnBackend;
use crate::random::WeightSource;

/// A convolution without a bias, before a normalisation.
#[derive(Module, Debug)]
pub struct Conv2d {
    weight: Param<Tensor<4>>,
    stride: usize,
    padding: usize,
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

    /// `[batch, in_channels, height, width]` to
    /// `[batch, out_channels, height / stride, width / stride]`.
    #[must_use]
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        Tensor::from_dispatch(<Dispatch as CnnBackend>::convolution(
            x.into_dispatch(),
            self.weight.val().into_dispatch(),
            self.stride,
            self.padding,
        ))
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

    /// `[batch, in_channels, height, width]` to
    /// `[batch, out_channels, height - kernel + 1, width - kernel + 1]`.
    #[must_use]
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let y = <Dispatch as CnnBackend>::convolution(
            x.into_dispatch(),
            self.weight.val().into_dispatch(),
            1,
            0,
        );
        Tensor::from_dispatch(<Dispatch as CnnBackend>::add_bias(
            y,
            self.bias.val().into_dispatch(),
        ))
    }
}
