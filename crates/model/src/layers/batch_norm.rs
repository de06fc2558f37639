//! Batch normalisation with PyTorch's running statistics.

use burn::backend::Dispatch;
use burn::module::{Module, Param, RunningState};
use burn::tensor::Tensor;

use crate::backend::CnnBackend;
use crate::random::WeightSource;

/// What is added to a variance before its root is taken, as in PyTorch.
const EPSILON: f32 = 1e-5;
/// The weight of a new batch in the running statistics, as in PyTorch.
const MOMENTUM: f64 = 0.1;

/// Batch normalisation (Ioffe and Szegedy, 2015). The running variance is the unbiased one, as in
/// PyTorch, where Burn's own layer takes the biased one: an exported network agrees.
#[derive(Module, Debug)]
pub struct BatchNorm {
    weight: Param<Tensor<1>>,
    bias: Param<Tensor<1>>,
    running_mean: RunningState<Tensor<1>>,
    running_var: RunningState<Tensor<1>>,
}

impl BatchNorm {
    /// Weights of 1, biases of 0, running means of 0 and variances of 1.
    #[must_use]
    pub fn new(source: &mut WeightSource, channels: usize) -> Self {
        Self {
            weight: source.constant([channels], 1.0),
            bias: source.constant([channels], 0.0),
            running_mean: RunningState::new(source.buffer([channels], 0.0)),
            running_var: RunningState::new(source.buffer([channels], 1.0)),
        }
    }

    /// `[batch, channels, height, width]` to the same shape. On an autodiff device the batch's own
    /// statistics normalise, and the running ones follow; elsewhere the running ones normalise.
    #[must_use]
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        if x.device().is_autodiff() {
            self.forward_train(x)
        } else {
            self.forward_infer(x)
        }
    }

    fn forward_train(&self, x: Tensor<4>) -> Tensor<4> {
        let [batch, _, height, width] = x.dims();
        let (y, mean, variance) = <Dispatch as CnnBackend>::normalize_batch(
            x.into_dispatch(),
            self.weight.val().into_dispatch(),
            self.bias.val().into_dispatch(),
            EPSILON,
        );
        let count = (batch * height * width) as f64;
        // One value a channel has no unbiased variance; PyTorch refuses it, here it counts as is.
        let unbiased = count / (count - 1.0).max(1.0);
        follow(&self.running_mean, Tensor::from_dispatch(mean));
        follow(
            &self.running_var,
            Tensor::<1>::from_dispatch(variance).mul_scalar(unbiased),
        );
        Tensor::from_dispatch(y)
    }

    fn forward_infer(&self, x: Tensor<4>) -> Tensor<4> {
        let channels = self.weight.val().dims()[0];
        let scale = self.weight.val() / self.running_var.value().add_scalar(EPSILON).sqrt();
        let shift = self.bias.val() - self.running_mean.value() * scale.clone();
        let wide = |t: Tensor<1>| t.reshape([1, channels, 1, 1]);
        x * wide(scale) + wide(shift)
    }
}

/// Moves a running statistic towards the batch's.
fn follow(running: &RunningState<Tensor<1>>, batch: Tensor<1>) {
    let kept = running.value_sync().mul_scalar(1.0 - MOMENTUM);
    running.update((kept + batch.detach().mul_scalar(MOMENTUM)).detach());
}
