//! The reference's gradients against finite differences of the reference.

use cpu_kernels::{ConvPoolShape, LossShape, reference};

use super::compare::{assert_gradient, dot, to_f64};
use super::random::Random;

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

/// Whether all values of the convolution are so far from one another and from zero that a finite
/// difference changes neither a maximum nor a rectifier.
fn is_smooth(
    shape: &ConvPoolShape,
    x: &[f64],
    w: &[f64],
    bias: &[f64],
    weight: [usize; 4],
) -> bool {
    let unpooled = ConvPoolShape::new(shape.input(), weight, 1).unwrap();
    let negative = |values: &[f64]| -> Vec<f64> { values.iter().map(|value| -value).collect() };
    let (above, _) = reference::conv_pool(&unpooled, x, w, bias);
    let (below, _) = reference::conv_pool(&unpooled, x, &negative(w), &negative(bias));
    let mut values: Vec<f64> = above.iter().zip(&below).map(|(a, b)| a - b).collect();
    values.push(0.0);
    values.sort_by(f64::total_cmp);
    values.windows(2).all(|pair| pair[1] - pair[0] > 1e-3)
}

#[test]
fn gradients_of_convolution_and_pooling_are_finite_differences() {
    let random = &mut Random::new(0);
    let mut cases = 0;
    while cases < 12 {
        let input = [
            random.size(1, 2),
            random.size(1, 3),
            random.size(2, 5),
            random.size(2, 5),
        ];
        let weight = [
            random.size(1, 2),
            input[1],
            random.size(1, 3),
            random.size(1, 3),
        ];
        let Ok(shape) = ConvPoolShape::new(input, weight, random.size(1, 3)) else {
            continue;
        };
        let x = to_f64(&random.values(shape.input_len()));
        let w = to_f64(&random.values(shape.weight_len()));
        let bias = to_f64(&random.values(shape.bias_len()));
        let dy = to_f64(&random.values(shape.output_len()));
        if !is_smooth(&shape, &x, &w, &bias, weight) {
            continue;
        }
        cases += 1;
        let (_, indices) = reference::conv_pool(&shape, &x, &w, &bias);
        let (dw, db, dx) = reference::conv_pool_backward(&shape, &x, &w, &bias, &indices, &dy);
        let value = |x: &[f64], w: &[f64], bias: &[f64]| {
            dot(&reference::conv_pool(&shape, x, w, bias).0, &dy)
        };
        assert_gradient(&shape, &dx, &x, |x| value(x, &w, &bias));
        assert_gradient(&shape, &dw, &w, |w| value(&x, w, &bias));
        assert_gradient(&shape, &db, &bias, |bias| value(&x, &w, bias));
    }
}

#[test]
fn gradients_of_global_average_pooling_are_finite_differences() {
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
