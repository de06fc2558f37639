//! Blocks forward and backward, or folded, as functions of the context alone: what they give with one
//! context can be compared with what they give with another.

use cpu_kernels::block::residual::{self, BlockGradients, BlockParameters, ResidualShape};
use cpu_kernels::block::{
    Convolved, Images, NormGradients, Parameters, SavedConvolution, Statistics, conv_group,
    inference, stem, whiten,
};
use cpu_kernels::{Activation, Context, ConvShape};

use super::blocks::EPS;
use super::random::Random;

/// The gradient of an output of so many elements: of very different magnitudes, so that their sums are
/// mostly what rounding leaves, and any other order of summing gives other bits.
pub fn uneven_values(random: &mut Random, len: usize) -> Vec<f32> {
    let mut values = random.values(len);
    for value in &mut values {
        *value *= 2.0_f32.powi(random.size(0, 30) as i32);
    }
    values
}

/// A normalised convolution: its parameters, and the lengths of what it writes.
struct Layer {
    weight: Vec<f32>,
    gamma: Vec<f32>,
    beta: Vec<f32>,
    outputs: usize,
}

impl Layer {
    fn new(random: &mut Random, weights: usize, channels: usize, outputs: usize) -> Self {
        Self {
            weight: random.values(weights),
            gamma: random.positive_values(channels),
            beta: random.values(channels),
            outputs,
        }
    }

    fn parameters(&self) -> Parameters<'_> {
        Parameters {
            weight: &self.weight,
            gamma: &self.gamma,
            beta: &self.beta,
        }
    }

    fn room(&self) -> Room {
        let channels = self.gamma.len();
        Room {
            c: vec![0.0; self.outputs],
            statistics: [vec![0.0; channels], vec![0.0; channels]],
            gradients: [
                vec![0.0; self.weight.len()],
                vec![0.0; channels],
                vec![0.0; channels],
            ],
        }
    }
}

/// What a normalised convolution writes.
struct Room {
    c: Vec<f32>,
    statistics: [Vec<f32>; 2],
    gradients: [Vec<f32>; 3],
}

impl Room {
    fn convolved(&mut self) -> Convolved<'_> {
        let [mean, variance] = &mut self.statistics;
        let c = &mut self.c;
        Convolved { c, mean, variance }
    }

    /// What was written forward, and room for the gradients.
    fn backward(&mut self) -> (SavedConvolution<'_>, NormGradients<'_>) {
        let [mean, variance] = &self.statistics;
        let [weight, gamma, beta] = &mut self.gradients;
        let saved = SavedConvolution {
            c: &self.c,
            statistics: Statistics { mean, variance },
        };
        let gradients = NormGradients {
            weight,
            gamma,
            beta,
        };
        (saved, gradients)
    }

    fn results(self) -> Vec<Vec<f32>> {
        [&[self.c][..], &self.statistics, &self.gradients].concat()
    }
}

/// A stem whose images are planes, as those of a loader are.
pub fn stem(random: &mut Random, shape: ConvShape) -> impl Fn(&Context) -> Vec<Vec<f32>> + use<> {
    let len = shape.output_len();
    let layer = Layer::new(random, shape.weight_len(), shape.bias_len(), len);
    let (x, dy) = (random.values(shape.input_len()), uneven_values(random, len));
    move |context| {
        let (mut y, mut dx) = (vec![0.0; len], vec![0.0; x.len()]);
        let (mut room, parameters, x) = (layer.room(), layer.parameters(), Images::Planes(&x));
        let Convolved { c, mean, variance } = room.convolved();
        let out = stem::Outputs {
            c,
            y: &mut y,
            mean,
            variance,
        };
        stem::forward(context, &shape, x, &parameters, EPS, out).unwrap();
        let (SavedConvolution { c, statistics }, gradients) = room.backward();
        let saved = stem::Saved {
            x,
            c,
            y: &y,
            statistics,
        };
        stem::backward(
            context,
            &shape,
            &saved,
            &parameters,
            EPS,
            &dy,
            gradients,
            &mut dx,
        )
        .unwrap();
        [vec![y, dx], room.results()].concat()
    }
}

/// A residual block.
pub fn residual(
    random: &mut Random,
    input: [usize; 4],
    outputs: usize,
    stride: usize,
) -> impl Fn(&Context) -> Vec<Vec<f32>> + use<> {
    let shape = ResidualShape::new(input, outputs, stride).unwrap();
    let (inputs, len) = (input[1], shape.output_len());
    let first = Layer::new(random, 9 * inputs * outputs, outputs, len);
    let second = Layer::new(random, 9 * outputs * outputs, outputs, len);
    let projection = (shape.projects()).then(|| Layer::new(random, inputs * outputs, outputs, len));
    let (x, dy) = (random.values(shape.input_len()), uneven_values(random, len));
    move |context| {
        let parameters = BlockParameters {
            first: first.parameters(),
            second: second.parameters(),
            projection: projection.as_ref().map(Layer::parameters),
        };
        let (mut of_first, mut of_second) = (first.room(), second.room());
        let mut around = projection.as_ref().map(Layer::room);
        let (mut y, mut dx) = (vec![0.0; len], vec![0.0; x.len()]);
        let out = residual::Outputs {
            first: of_first.convolved(),
            second: of_second.convolved(),
            projection: around.as_mut().map(Room::convolved),
            y: &mut y,
        };
        residual::forward(context, &shape, &x, &parameters, EPS, out).unwrap();
        let (saved_first, by_first) = of_first.backward();
        let (saved_second, by_second) = of_second.backward();
        let (saved_projection, by_projection) = around.as_mut().map(Room::backward).unzip();
        let saved = residual::Saved {
            x: &x,
            first: saved_first,
            second: saved_second,
            projection: saved_projection,
            y: &y,
        };
        let gradients = BlockGradients {
            first: by_first,
            second: by_second,
            projection: by_projection,
        };
        residual::backward(
            context,
            &shape,
            &saved,
            &parameters,
            EPS,
            &dy,
            gradients,
            &mut dx,
        )
        .unwrap();
        let around = around.map(Room::results).unwrap_or_default();
        [vec![y, dx], of_first.results(), of_second.results(), around].concat()
    }
}

/// A convolution group of two convolutions, or of three.
pub fn group(
    random: &mut Random,
    input: [usize; 4],
    channels: usize,
    has_third: bool,
) -> impl Fn(&Context) -> Vec<Vec<f32>> + use<> {
    let shape = conv_group::GroupShape::new(input, channels, has_third).unwrap();
    let len = shape.output_len();
    let weights = [9 * input[1] * channels, 9 * channels * channels];
    let first = Layer::new(random, weights[0], channels, len);
    let second = Layer::new(random, weights[1], channels, len);
    let third = has_third.then(|| Layer::new(random, weights[1], channels, len));
    let (x, dy) = (random.values(shape.input_len()), uneven_values(random, len));
    move |context| {
        let parameters = conv_group::GroupParameters {
            first: first.parameters(),
            second: second.parameters(),
            third: third.as_ref().map(Layer::parameters),
        };
        let (mut of_first, mut of_second) = (first.room(), second.room());
        let mut of_third = third.as_ref().map(Layer::room);
        let (mut y, mut dx, mut places) = (vec![0.0; len], vec![0.0; x.len()], vec![0; len]);
        let out = conv_group::Outputs {
            first: of_first.convolved(),
            places: &mut places,
            second: of_second.convolved(),
            third: of_third.as_mut().map(Room::convolved),
            y: &mut y,
        };
        conv_group::forward(context, &shape, &x, &parameters, EPS, out).unwrap();
        let (saved_first, by_first) = of_first.backward();
        let (saved_second, by_second) = of_second.backward();
        let (saved_third, by_third) = of_third.as_mut().map(Room::backward).unzip();
        let saved = conv_group::Saved {
            x: &x,
            first: saved_first,
            places: &places,
            second: saved_second,
            third: saved_third,
        };
        let gradients = conv_group::GroupGradients {
            first: by_first,
            second: by_second,
            third: by_third,
        };
        conv_group::backward(
            context,
            &shape,
            &saved,
            &parameters,
            EPS,
            &dy,
            gradients,
            &mut dx,
        )
        .unwrap();
        let places = places.into_iter().map(f32::from).collect();
        let third = of_third.map(Room::results).unwrap_or_default();
        [
            vec![y, dx, places],
            of_first.results(),
            of_second.results(),
            third,
        ]
        .concat()
    }
}

/// A folded convolution, alone and with what goes around it, with maxima of windows, and with the
/// gradient by the bias of a whitening layer.
pub fn folded(random: &mut Random, shape: ConvShape) -> impl Fn(&Context) -> Vec<Vec<f32>> + use<> {
    let x = random.values(shape.input_len());
    let weight = random.values(shape.weight_len());
    let bias = random.values(shape.bias_len());
    let around = random.values(shape.output_len());
    let dy = uneven_values(random, shape.output_len());
    let [batch, channels, height, width] = shape.output();
    move |context| {
        let prepared = inference::Prepared::new(context, &shape, &weight).unwrap();
        let images = Images::Pixels(&x);
        let mut plain = vec![0.0; around.len()];
        let mut whole = plain.clone();
        prepared
            .run(batch, images, &bias, None, Activation::Gelu, &mut plain)
            .unwrap();
        let around = Some(&*around);
        prepared
            .run(batch, images, &bias, around, Activation::Relu, &mut whole)
            .unwrap();
        let mut pooled = vec![0.0; batch * channels * (height / 2) * (width / 2)];
        prepared
            .run_pooled(batch, images, &bias, Activation::Gelu, &mut pooled)
            .unwrap();
        let mut db = vec![0.0; channels];
        whiten::backward_bias(&prepared, batch, images, &bias, &dy, &mut db).unwrap();
        vec![plain, whole, pooled, db]
    }
}
