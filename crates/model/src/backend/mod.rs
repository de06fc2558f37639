//! The contract between networks and backends: the operations that networks are made of, each with
//! its backward operation.
//!
//! | file | what it holds |
//! | --- | --- |
//! | here | [`CnnBackend`], the contract |
//! | [`types`] | what its operations take and give |
//! | `compose` | its default bodies, made of Burn's own operations |
//! | `autodiff` | what ties each operation to its backward, for every backend at once |
//! | `cpu` | its implementation by the kernels of `cpu-kernels`, for NdArray and Flex |
//! | `gpu` | its implementation by the kernels of `gpu-kernels`, for every device of CubeCL |
//! | `stored` | images that live on a device, and batches that it makes of them |
//! | `remote` | its implementation by a worker on another machine, which computes with one of the others |
//!
//! Images are `[batch, channels, height, width]` by shape. How they lie in memory is the backend's
//! own affair: on a CPU channels lie side by side, and the tensor's strides say so. Weights are as
//! in PyTorch: a convolution's are `[out_channels, in_channels, height, width]`, a linear layer's
//! `[out_features, in_features]`.

// Burn calls its NdArray backend deprecated. It is the one that this project is about on a CPU, and
// 0.22.1 is the last release that has it; Flex, its successor, runs the same networks.
#![allow(deprecated)]

mod autodiff;
mod compose;
mod cpu;
#[cfg(feature = "wgpu")]
mod gpu;
#[cfg(feature = "remote")]
pub mod remote;
mod stored;
pub mod types;

use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Backend, backend_extension};

pub(crate) use cpu::computes_on_cpu;
pub use cpu::{SettingsError, isa, set_precision, set_threads};
pub use cpu_kernels::Precision;
pub use cpu_kernels::stored::View;
#[cfg(feature = "wgpu")]
pub use gpu::{recording, together};
#[cfg(feature = "wgpu")]
pub use gpu_kernels::{launches, winograd::in_groups_of};
pub use stored::{StoredImages, StoredViews};
use types::{
    AdamWStep, AdamWStepped, Affine, AffineGradients, ConvGroup, ConvNorm, ConvNormGradients,
    ConvNormRelu, CrossEntropy, Means, MuonStep, Pooled, ProjectedResidual,
    ProjectedResidualGradients, Residual, ResidualConvGroup, ResidualConvGroupGradients,
    ResidualGradients, SgdStep, Statistics, Stepped, Storage, Stored, StoredBatch,
};

/// What is added to a variance before its root is taken, as in PyTorch.
pub const EPSILON: f32 = 1e-5;

/// Sets how exactly GPUs convolve, for the whole process: exactly is without Winograd's algorithm.
#[cfg(feature = "wgpu")]
pub fn set_gpu_precision(precision: Precision) {
    gpu_kernels::winograd::set_exact(precision == Precision::Exact);
}

/// Does `work`, in which a GPU convolves at most `images` at once. Without a GPU's backend nothing does so.
#[cfg(not(feature = "wgpu"))]
pub fn in_groups_of<R>(_images: usize, work: impl FnOnce() -> R) -> R {
    work()
}

/// Runs `updates`, of which a GPU gathers gradients of parameters, running statistics and optimiser's steps to make
/// them at the end with a few kernels: `updates` must not read them. Without a GPU's backend there is nothing to gather.
#[cfg(not(feature = "wgpu"))]
pub fn together<R>(updates: impl FnOnce() -> R) -> R {
    updates()
}

/// Operations that networks are made of. See the [module](self) for layouts.
#[backend_extension(NdArray, Flex, Cube: cfg(feature = "wgpu"), Remote: cfg(feature = "remote"), Autodiff)]
pub trait CnnBackend: Backend {
    /// `relu(normalise(x * weight))`: a convolution with square strides and zero padding,
    /// normalised by the batch's own statistics (Ioffe and Szegedy, 2015).
    fn conv_norm_relu(
        x: FloatTensor<Self>,
        #[extension_type] parameters: ConvNorm<Self>,
        stride: usize,
        padding: usize,
    ) -> ConvNormRelu<Self> {
        compose::conv_norm_relu(x, parameters, stride, padding)
    }

    /// The gradients of [`conv_norm_relu`](CnnBackend::conv_norm_relu).
    fn conv_norm_relu_backward(
        x: FloatTensor<Self>,
        #[extension_type] parameters: ConvNorm<Self>,
        #[extension_type] forward: ConvNormRelu<Self>,
        dy: FloatTensor<Self>,
        stride: usize,
        padding: usize,
    ) -> ConvNormGradients<Self> {
        compose::conv_norm_relu_backward(x, parameters, forward, dy, stride, padding)
    }

    /// The gradients of [`conv_norm_relu`](CnnBackend::conv_norm_relu) by its parameters alone, as
    /// a network's first layer needs them.
    fn conv_norm_relu_backward_parameters(
        x: FloatTensor<Self>,
        #[extension_type] parameters: ConvNorm<Self>,
        #[extension_type] forward: ConvNormRelu<Self>,
        dy: FloatTensor<Self>,
        stride: usize,
        padding: usize,
    ) -> ConvNorm<Self> {
        compose::conv_norm_relu_backward_parameters(x, parameters, forward, dy, stride, padding)
    }

    /// `relu(normalise(x))`: `x` normalised by the batch's own statistics. The parameters' weights are
    /// the normalisation's scale, and what was convolved is `x`.
    fn norm_relu(
        x: FloatTensor<Self>,
        #[extension_type] parameters: Affine<Self>,
    ) -> ConvNormRelu<Self> {
        compose::norm_relu(x, parameters)
    }

    /// The gradients of [`norm_relu`](CnnBackend::norm_relu).
    fn norm_relu_backward(
        #[extension_type] parameters: Affine<Self>,
        #[extension_type] forward: ConvNormRelu<Self>,
        dy: FloatTensor<Self>,
    ) -> AffineGradients<Self> {
        compose::norm_relu_backward(parameters, forward, dy)
    }

    /// Running statistics after a batch: `running * keep + batch * take`, where `take` holds the
    /// factors of the batch's mean and of its biased variance.
    fn follow_statistics(
        #[extension_type] running: Statistics<Self>,
        #[extension_type] batch: Statistics<Self>,
        keep: f32,
        take: [f32; 2],
    ) -> Statistics<Self> {
        compose::follow_statistics(running, batch, keep, take)
    }

    /// `x * weight`, a convolution with square strides and zero padding.
    fn convolve(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        stride: usize,
        padding: usize,
    ) -> FloatTensor<Self> {
        compose::convolve::<Self>(x, weight, stride, padding)
    }

    /// The gradients of [`convolve`](CnnBackend::convolve) by `x` and by `weight`. Where `by_input` does
    /// not ask for the former, it is unspecified.
    fn convolve_backward(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        dy: FloatTensor<Self>,
        stride: usize,
        padding: usize,
        by_input: bool,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        let _ = by_input;
        compose::convolve_backward::<Self>(x, weight, dy, stride, padding)
    }

    /// `relu(normalise(relu(normalise(x * first)) * second) + x)`, both convolutions of 3 by 3 with
    /// stride 1 (He et al., 2015, arXiv:1512.03385).
    fn residual(
        x: FloatTensor<Self>,
        #[extension_type] first: ConvNorm<Self>,
        #[extension_type] second: ConvNorm<Self>,
    ) -> Residual<Self> {
        compose::residual(x, first, second)
    }

    /// The gradients of [`residual`](CnnBackend::residual).
    fn residual_backward(
        x: FloatTensor<Self>,
        #[extension_type] first: ConvNorm<Self>,
        #[extension_type] second: ConvNorm<Self>,
        #[extension_type] forward: Residual<Self>,
        dy: FloatTensor<Self>,
    ) -> ResidualGradients<Self> {
        compose::residual_backward(x, first, second, forward, dy)
    }

    /// As [`residual`](CnnBackend::residual) with `normalise(x * projection)`, a convolution of 1
    /// by 1, in place of `x` at the end. The first convolution and the projection have `stride`.
    fn projected_residual(
        x: FloatTensor<Self>,
        #[extension_type] first: ConvNorm<Self>,
        #[extension_type] second: ConvNorm<Self>,
        #[extension_type] projection: ConvNorm<Self>,
        stride: usize,
    ) -> ProjectedResidual<Self> {
        compose::projected_residual(x, first, second, projection, stride)
    }

    /// The gradients of [`projected_residual`](CnnBackend::projected_residual).
    #[allow(clippy::too_many_arguments)]
    fn projected_residual_backward(
        x: FloatTensor<Self>,
        #[extension_type] first: ConvNorm<Self>,
        #[extension_type] second: ConvNorm<Self>,
        #[extension_type] projection: ConvNorm<Self>,
        #[extension_type] forward: ProjectedResidual<Self>,
        dy: FloatTensor<Self>,
        stride: usize,
    ) -> ProjectedResidualGradients<Self> {
        compose::projected_residual_backward(x, [first, second, projection], forward, dy, stride)
    }

    /// `x * weight + bias`, a convolution with square strides and zero padding, and its positive
    /// part where `rectify` asks for it: a normalised convolution whose statistics are known.
    fn conv_bias(
        x: FloatTensor<Self>,
        #[extension_type] parameters: Affine<Self>,
        stride: usize,
        padding: usize,
        rectify: bool,
    ) -> FloatTensor<Self> {
        compose::conv_bias(x, parameters, stride, padding, rectify)
    }

    /// `relu(x * weight + bias + around)`, a convolution of 3 by 3: the end of a residual block
    /// whose statistics are known.
    fn conv_bias_add_relu(
        x: FloatTensor<Self>,
        #[extension_type] parameters: Affine<Self>,
        around: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        compose::conv_bias_add_relu(x, parameters, around)
    }

    /// `max_pool(relu(x * weight + bias))`: a convolution with stride 1 and no padding, and windows
    /// of `pool` by `pool` pixels without overlap.
    fn conv_relu_pool(
        x: FloatTensor<Self>,
        #[extension_type] parameters: Affine<Self>,
        pool: usize,
    ) -> Pooled<Self> {
        compose::conv_relu_pool(x, parameters, pool)
    }

    /// The gradients of [`conv_relu_pool`](CnnBackend::conv_relu_pool).
    fn conv_relu_pool_backward(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        #[extension_type] forward: Pooled<Self>,
        dy: FloatTensor<Self>,
        pool: usize,
    ) -> AffineGradients<Self> {
        compose::conv_relu_pool_backward(x, weight, forward, dy, pool)
    }

    /// The gradients of [`conv_relu_pool`](CnnBackend::conv_relu_pool) by its parameters alone, as
    /// a network's first layer needs them.
    fn conv_relu_pool_backward_parameters(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        #[extension_type] forward: Pooled<Self>,
        dy: FloatTensor<Self>,
        pool: usize,
    ) -> Affine<Self> {
        compose::conv_relu_pool_backward_parameters(x, weight, forward, dy, pool)
    }

    /// `x weight^T + bias` for `x` of `[batch, in_features]`, and its positive part where
    /// `rectify` asks for it.
    fn fully_connected(
        x: FloatTensor<Self>,
        #[extension_type] parameters: Affine<Self>,
        rectify: bool,
    ) -> FloatTensor<Self> {
        compose::linear(x, parameters, rectify)
    }

    /// The gradients of [`fully_connected`](CnnBackend::fully_connected), whose output was `y`.
    fn fully_connected_backward(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        y: FloatTensor<Self>,
        dy: FloatTensor<Self>,
        rectify: bool,
    ) -> AffineGradients<Self> {
        compose::linear_backward(x, weight, y, dy, rectify)
    }

    /// The mean over all pixels: `[batch, channels, height, width]` to `[batch, channels]`.
    fn global_avg_pool(x: FloatTensor<Self>) -> FloatTensor<Self> {
        compose::global_avg_pool::<Self>(x)
    }

    /// The gradient of [`global_avg_pool`](CnnBackend::global_avg_pool) for images of `height` by
    /// `width` pixels.
    fn global_avg_pool_backward(
        dy: FloatTensor<Self>,
        height: usize,
        width: usize,
    ) -> FloatTensor<Self> {
        compose::global_avg_pool_backward::<Self>(dy, height, width)
    }

    /// `gelu(normalise(a * second))` with `a = gelu(normalise(max_pool(x * first)))`: convolutions of
    /// 3 by 3 with stride 1, windows of 2 by 2 pixels, each normalisation by the batch's own
    /// statistics with `epsilon` (Jordan, 2024, arXiv:2404.00498).
    fn conv_group(
        x: FloatTensor<Self>,
        #[extension_type] first: ConvNorm<Self>,
        #[extension_type] second: ConvNorm<Self>,
        epsilon: f32,
    ) -> ConvGroup<Self> {
        compose::conv_group(x, first, second, epsilon)
    }

    /// The gradients of [`conv_group`](CnnBackend::conv_group). Where `by_input` does not ask for
    /// the gradient by the input, `x` of the result is unspecified.
    #[allow(clippy::too_many_arguments)]
    fn conv_group_backward(
        x: FloatTensor<Self>,
        #[extension_type] first: ConvNorm<Self>,
        #[extension_type] second: ConvNorm<Self>,
        #[extension_type] forward: ConvGroup<Self>,
        dy: FloatTensor<Self>,
        epsilon: f32,
        by_input: bool,
    ) -> ResidualGradients<Self> {
        let _ = by_input;
        compose::conv_group_backward(x, [first, second], forward, dy, epsilon)
    }

    /// `gelu(normalise(b * third) + a)`, where `a` is that of [`conv_group`](CnnBackend::conv_group)
    /// and `b` its result.
    fn residual_conv_group(
        x: FloatTensor<Self>,
        #[extension_type] first: ConvNorm<Self>,
        #[extension_type] second: ConvNorm<Self>,
        #[extension_type] third: ConvNorm<Self>,
        epsilon: f32,
    ) -> ResidualConvGroup<Self> {
        compose::residual_conv_group(x, [first, second, third], epsilon)
    }

    /// The gradients of [`residual_conv_group`](CnnBackend::residual_conv_group). Where `by_input`
    /// does not ask for the gradient by the input, `x` of the result is unspecified.
    #[allow(clippy::too_many_arguments)]
    fn residual_conv_group_backward(
        x: FloatTensor<Self>,
        #[extension_type] first: ConvNorm<Self>,
        #[extension_type] second: ConvNorm<Self>,
        #[extension_type] third: ConvNorm<Self>,
        #[extension_type] forward: ResidualConvGroup<Self>,
        dy: FloatTensor<Self>,
        epsilon: f32,
        by_input: bool,
    ) -> ResidualConvGroupGradients<Self> {
        let _ = by_input;
        let parameters = [first, second, third];
        compose::residual_conv_group_backward(x, parameters, forward, dy, epsilon)
    }

    /// `gelu(x * weight + bias)`, a convolution with stride 1 and zero padding. Only the bias has a
    /// gradient: this is the first layer of a network with fixed filters, or a convolution into
    /// which a normalisation was folded.
    fn conv_gelu(
        x: FloatTensor<Self>,
        #[extension_type] parameters: Affine<Self>,
        padding: usize,
    ) -> FloatTensor<Self> {
        compose::conv_gelu(x, parameters, padding)
    }

    /// The gradient of [`conv_gelu`](CnnBackend::conv_gelu) by its bias.
    fn conv_gelu_backward_bias(
        x: FloatTensor<Self>,
        #[extension_type] parameters: Affine<Self>,
        dy: FloatTensor<Self>,
        padding: usize,
    ) -> FloatTensor<Self> {
        compose::conv_gelu_backward_bias(x, parameters, dy, padding)
    }

    /// `gelu(max_pool(x * weight) + bias)`, a convolution of 3 by 3 and windows of 2 by 2 pixels: the
    /// beginning of a group whose statistics are known.
    fn conv_pool_gelu(
        x: FloatTensor<Self>,
        #[extension_type] parameters: Affine<Self>,
    ) -> FloatTensor<Self> {
        compose::conv_pool_gelu(x, parameters)
    }

    /// `gelu(x * weight + bias + around)`, a convolution of 3 by 3: the end of a group with a third
    /// convolution whose statistics are known.
    fn conv_add_gelu(
        x: FloatTensor<Self>,
        #[extension_type] parameters: Affine<Self>,
        around: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        compose::conv_add_gelu(x, parameters, around)
    }

    /// The maximum over all pixels: `[batch, channels, height, width]` to `[batch, channels]`. An
    /// image has at most 256 pixels.
    fn global_max_pool(x: FloatTensor<Self>) -> Pooled<Self> {
        compose::global_max_pool(x)
    }

    /// The gradient of [`global_max_pool`](CnnBackend::global_max_pool) for images of `height` by
    /// `width` pixels, whose maxima were at `indices`.
    fn global_max_pool_backward(
        dy: FloatTensor<Self>,
        indices: IntTensor<Self>,
        height: usize,
        width: usize,
    ) -> FloatTensor<Self> {
        compose::global_max_pool_backward::<Self>(dy, indices, height, width)
    }

    /// The mean cross-entropy of `logits`, `[batch, classes]`, against classes, `[batch]`. With a
    /// `smoothing` of `s` a target is `1 - s` for its class plus `s / classes` for every class
    /// (Szegedy et al., 2016).
    fn cross_entropy(
        logits: FloatTensor<Self>,
        targets: IntTensor<Self>,
        smoothing: f32,
    ) -> CrossEntropy<Self> {
        compose::cross_entropy(logits, targets, smoothing)
    }

    /// `gradient` times the one value of `factor`, the gradient of a loss by itself.
    fn scale_gradient(gradient: FloatTensor<Self>, factor: FloatTensor<Self>) -> FloatTensor<Self> {
        compose::scale_gradient::<Self>(gradient, factor)
    }

    /// One step of stochastic gradient descent. A velocity of zeros begins it.
    fn sgd_step(
        weight: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        velocity: FloatTensor<Self>,
        settings: SgdStep,
    ) -> Stepped<Self> {
        compose::sgd_step(weight, gradient, velocity, settings)
    }

    /// One step of AdamW (Loshchilov and Hutter, 2019, arXiv:1711.05101). Means of zeros begin it.
    fn adamw_step(
        weight: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        #[extension_type] means: Means<Self>,
        settings: AdamWStep,
    ) -> AdamWStepped<Self> {
        compose::adamw_step(weight, gradient, means, settings)
    }

    /// One step of Muon (Jordan, 2024, <https://kellerjordan.github.io/posts/muon>) of a filter, whose first axis has
    /// the rows of its matrix and whose others have the columns. A momentum of zeros begins it. The momentum `m` becomes
    /// `momentum * m + gradient`, and the weights `w` become
    /// `w * sqrt(rows) / |w| * (1 - lr * weight_decay) - lr * orthogonal(gradient + momentum * m)`,
    /// where `orthogonal` divides by the norm and then iterates as [`MuonStep::COEFFICIENTS`] says.
    fn muon_step(
        weight: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        momentum: FloatTensor<Self>,
        settings: MuonStep,
    ) -> Stepped<Self> {
        compose::muon_step(weight, gradient, momentum, settings)
    }

    /// `images` stored so, where the device has a choice: a GPU does, and everything else stores single precision.
    ///
    /// The operations of this contract take images as they are stored and store theirs alike. They compute in single
    /// precision, in which weights, statistics, what linear layers give, and gradients by parameters are. Gradients
    /// by images in half precision are stored larger than they are, 256 times the batch's size, so that small ones are
    /// not lost: of Burn's operations between them only such as are linear may stand, and none that casts.
    fn stored_as(images: FloatTensor<Self>, storage: Storage) -> FloatTensor<Self> {
        let _ = storage;
        images
    }

    /// The gradient of [`stored_as`](CnnBackend::stored_as) by images that were stored as `storage` says.
    fn stored_as_backward(dy: FloatTensor<Self>, storage: Storage) -> FloatTensor<Self> {
        let _ = storage;
        dy
    }

    /// What the `count` views from `first` on show, of images that the device holds. `views` are words as
    /// [`cpu_kernels::stored`] describes them.
    fn stored_batch(
        #[extension_type] stored: Stored<Self>,
        views: IntTensor<Self>,
        first: usize,
        count: usize,
    ) -> StoredBatch<Self> {
        compose::stored_batch::<Self>(stored, views, first, count)
    }
}
