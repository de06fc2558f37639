//! The layers that networks are made of, on the operations of [`CnnBackend`].
//!
//! Fields carry the names that PyTorch's layers give their parameters, so that a saved network
//! loads there by name.

mod batch_norm;
mod conv;
mod conv_group;
mod linear;
mod preact;
mod residual;
mod whitening;

use burn::backend::Dispatch;
use burn::tensor::module::max_pool2d;
use burn::tensor::ops::MaxPoolOptions;
use burn::tensor::{Int, Tensor};

use crate::backend::CnnBackend;
use crate::backend::types::Storage;

pub use batch_norm::{BatchNorm, FoldedNorm};
pub use conv::{Conv2d, ConvBias2d, FoldedConv};
pub use conv_group::{ConvGroup, FoldedGroup};
pub use linear::Linear;
pub use preact::{FoldedPreactBlock, PreactBlock};
pub use residual::{BasicBlock, FoldedBlock};
pub use whitening::Whitening;

/// Images, `[batch, channels, height, width]`, in half precision on a GPU, and as they are elsewhere; see
/// [`CnnBackend::stored_as`].
#[must_use]
pub fn in_half_precision(images: Tensor<4>) -> Tensor<4> {
    let images = images.into_dispatch();
    Tensor::from_dispatch(<Dispatch as CnnBackend>::stored_as(images, Storage::Half))
}

/// Images of any precision in single precision, as [`in_half_precision`].
#[must_use]
pub fn in_single_precision(images: Tensor<4>) -> Tensor<4> {
    let images = images.into_dispatch();
    Tensor::from_dispatch(<Dispatch as CnnBackend>::stored_as(images, Storage::Single))
}

/// The mean over all pixels: `[batch, channels, height, width]` to `[batch, channels]`.
#[must_use]
pub fn global_avg_pool(x: Tensor<4>) -> Tensor<2> {
    Tensor::from_dispatch(<Dispatch as CnnBackend>::global_avg_pool(x.into_dispatch()))
}

/// The maximum over all pixels, at most 256: `[batch, channels, height, width]` to
/// `[batch, channels]`.
#[must_use]
pub fn global_max_pool(x: Tensor<4>) -> Tensor<2> {
    Tensor::from_dispatch(<Dispatch as CnnBackend>::global_max_pool(x.into_dispatch()).y)
}

/// The maxima of windows of `size` by `size` pixels that do not overlap: `[batch, channels, height, width]`
/// to `[batch, channels, height / size, width / size]`. Burn's own operation.
#[must_use]
pub fn max_pool(x: Tensor<4>, size: usize) -> Tensor<4> {
    max_pool2d(x, MaxPoolOptions::new([size; 2]))
}

/// The mean cross-entropy, `[1]`, of logits of `[batch, classes]` against classes, `[batch]`. With a
/// `smoothing` of `s` a target is `1 - s` for its class plus `s / classes` for every class (Szegedy
/// et al., 2016).
#[must_use]
pub fn cross_entropy(logits: Tensor<2>, targets: Tensor<1, Int>, smoothing: f32) -> Tensor<1> {
    let (logits, targets) = (logits.into_dispatch(), targets.into_dispatch());
    let forward = <Dispatch as CnnBackend>::cross_entropy(logits, targets, smoothing);
    Tensor::from_dispatch(forward.loss)
}
