//! Groups of convolutions with pooling and GELU, and the whitening layer, against the same in
//! double precision, made of plain convolutions.

use cpu_kernels::block::conv_group::{
    self, GroupGradients, GroupParameters, GroupShape, Outputs, Saved,
};
use cpu_kernels::block::{Convolved, Images, Parameters, SavedConvolution, Statistics};
use cpu_kernels::block::{inference, whiten};
use cpu_kernels::{Activation, Context, ConvShape, reference};

use super::blocks::{
    EPS, Exact, Layer, add, assert_gradients, exact, exact_backward, gradients, ways,
};
use super::compare::{assert_within, to_f64};
use super::random::Random;
use super::{new_context, seeds, try_seeds};

fn gelu(x: &[f64]) -> Vec<f64> {
    x.iter().map(|&x| reference::gelu(x)).collect()
}

/// `dy` times the derivative of the unit at `x`.
fn gelu_backward(x: &[f64], dy: &[f64]) -> Vec<f64> {
    let pairs = x.iter().zip(dy);
    pairs
        .map(|(&x, dy)| dy * reference::gelu_derivative(x))
        .collect()
}

/// Maxima of windows of 2 by 2 pixels of images whose channels lie side by side.
fn pooled(shape: &ConvShape, c: &[f64]) -> (Vec<f64>, Vec<u8>) {
    let [_, channels, height, width] = shape.output();
    let planes = reference::to_planes(channels, height * width, c);
    let (maxima, places) = reference::max_pool2d([height, width], 2, &planes);
    let pixels = (height / 2) * (width / 2);
    let as_numbers: Vec<f64> = places.iter().copied().map(f64::from).collect();
    let places = reference::to_pixels(channels, pixels, &as_numbers);
    (
        reference::to_pixels(channels, pixels, &maxima),
        places.into_iter().map(|place| place as u8).collect(),
    )
}

/// The gradient of [`pooled`].
fn pooled_backward(shape: &ConvShape, places: &[u8], dy: &[f64]) -> Vec<f64> {
    let [batch, channels, height, width] = shape.output();
    let pixels = (height / 2) * (width / 2);
    let places: Vec<f64> = places.iter().copied().map(f64::from).collect();
    let planes = reference::to_planes(channels, pixels, &places);
    let indices: Vec<u8> = planes.into_iter().map(|place| place as u8).collect();
    let dy = reference::to_planes(channels, pixels, dy);
    let dx = reference::max_pool2d_backward([height, width], 2, batch * channels, &dy, &indices);
    reference::to_pixels(channels, height * width, &dx)
}

/// A layer that normalises what `c` holds.
fn normalized(layer: &Layer, c: Vec<f64>) -> Exact {
    Exact::of(layer, c)
}

/// Whether the greatest value of every window is clearly greater than the others.
fn has_clear_maxima(shape: &ConvShape, c: &[f64]) -> bool {
    let [batch, channels, height, width] = shape.output();
    let at =
        |n: usize, y: usize, x: usize, k: usize| c[((n * height + y) * width + x) * channels + k];
    for n in 0..batch {
        for y in 0..height / 2 {
            for x in 0..width / 2 {
                for k in 0..channels {
                    let mut window =
                        [0, 1, 2, 3].map(|tap| at(n, 2 * y + tap / 2, 2 * x + tap % 2, k));
                    window.sort_by(f64::total_cmp);
                    if window[3] - window[2] < 1e-4 {
                        return false;
                    }
                }
            }
        }
    }
    true
}

#[test]
fn groups_agree_with_double_precision() {
    for (isa, precision) in ways() {
        for has_third in [false, true] {
            try_seeds(9, |seed| {
                let context = new_context(isa, precision);
                let random = &mut Random::new(seed);
                let channels = random.choice(&[2, 5, 16, 16, 24]);
                let out_channels = random.choice(&[3, 7, 16, 16, 20, 32]);
                let size = [random.size(4, 13), random.size(4, 13)];
                let input = [random.choice(&[2, 3, 5]), channels, size[0], size[1]];
                let shape = GroupShape::new(input, out_channels, has_third).unwrap();
                // Few values a channel make gradients that cancel.
                shape.output_len() / out_channels >= 24
                    && shape.output_len() <= 4000
                    && group_agrees(&context, random, &shape, input, has_third)
            });
        }
    }
}

/// Whether the case could be tried: the maxima are clear.
fn group_agrees(
    context: &Context,
    random: &mut Random,
    shape: &GroupShape,
    input: [usize; 4],
    has_third: bool,
) -> bool {
    let [_, channels, ..] = input;
    let [_, out_channels, ..] = shape.output();
    let first_shape = ConvShape::new(input, [out_channels, channels, 3, 3], 1, 1).unwrap();
    let weight = [out_channels, out_channels, 3, 3];
    let inner_shape = ConvShape::new(shape.output(), weight, 1, 1).unwrap();
    let mut layers = vec![Layer::new(random, first_shape)];
    for _ in 0..if has_third { 2 } else { 1 } {
        layers.push(Layer::new(random, inner_shape));
    }
    let len = shape.output_len();
    layers[0].c = vec![f32::NAN; len];
    let x = random.values(shape.input_len());
    let x64 = to_f64(&x);
    let no_bias = vec![0.0; out_channels];
    let c = reference::conv2d(&first_shape, &x64, &to_f64(&layers[0].weight), &no_bias);
    if !has_clear_maxima(&first_shape, &c) {
        return false;
    }
    let (maxima, places64) = pooled(&first_shape, &c);
    let f1 = normalized(&layers[0], maxima);
    let a = gelu(&f1.normalized);
    let f2 = exact(&layers[1], &a);
    let (f3, b) = match layers.get(2) {
        Some(layer) => {
            let b = gelu(&f2.normalized);
            (Some(exact(layer, &b)), b)
        }
        None => (None, Vec::new()),
    };
    let last = match &f3 {
        Some(f3) => add(&f3.normalized, &a),
        None => f2.normalized.clone(),
    };
    let y64 = gelu(&last);
    let case = &(context.isa(), context.precision(), shape);

    let copies: Vec<[Vec<f32>; 3]> = (layers.iter())
        .map(|l| [l.weight.clone(), l.gamma.clone(), l.beta.clone()])
        .collect();
    let of = |index: usize| {
        copies.get(index).map(|[weight, gamma, beta]| Parameters {
            weight,
            gamma,
            beta,
        })
    };
    let p = GroupParameters {
        first: of(0).unwrap(),
        second: of(1).unwrap(),
        third: of(2),
    };
    fn convolved(layer: &mut Layer) -> Convolved<'_> {
        Convolved {
            c: &mut layer.c,
            mean: &mut layer.mean,
            variance: &mut layer.variance,
        }
    }
    let (mut y, mut places) = (vec![f32::NAN; len], vec![u8::MAX; len]);
    let mut rooms = layers.iter_mut().map(convolved);
    let out = Outputs {
        first: rooms.next().unwrap(),
        places: &mut places,
        second: rooms.next().unwrap(),
        third: rooms.next(),
        y: &mut y,
    };
    conv_group::forward(context, shape, &x, &p, EPS, out).unwrap();
    assert_within(2e-5, case, &y, &y64);
    assert_eq!(places, places64, "{case:?}");

    let dy = random.values(len);
    let d_last = gelu_backward(&last, &to_f64(&dy));
    let (g3, d_second) = match (&f3, layers.get(2)) {
        (Some(f3), Some(layer)) => {
            let g3 = exact_backward(layer, &b, f3, &d_last);
            let d_second = gelu_backward(&f2.normalized, &g3[0]);
            (Some(g3), d_second)
        }
        _ => (None, d_last.clone()),
    };
    let g2 = exact_backward(&layers[1], &a, &f2, &d_second);
    let d_a = if has_third {
        add(&g2[0], &d_last)
    } else {
        g2[0].clone()
    };
    let d_normalized = gelu_backward(&f1.normalized, &d_a);
    let by_maxima = f1.backward(&layers[0], &d_normalized);
    let dc = pooled_backward(&first_shape, &places64, &by_maxima.input);
    let weight64 = to_f64(&layers[0].weight);
    let g1 = [
        reference::conv2d_backward_input(&first_shape, &weight64, &dc),
        reference::conv2d_backward_weight(&first_shape, &x64, &dc),
        by_maxima.gamma,
        by_maxima.beta,
    ];

    let kept: Vec<[Vec<f32>; 3]> = (layers.iter())
        .map(|l| [l.c.clone(), l.mean.clone(), l.variance.clone()])
        .collect();
    let of = |index: usize| {
        kept.get(index).map(|[c, mean, variance]| SavedConvolution {
            c,
            statistics: Statistics { mean, variance },
        })
    };
    let saved = Saved {
        x: &x,
        first: of(0).unwrap(),
        places: &places,
        second: of(1).unwrap(),
        third: of(2),
    };
    for by_input in [true, false] {
        let mut rooms = layers.iter_mut().map(gradients);
        let g = GroupGradients {
            first: rooms.next().unwrap(),
            second: rooms.next().unwrap(),
            third: rooms.next(),
        };
        let mut dx = vec![f32::NAN; if by_input { shape.input_len() } else { 0 }];
        conv_group::backward(context, shape, &saved, &p, EPS, &dy, g, &mut dx).unwrap();
        assert_gradients(case, &layers[0], &g1);
        assert_gradients(case, &layers[1], &g2);
        if let (Some(layer), Some(g3)) = (layers.get(2), &g3) {
            assert_gradients(case, layer, g3);
        }
        if by_input {
            assert_within(5e-5, case, &dx, &g1[0]);
        }
    }
    true
}

#[test]
fn whitening_layers_agree_with_double_precision() {
    for (isa, precision) in ways() {
        for seed in seeds() {
            let context = new_context(isa, precision);
            let random = &mut Random::new(seed);
            let shape = if seed % 4 == 0 {
                let input = [
                    random.choice(&[1, 2, 5]),
                    3,
                    random.size(2, 32),
                    random.size(2, 32),
                ];
                ConvShape::new(input, [24, 3, 2, 2], 1, 0).unwrap()
            } else {
                random.conv_shape()
            };
            let x = random.values(shape.input_len());
            let w = random.values(shape.weight_len());
            let bias = random.values(shape.bias_len());
            let dy = random.values(shape.output_len());
            let sum = reference::conv2d(&shape, &to_f64(&x), &to_f64(&w), &to_f64(&bias));
            let case = &(isa, precision, shape);
            let (mut y, mut db) = (vec![f32::NAN; dy.len()], vec![f32::NAN; bias.len()]);
            let x = Images::Pixels(&x);
            let prepared = inference::Prepared::new(&context, &shape, &w).unwrap();
            let batch = shape.output()[0];
            prepared
                .run(batch, x, &bias, None, Activation::Gelu, &mut y)
                .unwrap();
            assert_within(1e-5, case, &y, &gelu(&sum));
            whiten::backward_bias(&prepared, batch, x, &bias, &dy, &mut db).unwrap();
            let products = gelu_backward(&sum, &to_f64(&dy));
            let expected = reference::conv2d_backward_bias(&shape, &products);
            // Sums may cancel: their error is measured beside what was summed.
            let scale = products.iter().map(|g| g * g).sum::<f64>().sqrt();
            for (db, expected) in db.iter().zip(&expected) {
                assert!((f64::from(*db) - expected).abs() < 1e-5 * scale, "{case:?}");
            }
        }
    }
}

#[test]
fn folded_and_pooled_convolutions_agree_with_double_precision() {
    for (isa, precision) in ways() {
        for seed in seeds() {
            let context = new_context(isa, precision);
            let random = &mut Random::new(seed);
            let shape = if seed % 3 == 0 {
                random.winograd_shape()
            } else {
                random.conv_shape()
            };
            let [batch, channels, height, width] = shape.output();
            if height < 2 || width < 2 {
                continue;
            }
            let x = random.values(shape.input_len());
            let w = random.values(shape.weight_len());
            let bias = random.values(channels);
            let sum = reference::conv2d(&shape, &to_f64(&x), &to_f64(&w), &to_f64(&bias));
            let (maxima, _) = pooled(&shape, &sum);
            let mut y = vec![f32::NAN; maxima.len()];
            let prepared = inference::Prepared::new(&context, &shape, &w).unwrap();
            let x = Images::Pixels(&x);
            prepared
                .run_pooled(batch, x, &bias, Activation::Gelu, &mut y)
                .unwrap();
            assert_within(1e-5, &(isa, precision, shape), &y, &gelu(&maxima));
        }
    }
}
