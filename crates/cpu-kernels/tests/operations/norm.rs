use cpu_kernels::{
    ChannelShape, Context, batch_norm_backward, batch_norm_infer, batch_norm_train, reference,
};

use crate::CASES;
use crate::compare::{assert_close, assert_close_on_scale, dot, to_f64};
use crate::random::Random;

const EPS: f32 = 1e-5;

#[test]
fn batch_normalisation_agrees_with_the_reference() {
    let context = Context::new(1).unwrap();
    for seed in 0..CASES {
        let random = &mut Random::new(seed);
        let shape = random.channel_shape();
        let x = random.values(shape.input_len());
        let gamma = random.positive_values(shape.channels());
        let beta = random.positive_values(shape.channels());
        let mut y = vec![f32::NAN; shape.input_len()];
        let mut mean = vec![f32::NAN; shape.channels()];
        let mut variance = vec![f32::NAN; shape.channels()];
        batch_norm_train(
            &context,
            &shape,
            &x,
            &gamma,
            &beta,
            EPS,
            &mut y,
            &mut mean,
            &mut variance,
        )
        .unwrap();

        let x = to_f64(&x);
        let affine = (&*to_f64(&gamma), &*to_f64(&beta));
        let (mean64, variance64) = reference::batch_norm_statistics(&shape, &x);
        // Means cancel, so their errors are measured on the scale of the values.
        let value_scale = (dot(&x, &x) / x.len() as f64).sqrt();
        assert_close_on_scale(&shape, &mean, &mean64, value_scale);
        assert_close_on_scale(&shape, &variance, &variance64, value_scale * value_scale);
        let statistics = (&*mean64, &*variance64);
        let expected = reference::batch_norm(&shape, &x, affine, statistics, f64::from(EPS));
        assert_close(&shape, &y, &expected);
    }
}

#[test]
fn normalisation_by_running_statistics_agrees_with_the_reference() {
    let context = Context::new(1).unwrap();
    for seed in 0..CASES {
        let random = &mut Random::new(seed);
        let shape = random.channel_shape();
        let x = random.values(shape.input_len());
        let gamma = random.positive_values(shape.channels());
        let beta = random.positive_values(shape.channels());
        let mean = random.values(shape.channels());
        let variance = random.positive_values(shape.channels());
        let mut y = vec![f32::NAN; shape.input_len()];
        batch_norm_infer(
            &context, &shape, &x, &gamma, &beta, &mean, &variance, EPS, &mut y,
        )
        .unwrap();
        let affine = (&*to_f64(&gamma), &*to_f64(&beta));
        let statistics = (&*to_f64(&mean), &*to_f64(&variance));
        let eps = f64::from(EPS);
        let expected = reference::batch_norm(&shape, &to_f64(&x), affine, statistics, eps);
        assert_close_on_scale(&shape, &y, &expected, 1.0);
    }
}

#[test]
fn gradients_of_batch_normalisation_agree_with_the_reference() {
    let context = Context::new(1).unwrap();
    for seed in 0..CASES {
        let random = &mut Random::new(seed);
        // A batch of a few values has gradients that cancel to rounding errors.
        let (shape, count) = loop {
            let shape = random.channel_shape();
            let count = shape.input_len() / shape.channels();
            if count >= 8 {
                break (shape, count);
            }
        };
        let x = random.values(shape.input_len());
        let gamma = random.positive_values(shape.channels());
        let dy = random.values(shape.input_len());
        let (x64, dy64) = (to_f64(&x), to_f64(&dy));
        let (mean64, variance64) = reference::batch_norm_statistics(&shape, &x64);
        let to_f32 = |values: &[f64]| values.iter().map(|&v| v as f32).collect::<Vec<_>>();
        let (mean, variance) = (to_f32(&mean64), to_f32(&variance64));
        let mut dx = vec![f32::NAN; shape.input_len()];
        let mut dgamma = vec![f32::NAN; shape.channels()];
        let mut dbeta = vec![f32::NAN; shape.channels()];
        batch_norm_backward(
            &context,
            &shape,
            &x,
            &gamma,
            &mean,
            &variance,
            EPS,
            &dy,
            &mut dx,
            &mut dgamma,
            &mut dbeta,
        )
        .unwrap();
        let eps = f64::from(EPS);
        let (dx64, dgamma64, dbeta64) =
            reference::batch_norm_backward(&shape, &x64, &to_f64(&gamma), eps, &dy64);
        assert_close(&shape, &dx, &dx64);
        // Sums of `count` random signs may cancel: their scale is the root of `count`.
        let sum_scale = (count as f64).sqrt();
        assert_close_on_scale(&shape, &dgamma, &dgamma64, sum_scale);
        assert_close_on_scale(&shape, &dbeta, &dbeta64, sum_scale);
    }
}

#[test]
fn a_constant_channel_is_normalised_to_beta() {
    let context = Context::new(1).unwrap();
    let shape = ChannelShape::new(3, 1, 11).unwrap();
    let x = vec![1234.567; shape.input_len()];
    let mut y = vec![f32::NAN; shape.input_len()];
    let (mut mean, mut variance) = ([f32::NAN], [f32::NAN]);
    batch_norm_train(
        &context,
        &shape,
        &x,
        &[2.0],
        &[0.25],
        EPS,
        &mut y,
        &mut mean,
        &mut variance,
    )
    .unwrap();
    assert_eq!(y, vec![0.25; shape.input_len()]);
    assert!((0.0..1e-6).contains(&variance[0]), "{variance:?}");
}

#[test]
fn a_nan_in_the_input_reaches_the_statistics() {
    let context = Context::new(1).unwrap();
    let shape = ChannelShape::new(1, 1, 3).unwrap();
    let mut y = [0.0; 3];
    let (mut mean, mut variance) = ([0.0], [0.0]);
    let x = [1.0, f32::NAN, 2.0];
    batch_norm_train(
        &context,
        &shape,
        &x,
        &[1.0],
        &[0.0],
        EPS,
        &mut y,
        &mut mean,
        &mut variance,
    )
    .unwrap();
    assert!(mean[0].is_nan() && variance[0].is_nan());
}
