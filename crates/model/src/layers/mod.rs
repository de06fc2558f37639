//! The layers that networks are made of, on the operations of [`CnnBackend`].
//!
//! Fields carry the names that PyTorch's layers give their parameters, so that a saved network
//! loads there by name.

mod batch_norm;
mod conv;
mod linear;

use burn::backend::Dispatch;
use burn::tensor::Tensor;

use crate::backend::CnnBackend;

pub use batch_norm::BatchNorm;
pub use conv::{Conv2d, ConvBias2d};
pub use linear::Linear;

/// The largest value of each window of `kernel` by `kernel` pixels, without overlap:
/// `[batch, channels, height, width]` to `[batch, channels, height / kernel, width / kernel]`.
#[must_use]
pub fn max_pool2d(x: Tensor<4>, kernel: usize) -> Tensor<4> {
    let (y, _indices) = <Dispatch as CnnBackend>::max_pool(x.into_dispatch(), kernel);
    Tensor::from_dispatch(y)
}

/// The mean over all pixels: `[batch, channels, height, width]` to `[batch, channels]`.
#[must_use]
pub fn global_avg_pool(x: Tensor<4>) -> Tensor<2> {
    let [batch, channels, height, width] = x.dims();
    x.reshape([batch, channels, height * width])
        .mean_dim(2)
        .reshape([batch, channels])
}
