//! The layers of the networks, and the passes around them.

use cpu_kernels::block::{Images, conv_pool};
use cpu_kernels::{
    ChannelShape, Context, ConvPoolShape, ConvShape, Isa, LinearShape, LossShape, Precision,
    SgdStep, conv2d, conv2d_backward_input, conv2d_backward_weight, global_avg_pool,
    global_avg_pool_backward, global_max_pool, global_max_pool_backward, linear, linear_backward,
    sgd_step, softmax_cross_entropy,
};
use criterion::{BenchmarkId, Criterion, Throughput};

use crate::rate::AgainstPeak;
use crate::values::values;

const BATCH: usize = 32;

/// The three passes of the convolutions of ResNet-20 and ResNet-18. What Winograd's algorithm does
/// counts as the direct work that it replaces.
pub fn convolutions(criterion: &mut Criterion<AgainstPeak>, threads: usize) {
    for (name, [inputs, size], outputs, [kernel, stride]) in [
        ("3 to 16 at 32", [3, 32], 16, [3, 1]),
        ("16 at 32", [16, 32], 16, [3, 1]),
        ("16 to 32 at 32, stride 2", [16, 32], 32, [3, 2]),
        ("32 at 16", [32, 16], 32, [3, 1]),
        ("32 to 64 at 16, stride 2", [32, 16], 64, [3, 2]),
        ("64 at 8", [64, 8], 64, [3, 1]),
        ("64 at 32", [64, 32], 64, [3, 1]),
        ("128 at 16", [128, 16], 128, [3, 1]),
        ("256 at 8", [256, 8], 256, [3, 1]),
        ("512 at 4", [512, 4], 512, [3, 1]),
        ("16 to 32 at 32, 1x1", [16, 32], 32, [1, 2]),
    ] {
        let input = [BATCH, inputs, size, size];
        let weight = [outputs, inputs, kernel, kernel];
        let shape = &ConvShape::new(input, weight, stride, kernel / 2).unwrap();
        let mut group = criterion.benchmark_group(format!("convolution {name}"));
        group.throughput(Throughput::Elements(shape.flops() as u64));
        let (mut x, mut w) = (values(shape.input_len()), values(shape.weight_len()));
        let mut y = values(shape.output_len());
        for precision in [Precision::Exact, Precision::Fast] {
            let context = &Context::with(threads, precision, Isa::chosen().unwrap()).unwrap();
            let id = |pass| BenchmarkId::new(pass, format!("{precision:?}").to_lowercase());
            group.bench_function(id("forward"), |bencher| {
                bencher.iter(|| conv2d(context, shape, &x, &w, &mut y));
            });
            group.bench_function(id("by input"), |bencher| {
                bencher.iter(|| conv2d_backward_input(context, shape, &w, &y, &mut x));
            });
            group.bench_function(id("by weights"), |bencher| {
                bencher.iter(|| conv2d_backward_weight(context, shape, &x, &y, &mut w));
            });
        }
        group.finish();
    }
}

/// The linear layers of SimpleCnn. A backward pass does twice the work of a forward pass.
pub fn linear_layers(criterion: &mut Criterion<AgainstPeak>, context: &Context) {
    for (batch, inputs, outputs) in [
        (4, 400, 120),
        (4, 120, 84),
        (4, 84, 10),
        (128, 400, 120),
        (128, 120, 84),
        (128, 84, 10),
    ] {
        let shape = &LinearShape::new(batch, inputs, outputs).unwrap();
        let name = format!("linear {inputs} to {outputs}, batch {batch}");
        let mut group = criterion.benchmark_group(name);
        let (x, w) = (values(shape.input_len()), values(shape.weight_len()));
        let (b, dy) = (values(shape.bias_len()), values(shape.output_len()));
        let mut y = dy.clone();
        group.throughput(Throughput::Elements(shape.flops() as u64));
        group.bench_function("forward", |bencher| {
            bencher.iter(|| linear(context, shape, &x, &w, &b, true, &mut y));
        });
        let (mut dx, mut dw, mut db) = (x.clone(), w.clone(), b.clone());
        group.throughput(Throughput::Elements(2 * shape.flops() as u64));
        group.bench_function("backward", |bencher| {
            bencher.iter(|| {
                let y = Some(&*y);
                linear_backward(context, shape, &x, &w, y, &dy, &mut dx, &mut dw, &mut db)
            });
        });
        group.finish();
    }
}

/// The convolutions of SimpleCnn with the pooling after them. A backward pass counts the work of
/// maxima alone, one pixel in four, by weights and by the input.
pub fn pooled_convolutions(criterion: &mut Criterion<AgainstPeak>, context: &Context) {
    for (batch, input, weight) in [
        (4, [3, 32], [6, 3, 5, 5]),
        (4, [6, 14], [16, 6, 5, 5]),
        (128, [3, 32], [6, 3, 5, 5]),
        (128, [6, 14], [16, 6, 5, 5]),
    ] {
        let input = [batch, input[0], input[1], input[1]];
        let shape = &ConvPoolShape::new(input, weight, 2).unwrap();
        let conv = ConvShape::new(input, weight, 1, 0).unwrap();
        let name = format!("pooled convolution {} to {}", weight[1], weight[0]);
        let mut group = criterion.benchmark_group(format!("{name}, batch {batch}"));
        let (pixels, w) = (values(shape.input_len()), values(shape.weight_len()));
        let (b, dy) = (values(shape.bias_len()), values(shape.output_len()));
        let x = Images::Planes(&pixels);
        let (mut y, mut indices) = (dy.clone(), vec![0; dy.len()]);
        group.throughput(Throughput::Elements(conv.flops() as u64));
        group.bench_function("forward", |bencher| {
            bencher.iter(|| conv_pool::forward(context, shape, x, &w, &b, &mut y, &mut indices));
        });
        let (mut dw, mut db, mut dx) = (w.clone(), b.clone(), pixels.clone());
        group.throughput(Throughput::Elements(conv.flops() as u64 / 2));
        group.bench_function("backward", |bencher| {
            bencher.iter(|| {
                let (dw, db, dx) = (&mut dw, &mut db, &mut dx);
                conv_pool::backward(context, shape, x, &w, &y, &indices, &dy, dw, db, dx)
            });
        });
        group.finish();
    }
}

/// What moves memory and hardly computes.
pub fn passes(criterion: &mut Criterion<AgainstPeak>, context: &Context) {
    let float = size_of::<f32>() as u64;
    let mut group = criterion.benchmark_group("passes");
    let shape = &ChannelShape::new(128, 64, 64).unwrap();
    let mut x = values(shape.input_len());
    let mut means = values(128 * 64);
    group.throughput(Throughput::Bytes(float * x.len() as u64));
    group.bench_function("global average pooling, forward", |bencher| {
        bencher.iter(|| global_avg_pool(context, shape, &x, &mut means));
    });
    group.bench_function("global average pooling, backward", |bencher| {
        bencher.iter(|| global_avg_pool_backward(context, shape, &means, &mut x));
    });
    // What airbench94 ends with.
    let shape = &ChannelShape::new(128, 256, 9).unwrap();
    let mut x = values(shape.input_len());
    let (mut maxima, mut places) = (values(128 * 256), vec![0; 128 * 256]);
    group.throughput(Throughput::Bytes(float * x.len() as u64));
    group.bench_function("global maximum pooling, forward", |bencher| {
        bencher.iter(|| global_max_pool(context, shape, &x, &mut maxima, &mut places));
    });
    group.bench_function("global maximum pooling, backward", |bencher| {
        bencher.iter(|| global_max_pool_backward(context, shape, &maxima, &places, &mut x));
    });
    let shape = &LossShape::new(128, 10).unwrap();
    let logits = values(shape.logits_len());
    let labels: Vec<i32> = (0..10).cycle().take(128).collect();
    let mut gradient = logits.clone();
    group.throughput(Throughput::Bytes(2 * float * logits.len() as u64));
    group.bench_function("softmax cross-entropy with its gradient", |bencher| {
        bencher.iter(|| softmax_cross_entropy(shape, &logits, &labels, 0.0, &mut gradient));
    });
    let step = &SgdStep {
        lr: 1e-6,
        momentum: 0.9,
        nesterov: true,
        weight_decay: 5e-4,
    };
    let gradient = values(272_474);
    let (mut weights, mut velocity) = (gradient.clone(), gradient.clone());
    group.throughput(Throughput::Bytes(5 * float * gradient.len() as u64));
    group.bench_function("SGD of ResNet-20", |bencher| {
        bencher.iter(|| sgd_step(context, step, &mut weights, &gradient, &mut velocity, false));
    });
    group.finish();
}
