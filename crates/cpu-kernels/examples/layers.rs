//! GFLOP/s of the three passes of every convolution of ResNet-20 and of SimpleCnn. Run it with
//! `cargo run -p cpu-kernels --example layers -- [threads] [batch] [first words of a name]`.

use std::error::Error;
use std::time::Instant;

use cpu_kernels::{
    Context, ConvShape, Isa, Precision, conv2d, conv2d_backward_input, conv2d_backward_weight,
};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut number = |default: usize| {
        arguments
            .next()
            .and_then(|text| text.parse().ok())
            .unwrap_or(default)
    };
    let (threads, batch) = (number(1), number(32));
    let only = arguments.next().unwrap_or_default();
    for precision in [Precision::Exact, Precision::Fast] {
        let context = Context::with(threads, precision, Isa::chosen()?)?;
        println!(
            "{precision:?}, {}, {threads} threads, batch {batch}",
            context.isa()
        );
        for (name, input, weight, stride, padding) in [
            ("3 to 16 at 32", [batch, 3, 32, 32], [16, 3, 3, 3], 1, 1),
            ("16 at 32", [batch, 16, 32, 32], [16, 16, 3, 3], 1, 1),
            (
                "16 to 32, stride 2",
                [batch, 16, 32, 32],
                [32, 16, 3, 3],
                2,
                1,
            ),
            ("32 at 16", [batch, 32, 16, 16], [32, 32, 3, 3], 1, 1),
            (
                "32 to 64, stride 2",
                [batch, 32, 16, 16],
                [64, 32, 3, 3],
                2,
                1,
            ),
            ("64 at 8", [batch, 64, 8, 8], [64, 64, 3, 3], 1, 1),
            ("128 at 16", [batch, 128, 16, 16], [128, 128, 3, 3], 1, 1),
            ("512 at 4", [batch, 512, 4, 4], [512, 512, 3, 3], 1, 1),
            ("3 to 6, 5x5, at 32", [batch, 3, 32, 32], [6, 3, 5, 5], 1, 0),
            (
                "6 to 16, 5x5, at 14",
                [batch, 6, 14, 14],
                [16, 6, 5, 5],
                1,
                0,
            ),
        ]
        .into_iter()
        .filter(|layer| layer.0.starts_with(&only))
        {
            let shape = ConvShape::new(input, weight, stride, padding)?;
            let (mut x, mut w) = (vec![0.5; shape.input_len()], vec![0.5; shape.weight_len()]);
            let mut y = vec![0.5; shape.output_len()];
            let rates = [
                rate(&shape, || conv2d(&context, &shape, &x, &w, &mut y))?,
                rate(&shape, || {
                    conv2d_backward_input(&context, &shape, &w, &y, &mut x)
                })?,
                rate(&shape, || {
                    conv2d_backward_weight(&context, &shape, &x, &y, &mut w)
                })?,
            ];
            println!(
                "  {name:20} {:6.0} {:6.0} {:6.0}",
                rates[0], rates[1], rates[2]
            );
        }
    }
    Ok(())
}

/// GFLOP/s of the fastest of some repetitions.
fn rate<E>(shape: &ConvShape, mut pass: impl FnMut() -> Result<(), E>) -> Result<f64, E> {
    let mut best = f64::INFINITY;
    let begin = Instant::now();
    while begin.elapsed().as_secs_f64() < 0.3 {
        let start = Instant::now();
        pass()?;
        best = best.min(start.elapsed().as_secs_f64());
    }
    Ok(shape.flops() / best / 1e9)
}
