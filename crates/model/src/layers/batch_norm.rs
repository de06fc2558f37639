//! Batch normalisation with PyTorch's running statistics.

use burn::backend::Dispatch;
use burn::module::{Module, ModuleMapper, Param, RunningState};
use burn::tensor::Tensor;
use burn::tensor::activation::relu;

use crate::backend::types::{Affine, ConvNorm, Convolved, Statistics};
use crate::backend::{CnnBackend, EPSILON};
use crate::random::WeightSource;

/// The weight of a new batch in the running statistics, as in PyTorch.
const MOMENTUM: f64 = 0.1;

/// Batch normalisation (Ioffe and Szegedy, 2015). The running variance is the unbiased one, as in
/// PyTorch, where Burn's own layer takes the biased one: an exported network agrees.
///
/// Where it stands after a convolution it is computed together with it; see
/// [`CnnBackend`].
#[derive(Module, Debug)]
pub struct BatchNorm {
    weight: Param<Tensor<1>>,
    bias: Param<Tensor<1>>,
    running_mean: RunningState<Tensor<1>>,
    running_var: RunningState<Tensor<1>>,
    /// The weight of a batch in the running statistics.
    momentum: f64,
    /// What is added to a variance before its root is taken.
    epsilon: f32,
}

impl BatchNorm {
    /// Weights of 1, biases of 0, running means of 0 and variances of 1.
    #[must_use]
    pub fn new(source: &mut WeightSource, channels: usize) -> Self {
        Self {
            weight: source.constant([channels], 1.0),
            bias: source.constant([channels], 0.0),
            running_mean: source.statistic([channels], 0.0),
            running_var: source.statistic([channels], 1.0),
            momentum: MOMENTUM,
            epsilon: EPSILON,
        }
    }

    /// As [`BatchNorm::new`] with weights that stay 1, a batch's weight in the running statistics of
    /// `momentum`, and `epsilon` added to variances.
    #[must_use]
    pub fn shift_only(
        source: &mut WeightSource,
        channels: usize,
        momentum: f64,
        epsilon: f32,
    ) -> Self {
        let norm = Self::new(source, channels);
        Self {
            weight: norm.weight.set_require_grad(false),
            momentum,
            epsilon,
            ..norm
        }
    }

    /// The parameters of a convolution with weights `weight` and of this normalisation after it.
    pub(super) fn with_convolution(&self, weight: &Param<Tensor<4>>) -> ConvNorm<Dispatch> {
        ConvNorm {
            weight: weight.val().into_dispatch(),
            gamma: self.weight.val().into_dispatch(),
            beta: self.bias.val().into_dispatch(),
        }
    }

    /// `relu(normalise(x))`, `[batch, channels, height, width]`, by the batch's own statistics with the
    /// usual epsilon; the running ones follow.
    #[must_use]
    pub fn forward_relu(&self, x: Tensor<4>) -> Tensor<4> {
        let parameters = Affine {
            weight: self.weight.val().into_dispatch(),
            bias: self.bias.val().into_dispatch(),
        };
        let forward = <Dispatch as CnnBackend>::norm_relu(x.into_dispatch(), parameters);
        self.follow(forward.convolved);
        Tensor::from_dispatch(forward.y)
    }

    /// The normalisation by the running statistics.
    #[must_use]
    pub fn scale_and_shift(&self) -> FoldedNorm {
        let scale = self.weight.val() / self.running_var.value().add_scalar(self.epsilon).sqrt();
        let shift = self.bias.val() - self.running_mean.value() * scale.clone();
        FoldedNorm { scale, shift }
    }

    /// Weights and biases of a convolution with weights `weight` and this normalisation after it, by
    /// the running statistics.
    pub(super) fn folded(&self, weight: &Param<Tensor<4>>) -> (Tensor<4>, Tensor<1>) {
        let FoldedNorm { scale, shift } = self.scale_and_shift();
        let [channels] = scale.dims();
        (weight.val() * scale.reshape([channels, 1, 1, 1]), shift)
    }

    /// Moves the running statistics towards those of a batch.
    pub(super) fn follow(&self, batch: Convolved<Dispatch>) {
        let [images, _, height, width] = Tensor::<4>::from_dispatch(batch.output).dims();
        let count = (images * height * width) as f64;
        // One value a channel has no unbiased variance; PyTorch refuses it, here it counts as is.
        let unbiased = count / (count - 1.0).max(1.0);
        let running = Statistics {
            mean: self.running_mean.value_sync().into_dispatch(),
            variance: self.running_var.value_sync().into_dispatch(),
        };
        let batch = Statistics {
            mean: batch.mean,
            variance: batch.variance,
        };
        let keep = (1.0 - self.momentum) as f32;
        let take = [self.momentum as f32, (unbiased * self.momentum) as f32];
        let new = <Dispatch as CnnBackend>::follow_statistics(running, batch, keep, take);
        replace(&self.running_mean, Tensor::from_dispatch(new.mean));
        replace(&self.running_var, Tensor::from_dispatch(new.variance));
    }
}

/// A normalisation by its running statistics: `x * scale + shift` for each channel.
#[derive(Debug, Clone)]
pub struct FoldedNorm {
    scale: Tensor<1>,
    shift: Tensor<1>,
}

impl FoldedNorm {
    /// Scales and shifts, each `[1, channels, 1, 1]`.
    pub(crate) fn parameters(&self) -> [Tensor<4>; 2] {
        let [channels] = self.scale.dims();
        [&self.scale, &self.shift].map(|values| values.clone().reshape([1, channels, 1, 1]))
    }

    /// The positive part of `x * scale + shift`, `[batch, channels, height, width]`.
    #[must_use]
    pub fn forward_relu(&self, x: Tensor<4>) -> Tensor<4> {
        let [scale, shift] = self.parameters();
        relu(x * scale + shift)
    }
}

/// Gives a running statistic a new value.
fn replace(running: &RunningState<Tensor<1>>, value: Tensor<1>) {
    struct Value(Tensor<1>);

    impl ModuleMapper for Value {
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            let value = self.0.clone().into_dispatch();
            Param::initialized(param.id, Tensor::from_dispatch(value))
        }
    }

    // Copies share their value. An update by `RunningState::update` waits for other threads, and
    // divides by their number, which costs a kernel of its own.
    let _ = running.clone().map(&mut Value(value));
}
