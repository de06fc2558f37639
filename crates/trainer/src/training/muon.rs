//! Muon: momentum whose direction is made orthogonal (Jordan, 2024,
//! <https://kellerjordan.github.io/posts/muon>).

use burn::optim::{LearningRate, Optimizer};
use burn::tensor::{Device, Tensor};

use super::held::Held;
use crate::RecordState;

/// The coefficients of Newton and Schulz's iteration that make every singular value near 1 soonest.
const COEFFICIENTS: [f64; 3] = [3.4445, -4.7750, 2.0315];

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

    /// With `b = momentum * b + gradient`, the weights `w` become
    /// `w * sqrt(out_channels) / |w| * (1 - lr * weight_decay) - lr * orthogonal(gradient + momentum * b)`.
    fn step<const D: usize>(
        &self,
        lr: LearningRate,
        weight: Tensor<D>,
        gradient: Tensor<D>,
        state: Option<MuonState<D>>,
    ) -> (Tensor<D>, Option<MuonState<D>>) {
        let momentum = match state {
            Some(state) => state.momentum.0.mul_scalar(self.momentum) + gradient.clone(),
            None => gradient.clone(),
        };
        // A rate of 0 says that the weights are trained no more, and rescaling would move them.
        if lr == 0.0 {
            let momentum = Held(momentum);
            return (weight, Some(MuonState { momentum }));
        }
        let direction = if self.nesterov {
            gradient + momentum.clone().mul_scalar(self.momentum)
        } else {
            momentum.clone()
        };
        let dims = weight.dims();
        let rows = dims.first().copied().unwrap_or(1);
        let columns = dims.iter().skip(1).product();
        let update = orthogonal(direction.reshape([rows, columns]), self.newton_schulz_steps);
        let mut weight = weight.reshape([rows, columns]);
        if self.rescale {
            let norm = norm(weight.clone());
            weight = weight.mul_scalar((rows as f64).sqrt()) / norm;
        }
        if self.weight_decay > 0.0 {
            weight = weight.mul_scalar(1.0 - lr * self.weight_decay);
        }
        let weight = weight - update.mul_scalar(lr);
        let momentum = Held(momentum);
        (weight.reshape(dims), Some(MuonState { momentum }))
    }

    fn to_device<const D: usize>(state: MuonState<D>, device: &Device) -> MuonState<D> {
        MuonState {
            momentum: Held(state.momentum.0.to_device(device)),
        }
    }
}

/// The Euclidean norm, `[1, 1]`.
fn norm(matrix: Tensor<2>) -> Tensor<2> {
    matrix.square().sum().sqrt().reshape([1, 1])
}

/// `matrix` with all singular values near 1: `x = a x + (b x x' + c (x x')^2) x`, again and again, from
/// `matrix` over its norm.
fn orthogonal(matrix: Tensor<2>, steps: usize) -> Tensor<2> {
    let [a, b, c] = COEFFICIENTS;
    let [rows, columns] = matrix.dims();
    let norm = norm(matrix.clone()).add_scalar(1e-7);
    let mut x = matrix / norm;
    // The square matrix is the smaller of the two possible ones.
    if rows > columns {
        x = x.transpose();
    }
    for _ in 0..steps {
        let square = x.clone().matmul(x.clone().transpose());
        let fourth = square.clone().matmul(square.clone());
        let factor = square.mul_scalar(b) + fourth.mul_scalar(c);
        x = x.clone().mul_scalar(a) + factor.matmul(x);
    }
    if rows > columns { x.transpose() } else { x }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use burn::tensor::TensorData;

    use super::*;

    fn matrix(rows: usize, columns: usize) -> Tensor<2> {
        #[allow(deprecated)]
        let device = Device::ndarray();
        let values: Vec<f32> = (0..rows * columns)
            .map(|index| ((index * 7919 + 13) % 101) as f32 / 50.0 - 1.0)
            .collect();
        Tensor::from_data(TensorData::new(values, [rows, columns]), &device)
    }

    fn values(tensor: Tensor<2>) -> Vec<f32> {
        tensor.into_data().try_to_vec().unwrap()
    }

    /// A polynomial of a matrix acts on its singular values alone: for a diagonal one they are plain.
    #[test]
    fn an_iteration_is_its_polynomial_on_each_singular_value() {
        #[allow(deprecated)]
        let device = Device::ndarray();
        let diagonal = [[0.6_f32, 0.0, 0.0], [0.0, 0.8, 0.0]];
        let found = values(orthogonal(Tensor::from_data(diagonal, &device), 3));
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
