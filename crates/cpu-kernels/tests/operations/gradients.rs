//! The reference's gradients against finite differences of the reference.

use cpu_kernels::{LossShape, reference};

use crate::compare::{assert_gradient, dot, to_f64};
use crate::random::Random;

#[test]
fn gradients_of_convolution_are_finite_differences() {
    for seed in 0..12 {
        let random = &mut Random::new(seed);
        let shape = loop {
            let shape = random.conv_shape();
            if shape.flops() < 20_000.0 {
                break shape;
            }
        };
        let x = to_f64(&random.values(shape.input_len()));
        let w = to_f64(&random.values(shape.weight_len()));
        let bias = to_f64(&random.values(shape.bias_len()));
        let dy = to_f64(&random.values(shape.output_len()));

        let dx = reference::conv2d_backward_input(&shape, &w, &dy);
        assert_gradient(&shape, &dx, &x, |x| {
            dot(&reference::conv2d(&shape, x, &w, &bias), &dy)
        });
        let dw = reference::conv2d_backward_weight(&shape, &x, &dy);
        assert_gradient(&shape, &dw, &w, |w| {
            dot(&reference::conv2d(&shape, &x, w, &bias), &dy)
        });
        let db = reference::conv2d_backward_bias(&shape, &dy);
        assert_gradient(&shape, &db, &bias, |bias| {
            dot(&reference::conv2d(&shape, &x, &w, bias), &dy)
        });
    }
}

#[test]
fn gradients_of_a_linear_layer_are_finite_differences() {
    let random = &mut Random::new(0);
    let shape = cpu_kernels::LinearShape::new(3, 7, 5).unwrap();
    let x = to_f64(&random.values(shape.input_len()));
    let w = to_f64(&random.values(shape.weight_len()));
    let b = to_f64(&random.values(shape.bias_len()));
    let dy = to_f64(&random.values(shape.output_len()));
    let dx = reference::linear_backward_input(&shape, &w, &dy);
    assert_gradient(&shape, &dx, &x, |x| {
        dot(&reference::linear(&shape, x, &w, &b), &dy)
    });
    let dw = reference::linear_backward_weight(&shape, &x, &dy);
    assert_gradient(&shape, &dw, &w, |w| {
        dot(&reference::linear(&shape, &x, w, &b), &dy)
    });
    let db = reference::linear_backward_bias(&shape, &dy);
    assert_gradient(&shape, &db, &b, |b| {
        dot(&reference::linear(&shape, &x, &w, b), &dy)
    });
}

#[test]
fn gradients_of_pooling_are_finite_differences() {
    for seed in 0..12 {
        let random = &mut Random::new(seed);
        let shape = loop {
            let shape = random.pool_shape();
            if shape.input_len() < 2_000 {
                break shape;
            }
        };
        let x = to_f64(&random.values(shape.input_len()));
        let dy = to_f64(&random.values(shape.output_len()));
        // Values this close together would exchange their order within a finite difference.
        let spread: Vec<f64> = x.iter().map(|x| (x * 1e3).round()).collect();
        let x: Vec<f64> = (0..)
            .zip(&spread)
            .map(|(i, x)| x + f64::from(i) * 1e-3)
            .collect();
        let (_, indices) = reference::max_pool2d(&shape, &x);
        let dx = reference::max_pool2d_backward(&shape, &dy, &indices);
        assert_gradient(&shape, &dx, &x, |x| {
            dot(&reference::max_pool2d(&shape, x).0, &dy)
        });
    }
    let random = &mut Random::new(12);
    let shape = cpu_kernels::ChannelShape::new(2, 3, 6).unwrap();
    let x = to_f64(&random.values(36));
    let dy = to_f64(&random.values(6));
    let dx = reference::global_avg_pool_backward(&shape, &dy);
    assert_gradient(&shape, &dx, &x, |x| {
        dot(&reference::global_avg_pool(&shape, x), &dy)
    });
}

#[test]
fn gradients_of_batch_normalisation_are_finite_differences() {
    let random = &mut Random::new(0);
    let shape = cpu_kernels::ChannelShape::new(3, 4, 5).unwrap();
    let x = to_f64(&random.values(60));
    let gamma = to_f64(&random.positive_values(4));
    let beta = to_f64(&random.values(4));
    let dy = to_f64(&random.values(60));
    let output = |x: &[f64], gamma: &[f64], beta: &[f64]| {
        let (mean, variance) = reference::batch_norm_statistics(&shape, x);
        reference::batch_norm(&shape, x, (gamma, beta), (&mean, &variance), 1e-5)
    };
    let (dx, dgamma, dbeta) = reference::batch_norm_backward(&shape, &x, &gamma, 1e-5, &dy);
    assert_gradient(&shape, &dx, &x, |x| dot(&output(x, &gamma, &beta), &dy));
    assert_gradient(&shape, &dgamma, &gamma, |gamma| {
        dot(&output(&x, gamma, &beta), &dy)
    });
    assert_gradient(&shape, &dbeta, &beta, |beta| {
        dot(&output(&x, &gamma, beta), &dy)
    });
}

#[test]
fn gradients_of_cross_entropy_are_finite_differences() {
    let random = &mut Random::new(0);
    let shape = LossShape::new(4, 6).unwrap();
    let logits = to_f64(&random.values(shape.logits_len()));
    let labels = [0, 5, 2, 2];
    for smoothing in [0.0, 0.2] {
        let (_, gradient) = reference::softmax_cross_entropy(&shape, &logits, &labels, smoothing);
        assert_gradient(&shape, &gradient, &logits, |logits| {
            reference::softmax_cross_entropy(&shape, logits, &labels, smoothing).0
        });
    }
}
