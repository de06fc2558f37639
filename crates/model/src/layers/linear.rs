//! Fully connected layers.

use burn::backend::Dispatch;
use burn::module::{Module, Param};
use burn::tensor::Tensor;

use crate::backend::CnnBackend;
use crate::backend::types::Affine;
use crate::random::WeightSource;

/// `x weight^T + bias`, or without a bias, the weights `[out_features, in_features]` as PyTorch stores them.
#[derive(Module, Debug)]
pub struct Linear {
    weight: Param<Tensor<2>>,
    bias: Option<Param<Tensor<1>>>,
}

impl Linear {
    /// Weights and biases uniform within `1 / sqrt(in_features)`, which is PyTorch's default.
    #[must_use]
    pub fn uniform(source: &mut WeightSource, in_features: usize, out_features: usize) -> Self {
        let bound = 1.0 / (in_features as f64).sqrt();
        Self {
            weight: source.uniform([out_features, in_features], bound),
            bias: Some(source.uniform([out_features], bound)),
        }
    }

    /// As [`Linear::uniform`], without a bias.
    #[must_use]
    pub fn uniform_without_bias(
        source: &mut WeightSource,
        in_features: usize,
        out_features: usize,
    ) -> Self {
        let bound = 1.0 / (in_features as f64).sqrt();
        Self {
            weight: source.uniform([out_features, in_features], bound),
            bias: None,
        }
    }

    /// As [`Linear::uniform_without_bias`], with weights that are scaled to deviation 1.
    #[must_use]
    pub fn standard_without_bias(
        source: &mut WeightSource,
        in_features: usize,
        out_features: usize,
    ) -> Self {
        Self {
            weight: source.standard_uniform([out_features, in_features]),
            bias: None,
        }
    }

    /// `[out_features, in_features]`.
    pub(crate) fn weight_shape(&self) -> [usize; 2] {
        self.weight.shape().dims()
    }

    /// Weights, `[out_features, in_features]`, and biases, which are 0 where there are none.
    pub(crate) fn parameters(&self) -> (Tensor<2>, Tensor<1>) {
        let weight = self.weight.val();
        let bias = match &self.bias {
            Some(bias) => bias.val(),
            None => Tensor::zeros([weight.dims()[0]], &weight.device()),
        };
        (weight, bias)
    }

    /// The layer whose outputs are divided by `divisor`.
    #[must_use]
    pub(crate) fn divided_by(self, divisor: f64) -> Self {
        Self {
            weight: self.weight.map(|weight| weight.div_scalar(divisor)),
            bias: (self.bias).map(|bias| bias.map(|bias| bias.div_scalar(divisor))),
        }
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
        let (weight, bias) = self.parameters();
        let parameters = Affine {
            weight: weight.into_dispatch(),
            bias: bias.into_dispatch(),
        };
        let y = <Dispatch as CnnBackend>::fully_connected(x.into_dispatch(), parameters, rectify);
        Tensor::from_dispatch(y)
    }
}
