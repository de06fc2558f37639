use cpu_kernels::{
    Context, global_avg_pool, global_avg_pool_backward, global_max_pool, global_max_pool_backward,
    reference,
};

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

#[test]
fn global_maximum_pooling_and_its_gradient_agree_with_the_reference() {
    for seed in seeds() {
        let random = &mut Random::new(seed);
        let shape = random.channel_shape();
        let (batch, channels) = (shape.batch(), shape.channels());
        let pixels = shape.input_len() / (batch * channels);
        let context = Context::new(1).unwrap();
        // Few different values, so that the first of equal ones has to win.
        let x: Vec<f32> = (0..shape.input_len())
            .map(|_| random.size(0, 9) as f32 - 5.0)
            .collect();
        let (mut y, mut places) = (vec![f32::NAN; batch * channels], vec![9; batch * channels]);
        global_max_pool(&context, &shape, &x, &mut y, &mut places).unwrap();
        let planes = reference::to_planes(channels, pixels, &to_f64(&x));
        let mut expected = vec![0.0; shape.input_len()];
        let dy = random.values(batch * channels);
        for (index, plane) in planes.chunks_exact(pixels).enumerate() {
            let greatest = plane.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let first = plane.iter().position(|&value| value == greatest).unwrap();
            assert_eq!(f64::from(y[index]), greatest, "{shape:?}");
            assert_eq!(usize::from(places[index]), first, "{shape:?}");
            let (image, channel) = (index / channels, index % channels);
            expected[(image * pixels + first) * channels + channel] = dy[index];
        }
        let mut dx = vec![f32::NAN; shape.input_len()];
        global_max_pool_backward(&context, &shape, &dy, &places, &mut dx).unwrap();
        assert_eq!(dx, expected, "{shape:?}");
    }
}
