//! The time of every block of the airbench network for 94%, forward and backward, and of all of
//! them. Run it with `cargo run -p cpu-kernels --example airbench -- [threads] [batch]`.

use std::error::Error;
use std::time::Instant;

use cpu_kernels::block::conv_group::{
    self, GroupGradients, GroupParameters, GroupShape, Outputs, Saved,
};
use cpu_kernels::block::inference::Prepared;
use cpu_kernels::block::{
    Convolved, Images, NormGradients, Parameters, SavedConvolution, Statistics, whiten,
};
use cpu_kernels::{Activation, Context, ConvShape, ShapeError};

const EPS: f32 = 1e-12;
const REPETITIONS: usize = 5;

/// A normalised convolution with everything that it reads and writes.
struct Layer {
    weight: Vec<f32>,
    gamma: Vec<f32>,
    c: Vec<f32>,
    statistics: [Vec<f32>; 2],
    gradients: [Vec<f32>; 3],
}

fn values(len: usize) -> Vec<f32> {
    (0..len)
        .map(|i| (i * 37 % 101) as f32 / 101.0 - 0.5)
        .collect()
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
}

/// The fastest of some repetitions, in milliseconds.
fn fastest(mut run: impl FnMut() -> Result<(), ShapeError>) -> Result<f64, ShapeError> {
    let mut least = f64::INFINITY;
    for _ in 0..REPETITIONS {
        let start = Instant::now();
        run()?;
        least = least.min(start.elapsed().as_secs_f64() * 1e3);
    }
    Ok(least)
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut number = |default: usize| {
        let text = arguments.next();
        text.and_then(|text| text.parse().ok()).unwrap_or(default)
    };
    let (threads, batch) = (number(2), number(512));
    let context = Context::new(threads)?;
    println!(
        "{}, {threads} threads, batch {batch}: milliseconds forward, backward",
        context.isa()
    );
    let mut rows = vec![("whitening", time_whitening(&context, batch)?, 0.0)];
    for (name, channels, out, size) in [
        ("24 to 64 at 31", 24, 64, 31),
        ("64 to 256 at 15", 64, 256, 15),
        ("256 to 256 at 7", 256, 256, 7),
    ] {
        let input = [batch, channels, size, size];
        let half = size / 2;
        let products = 9 * out * (size * size * channels + half * half * out);
        let times = time_group(&context, input, out)?;
        rows.push((name, times, 2e-6 * (batch * products) as f64));
    }
    let mut total = [0.0; 2];
    for (name, times, operations) in rows {
        println!(
            "  {name:20} {:8.1} {:8.1}   {:4.0} {:4.0} GFLOP/s of direct convolutions",
            times[0],
            times[1],
            operations / times[0],
            2.0 * operations / times[1]
        );
        total = [total[0] + times[0], total[1] + times[1]];
    }
    println!(
        "  {:20} {:8.1} {:8.1}   {:.0} images/s",
        "all",
        total[0],
        total[1],
        batch as f64 / (total[0] + total[1]) * 1e3
    );
    Ok(())
}

fn time_whitening(context: &Context, batch: usize) -> Result<[f64; 2], ShapeError> {
    let shape = ConvShape::new([batch, 3, 32, 32], [24, 3, 2, 2], 1, 0)?;
    let (x, bias) = (values(shape.input_len()), vec![0.1; 24]);
    let (mut y, mut db) = (values(shape.output_len()), vec![0.0; 24]);
    let prepared = Prepared::new(context, &shape, &values(shape.weight_len()))?;
    let x = Images::Planes(&x);
    let forward = fastest(|| prepared.run(batch, x, &bias, None, Activation::Gelu, &mut y))?;
    let backward = fastest(|| whiten::backward_bias(&prepared, batch, x, &bias, &y, &mut db))?;
    Ok([forward, backward])
}

fn time_group(context: &Context, input: [usize; 4], out: usize) -> Result<[f64; 2], ShapeError> {
    let shape = GroupShape::new(input, out, false)?;
    let len = shape.output_len();
    let (x, mut dx) = (values(shape.input_len()), values(shape.input_len()));
    let (mut y, dy, mut places) = (values(len), values(len), vec![0; len]);
    let mut first = Layer::new(9 * input[1] * out, out, len);
    let mut second = Layer::new(9 * out * out, out, len);
    let forward = fastest(|| {
        let parts = |layer: &mut Layer| -> (Vec<f32>, Vec<f32>) {
            (layer.weight.clone(), layer.gamma.clone())
        };
        let ((w1, g1), (w2, g2)) = (parts(&mut first), parts(&mut second));
        let parameters = GroupParameters {
            first: norm(&w1, &g1),
            second: norm(&w2, &g2),
            third: None,
        };
        let out = Outputs {
            first: convolved(&mut first),
            places: &mut places,
            second: convolved(&mut second),
            third: None,
            y: &mut y,
        };
        conv_group::forward(context, &shape, &x, &parameters, EPS, out)
    })?;
    let backward = fastest(|| {
        let parameters = GroupParameters {
            first: norm(&first.weight, &first.gamma),
            second: norm(&second.weight, &second.gamma),
            third: None,
        };
        let saved = Saved {
            x: &x,
            first: saved(&first.c, &first.statistics),
            places: &places,
            second: saved(&second.c, &second.statistics),
            third: None,
        };
        let gradients = GroupGradients {
            first: gradients(&mut first.gradients),
            second: gradients(&mut second.gradients),
            third: None,
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
    })?;
    Ok([forward, backward])
}

fn norm<'a>(weight: &'a [f32], gamma: &'a [f32]) -> Parameters<'a> {
    Parameters {
        weight,
        gamma,
        beta: gamma,
    }
}

fn convolved(layer: &mut Layer) -> Convolved<'_> {
    let [mean, variance] = &mut layer.statistics;
    Convolved {
        c: &mut layer.c,
        mean,
        variance,
    }
}

fn saved<'a>(c: &'a [f32], [mean, variance]: &'a [Vec<f32>; 2]) -> SavedConvolution<'a> {
    let statistics = Statistics { mean, variance };
    SavedConvolution { c, statistics }
}

fn gradients(gradients: &mut [Vec<f32>; 3]) -> NormGradients<'_> {
    let [weight, gamma, beta] = gradients;
    NormGradients {
        weight,
        gamma,
        beta,
    }
}
