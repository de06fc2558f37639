//! Microseconds of every operation of SimpleCnn, forward and backward: the fastest of some
//! repetitions. Run it with `cargo run -p cpu-kernels --example simple_cnn`.

use std::error::Error;
use std::time::Instant;

use cpu_kernels::block::{Images, conv_pool};
use cpu_kernels::{
    Context, ConvPoolShape, LinearShape, LossShape, SgdStep, linear, linear_backward, sgd_step,
    softmax_cross_entropy,
};

fn main() -> Result<(), Box<dyn Error>> {
    for (batch, threads) in [(4, 1), (128, 1), (128, 2)] {
        let context = Context::new(threads)?;
        println!("batch {batch}, {threads} threads, {}", context.isa());
        let total = layers(&context, batch)?;
        println!("  {:24} {total:8.1}", "sum");
    }
    Ok(())
}

/// Times all operations and gives the sum.
fn layers(context: &Context, batch: usize) -> Result<f64, Box<dyn Error>> {
    let mut total = 0.0;
    let mut seed = 1_u32;
    let mut values = |len: usize, scale: f32| -> Vec<f32> {
        let mut next = || {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            ((seed >> 8) as f32 / (1 << 23) as f32 - 1.0) * scale
        };
        (0..len).map(|_| next()).collect()
    };
    for (name, input, weight, by_input) in [
        ("convolution 1", [batch, 3, 32, 32], [6, 3, 5, 5], false),
        ("convolution 2", [batch, 6, 14, 14], [16, 6, 5, 5], true),
    ] {
        let shape = ConvPoolShape::new(input, weight, 2)?;
        let (x, w) = (
            values(shape.input_len(), 1.0),
            values(shape.weight_len(), 0.1),
        );
        let (b, dy) = (
            values(shape.bias_len(), 0.1),
            values(shape.output_len(), 0.1),
        );
        let mut y = vec![0.0; shape.output_len()];
        let mut indices = vec![0; shape.output_len()];
        let x = Images::Planes(&x);
        total += time(&format!("{name}, forward"), || {
            conv_pool::forward(context, &shape, x, &w, &b, &mut y, &mut indices)
        })?;
        let (mut dw, mut db) = (w.clone(), b.clone());
        let mut dx = vec![0.0; if by_input { shape.input_len() } else { 0 }];
        total += time(&format!("{name}, backward"), || {
            conv_pool::backward(
                context, &shape, x, &w, &y, &indices, &dy, &mut dw, &mut db, &mut dx,
            )
        })?;
    }
    for (name, inputs, outputs, rectify) in [
        ("linear 1", 400, 120, true),
        ("linear 2", 120, 84, true),
        ("linear 3", 84, 10, false),
    ] {
        let shape = LinearShape::new(batch, inputs, outputs)?;
        let (x, w) = (
            values(shape.input_len(), 1.0),
            values(shape.weight_len(), 0.1),
        );
        let (b, dy) = (
            values(shape.bias_len(), 0.1),
            values(shape.output_len(), 0.1),
        );
        let mut y = dy.clone();
        total += time(&format!("{name}, forward"), || {
            linear(context, &shape, &x, &w, &b, rectify, &mut y)
        })?;
        let (mut dx, mut dw, mut db) = (x.clone(), w.clone(), b.clone());
        let gate = rectify.then_some(&*y);
        total += time(&format!("{name}, backward"), || {
            linear_backward(
                context, &shape, &x, &w, gate, &dy, &mut dx, &mut dw, &mut db,
            )
        })?;
    }
    let shape = LossShape::new(batch, 10)?;
    let logits = values(shape.logits_len(), 3.0);
    let labels: Vec<i32> = (0..10).cycle().take(batch).collect();
    let mut gradient = logits.clone();
    total += time("loss", || {
        softmax_cross_entropy(&shape, &logits, &labels, 0.0, &mut gradient).map(|_| ())
    })?;
    let step = SgdStep {
        lr: 1e-6,
        momentum: 0.9,
        nesterov: false,
        weight_decay: 0.0,
    };
    let (mut w, g) = (values(62_006, 0.1), values(62_006, 0.1));
    let mut v = g.clone();
    total += time("SGD", || {
        sgd_step(context, &step, &mut w, &g, &mut v, false)
    })?;
    Ok(total)
}

/// Microseconds of the fastest of some repetitions.
fn time<E>(name: &str, mut pass: impl FnMut() -> Result<(), E>) -> Result<f64, E> {
    let mut best = f64::INFINITY;
    let begin = Instant::now();
    while begin.elapsed().as_secs_f64() < 0.2 {
        let start = Instant::now();
        pass()?;
        best = best.min(start.elapsed().as_secs_f64());
    }
    println!("  {name:24} {:8.1}", best * 1e6);
    Ok(best * 1e6)
}
