//! The time of every operation of SimpleCnn (batches of 4 and 128) and of ResNet-20 (batch 128),
//! with one and with two threads. Run it with
//! `cargo run -p cpu-kernels --example step_time`.

use std::error::Error;
use std::time::{Duration, Instant};

use cpu_kernels::{
    ChannelShape, Context, ConvShape, LinearShape, PoolShape, ShapeError, batch_norm_backward,
    batch_norm_train, conv2d, conv2d_backward_input, conv2d_backward_weight, linear,
    linear_backward_input, linear_backward_weight, max_pool2d, max_pool2d_backward, relu,
    relu_backward,
};

/// How long each operation is repeated; the fastest repetition is reported.
const MEASURE: Duration = Duration::from_millis(150);

fn main() -> Result<(), Box<dyn Error>> {
    println!("Each line: milliseconds (and GFLOP/s) of each pass. About 20 seconds in all.");
    for threads in [1, 2] {
        let context = Context::new(threads)?;
        for batch in [4, 128] {
            println!("\nSimpleCnn, batch {batch}, threads {threads}");
            simple_cnn(&context, batch)?;
        }
        println!("\nResNet-20, batch 128, threads {threads}");
        resnet20(&context, 128)?;
    }
    Ok(())
}

fn simple_cnn(context: &Context, batch: usize) -> Result<(), ShapeError> {
    let conv1 = ConvShape::new([batch, 3, 32, 32], [6, 3, 5, 5], 1, 0)?;
    let conv2 = ConvShape::new([batch, 6, 14, 14], [16, 6, 5, 5], 1, 0)?;
    time_conv(context, "3 to 6, 5x5, at 32", &conv1)?;
    time_conv(context, "6 to 16, 5x5, at 14", &conv2)?;
    for (inputs, outputs) in [(400, 120), (120, 84), (84, 10)] {
        time_linear(
            context,
            &LinearShape::new(batch, inputs, outputs)?,
            inputs,
            outputs,
        )?;
    }
    time_pool(
        context,
        "pool 6 at 28",
        &PoolShape::new([batch, 6, 28, 28], 2, 2)?,
    )?;
    time_pool(
        context,
        "pool 16 at 10",
        &PoolShape::new([batch, 16, 10, 10], 2, 2)?,
    )?;
    time_relu(context, "relu 6 at 28", batch * 6 * 28 * 28)
}

fn resnet20(context: &Context, batch: usize) -> Result<(), ShapeError> {
    let convolutions = [
        ("3 to 16 at 32", 3, 32, 16, 3, 1),
        ("16 at 32", 16, 32, 16, 3, 1),
        ("16 to 32 at 32, stride 2", 16, 32, 32, 3, 2),
        ("16 to 32 at 32, 1x1, stride 2", 16, 32, 32, 1, 2),
        ("32 at 16", 32, 16, 32, 3, 1),
        ("32 to 64 at 16, stride 2", 32, 16, 64, 3, 2),
        ("64 at 8", 64, 8, 64, 3, 1),
    ];
    for (name, inputs, size, outputs, kernel, stride) in convolutions {
        let input = [batch, inputs, size, size];
        let weight = [outputs, inputs, kernel, kernel];
        time_conv(
            context,
            name,
            &ConvShape::new(input, weight, stride, kernel / 2)?,
        )?;
    }
    for (channels, size) in [(16, 32), (32, 16), (64, 8)] {
        time_norm(
            context,
            &ChannelShape::new(batch, channels, size * size)?,
            batch,
        )?;
    }
    time_relu(context, "relu 16 at 32", batch * 16 * 32 * 32)
}

fn time_conv(context: &Context, name: &str, shape: &ConvShape) -> Result<(), ShapeError> {
    let (x, w) = (values(shape.input_len()), values(shape.weight_len()));
    let dy = values(shape.output_len());
    let (mut y, mut dx, mut dw) = (dy.clone(), x.clone(), w.clone());
    let forward = fastest(|| conv2d(context, shape, &x, &w, &mut y))?;
    let by_input = fastest(|| conv2d_backward_input(context, shape, &w, &dy, &mut dx))?;
    let by_weight = fastest(|| conv2d_backward_weight(context, shape, &x, &dy, &mut dw))?;
    report(name, shape.flops(), &[forward, by_input, by_weight]);
    Ok(())
}

fn time_linear(
    context: &Context,
    shape: &LinearShape,
    inputs: usize,
    outputs: usize,
) -> Result<(), ShapeError> {
    let (x, w) = (values(shape.input_len()), values(shape.weight_len()));
    let (b, dy) = (values(shape.bias_len()), values(shape.output_len()));
    let (mut y, mut dx, mut dw) = (dy.clone(), x.clone(), w.clone());
    let forward = fastest(|| linear(context, shape, &x, &w, &b, &mut y))?;
    let by_input = fastest(|| linear_backward_input(context, shape, &w, &dy, &mut dx))?;
    let by_weight = fastest(|| linear_backward_weight(context, shape, &x, &dy, &mut dw))?;
    let name = format!("linear {inputs} to {outputs}");
    report(&name, shape.flops(), &[forward, by_input, by_weight]);
    Ok(())
}

fn time_pool(context: &Context, name: &str, shape: &PoolShape) -> Result<(), ShapeError> {
    let (x, dy) = (values(shape.input_len()), values(shape.output_len()));
    let (mut y, mut dx) = (dy.clone(), x.clone());
    let mut indices = vec![0; shape.output_len()];
    let forward = fastest(|| max_pool2d(context, shape, &x, &mut y, &mut indices))?;
    let backward = fastest(|| max_pool2d_backward(context, shape, &dy, &indices, &mut dx))?;
    report(name, 0.0, &[forward, backward]);
    Ok(())
}

fn time_norm(context: &Context, shape: &ChannelShape, batch: usize) -> Result<(), ShapeError> {
    let (x, dy) = (values(shape.input_len()), values(shape.input_len()));
    let (gamma, beta) = (values(shape.channels()), values(shape.channels()));
    let (mut y, mut dx) = (dy.clone(), x.clone());
    let (mut mean, mut variance) = (beta.clone(), beta.clone());
    let (mut dgamma, mut dbeta) = (gamma.clone(), beta.clone());
    let forward = fastest(|| {
        batch_norm_train(
            context,
            shape,
            &x,
            &gamma,
            &beta,
            1e-5,
            &mut y,
            &mut mean,
            &mut variance,
        )
    })?;
    let backward = fastest(|| {
        batch_norm_backward(
            context,
            shape,
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
    })?;
    let pixels = shape.input_len() / shape.channels() / batch;
    let name = format!("batch norm {} of {pixels} pixels", shape.channels());
    report(&name, 0.0, &[forward, backward]);
    Ok(())
}

fn time_relu(context: &Context, name: &str, len: usize) -> Result<(), ShapeError> {
    let (x, dy) = (values(len), values(len));
    let (mut y, mut dx) = (x.clone(), dy.clone());
    let forward = fastest(|| relu(context, &x, &mut y))?;
    let backward = fastest(|| relu_backward(context, &y, &dy, &mut dx))?;
    report(name, 0.0, &[forward, backward]);
    Ok(())
}

/// The time of the fastest of many repetitions.
fn fastest(mut operation: impl FnMut() -> Result<(), ShapeError>) -> Result<Duration, ShapeError> {
    operation()?;
    let mut fastest = Duration::MAX;
    let start = Instant::now();
    while start.elapsed() < MEASURE {
        let before = Instant::now();
        operation()?;
        fastest = fastest.min(before.elapsed());
    }
    Ok(fastest)
}

fn report(name: &str, flops: f64, passes: &[Duration]) {
    print!("{name:30}");
    for (pass, label) in passes.iter().zip(["forward", "by input", "by weight"]) {
        let seconds = pass.as_secs_f64();
        print!("  {label} {:8.4} ms", seconds * 1e3);
        if flops > 0.0 {
            print!(" ({:5.1})", flops / seconds / 1e9);
        }
    }
    println!();
}

/// Values from -1 to 1 without a pattern that an operation could profit from.
fn values(len: usize) -> Vec<f32> {
    let mut state = 0x9e37_79b9_u32;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state as f32 / u32::MAX as f32 * 2.0 - 1.0
    };
    (0..len).map(|_| next()).collect()
}
