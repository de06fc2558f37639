//! Muon: momentum whose direction is made orthogonal (Jordan, 2024,
//! <https://kellerjordan.github.io/posts/muon>).

use burn::backend::Dispatch;
use burn::optim::{LearningRate, Optimizer};
use burn::tensor::{Device, Tensor};
use model::CnnBackend;
use model::backend::types::MuonStep;

use super::held::Held;
use crate::RecordState;

/// Muon for filters, each layer's as a matrix of `out_channels` rows.
#[derive(Debug, Clone)]
pub struct Muon {
    /// How much of the momentum stays.
    pub momentum: f64,
    /// Whether the step looks ahead by one more momentum (Nesterov).
    pub nesterov: bool,
    /// The weights shrink by this times the learning rate.
    pub weight_decay: f64,
    /// Iterations of Newton and Schulz.
    pub newton_schulz_steps: usize,
    /// Whether the weights first get the norm `sqrt(out_channels)`.
    pub rescale: bool,
}

/// A layer's momentum.
#[derive(RecordState, Clone)]
pub struct MuonState<const D: usize> {
    momentum: Held<D>,
}

impl Optimizer for Muon {
    type State<const D: usize> = MuonState<D>;

    fn step<const D: usize>(
        &self,
        lr: LearningRate,
        weight: Tensor<D>,
        gradient: Tensor<D>,
        state: Option<MuonState<D>>,
    ) -> (Tensor<D>, Option<MuonState<D>>) {
        // A number plus minus zero is that number to its last bit, zeros of either sign too.
        let momentum = state.map_or_else(|| gradient.full_like(-0.0), |state| state.momentum.0);
        let stepped = <Dispatch as CnnBackend>::muon_step(
            weight.into_dispatch(),
            gradient.into_dispatch(),
            momentum.into_dispatch(),
            MuonStep {
                lr,
                momentum: self.momentum,
                nesterov: self.nesterov,
                weight_decay: self.weight_decay,
                newton_schulz_steps: self.newton_schulz_steps,
                rescale: self.rescale,
            },
        );
        let momentum = Held(Tensor::from_dispatch(stepped.velocity));
        (
            Tensor::from_dispatch(stepped.weight),
            Some(MuonState { momentum }),
        )
    }

    fn to_device<const D: usize>(state: MuonState<D>, device: &Device) -> MuonState<D> {
        MuonState {
            momentum: Held(state.momentum.0.to_device(device)),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use burn::tensor::TensorData;

    use super::*;

    fn device() -> Device {
        #[allow(deprecated)]
        Device::ndarray()
    }

    fn matrix(rows: usize, columns: usize) -> Tensor<2> {
        let values: Vec<f32> = (0..rows * columns)
            .map(|index| ((index * 7919 + 13) % 101) as f32 / 50.0 - 1.0)
            .collect();
        Tensor::from_data(TensorData::new(values, [rows, columns]), &device())
    }

    fn values(tensor: Tensor<2>) -> Vec<f32> {
        tensor.into_data().try_to_vec().unwrap()
    }

    fn norm(matrix: Tensor<2>) -> Tensor<2> {
        matrix.square().sum().sqrt().reshape([1, 1])
    }

    /// What a step takes of weights of zeros at a rate of -1: the direction made orthogonal.
    fn orthogonal(matrix: Tensor<2>, newton_schulz_steps: usize) -> Tensor<2> {
        let muon = Muon {
            momentum: 0.0,
            nesterov: false,
            weight_decay: 0.0,
            newton_schulz_steps,
            rescale: false,
        };
        muon.step(-1.0, matrix.zeros_like(), matrix, None).0
    }

    /// A polynomial of a matrix acts on its singular values alone: for a diagonal one they are plain.
    #[test]
    fn an_iteration_is_its_polynomial_on_each_singular_value() {
        let diagonal = [[0.6_f32, 0.0, 0.0], [0.0, 0.8, 0.0]];
        let found = values(orthogonal(Tensor::from_data(diagonal, &device()), 3));
        let expected = [0.6_f64, 0.8].map(|start| {
            (0..3).fold(start, |s, _| {
                3.4445 * s - 4.7750 * s.powi(3) + 2.0315 * s.powi(5)
            })
        });
        assert!((f64::from(found[0]) - expected[0]).abs() < 1e-5);
        assert!((f64::from(found[4]) - expected[1]).abs() < 1e-5);
        assert!(found[1].abs() < 1e-6);
    }

    #[test]
    fn rows_become_nearly_orthonormal_whichever_side_is_longer() {
        for (rows, columns) in [(4, 36), (36, 4)] {
            let x = orthogonal(matrix(rows, columns), 10);
            let x = if rows > columns { x.transpose() } else { x };
            let product = values(x.clone().matmul(x.transpose()));
            for (index, value) in product.iter().enumerate() {
                let expected = if index % 5 == 0 { 1.0 } else { 0.0 };
                assert!((value - expected).abs() < 0.4, "{index}: {value}");
            }
        }
    }

    /// Without a step before, a momentum has the bits of its gradient.
    #[test]
    fn the_first_momentum_is_the_gradient() {
        let gradient = [[0.0_f32, -0.0, 0.3], [-1e-40, 7.0, -2.0]];
        let muon = Muon {
            momentum: 0.6,
            nesterov: true,
            weight_decay: 0.0,
            newton_schulz_steps: 1,
            rescale: true,
        };
        let bits = |values: &[f32]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        let tensor = Tensor::<2>::from_data(gradient, &device());
        let (_, state) = muon.step(0.1, matrix(2, 3), tensor, None);
        let momentum = values(state.unwrap().momentum.0);
        assert_eq!(bits(&momentum), bits(gradient.as_flattened()));
    }

    #[test]
    fn a_step_rescales_the_weights_and_moves_them_by_the_rate_and_a_rate_of_zero_leaves_them() {
        let muon = Muon {
            momentum: 0.6,
            nesterov: true,
            weight_decay: 0.5,
            newton_schulz_steps: 3,
            rescale: true,
        };
        let (weight, gradient) = (matrix(4, 9), matrix(4, 9).mul_scalar(3.0).add_scalar(0.1));
        let (once, state) = muon.step(0.25, weight.clone(), gradient.clone(), None);
        let (twice, _) = muon.step(0.25, once.clone(), gradient.clone(), state.clone());
        // The formula, by hand.
        let rescaled = |w: Tensor<2>| w.clone().mul_scalar(2.0) / norm(w);
        let first = rescaled(weight.clone()).mul_scalar(0.875)
            - orthogonal(gradient.clone().mul_scalar(1.6), 3).mul_scalar(0.25);
        let second = rescaled(first.clone()).mul_scalar(0.875)
            - orthogonal(gradient.clone().mul_scalar(1.0 + 0.6 * 1.6), 3).mul_scalar(0.25);
        for (found, expected) in [(once, first), (twice, second)] {
            let difference = values((found - expected).abs());
            assert!(difference.iter().all(|value| *value < 1e-5));
        }
        let (still, _) = muon.step(0.0, weight.clone(), gradient, state);
        assert_eq!(values(still), values(weight));
    }
}
