//! [`CnnBackend`] on every device of CubeCL through `gpu-kernels`.
//!
//! | file | what it holds |
//! | --- | --- |
//! | `tensors` | how a device's tensors lie in memory, and how they are made |
//! | `blocks` | normalised convolutions and residual blocks |
//! | `groups` | groups of convolutions with GELU, and what stands before and after them |
//! | `layers` | layers without normalisation, the loss, the optimiser's step |
//! | `together` | small updates of many tensors, gathered |
//! | `stored` | batches of images that the device holds |
//! | [`recording`] | recorded work, and tensors whose numbers are replaced where they are |

mod blocks;
mod groups;
mod layers;
pub mod recording;
mod stored;
mod tensors;
mod together;

pub use together::together;

use burn::backend::tensor::{FloatTensor, IntTensor};
use burn_cubecl::CubeBackend;
use gpu_kernels::activation::Activation;

use super::CnnBackend;
use super::types::{
    AdamWStep, AdamWStepped, Affine, AffineGradients, ConvGroup, ConvNorm, ConvNormGradients,
    ConvNormRelu, CrossEntropy, Means, MuonStep, Pooled, ProjectedResidual,
    ProjectedResidualGradients, Residual, ResidualConvGroup, ResidualConvGroupGradients,
    ResidualGradients, SgdStep, Statistics, Stepped, Storage, Stored, StoredBatch,
};

impl CnnBackend for CubeBackend {
    fn conv_norm_relu(
        x: FloatTensor<Self>,
        parameters: ConvNorm<Self>,
        stride: usize,
        padding: usize,
    ) -> ConvNormRelu<Self> {
        blocks::conv_norm_relu(x, parameters, stride, padding)
    }

    fn conv_norm_relu_backward(
        x: FloatTensor<Self>,
        parameters: ConvNorm<Self>,
        forward: ConvNormRelu<Self>,
        dy: FloatTensor<Self>,
        stride: usize,
        padding: usize,
    ) -> ConvNormGradients<Self> {
        blocks::conv_norm_relu_back(x, parameters, forward, dy, [stride, padding], true)
    }

    fn conv_norm_relu_backward_parameters(
        x: FloatTensor<Self>,
        parameters: ConvNorm<Self>,
        forward: ConvNormRelu<Self>,
        dy: FloatTensor<Self>,
        stride: usize,
        padding: usize,
    ) -> ConvNorm<Self> {
        let window = [stride, padding];
        blocks::conv_norm_relu_back(x, parameters, forward, dy, window, false).parameters
    }

    fn norm_relu(x: FloatTensor<Self>, parameters: Affine<Self>) -> ConvNormRelu<Self> {
        blocks::norm_relu(x, parameters)
    }

    fn norm_relu_backward(
        parameters: Affine<Self>,
        forward: ConvNormRelu<Self>,
        dy: FloatTensor<Self>,
    ) -> AffineGradients<Self> {
        blocks::norm_relu_back(parameters, forward, dy)
    }

    fn follow_statistics(
        running: Statistics<Self>,
        batch: Statistics<Self>,
        keep: f32,
        take: [f32; 2],
    ) -> Statistics<Self> {
        blocks::follow_statistics(running, batch, keep, take)
    }

    fn convolve(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        stride: usize,
        padding: usize,
    ) -> FloatTensor<Self> {
        layers::convolve(x, weight, stride, padding)
    }

    fn convolve_backward(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        dy: FloatTensor<Self>,
        stride: usize,
        padding: usize,
        by_input: bool,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        layers::convolve_back(x, weight, dy, [stride, padding], by_input)
    }

    fn residual(
        x: FloatTensor<Self>,
        first: ConvNorm<Self>,
        second: ConvNorm<Self>,
    ) -> Residual<Self> {
        blocks::residual(x, first, second)
    }

    fn residual_backward(
        x: FloatTensor<Self>,
        first: ConvNorm<Self>,
        second: ConvNorm<Self>,
        forward: Residual<Self>,
        dy: FloatTensor<Self>,
    ) -> ResidualGradients<Self> {
        blocks::residual_back(x, first, second, forward, dy)
    }

    fn projected_residual(
        x: FloatTensor<Self>,
        first: ConvNorm<Self>,
        second: ConvNorm<Self>,
        projection: ConvNorm<Self>,
        stride: usize,
    ) -> ProjectedResidual<Self> {
        blocks::projected_residual(x, [first, second, projection], stride)
    }

    fn projected_residual_backward(
        x: FloatTensor<Self>,
        first: ConvNorm<Self>,
        second: ConvNorm<Self>,
        projection: ConvNorm<Self>,
        forward: ProjectedResidual<Self>,
        dy: FloatTensor<Self>,
        stride: usize,
    ) -> ProjectedResidualGradients<Self> {
        blocks::projected_residual_back(x, [first, second, projection], forward, dy, stride)
    }

    fn conv_bias(
        x: FloatTensor<Self>,
        parameters: Affine<Self>,
        stride: usize,
        padding: usize,
        rectify: bool,
    ) -> FloatTensor<Self> {
        layers::conv_bias(x, parameters, None, [stride, padding], rectified(rectify))
    }

    fn conv_bias_add_relu(
        x: FloatTensor<Self>,
        parameters: Affine<Self>,
        around: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        layers::conv_bias(x, parameters, Some(around), [1, 1], Activation::Relu)
    }

    fn conv_relu_pool(x: FloatTensor<Self>, parameters: Affine<Self>, pool: usize) -> Pooled<Self> {
        layers::conv_relu_pool(x, parameters, pool)
    }

    fn conv_relu_pool_backward(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        forward: Pooled<Self>,
        dy: FloatTensor<Self>,
        pool: usize,
    ) -> AffineGradients<Self> {
        layers::conv_relu_pool_back(x, weight, forward, dy, pool, true)
    }

    fn conv_relu_pool_backward_parameters(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        forward: Pooled<Self>,
        dy: FloatTensor<Self>,
        pool: usize,
    ) -> Affine<Self> {
        layers::conv_relu_pool_back(x, weight, forward, dy, pool, false).parameters
    }

    fn fully_connected(
        x: FloatTensor<Self>,
        parameters: Affine<Self>,
        rectify: bool,
    ) -> FloatTensor<Self> {
        layers::linear(x, parameters, rectify)
    }

    fn fully_connected_backward(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        y: FloatTensor<Self>,
        dy: FloatTensor<Self>,
        rectify: bool,
    ) -> AffineGradients<Self> {
        layers::linear_back(x, weight, y, dy, rectify)
    }

    fn global_avg_pool(x: FloatTensor<Self>) -> FloatTensor<Self> {
        layers::global_avg_pool(x)
    }

    fn global_avg_pool_backward(
        dy: FloatTensor<Self>,
        height: usize,
        width: usize,
    ) -> FloatTensor<Self> {
        layers::global_avg_pool_back(dy, height, width)
    }

    fn conv_group(
        x: FloatTensor<Self>,
        first: ConvNorm<Self>,
        second: ConvNorm<Self>,
        epsilon: f32,
    ) -> ConvGroup<Self> {
        groups::conv_group(x, first, second, epsilon)
    }

    fn conv_group_backward(
        x: FloatTensor<Self>,
        first: ConvNorm<Self>,
        second: ConvNorm<Self>,
        forward: ConvGroup<Self>,
        dy: FloatTensor<Self>,
        epsilon: f32,
        by_input: bool,
    ) -> ResidualGradients<Self> {
        groups::conv_group_back(x, [first, second], forward, dy, epsilon, by_input)
    }

    fn residual_conv_group(
        x: FloatTensor<Self>,
        first: ConvNorm<Self>,
        second: ConvNorm<Self>,
        third: ConvNorm<Self>,
        epsilon: f32,
    ) -> ResidualConvGroup<Self> {
        groups::residual_conv_group(x, [first, second, third], epsilon)
    }

    fn residual_conv_group_backward(
        x: FloatTensor<Self>,
        first: ConvNorm<Self>,
        second: ConvNorm<Self>,
        third: ConvNorm<Self>,
        forward: ResidualConvGroup<Self>,
        dy: FloatTensor<Self>,
        epsilon: f32,
        by_input: bool,
    ) -> ResidualConvGroupGradients<Self> {
        let parameters = [first, second, third];
        groups::residual_conv_group_back(x, parameters, forward, dy, epsilon, by_input)
    }

    fn conv_gelu(
        x: FloatTensor<Self>,
        parameters: Affine<Self>,
        padding: usize,
    ) -> FloatTensor<Self> {
        layers::conv_bias(x, parameters, None, [1, padding], Activation::Gelu)
    }

    fn conv_gelu_backward_bias(
        x: FloatTensor<Self>,
        parameters: Affine<Self>,
        dy: FloatTensor<Self>,
        padding: usize,
    ) -> FloatTensor<Self> {
        groups::conv_gelu_back_bias(x, parameters, dy, padding)
    }

    fn conv_pool_gelu(x: FloatTensor<Self>, parameters: Affine<Self>) -> FloatTensor<Self> {
        groups::conv_pool_gelu(x, parameters)
    }

    fn conv_add_gelu(
        x: FloatTensor<Self>,
        parameters: Affine<Self>,
        around: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        layers::conv_bias(x, parameters, Some(around), [1, 1], Activation::Gelu)
    }

    fn global_max_pool(x: FloatTensor<Self>) -> Pooled<Self> {
        groups::global_max_pool(x)
    }

    fn global_max_pool_backward(
        dy: FloatTensor<Self>,
        indices: IntTensor<Self>,
        height: usize,
        width: usize,
    ) -> FloatTensor<Self> {
        groups::global_max_pool_back(dy, indices, [height, width])
    }

    fn cross_entropy(
        logits: FloatTensor<Self>,
        targets: IntTensor<Self>,
        smoothing: f32,
    ) -> CrossEntropy<Self> {
        layers::cross_entropy(logits, targets, smoothing)
    }

    fn sgd_step(
        weight: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        velocity: FloatTensor<Self>,
        settings: SgdStep,
    ) -> Stepped<Self> {
        layers::sgd_step(weight, gradient, velocity, settings)
    }

    fn adamw_step(
        weight: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        means: Means<Self>,
        settings: AdamWStep,
    ) -> AdamWStepped<Self> {
        layers::adamw_step(weight, gradient, means, settings)
    }

    fn muon_step(
        weight: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        momentum: FloatTensor<Self>,
        settings: MuonStep,
    ) -> Stepped<Self> {
        layers::muon_step(weight, gradient, momentum, settings)
    }

    fn stored_as(images: FloatTensor<Self>, storage: Storage) -> FloatTensor<Self> {
        stored::stored_as(images, storage)
    }

    fn stored_as_backward(dy: FloatTensor<Self>, storage: Storage) -> FloatTensor<Self> {
        stored::stored_as_back(dy, storage)
    }

    fn stored_batch(
        stored: Stored<Self>,
        views: IntTensor<Self>,
        first: usize,
        count: usize,
    ) -> StoredBatch<Self> {
        stored::stored_batch(stored, views, first, count)
    }
}

fn rectified(rectify: bool) -> Activation {
    if rectify {
        Activation::Relu
    } else {
        Activation::None
    }
}
