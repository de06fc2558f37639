use cpu_kernels::{
    Context, linear, linear_backward_bias, linear_backward_input, linear_backward_weight, reference,
};

use crate::CASES;
use crate::compare::{assert_close, to_f64};
use crate::random::Random;

#[test]
fn a_linear_layer_and_its_gradients_agree_with_the_reference() {
    let context = Context::new(1).unwrap();
    for seed in 0..CASES {
        let random = &mut Random::new(seed);
        let shape = random.linear_shape();
        // Values of one sign, so that single sums do not cancel to a scale below their rounding.
        let x = random.positive_values(shape.input_len());
        let w = random.positive_values(shape.weight_len());
        let b = random.values(shape.bias_len());
        let dy = random.positive_values(shape.output_len());
        let (x64, w64, b64, dy64) = (to_f64(&x), to_f64(&w), to_f64(&b), to_f64(&dy));

        let mut y = vec![f32::NAN; shape.output_len()];
        linear(&context, &shape, &x, &w, &b, &mut y).unwrap();
        assert_close(&shape, &y, &reference::linear(&shape, &x64, &w64, &b64));

        let mut dx = vec![f32::NAN; shape.input_len()];
        linear_backward_input(&context, &shape, &w, &dy, &mut dx).unwrap();
        let expected = reference::linear_backward_input(&shape, &w64, &dy64);
        assert_close(&shape, &dx, &expected);

        let mut dw = vec![f32::NAN; shape.weight_len()];
        linear_backward_weight(&context, &shape, &x, &dy, &mut dw).unwrap();
        let expected = reference::linear_backward_weight(&shape, &x64, &dy64);
        assert_close(&shape, &dw, &expected);

        let mut db = vec![f32::NAN; shape.bias_len()];
        linear_backward_bias(&context, &shape, &dy, &mut db).unwrap();
        let expected = reference::linear_backward_bias(&shape, &dy64);
        assert_close(&shape, &db, &expected);
    }
}
