//! The optimiser that a recipe asks for.

use burn::module::ParamGroup;
use burn::optim::decay::WeightDecayConfig;
use burn::optim::momentum::MomentumConfig;
use burn::optim::{AdamWConfig, ModuleOptimizer, SgdConfig};

use super::TrainError;
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
            let plain = sgd(momentum, nesterov);
            let decay = (weight_decay > 0.0).then(|| WeightDecayConfig::new(weight_decay as f32));
            let spares = decay.is_some() && !decay_norm_and_bias;
            let optimizer = plain.clone().with_weight_decay(decay).init();
            if spares {
                optimizer.with_group(spared()?, plain.build(), None)
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

/// SGD without decay. Burn dampens by 0.1 unless told otherwise; PyTorch does not.
fn sgd(momentum: f64, nesterov: bool) -> SgdConfig {
    let momentum = (momentum > 0.0).then(|| {
        MomentumConfig::new()
            .with_momentum(momentum)
            .with_dampening(0.0)
            .with_nesterov(nesterov)
    });
    SgdConfig::new().with_momentum(momentum)
}
