use cpu_kernels::{
    Context, conv2d, conv2d_backward_bias, conv2d_backward_input, conv2d_backward_weight,
    conv2d_bias, reference,
};

use crate::CASES;
use crate::compare::{assert_close, to_f64};
use crate::random::Random;

#[test]
fn convolution_agrees_with_the_reference() {
    let context = Context::new(1).unwrap();
    for seed in 0..CASES {
        let random = &mut Random::new(seed);
        let shape = random.conv_shape();
        let x = random.values(shape.input_len());
        let w = random.values(shape.weight_len());
        let bias = random.values(shape.bias_len());
        let mut y = vec![f32::NAN; shape.output_len()];

        conv2d(&context, &shape, &x, &w, &mut y).unwrap();
        let no_bias = vec![0.0; shape.bias_len()];
        let expected = reference::conv2d(&shape, &to_f64(&x), &to_f64(&w), &no_bias);
        assert_close(&shape, &y, &expected);

        y.fill(f32::NAN);
        conv2d_bias(&context, &shape, &x, &w, &bias, &mut y).unwrap();
        let expected = reference::conv2d(&shape, &to_f64(&x), &to_f64(&w), &to_f64(&bias));
        assert_close(&shape, &y, &expected);
    }
}

#[test]
fn gradients_of_convolution_agree_with_the_reference() {
    let context = Context::new(1).unwrap();
    for seed in 0..CASES {
        let random = &mut Random::new(seed);
        let shape = random.conv_shape();
        // Values of one sign, so that long sums do not cancel to a scale below their rounding.
        let x = random.positive_values(shape.input_len());
        let w = random.values(shape.weight_len());
        let dy = random.positive_values(shape.output_len());

        let mut dx = vec![f32::NAN; shape.input_len()];
        conv2d_backward_input(&context, &shape, &w, &dy, &mut dx).unwrap();
        let expected = reference::conv2d_backward_input(&shape, &to_f64(&w), &to_f64(&dy));
        assert_close(&shape, &dx, &expected);

        let mut dw = vec![f32::NAN; shape.weight_len()];
        conv2d_backward_weight(&context, &shape, &x, &dy, &mut dw).unwrap();
        let expected = reference::conv2d_backward_weight(&shape, &to_f64(&x), &to_f64(&dy));
        assert_close(&shape, &dw, &expected);

        let mut db = vec![f32::NAN; shape.bias_len()];
        conv2d_backward_bias(&context, &shape, &dy, &mut db).unwrap();
        let expected = reference::conv2d_backward_bias(&shape, &to_f64(&dy));
        assert_close(&shape, &db, &expected);
    }
}

#[test]
fn images_larger_than_a_strip_and_many_channels_agree_with_the_reference() {
    let context = Context::new(1).unwrap();
    let random = &mut Random::new(1);
    for (input, weight, stride) in [
        ([2, 16, 33, 31], [7, 16, 3, 3], 1),
        ([2, 24, 45, 40], [5, 24, 5, 5], 2),
        ([1, 1, 5, 12_001], [2, 1, 5, 5], 1),
        ([3, 4, 6, 6], [37, 4, 3, 3], 1),
    ] {
        let shape = cpu_kernels::ConvShape::new(input, weight, stride, 2).unwrap();
        let x = random.values(shape.input_len());
        let w = random.values(shape.weight_len());
        let dy = random.values(shape.output_len());
        let (x64, w64, dy64) = (to_f64(&x), to_f64(&w), to_f64(&dy));

        let mut y = vec![f32::NAN; shape.output_len()];
        conv2d(&context, &shape, &x, &w, &mut y).unwrap();
        let no_bias = vec![0.0; shape.bias_len()];
        assert_close(&shape, &y, &reference::conv2d(&shape, &x64, &w64, &no_bias));

        let mut dx = vec![f32::NAN; shape.input_len()];
        conv2d_backward_input(&context, &shape, &w, &dy, &mut dx).unwrap();
        let expected = reference::conv2d_backward_input(&shape, &w64, &dy64);
        assert_close(&shape, &dx, &expected);

        let mut dw = vec![f32::NAN; shape.weight_len()];
        conv2d_backward_weight(&context, &shape, &x, &dy, &mut dw).unwrap();
        let expected = reference::conv2d_backward_weight(&shape, &x64, &dy64);
        assert_close(&shape, &dw, &expected);
    }
}
