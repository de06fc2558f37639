//! Convolutions, with a bias and without.

use burn::backend::Dispatch;
use burn::module::{Module, Param};
use burn::tensor::Tensor;

use super::BatchNorm;
use crate::backend::CnnBackend;
use crate::backend::types::Affine;
use crate::random::WeightSource;

/// A convolution without a bias.
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

    /// Filters of `[out_channels, in_channels, kernel, kernel]` with stride 1, uniform within
    /// `1 / sqrt(in_channels * kernel^2)`, which is PyTorch's default.
    #[must_use]
    pub fn uniform(
        source: &mut WeightSource,
        [out_channels, in_channels, kernel]: [usize; 3],
    ) -> Self {
        let bound = 1.0 / ((in_channels * kernel * kernel) as f64).sqrt();
        Self {
            weight: source.uniform([out_channels, in_channels, kernel, kernel], bound),
            stride: 1,
            padding: kernel / 2,
        }
    }

    /// Filters of `[out_channels, in_channels, kernel, kernel]` with stride 1, the first
    /// `in_channels` of which pass their channel through (PyTorch's `dirac_`) and the others uniform
    /// within `1 / sqrt(in_channels * kernel^2)`, which is PyTorch's default.
    #[must_use]
    pub fn identity(
        source: &mut WeightSource,
        [out_channels, in_channels, kernel]: [usize; 3],
    ) -> Self {
        Self {
            weight: source.identity_filters([out_channels, in_channels, kernel, kernel]),
            stride: 1,
            padding: kernel / 2,
        }
    }

    /// `relu(norm(convolution))`: `[batch, in_channels, height, width]` to
    /// `[batch, out_channels, height / stride, width / stride]`, by the batch's own statistics; the
    /// running ones follow.
    #[must_use]
    pub fn forward_norm_relu(&self, norm: &BatchNorm, x: Tensor<4>) -> Tensor<4> {
        let forward = <Dispatch as CnnBackend>::conv_norm_relu(
            x.into_dispatch(),
            norm.with_convolution(&self.weight),
            self.stride,
            self.padding,
        );
        norm.follow(forward.convolved);
        Tensor::from_dispatch(forward.y)
    }

    /// The convolution alone: `[batch, in_channels, height, width]` to
    /// `[batch, out_channels, height / stride, width / stride]`.
    #[must_use]
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        Tensor::from_dispatch(<Dispatch as CnnBackend>::convolve(
            x.into_dispatch(),
            self.weight.val().into_dispatch(),
            self.stride,
            self.padding,
        ))
    }

    /// This convolution with biases of 0, for inference.
    #[must_use]
    pub fn plain(&self) -> FoldedConv {
        let weight = self.weight.val();
        FoldedConv {
            bias: Tensor::zeros([weight.dims()[0]], &weight.device()),
            weight,
            stride: self.stride,
            padding: self.padding,
        }
    }

    /// This convolution with `norm` after it, by the running statistics.
    #[must_use]
    pub fn folded(&self, norm: &BatchNorm) -> FoldedConv {
        let (weight, bias) = norm.folded(&self.weight);
        FoldedConv {
            weight,
            bias,
            stride: self.stride,
            padding: self.padding,
        }
    }
}

/// A convolution with a bias, into which a normalisation is folded.
#[derive(Debug, Clone)]
pub struct FoldedConv {
    weight: Tensor<4>,
    bias: Tensor<1>,
    stride: usize,
    padding: usize,
}

impl FoldedConv {
    /// Filters, `[out_channels, in_channels, kernel, kernel]`, and biases.
    pub(crate) fn parameters(&self) -> (Tensor<4>, Tensor<1>) {
        (self.weight.clone(), self.bias.clone())
    }

    /// Pixels from one window to the next.
    pub(crate) fn stride(&self) -> usize {
        self.stride
    }

    /// Zeros around the image.
    pub(crate) fn padding(&self) -> usize {
        self.padding
    }

    fn affine(&self) -> Affine<Dispatch> {
        Affine {
            weight: self.weight.clone().into_dispatch(),
            bias: self.bias.clone().into_dispatch(),
        }
    }

    fn compute(&self, x: Tensor<4>, rectify: bool) -> Tensor<4> {
        Tensor::from_dispatch(<Dispatch as CnnBackend>::conv_bias(
            x.into_dispatch(),
            self.affine(),
            self.stride,
            self.padding,
            rectify,
        ))
    }

    /// `[batch, in_channels, height, width]` to
    /// `[batch, out_channels, height / stride, width / stride]`.
    #[must_use]
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        self.compute(x, false)
    }

    /// The positive part of [`FoldedConv::forward`].
    #[must_use]
    pub fn forward_relu(&self, x: Tensor<4>) -> Tensor<4> {
        self.compute(x, true)
    }

    /// The GELU of a convolution with stride 1.
    #[must_use]
    pub fn forward_gelu(&self, x: Tensor<4>) -> Tensor<4> {
        Tensor::from_dispatch(<Dispatch as CnnBackend>::conv_gelu(
            x.into_dispatch(),
            self.affine(),
            self.padding,
        ))
    }

    /// The GELU of the maxima in windows of 2 by 2 pixels of a convolution of 3 by 3 with stride 1.
    #[must_use]
    pub fn forward_pool_gelu(&self, x: Tensor<4>) -> Tensor<4> {
        let (x, parameters) = (x.into_dispatch(), self.affine());
        Tensor::from_dispatch(<Dispatch as CnnBackend>::conv_pool_gelu(x, parameters))
    }

    /// The GELU of a convolution of 3 by 3 with stride 1 plus `around`.
    #[must_use]
    pub fn forward_add_gelu(&self, x: Tensor<4>, around: Tensor<4>) -> Tensor<4> {
        Tensor::from_dispatch(<Dispatch as CnnBackend>::conv_add_gelu(
            x.into_dispatch(),
            self.affine(),
            around.into_dispatch(),
        ))
    }

    /// The positive part of [`FoldedConv::forward`] plus `around`, for a convolution of 3 by 3 with
    /// stride 1.
    #[must_use]
    pub fn forward_add_relu(&self, x: Tensor<4>, around: Tensor<4>) -> Tensor<4> {
        Tensor::from_dispatch(<Dispatch as CnnBackend>::conv_bias_add_relu(
            x.into_dispatch(),
            self.affine(),
            around.into_dispatch(),
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

    /// Filters, `[out_channels, in_channels, kernel, kernel]`, and biases.
    pub(crate) fn parameters(&self) -> (Tensor<4>, Tensor<1>) {
        (self.weight.val(), self.bias.val())
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
