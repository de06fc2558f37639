//! The optimiser that a recipe asks for.

use burn::backend::Dispatch;
use burn::module::ParamGroup;
use burn::optim::{LearningRate, ModuleOptimizer, Optimizer};
use burn::tensor::{Device, Tensor};
use model::backend::types;
use model::{CnnBackend, Network};

use super::held::Held;
use super::muon::Muon;
use super::roles::group_of;
use crate::RecordState;
use crate::recipe::{GroupSpec, OptimizerSpec, Role};

/// PyTorch's SGD or AdamW with the recipe's settings for the parameters of `network`, and for those of
/// each group what the group says.
#[must_use]
pub fn optimizer(spec: &OptimizerSpec, groups: &[GroupSpec], network: &Network) -> ModuleOptimizer {
    let optimizer = match of(spec) {
        Algorithm::Sgd(sgd) => ModuleOptimizer::from(sgd),
        Algorithm::AdamW(adamw) => ModuleOptimizer::from(adamw),
        Algorithm::Muon(muon) => ModuleOptimizer::from(muon),
    };
    let spared = [Role::Biases, Role::Normalisation, Role::Whitening];
    let optimizer = match without_decay(spec) {
        Some(spec) => with_group(optimizer, group_of(network, &spared), &spec),
        None => optimizer,
    };
    groups.iter().fold(optimizer, |optimizer, group| {
        with_group(
            optimizer,
            group_of(network, &[group.role]),
            &group.optimizer,
        )
    })
}

/// An optimiser of one parameter.
enum Algorithm {
    Sgd(Sgd),
    AdamW(AdamW),
    Muon(Muon),
}

fn of(spec: &OptimizerSpec) -> Algorithm {
    match *spec {
        OptimizerSpec::Sgd {
            momentum,
            nesterov,
            weight_decay,
            ..
        } => Algorithm::Sgd(Sgd {
            momentum: momentum as f32,
            nesterov,
            weight_decay: weight_decay as f32,
        }),
        OptimizerSpec::AdamW {
            beta1,
            beta2,
            epsilon,
            weight_decay,
            ..
        } => Algorithm::AdamW(AdamW {
            beta1: beta1 as f32,
            beta2: beta2 as f32,
            epsilon: epsilon as f32,
            weight_decay: weight_decay as f32,
        }),
        OptimizerSpec::Muon {
            lr: _,
            momentum,
            nesterov,
            weight_decay,
            newton_schulz_steps,
            rescale,
        } => Algorithm::Muon(Muon {
            momentum,
            nesterov,
            weight_decay,
            newton_schulz_steps,
            rescale,
        }),
    }
}

fn with_group(
    optimizer: ModuleOptimizer,
    group: ParamGroup,
    spec: &OptimizerSpec,
) -> ModuleOptimizer {
    match of(spec) {
        Algorithm::Sgd(sgd) => optimizer.with_group(group, sgd, None),
        Algorithm::AdamW(adamw) => optimizer.with_group(group, adamw, None),
        Algorithm::Muon(muon) => optimizer.with_group(group, muon, None),
    }
}

/// The optimiser for what the decay spares, if it spares anything.
fn without_decay(spec: &OptimizerSpec) -> Option<OptimizerSpec> {
    let mut spared = *spec;
    match &mut spared {
        OptimizerSpec::Sgd {
            weight_decay,
            decay_norm_and_bias: false,
            ..
        }
        | OptimizerSpec::AdamW {
            weight_decay,
            decay_norm_and_bias: false,
            ..
        } if *weight_decay > 0.0 => *weight_decay = 0.0,
        _ => return None,
    }
    Some(spared)
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
    velocity: Held<D>,
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
        let velocity = state.map_or_else(|| grad.zeros_like(), |state| state.velocity.0);
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
        let velocity = Held(Tensor::from_dispatch(stepped.velocity));
        (
            Tensor::from_dispatch(stepped.weight),
            Some(SgdState { velocity }),
        )
    }

    fn to_device<const D: usize>(state: SgdState<D>, device: &Device) -> SgdState<D> {
        SgdState {
            velocity: Held(state.velocity.0.to_device(device)),
        }
    }
}

/// PyTorch's AdamW, a parameter's step as one operation of the backend.
#[derive(Debug, Clone)]
struct AdamW {
    beta1: f32,
    beta2: f32,
    epsilon: f32,
    weight_decay: f32,
}

/// A parameter's means of gradients and of their squares, and its steps.
#[derive(RecordState, Clone)]
struct AdamWState<const D: usize> {
    first: Held<D>,
    second: Held<D>,
    time: usize,
}

impl Optimizer for AdamW {
    type State<const D: usize> = AdamWState<D>;

    fn step<const D: usize>(
        &self,
        lr: LearningRate,
        tensor: Tensor<D>,
        grad: Tensor<D>,
        state: Option<AdamWState<D>>,
    ) -> (Tensor<D>, Option<AdamWState<D>>) {
        let AdamWState {
            first,
            second,
            time,
        } = state.unwrap_or_else(|| AdamWState {
            first: Held(grad.zeros_like()),
            second: Held(grad.zeros_like()),
            time: 0,
        });
        let time = time + 1;
        let step = types::AdamWStep {
            lr: lr as f32,
            beta1: self.beta1,
            beta2: self.beta2,
            epsilon: self.epsilon,
            weight_decay: self.weight_decay,
            shares: types::AdamWStep::shares([self.beta1, self.beta2], time),
        };
        let stepped = <Dispatch as CnnBackend>::adamw_step(
            tensor.into_dispatch(),
            grad.into_dispatch(),
            types::Means {
                first: first.0.into_dispatch(),
                second: second.0.into_dispatch(),
            },
            step,
        );
        let state = AdamWState {
            first: Held(Tensor::from_dispatch(stepped.means.first)),
            second: Held(Tensor::from_dispatch(stepped.means.second)),
            time,
        };
        (Tensor::from_dispatch(stepped.weight), Some(state))
    }

    fn to_device<const D: usize>(state: AdamWState<D>, device: &Device) -> AdamWState<D> {
        AdamWState {
            first: Held(state.first.0.to_device(device)),
            second: Held(state.second.0.to_device(device)),
            time: state.time,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// Loshchilov and Hutter, 2019, arXiv:1711.05101, algorithm 2, with PyTorch's decay by the rate.
    #[test]
    fn adamw_takes_the_steps_of_its_paper() {
        let spec = OptimizerSpec::AdamW {
            lr: 0.01,
            beta1: 0.8,
            beta2: 0.95,
            epsilon: 1e-3,
            weight_decay: 0.1,
            decay_norm_and_bias: true,
        };
        let Algorithm::AdamW(adamw) = of(&spec) else {
            unreachable!("AdamW is asked for");
        };
        #[allow(deprecated)]
        let device = Device::ndarray();
        let start = [0.5_f64, -2.0, 0.001];
        let mut weight = Tensor::<1>::from_data(start.map(|w| w as f32), &device);
        let (mut expected, mut first, mut second) = (start, [0.0; 3], [0.0; 3]);
        let mut state = None;
        for step in 1..=20 {
            let gradients = [0.3, -0.01 * f64::from(step), 2.0 / f64::from(step)];
            let gradient = Tensor::from_data(gradients.map(|g| g as f32), &device);
            (weight, state) = adamw.step(0.01, weight, gradient, state);
            for (place, gradient) in gradients.into_iter().enumerate() {
                first[place] = 0.8 * first[place] + 0.2 * gradient;
                second[place] = 0.95 * second[place] + 0.05 * gradient * gradient;
                let mean = first[place] / (1.0 - 0.8_f64.powi(step));
                let square = second[place] / (1.0 - 0.95_f64.powi(step));
                let w = expected[place] * (1.0 - 0.01 * 0.1);
                expected[place] = w - 0.01 * mean / (square.sqrt() + 1e-3);
            }
        }
        let found: Vec<f32> = weight.into_data().try_to_vec().unwrap();
        for (found, expected) in found.into_iter().zip(expected) {
            assert!(
                (f64::from(found) - expected).abs() < 1e-6,
                "{found} {expected}"
            );
        }
    }
}
