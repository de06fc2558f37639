//! The time of every block of ResNet-20, forward and backward, and of all of them. Run it with
//! `cargo run -p cpu-kernels --example resnet20 -- [threads] [batch]`.

use std::error::Error;
use std::time::Instant;

use cpu_kernels::block::residual::{
    self, BlockGradients, BlockParameters, Convolved, ResidualShape, SavedConvolution,
};
use cpu_kernels::block::{Images, NormGradients, Parameters, Statistics, stem};
use cpu_kernels::{Context, ConvShape};

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
        let values = |len: usize| -> Vec<f32> {
            (0..len)
                .map(|i| (i * 37 % 101) as f32 / 101.0 - 0.5)
                .collect()
        };
        Self {
            weight: values(weights),
            gamma: vec![1.0; channels],
            c: values(outputs),
            statistics: [vec![0.0; channels], vec![1.0; channels]],
            gradients: [vec![0.0; weights], vec![0.0; channels], vec![0.0; channels]],
        }
    }

    fn parameters<'a>(weight: &'a [f32], gamma: &'a [f32]) -> Parameters<'a> {
        Parameters {
            weight,
            gamma,
            beta: gamma,
        }
    }

    fn gradients(gradients: &mut [Vec<f32>; 3]) -> NormGradients<'_> {
        let [weight, gamma, beta] = gradients;
        NormGradients {
            weight,
            gamma,
            beta,
        }
    }

    fn saved<'a>(c: &'a [f32], [mean, variance]: &'a [Vec<f32>; 2]) -> SavedConvolution<'a> {
        let statistics = Statistics { mean, variance };
        SavedConvolution { c, statistics }
    }
}

fn convolved<'a>(c: &'a mut [f32], [mean, variance]: &'a mut [Vec<f32>; 2]) -> Convolved<'a> {
    Convolved { c, mean, variance }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut number = |default: usize| {
        let text = arguments.next();
        text.and_then(|text| text.parse().ok()).unwrap_or(default)
    };
    let (threads, batch) = (number(2), number(128));
    let context = Context::new(threads)?;
    println!(
        "{}, {threads} threads, batch {batch}: milliseconds forward, backward",
        context.isa()
    );
    let mut total = [0.0; 2];
    let mut report = |name: &str, times: [f64; 2], count: usize| {
        println!("  {name:24} {:7.2} {:7.2}   x {count}", times[0], times[1]);
        for (total, time) in total.iter_mut().zip(times) {
            *total += time * count as f64;
        }
    };
    report("stem", time_stem(&context, batch)?, 1);
    for (name, channels, out, size, stride, count) in [
        ("16 at 32", 16, 16, 32, 1, 3),
        ("16 at 32 to 32 at 16", 16, 32, 32, 2, 1),
        ("32 at 16", 32, 32, 16, 1, 2),
        ("32 at 16 to 64 at 8", 32, 64, 16, 2, 1),
        ("64 at 8", 64, 64, 8, 1, 2),
    ] {
        let input = [batch, channels, size, size];
        report(name, time_block(&context, input, out, stride)?, count);
    }
    let sum = total[0] + total[1];
    println!(
        "  all {:28.2} {:7.2}   {:.0} images/s",
        total[0],
        total[1],
        batch as f64 / sum * 1e3
    );
    Ok(())
}

fn time_stem(context: &Context, batch: usize) -> Result<[f64; 2], Box<dyn Error>> {
    let shape = ConvShape::new([batch, 3, 32, 32], [16, 3, 3, 3], 1, 1)?;
    let x = vec![0.5; shape.input_len()];
    let mut layer = Layer::new(shape.weight_len(), 16, shape.output_len());
    let mut y = vec![0.5; shape.output_len()];
    let dy = vec![0.5; shape.output_len()];
    let Layer {
        weight,
        gamma,
        c,
        statistics,
        gradients,
    } = &mut layer;
    let parameters = Layer::parameters(weight, gamma);
    let forward = best(|| {
        let [mean, variance] = &mut *statistics;
        let out = stem::Outputs {
            c,
            y: &mut y,
            mean,
            variance,
        };
        stem::forward(context, &shape, Images::Planes(&x), &parameters, EPS, out)
    })?;
    let backward = best(|| {
        let SavedConvolution { c, statistics } = Layer::saved(c, statistics);
        let saved = stem::Saved {
            x: Images::Planes(&x),
            c,
            y: &y,
            statistics,
        };
        let g = Layer::gradients(gradients);
        stem::backward(context, &shape, &saved, &parameters, EPS, &dy, g, &mut [])
    })?;
    Ok([forward, backward])
}

fn time_block(
    context: &Context,
    input: [usize; 4],
    out: usize,
    stride: usize,
) -> Result<[f64; 2], Box<dyn Error>> {
    let shape = ResidualShape::new(input, out, stride)?;
    let outputs = shape.output_len();
    let x = vec![0.5; shape.input_len()];
    let mut dx = vec![0.5; shape.input_len()];
    let (mut y, dy) = (vec![0.5; outputs], vec![0.5; outputs]);
    let mut first = Layer::new(9 * input[1] * out, out, outputs);
    let mut second = Layer::new(9 * out * out, out, outputs);
    let mut around = Layer::new(input[1] * out, out, outputs);
    let (w1, w2, w3) = (
        first.weight.clone(),
        second.weight.clone(),
        around.weight.clone(),
    );
    let gamma = first.gamma.clone();
    let parameters = BlockParameters {
        first: Layer::parameters(&w1, &gamma),
        second: Layer::parameters(&w2, &gamma),
        projection: shape.projects().then(|| Layer::parameters(&w3, &gamma)),
    };
    let forward = best(|| {
        let out = residual::Outputs {
            first: convolved(&mut first.c, &mut first.statistics),
            second: convolved(&mut second.c, &mut second.statistics),
            projection: (shape.projects())
                .then(|| convolved(&mut around.c, &mut around.statistics)),
            y: &mut y,
        };
        residual::forward(context, &shape, &x, &parameters, EPS, out)
    })?;
    let backward = best(|| {
        let saved = residual::Saved {
            x: &x,
            first: Layer::saved(&first.c, &first.statistics),
            second: Layer::saved(&second.c, &second.statistics),
            projection: (shape.projects()).then(|| Layer::saved(&around.c, &around.statistics)),
            y: &y,
        };
        let gradients = BlockGradients {
            first: Layer::gradients(&mut first.gradients),
            second: Layer::gradients(&mut second.gradients),
            projection: (shape.projects()).then(|| Layer::gradients(&mut around.gradients)),
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
    })?;
    Ok([forward, backward])
}

/// Milliseconds of the fastest of some repetitions.
fn best<E>(mut pass: impl FnMut() -> Result<(), E>) -> Result<f64, E> {
    let mut best = f64::INFINITY;
    let begin = Instant::now();
    while begin.elapsed().as_secs_f64() < 0.4 {
        let start = Instant::now();
        pass()?;
        best = best.min(start.elapsed().as_secs_f64());
    }
    Ok(best * 1e3)
}
