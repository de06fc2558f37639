//! The default bodies of [`CnnBackend`](super::CnnBackend), made of Burn's own operations. They run
//! on every backend, and are the reference for kernels.

mod blocks;
mod groups;
mod layers;
mod muon;
mod stored;

use burn::backend::ops::{ActivationOps, ConvOptions, ModuleOps};
use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Backend, TensorMetadata};
use burn::tensor::{FloatDType, IntDType, Shape};

use super::types::Pooled;

pub(super) use blocks::{
    conv_norm_relu, conv_norm_relu_backward, conv_norm_relu_backward_parameters, follow_statistics,
    norm_relu, norm_relu_backward, projected_residual, projected_residual_backward, residual,
    residual_backward,
};
pub(super) use groups::{
    conv_add_gelu, conv_gelu, conv_gelu_backward_bias, conv_group, conv_group_backward,
    conv_pool_gelu, global_max_pool, global_max_pool_backward, residual_conv_group,
    residual_conv_group_backward,
};
pub(super) use layers::{
    adamw_step, conv_bias, conv_bias_add_relu, conv_relu_pool, conv_relu_pool_backward,
    conv_relu_pool_backward_parameters, convolve, convolve_backward, cross_entropy,
    global_avg_pool, global_avg_pool_backward, linear, linear_backward, scale_gradient, sgd_step,
};
pub(super) use muon::muon_step;
pub(super) use stored::stored_batch;

fn conv_options(stride: usize, padding: usize) -> ConvOptions<2> {
    ConvOptions::new([stride; 2], [padding; 2], [1; 2], 1)
}

/// Length of `tensor`'s axis `axis`.
fn dim<T: TensorMetadata>(tensor: &T, axis: usize) -> usize {
    tensor.shape()[axis]
}

/// One number a channel, `[channels]`, as `[1, channels, 1, 1]`.
fn wide<B: Backend>(t: FloatTensor<B>) -> FloatTensor<B> {
    let channels = dim(&t, 0);
    B::float_reshape(t, Shape::new([1, channels, 1, 1]))
}

/// `[1, channels, 1, 1]` as `[channels]`.
fn narrow<B: Backend>(t: FloatTensor<B>) -> FloatTensor<B> {
    let channels = dim(&t, 1);
    B::float_reshape(t, Shape::new([channels]))
}

fn relu<B: Backend>(x: FloatTensor<B>) -> FloatTensor<B> {
    <B as ActivationOps<B>>::relu(x)
}

/// The gradient of a rectifier by its input, from its output.
fn relu_backward<B: Backend>(y: FloatTensor<B>, dy: FloatTensor<B>) -> FloatTensor<B> {
    <B as ActivationOps<B>>::relu_backward(y, dy)
}

fn input_backward<B: Backend>(
    x: FloatTensor<B>,
    weight: FloatTensor<B>,
    dy: FloatTensor<B>,
    stride: usize,
    padding: usize,
) -> FloatTensor<B> {
    <B as ModuleOps<B>>::conv2d_x_backward(x, weight, dy, conv_options(stride, padding))
}

/// The maxima in windows of `height` by `width` pixels that do not overlap, and where they are.
fn max_pool<B: Backend>(x: FloatTensor<B>, [height, width]: [usize; 2]) -> Pooled<B> {
    let window = [height, width];
    let pooled = <B as ModuleOps<B>>::max_pool2d_with_indices(
        x,
        window,
        window,
        [0; 2],
        [1; 2],
        false,
        IntDType::I32,
    );
    Pooled {
        y: pooled.output,
        indices: pooled.indices,
    }
}

/// The gradient of [`max_pool`] by an input of `shape`.
fn max_pool_backward<B: Backend>(
    shape: [usize; 4],
    [height, width]: [usize; 2],
    dy: FloatTensor<B>,
    indices: IntTensor<B>,
) -> FloatTensor<B> {
    let window = [height, width];
    // Pooling looks at the shape of its input alone.
    let x = B::float_zeros(Shape::new(shape), &dy.device(), FloatDType::F32);
    <B as ModuleOps<B>>::max_pool2d_with_indices_backward(
        x, window, window, [0; 2], [1; 2], false, dy, indices,
    )
    .x_grad
}
