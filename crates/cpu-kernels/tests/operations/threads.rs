//! Results are the same bit for bit with any number of threads, and from one call to the next.

use cpu_kernels::*;

use super::random::Random;
use super::seeds;

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

/// Values of very different magnitudes, whose sums are mostly what rounding leaves, so that any
/// other order of summing gives other bits.
fn uneven_values(random: &mut Random, len: usize) -> Vec<f32> {
    let mut values = random.values(len);
    for value in &mut values {
        *value *= 2.0_f32.powi(random.size(0, 30) as i32);
    }
    values
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

#[test]
fn groups_and_whitening_are_the_same_with_any_number_of_threads() {
    use block::conv_group::{self, GroupGradients, GroupParameters, GroupShape, Outputs, Saved};
    use block::{Convolved, NormGradients, Parameters, SavedConvolution, Statistics};
    for seed in 0..12 {
        let random = &mut Random::new(seed);
        let input = [random.choice(&[9, 17, 33]), 16, random.size(6, 12), 9];
        let has_third = seed % 2 == 1;
        let shape = GroupShape::new(input, 16, has_third).unwrap();
        let (x, len) = (random.values(shape.input_len()), shape.output_len());
        let weights: Vec<_> = (0..3).map(|_| random.values(9 * 16 * 16)).collect();
        let (ones, dy) = (vec![1.0; 16], uneven_values(random, len));
        let whiten = ConvShape::new(input, [24, 16, 2, 2], 1, 0).unwrap();
        let filters = random.values(whiten.weight_len());
        let by_output = uneven_values(random, whiten.output_len());
        let p = |index: usize| Parameters {
            weight: &weights[index],
            gamma: &ones,
            beta: &ones,
        };
        let parameters = GroupParameters {
            first: p(0),
            second: p(1),
            third: has_third.then(|| p(2)),
        };
        assert_equal_bits(|context| {
            let mut c = vec![vec![0.0; len]; 3];
            let mut statistics = vec![vec![0.0; 16]; 6];
            let (mut y, mut places) = (vec![0.0; len], vec![0; len]);
            let mut of = c.iter_mut().zip(statistics.chunks_exact_mut(2));
            let mut room = || {
                let (c, [mean, variance]) = of.next().unwrap() else {
                    unreachable!()
                };
                Convolved { c, mean, variance }
            };
            let out = Outputs {
                first: room(),
                places: &mut places,
                second: room(),
                third: has_third.then(room),
                y: &mut y,
            };
            conv_group::forward(context, &shape, &x, &parameters, 1e-5, out).unwrap();
            let saved = |index: usize| SavedConvolution {
                c: &c[index],
                statistics: Statistics {
                    mean: &statistics[2 * index],
                    variance: &statistics[2 * index + 1],
                },
            };
            let saved = Saved {
                x: &x,
                first: saved(0),
                places: &places,
                second: saved(1),
                third: has_third.then(|| saved(2)),
            };
            let (mut dx, mut dw) = (x.clone(), weights.clone());
            let mut rest = vec![vec![0.0; 16]; 6];
            let mut of = dw.iter_mut().zip(rest.chunks_exact_mut(2));
            let mut room = || {
                let (weight, [gamma, beta]) = of.next().unwrap() else {
                    unreachable!()
                };
                NormGradients {
                    weight,
                    gamma,
                    beta,
                }
            };
            let gradients = GroupGradients {
                first: room(),
                second: room(),
                third: has_third.then(room),
            };
            conv_group::backward(
                context,
                &shape,
                &saved,
                &parameters,
                1e-5,
                &dy,
                gradients,
                &mut dx,
            )
            .unwrap();
            let prepared = block::inference::Prepared::new(context, &whiten, &filters).unwrap();
            let (bias, mut db) = (vec![0.5; 24], vec![0.0; 24]);
            let images = block::Images::Pixels(&x);
            let batch = input[0];
            block::whiten::backward_bias(&prepared, batch, images, &bias, &by_output, &mut db)
                .unwrap();
            [vec![y, dx, db], dw, rest].concat()
        });
    }
}

#[test]
fn average_pooling_and_steps_are_the_same_with_any_number_of_threads() {
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
            vec![means, spread, weights, velocity]
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
