//! The optimiser that a recipe asks for.

use burn::backend::Dispatch;
use burn::module::ParamGroup;
use burn::optim::{AdamWConfig, LearningRate, ModuleOptimizer, Optimizer};
use burn::tensor::{Device, Tensor};
use model::CnnBackend;
use model::backend::types;

use super::TrainError;
use crate::RecordState;
use crate::recipe::OptimizerSpec;

/// Biases, and the weights of normalisation: `bn1`, `bn2`, and the second layer of a `shortcut`.
const NORM_AND_BIAS: &str = r"(\.bias|\bbn\d+\.weight|\bshortcut\.1\.weight)$";

/// PyTorch's SGD or AdamW with the recipe's settings.
///
/// # Errors
/// [`TrainError::Optimizer`] where Burn refuses the group of what is spared from decay.
pub fn optimizer(spec: &OptimizerSpec) -> Result<ModuleOptimizer, TrainError> {
    let spared = || {
        ParamGroup::from_regex(NORM_AND_BIAS)
            .map_err(|error| TrainError::Optimizer(format!("{error:?}")))
    };
    Ok(match *spec {
        OptimizerSpec::Sgd {
            momentum,
            nesterov,
            weight_decay,
            decay_norm_and_bias,
            ..
        } => {
            let with_decay = |weight_decay: f64| Sgd {
                momentum: momentum as f32,
                nesterov,
                weight_decay: weight_decay as f32,
            };
            let optimizer = ModuleOptimizer::from(with_decay(weight_decay));
            if weight_decay > 0.0 && !decay_norm_and_bias {
                optimizer.with_group(spared()?, with_decay(0.0), None)
            } else {
                optimizer
            }
        }
        OptimizerSpec::AdamW {
            beta1,
            beta2,
            epsilon,
            weight_decay,
            decay_norm_and_bias,
            ..
        } => {
            let decayed = |decay: f64| {
                AdamWConfig::new()
                    .with_beta_1(beta1 as f32)
                    .with_beta_2(beta2 as f32)
                    .with_epsilon(epsilon as f32)
                    .with_weight_decay(decay as f32)
            };
            let optimizer = decayed(weight_decay).init();
            if weight_decay > 0.0 && !decay_norm_and_bias {
                optimizer.with_group(spared()?, decayed(0.0).build(), None)
            } else {
                optimizer
            }
        }
    })
}

/// PyTorch's SGD without dampening, a parameter's step as one operation of the backend.
#[derive(Debug, Clone)]
struct Sgd {
    momentum: f32,
    nesterov: bool,
    weight_decay: f32,
}

/// A parameter's velocity.
#[derive(RecordState, Clone)]
struct SgdState<const D: usize> {
    velocity: Tensor<D>,
}

impl Optimizer for Sgd {
    type State<const D: usize> = SgdState<D>;

    fn step<const D: usize>(
        &self,
        lr: LearningRate,
        tensor: Tensor<D>,
        grad: Tensor<D>,
        state: Option<SgdState<D>>,
    ) -> (Tensor<D>, Option<SgdState<D>>) {
        let velocity = state.map_or_else(|| grad.zeros_like(), |state| state.velocity);
        let stepped = <Dispatch as CnnBackend>::sgd_step(
            tensor.into_dispatch(),
            grad.into_dispatch(),
            velocity.into_dispatch(),
            types::SgdStep {
                lr: lr as f32,
                momentum: self.momentum,
                nesterov: self.nesterov,
                weight_decay: self.weight_decay,
            },
        );
        let velocity = Tensor::from_dispatch(stepped.velocity);
        (
            Tensor::from_dispatch(stepped.weight),
            Some(SgdState { velocity }),
        )
    }

    fn to_device<const D: usize>(state: SgdState<D>, device: &Device) -> SgdState<D> {
        SgdState {
            velocity: state.velocity.to_device(device),
        }
    }
}
