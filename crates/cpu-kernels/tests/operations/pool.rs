use cpu_kernels::{
    Context, PoolShape, global_avg_pool, global_avg_pool_backward, max_pool2d, max_pool2d_backward,
    reference,
};

use crate::CASES;
use crate::compare::{assert_close, assert_close_on_scale, to_f64};
use crate::random::Random;

#[test]
fn maximum_pooling_and_its_gradient_agree_with_the_reference() {
    let context = Context::new(1).unwrap();
    for seed in 0..CASES {
        let random = &mut Random::new(seed);
        let shape = random.pool_shape();
        // Few different values, so that many windows have more than one maximum.
        let coarse = |x: &f32| (x * 3.0).round();
        let x: Vec<f32> = random
            .values(shape.input_len())
            .iter()
            .map(coarse)
            .collect();
        let dy = random.values(shape.output_len());
        let mut y = vec![f32::NAN; shape.output_len()];
        let mut indices = vec![u8::MAX; shape.output_len()];
        max_pool2d(&context, &shape, &x, &mut y, &mut indices).unwrap();
        let (expected, expected_indices) = reference::max_pool2d(&shape, &to_f64(&x));
        assert_eq!(to_f64(&y), expected, "{shape:?}");
        assert_eq!(indices, expected_indices, "{shape:?}");

        let mut dx = vec![f32::NAN; shape.input_len()];
        max_pool2d_backward(&context, &shape, &dy, &indices, &mut dx).unwrap();
        let expected = reference::max_pool2d_backward(&shape, &to_f64(&dy), &indices);
        assert_close(&shape, &dx, &expected);
    }
}

#[test]
fn the_first_of_equal_maxima_wins() {
    assert_eq!(pool_window([1.0, 3.0, 3.0, 2.0]), (3.0, 1));
    assert_eq!(pool_window([f32::NEG_INFINITY; 4]), (f32::NEG_INFINITY, 0));
}

#[test]
fn a_nan_wins_over_every_number() {
    for place in 0..4 {
        let mut window = [1.0, f32::INFINITY, 3.0, 2.0];
        window[usize::from(place)] = f32::NAN;
        let (maximum, index) = pool_window(window);
        assert!(maximum.is_nan());
        assert_eq!(index, place);
    }
}

fn pool_window(window: [f32; 4]) -> (f32, u8) {
    let context = Context::new(1).unwrap();
    let shape = PoolShape::new([1, 1, 2, 2], 2, 2).unwrap();
    let (mut y, mut indices) = ([0.0], [0]);
    max_pool2d(&context, &shape, &window, &mut y, &mut indices).unwrap();
    (y[0], indices[0])
}

#[test]
fn global_average_pooling_and_its_gradient_agree_with_the_reference() {
    let context = Context::new(1).unwrap();
    for seed in 0..CASES {
        let random = &mut Random::new(seed);
        let shape = random.channel_shape();
        let x = random.values(shape.input_len());
        let mut y = vec![f32::NAN; shape.input_len() / pixels(&shape)];
        global_avg_pool(&context, &shape, &x, &mut y).unwrap();
        // A mean of random signs may cancel, so its error is measured on the scale of the values.
        let expected = reference::global_avg_pool(&shape, &to_f64(&x));
        assert_close_on_scale(&shape, &y, &expected, 0.5);

        let dy = random.values(y.len());
        let mut dx = vec![f32::NAN; shape.input_len()];
        global_avg_pool_backward(&context, &shape, &dy, &mut dx).unwrap();
        let expected = reference::global_avg_pool_backward(&shape, &to_f64(&dy));
        assert_close(&shape, &dx, &expected);
    }
}

fn pixels(shape: &cpu_kernels::ChannelShape) -> usize {
    shape.input_len() / (shape.batch() * shape.channels())
}
