//! Results are the same bit for bit with any number of threads, and from one call to the next.

use cpu_kernels::*;

use crate::random::Random;

/// Runs `operation` with one to three threads, twice each, and asserts equal bits of all results.
fn assert_equal_bits(operation: impl Fn(&Context) -> Vec<Vec<f32>>) {
    let bits = |context: &Context| -> Vec<Vec<u32>> {
        let results = operation(context);
        let to_bits = |result: &Vec<f32>| result.iter().map(|value| value.to_bits()).collect();
        results.iter().map(to_bits).collect()
    };
    let expected = bits(&Context::new(1).unwrap());
    for threads in 1..=3 {
        let context = Context::new(threads).unwrap();
        for _ in 0..2 {
            assert!(bits(&context) == expected, "with {threads} threads");
        }
    }
}

#[test]
fn convolution_is_the_same_with_any_number_of_threads() {
    for seed in 0..60 {
        let random = &mut Random::new(seed);
        let shape = random.conv_shape();
        let x = random.values(shape.input_len());
        let w = random.values(shape.weight_len());
        let bias = random.values(shape.bias_len());
        let dy = random.values(shape.output_len());
        assert_equal_bits(|context| {
            let mut y = dy.clone();
            conv2d_bias(context, &shape, &x, &w, &bias, &mut y).unwrap();
            let mut dx = x.clone();
            conv2d_backward_input(context, &shape, &w, &dy, &mut dx).unwrap();
            let mut dw = w.clone();
            conv2d_backward_weight(context, &shape, &x, &dy, &mut dw).unwrap();
            let mut db = bias.clone();
            conv2d_backward_bias(context, &shape, &dy, &mut db).unwrap();
            vec![y, dx, dw, db]
        });
    }
}

#[test]
fn linear_layers_are_the_same_with_any_number_of_threads() {
    for seed in 0..60 {
        let random = &mut Random::new(seed);
        let shape = random.linear_shape();
        let x = random.values(shape.input_len());
        let w = random.values(shape.weight_len());
        let b = random.values(shape.bias_len());
        let dy = random.values(shape.output_len());
        assert_equal_bits(|context| {
            let mut y = dy.clone();
            linear(context, &shape, &x, &w, &b, &mut y).unwrap();
            let mut dx = x.clone();
            linear_backward_input(context, &shape, &w, &dy, &mut dx).unwrap();
            let mut dw = w.clone();
            linear_backward_weight(context, &shape, &x, &dy, &mut dw).unwrap();
            let mut db = b.clone();
            linear_backward_bias(context, &shape, &dy, &mut db).unwrap();
            vec![y, dx, dw, db]
        });
    }
}

/// Images of very different magnitudes, of which each is the negative of another. Their sums are
/// what rounding leaves, so that any other order of summing gives other bits.
fn cancelling_values(random: &mut Random, shape: &ChannelShape) -> Vec<f32> {
    let mut values = random.values(shape.input_len());
    for value in &mut values {
        *value *= 2.0_f32.powi(random.size(0, 50) as i32);
    }
    let image_len = shape.input_len() / shape.batch();
    let (first, second) = values.split_at_mut(shape.batch() / 2 * image_len);
    let images = first.chunks_exact(image_len).rev();
    for (image, negative) in images.zip(second.chunks_exact_mut(image_len)) {
        for (value, negative) in image.iter().zip(negative) {
            *negative = -value;
        }
    }
    values
}

#[test]
fn batch_normalisation_is_the_same_with_any_number_of_threads() {
    for seed in 0..60 {
        let random = &mut Random::new(seed);
        let shape = random.channel_shape();
        let x = cancelling_values(random, &shape);
        let dy = cancelling_values(random, &shape);
        let gamma = random.values(shape.channels());
        let beta = random.values(shape.channels());
        assert_equal_bits(|context| {
            let (mut y, mut dx) = (x.clone(), x.clone());
            let (mut mean, mut variance) = (gamma.clone(), gamma.clone());
            let (mut dgamma, mut dbeta) = (gamma.clone(), gamma.clone());
            batch_norm_train(
                context,
                &shape,
                &x,
                &gamma,
                &beta,
                1e-5,
                &mut y,
                &mut mean,
                &mut variance,
            )
            .unwrap();
            batch_norm_backward(
                context,
                &shape,
                &x,
                &gamma,
                &mean,
                &variance,
                1e-5,
                &dy,
                &mut dx,
                &mut dgamma,
                &mut dbeta,
            )
            .unwrap();
            vec![y, mean, variance, dx, dgamma, dbeta]
        });
    }
}

#[test]
fn pooling_and_rectifier_are_the_same_with_any_number_of_threads() {
    for seed in 0..60 {
        let random = &mut Random::new(seed);
        let shape = random.pool_shape();
        let x = random.values(shape.input_len());
        let dy = random.values(shape.output_len());
        let planes = ChannelShape::new(shape.batch(), shape.channels(), {
            shape.input_len() / (shape.batch() * shape.channels())
        })
        .unwrap();
        assert_equal_bits(|context| {
            let (mut y, mut dx) = (dy.clone(), x.clone());
            let mut indices = vec![0; y.len()];
            max_pool2d(context, &shape, &x, &mut y, &mut indices).unwrap();
            max_pool2d_backward(context, &shape, &dy, &indices, &mut dx).unwrap();
            let mut means = vec![0.0; shape.batch() * shape.channels()];
            global_avg_pool(context, &planes, &x, &mut means).unwrap();
            let mut spread = x.clone();
            global_avg_pool_backward(context, &planes, &means, &mut spread).unwrap();
            let (mut rectified, mut passed) = (x.clone(), x.clone());
            relu(context, &x, &mut rectified).unwrap();
            relu_backward(context, &rectified, &x, &mut passed).unwrap();
            vec![y, dx, means, spread, rectified, passed]
        });
    }
}

#[test]
fn one_context_serves_several_callers_at_a_time() {
    let context = Context::new(2).unwrap();
    let shape = ConvShape::new([8, 3, 9, 9], [5, 3, 3, 3], 1, 1).unwrap();
    let random = &mut Random::new(0);
    let w = random.values(shape.weight_len());
    let inputs: Vec<_> = (0..4).map(|_| random.values(shape.input_len())).collect();
    let convolve = |x: &[f32]| {
        let mut y = vec![0.0; shape.output_len()];
        conv2d(&context, &shape, x, &w, &mut y).unwrap();
        y
    };
    let expected: Vec<_> = inputs.iter().map(|x| convolve(x)).collect();
    std::thread::scope(|scope| {
        for (x, expected) in inputs.iter().zip(&expected) {
            scope.spawn(move || {
                for _ in 0..50 {
                    assert_eq!(&convolve(x), expected);
                }
            });
        }
    });
}
