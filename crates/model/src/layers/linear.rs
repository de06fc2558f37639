//! Fully connected layers.

use burn::backend::Dispatch;
use burn::module::{Module, Param};
use burn::tensor::Tensor;

use crate::backend::CnnBackend;
use crate::backend::types::Affine;
use crate::random::WeightSource;

/// `x weight^T + bias`, the weights `[out_features, in_features]` as PyTorch stores them.
#[derive(Module, Debug)]
pub struct Linear {
    weight: Param<Tensor<2>>,
    bias: Param<Tensor<1>>,
}

impl Linear {
    /// Weights and biases uniform within `1 / sqrt(in_features)`, which is PyTorch's default.
    #[must_use]
    pub fn uniform(source: &mut WeightSource, in_features: usize, out_features: usize) -> Self {
        let bound = 1.0 / (in_features as f64).sqrt();
        Self {
            weight: source.uniform([out_features, in_features], bound),
            bias: source.uniform([out_features], bound),
        }
    }

    /// `[out_features, in_features]`.
    pub(crate) fn weight_shape(&self) -> [usize; 2] {
        self.weight.shape().dims()
    }

    /// Weights, `[out_features, in_features]`, and biases.
    pub(crate) fn parameters(&self) -> (Tensor<2>, Tensor<1>) {
        (self.weight.val(), self.bias.val())
    }

    /// `[batch, in_features]` to `[batch, out_features]`.
    #[must_use]
    pub fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        self.compute(x, false)
    }

    /// The positive part of [`Linear::forward`].
    #[must_use]
    pub fn forward_relu(&self, x: Tensor<2>) -> Tensor<2> {
        self.compute(x, true)
    }

    fn compute(&self, x: Tensor<2>, rectify: bool) -> Tensor<2> {
        let parameters = Affine {
            weight: self.weight.val().into_dispatch(),
            bias: self.bias.val().into_dispatch(),
        };
        let y = <Dispatch as CnnBackend>::fully_connected(x.into_dispatch(), parameters, rectify);
        Tensor::from_dispatch(y)
    }
}
