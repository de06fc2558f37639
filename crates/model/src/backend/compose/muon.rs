//! Muon's step of Burn's own operations.

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, TensorMetadata};
use burn::tensor::Shape;

use super::dim;
use crate::backend::types::{MuonStep, Stepped};

pub(in crate::backend) fn muon_step<B: Backend>(
    weight: FloatTensor<B>,
    gradient: FloatTensor<B>,
    momentum: FloatTensor<B>,
    settings: MuonStep,
) -> Stepped<B> {
    let scaled = |t, by: f64| B::float_mul_scalar(t, by.into());
    let velocity = B::float_add(scaled(momentum, settings.momentum), gradient.clone());
    // A rate of 0 says that the weights are trained no more, and rescaling would move them.
    if settings.lr == 0.0 {
        return Stepped { weight, velocity };
    }
    let direction = if settings.nesterov {
        B::float_add(gradient, scaled(velocity.clone(), settings.momentum))
    } else {
        velocity.clone()
    };
    let shape = weight.shape();
    let rows = shape.first().copied().unwrap_or(1);
    let columns = shape.iter().skip(1).product();
    let matrix = |t| B::float_reshape(t, Shape::new([rows, columns]));
    let update = orthogonal::<B>(matrix(direction), settings.newton_schulz_steps);
    let mut weight = matrix(weight);
    if settings.rescale {
        let norm = norm::<B>(weight.clone());
        weight = B::float_div(scaled(weight, (rows as f64).sqrt()), norm);
    }
    if settings.weight_decay > 0.0 {
        weight = scaled(weight, 1.0 - settings.lr * settings.weight_decay);
    }
    let weight = B::float_sub(weight, scaled(update, settings.lr));
    Stepped {
        weight: B::float_reshape(weight, shape),
        velocity,
    }
}

/// The Euclidean norm, `[1, 1]`.
fn norm<B: Backend>(matrix: FloatTensor<B>) -> FloatTensor<B> {
    let squares = B::float_powi_scalar(matrix, 2.into());
    let norm = B::float_sqrt(B::float_sum(squares));
    B::float_reshape(norm, Shape::new([1, 1]))
}

/// `matrix` with all singular values near 1: `x = a x + (b x x' + c (x x')^2) x`, again and again, from
/// `matrix` over its norm.
fn orthogonal<B: Backend>(matrix: FloatTensor<B>, steps: usize) -> FloatTensor<B> {
    let [a, b, c] = MuonStep::COEFFICIENTS;
    let scaled = |t, by: f64| B::float_mul_scalar(t, by.into());
    let is_tall = dim(&matrix, 0) > dim(&matrix, 1);
    let norm = B::float_add_scalar(norm::<B>(matrix.clone()), MuonStep::EPSILON.into());
    let mut x = B::float_div(matrix, norm);
    // The square matrix is the smaller of the two possible ones.
    if is_tall {
        x = B::float_transpose(x);
    }
    for _ in 0..steps {
        let square = B::float_matmul(x.clone(), B::float_transpose(x.clone()));
        let fourth = B::float_matmul(square.clone(), square.clone());
        let factor = B::float_add(scaled(square, b), scaled(fourth, c));
        x = B::float_add(scaled(x.clone(), a), B::float_matmul(factor, x));
    }
    if is_tall { B::float_transpose(x) } else { x }
}
