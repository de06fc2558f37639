//! Whole blocks against the same block in double precision, made of plain convolutions.

use cpu_kernels::block::residual::{
    self, BlockGradients, BlockParameters, Convolved, ResidualShape, SavedConvolution,
};
use cpu_kernels::block::{Images, NormGradients, Parameters, Statistics, inference, stem};
use cpu_kernels::{Activation, Context, ConvShape, Isa, Precision, reference};

use super::compare::{assert_within, to_f64};

use super::random::Random;
use super::{new_context, seeds, try_seeds};

pub const EPS: f32 = 1e-5;

/// Parameters of a normalised convolution, and room for what it writes.
pub struct Layer {
    pub shape: ConvShape,
    pub weight: Vec<f32>,
    pub gamma: Vec<f32>,
    pub beta: Vec<f32>,
    pub c: Vec<f32>,
    pub mean: Vec<f32>,
    pub variance: Vec<f32>,
    pub by_weight: Vec<f32>,
    pub by_gamma: Vec<f32>,
    pub by_beta: Vec<f32>,
}

impl Layer {
    pub fn new(random: &mut Random, shape: ConvShape) -> Self {
        let channels = shape.bias_len();
        let nan = |len| vec![f32::NAN; len];
        Self {
            weight: random.values(shape.weight_len()),
            gamma: random.positive_values(channels),
            beta: random.values(channels),
            c: nan(shape.output_len()),
            mean: nan(channels),
            variance: nan(channels),
            by_weight: nan(shape.weight_len()),
            by_gamma: nan(channels),
            by_beta: nan(channels),
            shape,
        }
    }
}

/// A normalisation in double precision.
pub struct Exact {
    /// The standardised values.
    standard: Vec<f64>,
    pub normalized: Vec<f64>,
    inverse: Vec<f64>,
}

/// The gradients of a normalisation.
pub struct NormBackward {
    pub input: Vec<f64>,
    pub gamma: Vec<f64>,
    pub beta: Vec<f64>,
}

impl Exact {
    /// `c` normalised with the scale and shift of `layer`.
    pub fn of(layer: &Layer, c: Vec<f64>) -> Self {
        let channels = layer.gamma.len();
        let count = (c.len() / channels) as f64;
        let of_channel = |k: usize| c.iter().skip(k).step_by(channels).copied();
        let mean: Vec<f64> = (0..channels)
            .map(|k| of_channel(k).sum::<f64>() / count)
            .collect();
        let inverse: Vec<f64> = (0..channels)
            .map(|k| {
                let variance = of_channel(k).map(|x| (x - mean[k]).powi(2)).sum::<f64>() / count;
                1.0 / (variance + f64::from(EPS)).sqrt()
            })
            .collect();
        let standard: Vec<f64> = c
            .iter()
            .enumerate()
            .map(|(i, x)| (x - mean[i % channels]) * inverse[i % channels])
            .collect();
        let normalized = standard
            .iter()
            .enumerate()
            .map(|(i, x)| {
                x * f64::from(layer.gamma[i % channels]) + f64::from(layer.beta[i % channels])
            })
            .collect();
        Self {
            standard,
            normalized,
            inverse,
        }
    }

    pub fn backward(&self, layer: &Layer, dy: &[f64]) -> NormBackward {
        let channels = layer.gamma.len();
        let count = (dy.len() / channels) as f64;
        let sum = |k: usize, of: &dyn Fn(usize) -> f64| -> f64 {
            (k..dy.len()).step_by(channels).map(of).sum()
        };
        let beta: Vec<f64> = (0..channels).map(|k| sum(k, &|i| dy[i])).collect();
        let gamma: Vec<f64> = (0..channels)
            .map(|k| sum(k, &|i| dy[i] * self.standard[i]))
            .collect();
        let input = (0..dy.len())
            .map(|i| {
                let k = i % channels;
                let inner = dy[i] - beta[k] / count - self.standard[i] * gamma[k] / count;
                f64::from(layer.gamma[k]) * self.inverse[k] * inner
            })
            .collect();
        NormBackward { input, gamma, beta }
    }
}

/// A normalised convolution in double precision.
pub fn exact(layer: &Layer, x: &[f64]) -> Exact {
    let no_bias = vec![0.0; layer.shape.bias_len()];
    let c = reference::conv2d(&layer.shape, x, &to_f64(&layer.weight), &no_bias);
    Exact::of(layer, c)
}

/// The gradients of a normalised convolution by input, weights, gamma and beta.
pub fn exact_backward(layer: &Layer, x: &[f64], forward: &Exact, dy: &[f64]) -> [Vec<f64>; 4] {
    let NormBackward { input, gamma, beta } = forward.backward(layer, dy);
    let dx = reference::conv2d_backward_input(&layer.shape, &to_f64(&layer.weight), &input);
    let dw = reference::conv2d_backward_weight(&layer.shape, x, &input);
    [dx, dw, gamma, beta]
}

fn relu(x: &[f64]) -> Vec<f64> {
    x.iter().map(|x| x.max(0.0)).collect()
}

fn gated(gate: &[f64], dy: &[f64]) -> Vec<f64> {
    let pairs = gate.iter().zip(dy);
    pairs
        .map(|(gate, dy)| if *gate > 0.0 { *dy } else { 0.0 })
        .collect()
}

pub fn add(a: &[f64], b: &[f64]) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| a + b).collect()
}

/// Whether every pre-activation is away from zero, where rounding would open or close a rectifier.
fn has_clear_signs(values: &[f64]) -> bool {
    values.iter().all(|x| x.abs() > 2e-4)
}

pub fn gradients(layer: &mut Layer) -> NormGradients<'_> {
    NormGradients {
        weight: &mut layer.by_weight,
        gamma: &mut layer.by_gamma,
        beta: &mut layer.by_beta,
    }
}

#[track_caller]
pub fn assert_gradients(case: &dyn std::fmt::Debug, layer: &Layer, expected: &[Vec<f64>; 4]) {
    assert_within(5e-5, case, &layer.by_weight, &expected[1]);
    assert_within(5e-5, case, &layer.by_gamma, &expected[2]);
    assert_within(5e-5, case, &layer.by_beta, &expected[3]);
}

/// Every way to compute that this processor has.
pub fn ways() -> impl Iterator<Item = (Isa, Precision)> {
    let available = Isa::ALL.into_iter().filter(|isa| isa.is_available());
    available.flat_map(|isa| [(isa, Precision::Exact), (isa, Precision::Fast)])
}

#[test]
fn stems_agree_with_double_precision() {
    for (isa, precision) in ways() {
        try_seeds(6, |seed| {
            let context = new_context(isa, precision);
            let random = &mut Random::new(seed);
            let shape = random.conv_shape();
            let x = random.values(shape.input_len());
            let mut layer = Layer::new(random, shape);
            let x64 = to_f64(&x);
            let forward = exact(&layer, &x64);
            if shape.output_len() < 64 * layer.gamma.len() || !has_clear_signs(&forward.normalized)
            {
                return false;
            }
            let case = &(isa, precision, shape);
            let dy = random.values(shape.output_len());
            let y64 = relu(&forward.normalized);
            let mut y = vec![f32::NAN; shape.output_len()];
            let p = Parameters {
                weight: &layer.weight.clone(),
                gamma: &layer.gamma.clone(),
                beta: &layer.beta.clone(),
            };
            let out = stem::Outputs {
                c: &mut layer.c,
                y: &mut y,
                mean: &mut layer.mean,
                variance: &mut layer.variance,
            };
            stem::forward(&context, &shape, Images::Pixels(&x), &p, EPS, out).unwrap();
            assert_within(2e-5, case, &y, &y64);

            let expected = exact_backward(&layer, &x64, &forward, &gated(&y64, &to_f64(&dy)));
            let mut dx = vec![f32::NAN; shape.input_len()];
            let (c, mean, variance) = (layer.c.clone(), layer.mean.clone(), layer.variance.clone());
            let saved = stem::Saved {
                x: Images::Pixels(&x),
                c: &c,
                y: &y,
                statistics: Statistics {
                    mean: &mean,
                    variance: &variance,
                },
            };
            let g = gradients(&mut layer);
            stem::backward(&context, &shape, &saved, &p, EPS, &dy, g, &mut dx).unwrap();
            assert_gradients(case, &layer, &expected);
            assert_within(5e-5, case, &dx, &expected[0]);
            true
        });
    }
}

#[test]
fn residual_blocks_agree_with_double_precision() {
    for (isa, precision) in ways() {
        try_seeds(9, |seed| {
            let context = new_context(isa, precision);
            let random = &mut Random::new(seed);
            // A projection of one channel has no gradient: normalisation takes its scale away.
            let channels = random.choice(&[2, 5, 16, 16, 20]);
            let (out_channels, stride) = match random.size(0, 2) {
                0 => (channels, 1),
                1 => (channels, 2),
                _ => (random.choice(&[3, 16, 32]), random.choice(&[1, 2])),
            };
            let size = [random.size(3, 9), random.size(3, 9)];
            let input = [random.choice(&[2, 3, 5]), channels, size[0], size[1]];
            let shape = ResidualShape::new(input, out_channels, stride).unwrap();
            // Few values a channel make gradients that cancel; many leave no rectifier clear.
            let values = shape.output_len() / out_channels;
            values >= 24
                && shape.output_len() <= 900
                && residual_agrees(&context, random, &shape, input, stride)
        });
    }
}

/// Whether the case could be tried: its rectifiers are clearly open or closed.
fn residual_agrees(
    context: &Context,
    random: &mut Random,
    shape: &ResidualShape,
    input: [usize; 4],
    stride: usize,
) -> bool {
    let [_, channels, ..] = input;
    let [_, out_channels, ..] = shape.output();
    let first_shape = ConvShape::new(input, [out_channels, channels, 3, 3], stride, 1).unwrap();
    let second_weight = [out_channels, out_channels, 3, 3];
    let second_shape = ConvShape::new(shape.output(), second_weight, 1, 1).unwrap();
    let mut first = Layer::new(random, first_shape);
    let mut second = Layer::new(random, second_shape);
    let mut projection = shape.projects().then(|| {
        let weight = [out_channels, channels, 1, 1];
        Layer::new(random, ConvShape::new(input, weight, stride, 0).unwrap())
    });
    let x = random.values(shape.input_len());
    let x64 = to_f64(&x);
    let f1 = exact(&first, &x64);
    let middle = relu(&f1.normalized);
    let f2 = exact(&second, &middle);
    let fp = projection.as_ref().map(|layer| exact(layer, &x64));
    let around = fp.as_ref().map_or(&x64, |f| &f.normalized);
    let sum = add(&f2.normalized, around);
    if !has_clear_signs(&f1.normalized) || !has_clear_signs(&sum) {
        return false;
    }
    let case = &(context.isa(), context.precision(), shape);
    let y64 = relu(&sum);

    let copies: Vec<[Vec<f32>; 3]> = [Some(&first), Some(&second), projection.as_ref()]
        .into_iter()
        .flatten()
        .map(|layer| {
            [
                layer.weight.clone(),
                layer.gamma.clone(),
                layer.beta.clone(),
            ]
        })
        .collect();
    let of = |index: usize| {
        copies.get(index).map(|[weight, gamma, beta]| Parameters {
            weight,
            gamma,
            beta,
        })
    };
    let p = BlockParameters {
        first: of(0).unwrap(),
        second: of(1).unwrap(),
        projection: of(2),
    };
    fn convolved(layer: &mut Layer) -> Convolved<'_> {
        Convolved {
            c: &mut layer.c,
            mean: &mut layer.mean,
            variance: &mut layer.variance,
        }
    }
    let mut y = vec![f32::NAN; shape.output_len()];
    let out = residual::Outputs {
        first: convolved(&mut first),
        second: convolved(&mut second),
        projection: projection.as_mut().map(convolved),
        y: &mut y,
    };
    residual::forward(context, shape, &x, &p, EPS, out).unwrap();
    assert_within(2e-5, case, &y, &y64);

    let dy = random.values(shape.output_len());
    let d_sum = gated(&y64, &to_f64(&dy));
    let g2 = exact_backward(&second, &middle, &f2, &d_sum);
    let g1 = exact_backward(&first, &x64, &f1, &gated(&middle, &g2[0]));
    let gp = projection
        .as_ref()
        .zip(fp.as_ref())
        .map(|(layer, f)| exact_backward(layer, &x64, f, &d_sum));
    let dx64 = add(&g1[0], gp.as_ref().map_or(&d_sum, |g| &g[0]));

    let kept: Vec<[Vec<f32>; 3]> = [Some(&first), Some(&second), projection.as_ref()]
        .into_iter()
        .flatten()
        .map(|layer| [layer.c.clone(), layer.mean.clone(), layer.variance.clone()])
        .collect();
    let of = |index: usize| {
        kept.get(index).map(|[c, mean, variance]| SavedConvolution {
            c,
            statistics: Statistics { mean, variance },
        })
    };
    let saved = residual::Saved {
        x: &x,
        first: of(0).unwrap(),
        second: of(1).unwrap(),
        projection: of(2),
        y: &y,
    };
    let g = BlockGradients {
        first: gradients(&mut first),
        second: gradients(&mut second),
        projection: projection.as_mut().map(gradients),
    };
    let mut dx = vec![f32::NAN; shape.input_len()];
    residual::backward(context, shape, &saved, &p, EPS, &dy, g, &mut dx).unwrap();
    assert_gradients(case, &first, &g1);
    assert_gradients(case, &second, &g2);
    if let (Some(layer), Some(expected)) = (&projection, &gp) {
        assert_gradients(case, layer, expected);
    }
    assert_within(5e-5, case, &dx, &dx64);
    true
}

#[test]
fn folded_convolutions_agree_with_double_precision() {
    for (isa, precision) in ways() {
        for seed in seeds() {
            let context = new_context(isa, precision);
            let random = &mut Random::new(seed);
            let shape = random.conv_shape();
            let x = random.values(shape.input_len());
            let w = random.values(shape.weight_len());
            let bias = random.values(shape.bias_len());
            let around = random.values(shape.output_len());
            let (x64, w64) = (to_f64(&x), to_f64(&w));
            let plain = reference::conv2d(&shape, &x64, &w64, &to_f64(&bias));
            let whole = relu(&add(&plain, &to_f64(&around)));
            let case = &(isa, precision, shape);
            let mut y = vec![f32::NAN; shape.output_len()];
            let x = Images::Pixels(&x);
            let prepared = inference::Prepared::new(&context, &shape, &w).unwrap();
            let batch = shape.output()[0];
            prepared
                .run(batch, x, &bias, None, Activation::None, &mut y)
                .unwrap();
            assert_within(1e-5, case, &y, &plain);
            let around = Some(&*around);
            prepared
                .run(batch, x, &bias, around, Activation::Relu, &mut y)
                .unwrap();
            assert_within(1e-5, case, &y, &whole);
        }
    }
}
