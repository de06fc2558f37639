//! Results are the same bit for bit with any number of threads, and from one call to the next.

use cpu_kernels::*;

use super::random::Random;
use super::steps::uneven_values;
use super::{seeds, steps};

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
    for seed in seeds().take(60) {
        let random = &mut Random::new(seed);
        let shape = if seed % 3 == 0 {
            random.winograd_shape()
        } else {
            random.conv_shape()
        };
        let x = random.values(shape.input_len());
        let w = random.values(shape.weight_len());
        let dy = random.values(shape.output_len());
        assert_equal_bits(|context| {
            let mut y = dy.clone();
            conv2d(context, &shape, &x, &w, &mut y).unwrap();
            let mut dx = x.clone();
            conv2d_backward_input(context, &shape, &w, &dy, &mut dx).unwrap();
            let mut dw = w.clone();
            conv2d_backward_weight(context, &shape, &x, &dy, &mut dw).unwrap();
            vec![y, dx, dw]
        });
    }
}

#[test]
fn linear_layers_are_the_same_with_any_number_of_threads() {
    for seed in seeds().take(60) {
        let random = &mut Random::new(seed);
        let shape = if seed % 6 == 0 {
            // Large enough for several tasks.
            LinearShape::new(random.size(100, 150), 400, random.size(100, 130)).unwrap()
        } else {
            random.linear_shape()
        };
        let x = random.values(shape.input_len());
        let w = random.values(shape.weight_len());
        let b = random.values(shape.bias_len());
        let dy = random.values(shape.output_len());
        assert_equal_bits(|context| {
            let mut y = dy.clone();
            linear(context, &shape, &x, &w, &b, true, &mut y).unwrap();
            let (mut dx, mut dw, mut db) = (x.clone(), w.clone(), b.clone());
            linear_backward(
                context,
                &shape,
                &x,
                &w,
                Some(&y),
                &dy,
                &mut dx,
                &mut dw,
                &mut db,
            )
            .unwrap();
            vec![y, dx, dw, db]
        });
    }
}

#[test]
fn convolution_and_pooling_are_the_same_with_any_number_of_threads() {
    for seed in seeds().take(60) {
        let random = &mut Random::new(seed);
        let shape = random.conv_pool_shape();
        let x = random.values(shape.input_len());
        let w = random.values(shape.weight_len());
        let b = random.values(shape.bias_len());
        let dy = uneven_values(random, shape.output_len());
        assert_equal_bits(|context| {
            let images = block::Images::Planes(&x);
            let (mut y, mut dx) = (dy.clone(), x.clone());
            let (mut dw, mut db) = (w.clone(), b.clone());
            let mut indices = vec![0; y.len()];
            let (y, indices) = (&mut *y, &mut *indices);
            block::conv_pool::forward(context, &shape, images, &w, &b, y, indices).unwrap();
            block::conv_pool::backward(
                context, &shape, images, &w, y, indices, &dy, &mut dw, &mut db, &mut dx,
            )
            .unwrap();
            let places = indices.iter().copied().map(f32::from).collect();
            vec![y.to_vec(), places, dw, db, dx]
        });
    }
}

/// A batch that leaves a last chunk with fewer images, or has only one chunk.
fn uneven_batch(random: &mut Random) -> usize {
    random.choice(&[1, 2, 5, 9, 17, 33, 65])
}

#[test]
fn stems_are_the_same_with_any_number_of_threads() {
    for seed in 0..24 {
        let random = &mut Random::new(seed);
        let channels = random.choice(&[5, 16, 64]);
        let input = [uneven_batch(random), 3, random.size(6, 12), 9];
        let shape = ConvShape::new(input, [channels, 3, 3, 3], 1, 1).unwrap();
        assert_equal_bits(steps::stem(random, shape));
    }
}

#[test]
fn residual_blocks_are_the_same_with_any_number_of_threads() {
    for seed in 0..24 {
        let random = &mut Random::new(seed);
        let channels = random.choice(&[5, 16, 32]);
        let input = [uneven_batch(random), channels, random.size(6, 12), 9];
        assert_equal_bits(steps::residual(random, input, channels, 1));
        // The block has a projection where it changes the number of channels, the size or both.
        let (outputs, stride) = [(channels, 2), (48, 1), (32, 2)][random.size(0, 2)];
        assert_equal_bits(steps::residual(random, input, outputs, stride));
    }
}

#[test]
fn groups_are_the_same_with_any_number_of_threads() {
    for seed in 0..12 {
        let random = &mut Random::new(seed);
        let input = [uneven_batch(random).max(2), 16, random.size(6, 12), 9];
        assert_equal_bits(steps::group(random, input, 16, seed % 2 == 1));
    }
}

#[test]
fn folded_and_whitening_convolutions_are_the_same_with_any_number_of_threads() {
    for seed in 0..24 {
        let random = &mut Random::new(seed);
        let input = [uneven_batch(random), 16, random.size(6, 12), 9];
        let (weight, padding) = [([24, 16, 2, 2], 0), ([32, 16, 3, 3], 1)][seed as usize % 2];
        let shape = ConvShape::new(input, weight, 1, padding).unwrap();
        assert_equal_bits(steps::folded(random, shape));
    }
}

#[test]
fn global_pooling_and_steps_are_the_same_with_any_number_of_threads() {
    for seed in seeds().take(20) {
        let random = &mut Random::new(seed);
        let shape = random.channel_shape();
        let x = uneven_values(random, shape.input_len());
        let len = random.size(1, 200_000);
        let (weights, gradient) = (random.values(len), random.values(len));
        assert_equal_bits(|context| {
            let mut means = vec![0.0; shape.batch() * shape.channels()];
            global_avg_pool(context, &shape, &x, &mut means).unwrap();
            let mut spread = x.clone();
            global_avg_pool_backward(context, &shape, &means, &mut spread).unwrap();
            let (mut maxima, mut places) = (means.clone(), vec![0; means.len()]);
            global_max_pool(context, &shape, &x, &mut maxima, &mut places).unwrap();
            let mut chosen = x.clone();
            global_max_pool_backward(context, &shape, &means, &places, &mut chosen).unwrap();
            let step = SgdStep {
                lr: 0.1,
                momentum: 0.9,
                nesterov: true,
                weight_decay: 5e-4,
            };
            let (mut weights, mut velocity) = (weights.clone(), gradient.clone());
            sgd_step(
                context,
                &step,
                &mut weights,
                &gradient,
                &mut velocity,
                false,
            )
            .unwrap();
            let step = AdamWStep {
                lr: 0.1,
                beta1: 0.9,
                beta2: 0.99,
                epsilon: 1e-3,
                weight_decay: 0.1,
                shares: [0.1, 0.01],
            };
            let (mut adam, mut first) = (weights.clone(), gradient.clone());
            let mut second: Vec<f32> = gradient.iter().map(|g| g * g).collect();
            adamw_step(
                context,
                &step,
                &mut adam,
                &gradient,
                &mut first,
                &mut second,
            )
            .unwrap();
            let sgd = [means, spread, maxima, chosen, weights, velocity];
            sgd.into_iter().chain([adam, first, second]).collect()
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
