use cpu_kernels::{Context, global_avg_pool, global_avg_pool_backward, reference};

use super::compare::{assert_close, assert_close_on_scale, to_f64};
use super::random::Random;
use super::seeds;

#[test]
fn global_average_pooling_and_its_gradient_agree_with_the_reference() {
    let context = Context::new(1).unwrap();
    for seed in seeds() {
        let random = &mut Random::new(seed);
        let shape = random.channel_shape();
        let x = random.values(shape.input_len());
        let mut y = vec![f32::NAN; shape.batch() * shape.channels()];
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
