//! The contract between networks and backends: the operations that take a network's time, each
//! with its backward operation.
//!
//! Default bodies use Burn's own operations, so that a backend joins with an empty `impl`.
//! [`ndarray`](self) overrides them with `cpu-kernels`; `autodiff` ties each operation to its
//! backward for every backend at once.
//!
//! Images are `[batch, channels, height, width]`. Weights are as in PyTorch: a convolution's are
//! `[out_channels, in_channels, height, width]`, a linear layer's `[out_features, in_features]`.

// Burn calls its NdArray backend deprecated. It is the one that this project is about on a CPU, and
// 0.22.1 is the last release that has it; Flex, its successor, runs the same networks.
#![allow(deprecated)]

mod autodiff;
mod ndarray;

use burn::backend::ops::{ConvOptions, ModuleOps};
use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Backend, Flex, backend_extension};
use burn::tensor::{IntDType, Shape};

pub use ndarray::{ThreadsError, set_threads};

/// Operations that networks are made of. See the [module](self) for layouts.
#[backend_extension(NdArray, Flex, Cube: cfg(feature = "wgpu"), Autodiff)]
pub trait CnnBackend: Backend {
    /// Convolution of `x` with square strides and zero padding, without a bias.
    fn convolution(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        stride: usize,
        padding: usize,
    ) -> FloatTensor<Self> {
        <Self as ModuleOps<Self>>::conv2d(x, weight, None, conv_options(stride, padding))
    }

    /// The gradient of [`convolution`](CnnBackend::convolution) by its input.
    fn convolution_backward_input(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        dy: FloatTensor<Self>,
        stride: usize,
        padding: usize,
    ) -> FloatTensor<Self> {
        <Self as ModuleOps<Self>>::conv2d_x_backward(x, weight, dy, conv_options(stride, padding))
    }

    /// The gradient of [`convolution`](CnnBackend::convolution) by its weights.
    fn convolution_backward_weight(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        dy: FloatTensor<Self>,
        stride: usize,
        padding: usize,
    ) -> FloatTensor<Self> {
        <Self as ModuleOps<Self>>::conv2d_weight_backward(
            x,
            weight,
            dy,
            conv_options(stride, padding),
        )
    }

    /// `x` plus one number a channel: `[batch, channels, height, width]` and `[channels]`.
    fn add_bias(x: FloatTensor<Self>, bias: FloatTensor<Self>) -> FloatTensor<Self> {
        let channels = dim(&bias, 0);
        let bias = Self::float_reshape(bias, Shape::new([1, channels, 1, 1]));
        Self::float_add(x, bias)
    }

    /// The gradient of [`add_bias`](CnnBackend::add_bias) by the bias, `[channels]`.
    fn add_bias_backward(dy: FloatTensor<Self>) -> FloatTensor<Self> {
        let channels = dim(&dy, 1);
        let sum = Self::float_sum_dim(Self::float_sum_dim(Self::float_sum_dim(dy, 0), 2), 3);
        Self::float_reshape(sum, Shape::new([channels]))
    }

    /// `x weight^T + bias` for `x` of `[batch, in_features]`.
    fn fully_connected(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        let features = dim(&bias, 0);
        let bias = Self::float_reshape(bias, Shape::new([1, features]));
        Self::float_add(Self::float_matmul(x, Self::float_transpose(weight)), bias)
    }

    /// The gradient of [`fully_connected`](CnnBackend::fully_connected) by its input.
    fn fully_connected_backward_input(
        weight: FloatTensor<Self>,
        dy: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        Self::float_matmul(dy, weight)
    }

    /// The gradient of [`fully_connected`](CnnBackend::fully_connected) by its weights.
    fn fully_connected_backward_weight(
        x: FloatTensor<Self>,
        dy: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        Self::float_matmul(Self::float_transpose(dy), x)
    }

    /// The gradient of [`fully_connected`](CnnBackend::fully_connected) by its bias.
    fn fully_connected_backward_bias(dy: FloatTensor<Self>) -> FloatTensor<Self> {
        let features = dim(&dy, 1);
        Self::float_reshape(Self::float_sum_dim(dy, 0), Shape::new([features]))
    }

    /// The largest value of each window of `kernel` by `kernel` pixels, without overlap, and where
    /// it was. What an index means is the backend's own affair: it goes to
    /// [`max_pool_backward`](CnnBackend::max_pool_backward) of the same backend only.
    fn max_pool(x: FloatTensor<Self>, kernel: usize) -> (FloatTensor<Self>, IntTensor<Self>) {
        let pooled = <Self as ModuleOps<Self>>::max_pool2d_with_indices(
            x,
            [kernel; 2],
            [kernel; 2],
            [0; 2],
            [1; 2],
            false,
            IntDType::I32,
        );
        (pooled.output, pooled.indices)
    }

    /// The gradient of [`max_pool`](CnnBackend::max_pool) by its input.
    fn max_pool_backward(
        x: FloatTensor<Self>,
        indices: IntTensor<Self>,
        dy: FloatTensor<Self>,
        kernel: usize,
    ) -> FloatTensor<Self> {
        <Self as ModuleOps<Self>>::max_pool2d_with_indices_backward(
            x,
            [kernel; 2],
            [kernel; 2],
            [0; 2],
            [1; 2],
            false,
            dy,
            indices,
        )
        .x_grad
    }

    /// Batch normalisation by the batch's own statistics: the output, and each channel's mean and
    /// biased variance over batch and pixels (Ioffe and Szegedy, 2015).
    fn normalize_batch(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        eps: f32,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let channels = dim(&x, 1);
        let mean = channel_mean::<Self>(x.clone());
        let centred = Self::float_sub(x, mean.clone());
        let variance = channel_mean::<Self>(Self::float_mul(centred.clone(), centred.clone()));
        let normalised = Self::float_mul(centred, inverse_deviation::<Self>(variance.clone(), eps));
        let wide = |t| Self::float_reshape(t, Shape::new([1, channels, 1, 1]));
        let narrow = |t| Self::float_reshape(t, Shape::new([channels]));
        let y = Self::float_add(Self::float_mul(normalised, wide(gamma)), wide(beta));
        (y, narrow(mean), narrow(variance))
    }

    /// The gradients of [`normalize_batch`](CnnBackend::normalize_batch) by input, gamma and beta.
    fn normalize_batch_backward(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        mean: FloatTensor<Self>,
        variance: FloatTensor<Self>,
        dy: FloatTensor<Self>,
        eps: f32,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let channels = dim(&x, 1);
        let wide = |t| Self::float_reshape(t, Shape::new([1, channels, 1, 1]));
        let narrow = |t| Self::float_reshape(t, Shape::new([channels]));
        let count = (dim(&x, 0) * dim(&x, 2) * dim(&x, 3)) as f32;
        let inverse = inverse_deviation::<Self>(wide(variance), eps);
        let normalised = Self::float_mul(Self::float_sub(x, wide(mean)), inverse.clone());
        let mean_dy = channel_mean::<Self>(dy.clone());
        let mean_dy_x = channel_mean::<Self>(Self::float_mul(dy.clone(), normalised.clone()));
        let inner = Self::float_sub(
            Self::float_sub(dy, mean_dy.clone()),
            Self::float_mul(normalised, mean_dy_x.clone()),
        );
        let dx = Self::float_mul(inner, Self::float_mul(inverse, wide(gamma)));
        let total = |t| narrow(Self::float_mul_scalar(t, count.into()));
        (dx, total(mean_dy_x), total(mean_dy))
    }
}

impl CnnBackend for Flex {}

#[cfg(feature = "wgpu")]
impl CnnBackend for burn_wgpu::CubeBackend {}

fn conv_options(stride: usize, padding: usize) -> ConvOptions<2> {
    ConvOptions::new([stride; 2], [padding; 2], [1; 2], 1)
}

/// Length of `tensor`'s axis `axis`.
fn dim<T: burn::backend::TensorMetadata>(tensor: &T, axis: usize) -> usize {
    tensor.shape()[axis]
}

/// Mean over batch and pixels, `[1, channels, 1, 1]`.
fn channel_mean<B: Backend>(x: FloatTensor<B>) -> FloatTensor<B> {
    B::float_mean_dim(B::float_mean_dim(B::float_mean_dim(x, 3), 2), 0)
}

/// `1 / sqrt(variance + eps)`.
fn inverse_deviation<B: Backend>(variance: FloatTensor<B>, eps: f32) -> FloatTensor<B> {
    B::float_recip(B::float_sqrt(B::float_add_scalar(variance, eps.into())))
}
