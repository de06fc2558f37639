//! Whole parts of the networks, as a training step and inference call them. The work counted is that of
//! the direct convolutions alone; a backward pass has twice that of a forward pass, or as much where no
//! gradient by the input is asked for.

use cpu_kernels::block::conv_group::{self, GroupGradients, GroupParameters, GroupShape};
use cpu_kernels::block::inference::Prepared;
use cpu_kernels::block::residual::{self, BlockGradients, BlockParameters, ResidualShape};
use cpu_kernels::block::{
    Convolved, Images, NormGradients, Parameters, SavedConvolution, Statistics, stem, whiten,
};
use cpu_kernels::{Activation, Context, ConvShape};
use criterion::{BenchmarkId, Criterion, Throughput};

use crate::rate::AgainstPeak;
use crate::values::values;

const BATCH: usize = 32;
const EPS: f32 = 1e-5;

/// A normalised convolution with everything that it reads and writes.
struct Layer {
    weight: Vec<f32>,
    gamma: Vec<f32>,
    c: Vec<f32>,
    statistics: [Vec<f32>; 2],
    gradients: [Vec<f32>; 3],
}

impl Layer {
    fn new(weights: usize, channels: usize, outputs: usize) -> Self {
        Self {
            weight: values(weights),
            gamma: vec![1.0; channels],
            c: values(outputs),
            statistics: [vec![0.0; channels], vec![1.0; channels]],
            gradients: [vec![0.0; weights], vec![0.0; channels], vec![0.0; channels]],
        }
    }

    /// The parameters, and where the forward pass writes.
    fn forward(&mut self) -> (Parameters<'_>, Convolved<'_>) {
        let [mean, variance] = &mut self.statistics;
        let out = Convolved {
            c: &mut self.c,
            mean,
            variance,
        };
        let parameters = Parameters {
            weight: &self.weight,
            gamma: &self.gamma,
            beta: &self.gamma,
        };
        (parameters, out)
    }

    /// The parameters, what the forward pass wrote, and where the gradients go.
    fn backward(&mut self) -> (Parameters<'_>, SavedConvolution<'_>, NormGradients<'_>) {
        let [mean, variance] = &self.statistics;
        let [weight, gamma, beta] = &mut self.gradients;
        let parameters = Parameters {
            weight: &self.weight,
            gamma: &self.gamma,
            beta: &self.gamma,
        };
        let saved = SavedConvolution {
            c: &self.c,
            statistics: Statistics { mean, variance },
        };
        let gradients = NormGradients {
            weight,
            gamma,
            beta,
        };
        (parameters, saved, gradients)
    }
}

/// The first layers of ResNet-20 and ResNet-18, which nobody asks for a gradient by their input.
pub fn stems(criterion: &mut Criterion<AgainstPeak>, context: &Context) {
    for channels in [16, 64] {
        let shape = &ConvShape::new([BATCH, 3, 32, 32], [channels, 3, 3, 3], 1, 1).unwrap();
        let len = shape.output_len();
        let mut layer = Layer::new(shape.weight_len(), channels, len);
        let (pixels, dy) = (values(shape.input_len()), values(len));
        let (mut y, x) = (dy.clone(), Images::Planes(&pixels));
        let mut group = criterion.benchmark_group(format!("stem 3 to {channels} at 32"));
        group.throughput(Throughput::Elements(shape.flops() as u64));
        group.bench_function("forward", |bencher| {
            bencher.iter(|| {
                let (parameters, Convolved { c, mean, variance }) = layer.forward();
                let out = stem::Outputs {
                    c,
                    y: &mut y,
                    mean,
                    variance,
                };
                stem::forward(context, shape, x, &parameters, EPS, out)
            });
        });
        group.bench_function("backward", |bencher| {
            bencher.iter(|| {
                let (parameters, saved, gradients) = layer.backward();
                let saved = &stem::Saved {
                    x,
                    c: saved.c,
                    y: &y,
                    statistics: saved.statistics,
                };
                let none = &mut [];
                stem::backward(
                    context,
                    shape,
                    saved,
                    &parameters,
                    EPS,
                    &dy,
                    gradients,
                    none,
                )
            });
        });
        group.finish();
    }
}

/// The blocks of ResNet-20 and the first of ResNet-18; those that change the shape have a projection.
pub fn residual_blocks(criterion: &mut Criterion<AgainstPeak>, context: &Context) {
    for (name, [inputs, size], outputs, stride) in [
        ("16 at 32", [16, 32], 16, 1),
        ("16 at 32 to 32 at 16, projection", [16, 32], 32, 2),
        ("32 at 16", [32, 16], 32, 1),
        ("32 at 16 to 64 at 8, projection", [32, 16], 64, 2),
        ("64 at 8", [64, 8], 64, 1),
        ("64 at 32", [64, 32], 64, 1),
    ] {
        let shape = &ResidualShape::new([BATCH, inputs, size, size], outputs, stride).unwrap();
        let len = shape.output_len();
        let mut first = Layer::new(9 * inputs * outputs, outputs, len);
        let mut second = Layer::new(9 * outputs * outputs, outputs, len);
        let mut around = (shape.projects()).then(|| Layer::new(inputs * outputs, outputs, len));
        let (x, dy) = (values(shape.input_len()), values(len));
        let (mut dx, mut y) = (x.clone(), dy.clone());
        let mut group = criterion.benchmark_group(format!("residual block {name}"));
        group.throughput(Throughput::Elements(shape.flops() as u64));
        group.bench_function("forward", |bencher| {
            bencher.iter(|| {
                let (p1, out1) = first.forward();
                let (p2, out2) = second.forward();
                let (p3, out3) = around.as_mut().map(Layer::forward).unzip();
                let parameters = &BlockParameters {
                    first: p1,
                    second: p2,
                    projection: p3,
                };
                let out = residual::Outputs {
                    first: out1,
                    second: out2,
                    projection: out3,
                    y: &mut y,
                };
                residual::forward(context, shape, &x, parameters, EPS, out)
            });
        });
        group.throughput(Throughput::Elements(2 * shape.flops() as u64));
        group.bench_function("backward", |bencher| {
            bencher.iter(|| {
                let (p1, saved1, gradients1) = first.backward();
                let (p2, saved2, gradients2) = second.backward();
                let mut of_projection = around.as_mut().map(Layer::backward);
                let parameters = &BlockParameters {
                    first: p1,
                    second: p2,
                    projection: of_projection.as_ref().map(|(parameters, ..)| *parameters),
                };
                let saved = &residual::Saved {
                    x: &x,
                    first: saved1,
                    second: saved2,
                    projection: of_projection.as_ref().map(|(_, saved, _)| *saved),
                    y: &y,
                };
                let gradients = BlockGradients {
                    first: gradients1,
                    second: gradients2,
                    projection: of_projection.take().map(|(.., gradients)| gradients),
                };
                let dx = &mut dx;
                residual::backward(context, shape, saved, parameters, EPS, &dy, gradients, dx)
            });
        });
        group.finish();
    }
}

/// The groups of airbench94, of two convolutions, and two of airbench96, of three.
pub fn groups(criterion: &mut Criterion<AgainstPeak>, context: &Context) {
    for (name, [inputs, size], outputs, has_third) in [
        ("24 to 64 at 31", [24, 31], 64, false),
        ("64 to 256 at 15", [64, 15], 256, false),
        ("256 to 256 at 7", [256, 7], 256, false),
        ("24 to 128 at 31, third convolution", [24, 31], 128, true),
        ("128 to 384 at 15, third convolution", [128, 15], 384, true),
    ] {
        let shape = &GroupShape::new([BATCH, inputs, size, size], outputs, has_third).unwrap();
        let len = shape.output_len();
        let mut first = Layer::new(9 * inputs * outputs, outputs, len);
        let mut second = Layer::new(9 * outputs * outputs, outputs, len);
        let mut third = has_third.then(|| Layer::new(9 * outputs * outputs, outputs, len));
        let (x, dy) = (values(shape.input_len()), values(len));
        let (mut dx, mut y, mut places) = (x.clone(), dy.clone(), vec![0; len]);
        let mut group = criterion.benchmark_group(format!("group {name}"));
        group.throughput(Throughput::Elements(shape.flops() as u64));
        group.bench_function("forward", |bencher| {
            bencher.iter(|| {
                let (p1, out1) = first.forward();
                let (p2, out2) = second.forward();
                let (p3, out3) = third.as_mut().map(Layer::forward).unzip();
                let parameters = &GroupParameters {
                    first: p1,
                    second: p2,
                    third: p3,
                };
                let out = conv_group::Outputs {
                    first: out1,
                    places: &mut places,
                    second: out2,
                    third: out3,
                    y: &mut y,
                };
                conv_group::forward(context, shape, &x, parameters, EPS, out)
            });
        });
        group.throughput(Throughput::Elements(2 * shape.flops() as u64));
        group.bench_function("backward", |bencher| {
            bencher.iter(|| {
                let (p1, saved1, gradients1) = first.backward();
                let (p2, saved2, gradients2) = second.backward();
                let mut of_third = third.as_mut().map(Layer::backward);
                let parameters = &GroupParameters {
                    first: p1,
                    second: p2,
                    third: of_third.as_ref().map(|(parameters, ..)| *parameters),
                };
                let saved = &conv_group::Saved {
                    x: &x,
                    first: saved1,
                    places: &places,
                    second: saved2,
                    third: of_third.as_ref().map(|(_, saved, _)| *saved),
                };
                let gradients = GroupGradients {
                    first: gradients1,
                    second: gradients2,
                    third: of_third.take().map(|(.., gradients)| gradients),
                };
                let dx = &mut dx;
                conv_group::backward(context, shape, saved, parameters, EPS, &dy, gradients, dx)
            });
        });
        group.finish();
    }
}

/// The first layer of airbench: forward, and the gradient by its bias, which convolves once more.
pub fn whitening(criterion: &mut Criterion<AgainstPeak>, context: &Context) {
    let shape = &ConvShape::new([BATCH, 3, 32, 32], [24, 3, 2, 2], 1, 0).unwrap();
    let prepared = Prepared::new(context, shape, &values(shape.weight_len())).unwrap();
    let (pixels, bias) = (values(shape.input_len()), values(24));
    let (mut y, mut db, x) = (
        values(shape.output_len()),
        bias.clone(),
        Images::Planes(&pixels),
    );
    let mut group = criterion.benchmark_group("whitening");
    group.throughput(Throughput::Elements(shape.flops() as u64));
    group.bench_function("forward", |bencher| {
        bencher.iter(|| prepared.run(BATCH, x, &bias, None, Activation::Gelu, &mut y));
    });
    group.bench_function("backward", |bencher| {
        bencher.iter(|| whiten::backward_bias(&prepared, BATCH, x, &bias, &y, &mut db));
    });
    group.finish();
}

/// Convolutions with a folded normalisation, of one image and of many: those of ResNet-20, with what
/// goes around a block where it ends, and the first of airbench94 with its maxima of windows.
pub fn inference(criterion: &mut Criterion<AgainstPeak>, context: &Context) {
    for (name, [inputs, size], outputs, stride) in [
        ("3 to 16 at 32", [3, 32], 16, 1),
        ("16 at 32", [16, 32], 16, 1),
        ("16 to 32 at 32, stride 2", [16, 32], 32, 2),
        ("32 at 16", [32, 16], 32, 1),
        ("64 at 8", [64, 8], 64, 1),
        ("24 to 64 at 31, pooled", [24, 31], 64, 1),
    ] {
        let mut group = criterion.benchmark_group(format!("folded {name}"));
        for batch in [1, 128] {
            let (input, weight) = ([batch, inputs, size, size], [outputs, inputs, 3, 3]);
            let shape = &ConvShape::new(input, weight, stride, 1).unwrap();
            let prepared = Prepared::new(context, shape, &values(shape.weight_len())).unwrap();
            let (pixels, bias) = (values(shape.input_len()), values(outputs));
            let mut y = values(shape.output_len());
            let around = y.clone();
            let x = Images::Pixels(&pixels);
            group.throughput(Throughput::Elements(shape.flops() as u64));
            let id = |what| BenchmarkId::new(what, format!("batch {batch}"));
            if name.ends_with("pooled") {
                let y = &mut y[..batch * outputs * (size / 2) * (size / 2)];
                group.bench_function(id("maxima"), |bencher| {
                    bencher.iter(|| prepared.run_pooled(batch, x, &bias, Activation::Gelu, y));
                });
                continue;
            }
            let relu = Activation::Relu;
            group.bench_function(id("alone"), |bencher| {
                bencher.iter(|| prepared.run(batch, x, &bias, None, relu, &mut y));
            });
            if inputs == outputs {
                let around = Some(&*around);
                group.bench_function(id("end of a block"), |bencher| {
                    bencher.iter(|| prepared.run(batch, x, &bias, around, relu, &mut y));
                });
            }
        }
        group.finish();
    }
}
