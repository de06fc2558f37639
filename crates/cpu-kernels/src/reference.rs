//! The operations as plain loops in double precision: the truth for tests.
//!
//! Each function states its formula and nothing else. Layouts are those of the fast operations of
//! the same name; results are returned.
//!
//! # Panics
//!
//! These functions trust their caller: a slice that is shorter than the shape asks for panics.

use crate::optimizer::{AdamWStep, SgdStep};
use crate::shape::{ChannelShape, ConvPoolShape, ConvShape, LinearShape, LossShape};

/// Calls `visit(x_index, w_index, y_index)` for every multiplication of a convolution.
fn for_each_product(shape: &ConvShape, mut visit: impl FnMut(usize, usize, usize)) {
    let s = shape;
    for n in 0..s.batch {
        for o in 0..s.out_channels {
            for row in 0..s.out_height {
                for column in 0..s.out_width {
                    let pixel = (n * s.out_height + row) * s.out_width + column;
                    let y = pixel * s.out_channels + o;
                    for i in 0..s.in_channels {
                        for ky in 0..s.kernel_height {
                            for kx in 0..s.kernel_width {
                                let padded_row = row * s.stride + ky;
                                let padded_column = column * s.stride + kx;
                                let inside = (s.padding..s.padding + s.height)
                                    .contains(&padded_row)
                                    && (s.padding..s.padding + s.width).contains(&padded_column);
                                if inside {
                                    let x_row = n * s.height + padded_row - s.padding;
                                    let pixel = x_row * s.width + padded_column - s.padding;
                                    let x = pixel * s.in_channels + i;
                                    let w_row = (o * s.in_channels + i) * s.kernel_height + ky;
                                    visit(x, w_row * s.kernel_width + kx, y);
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// The output of a convolution with a bias `[out_channels]`.
#[must_use]
pub fn conv2d(shape: &ConvShape, x: &[f64], w: &[f64], bias: &[f64]) -> Vec<f64> {
    let mut output: Vec<f64> = (0..shape.output_len())
        .map(|index| bias[index % shape.out_channels])
        .collect();
    for_each_product(shape, |xi, wi, yi| output[yi] += x[xi] * w[wi]);
    output
}

/// The gradient of a convolution by its input.
#[must_use]
pub fn conv2d_backward_input(shape: &ConvShape, w: &[f64], dy: &[f64]) -> Vec<f64> {
    let mut dx = vec![0.0; shape.input_len()];
    for_each_product(shape, |xi, wi, yi| dx[xi] += w[wi] * dy[yi]);
    dx
}

/// The gradient of a convolution by its weights.
#[must_use]
pub fn conv2d_backward_weight(shape: &ConvShape, x: &[f64], dy: &[f64]) -> Vec<f64> {
    let mut dw = vec![0.0; shape.weight_len()];
    for_each_product(shape, |xi, wi, yi| dw[wi] += x[xi] * dy[yi]);
    dw
}

/// The gradient of a convolution by its bias.
#[must_use]
pub fn conv2d_backward_bias(shape: &ConvShape, dy: &[f64]) -> Vec<f64> {
    let mut db = vec![0.0; shape.out_channels];
    for (index, dy) in dy.iter().enumerate() {
        db[index % shape.out_channels] += dy;
    }
    db
}

/// The output of a linear layer, `x w^T + b`.
#[must_use]
pub fn linear(shape: &LinearShape, x: &[f64], w: &[f64], b: &[f64]) -> Vec<f64> {
    let mut y = Vec::with_capacity(shape.output_len());
    for x in x.chunks_exact(shape.in_features) {
        for (w, b) in w.chunks_exact(shape.in_features).zip(b) {
            y.push(b + x.iter().zip(w).map(|(x, w)| x * w).sum::<f64>());
        }
    }
    y
}

/// The gradient of a linear layer by its input, `dy w`.
#[must_use]
pub fn linear_backward_input(shape: &LinearShape, w: &[f64], dy: &[f64]) -> Vec<f64> {
    let mut dx = vec![0.0; shape.input_len()];
    for n in 0..shape.batch {
        for o in 0..shape.out_features {
            for i in 0..shape.in_features {
                dx[n * shape.in_features + i] +=
                    dy[n * shape.out_features + o] * w[o * shape.in_features + i];
            }
        }
    }
    dx
}

/// The gradient of a linear layer by its weights, `dy^T x`.
#[must_use]
pub fn linear_backward_weight(shape: &LinearShape, x: &[f64], dy: &[f64]) -> Vec<f64> {
    let mut dw = vec![0.0; shape.weight_len()];
    for n in 0..shape.batch {
        for o in 0..shape.out_features {
            for i in 0..shape.in_features {
                dw[o * shape.in_features + i] +=
                    dy[n * shape.out_features + o] * x[n * shape.in_features + i];
            }
        }
    }
    dw
}

/// The gradient of a linear layer by its bias.
#[must_use]
pub fn linear_backward_bias(shape: &LinearShape, dy: &[f64]) -> Vec<f64> {
    let mut db = vec![0.0; shape.out_features];
    for (index, dy) in dy.iter().enumerate() {
        db[index % shape.out_features] += dy;
    }
    db
}

/// The maxima of planes of `height` by `width` pixels in windows of `pool` by `pool` pixels, and
/// their places within their windows.
#[must_use]
pub fn max_pool2d([height, width]: [usize; 2], pool: usize, planes: &[f64]) -> (Vec<f64>, Vec<u8>) {
    let (mut y, mut indices) = (Vec::new(), Vec::new());
    for plane in planes.chunks_exact(height * width) {
        for row in 0..height / pool {
            for column in 0..width / pool {
                let mut greatest = f64::NEG_INFINITY;
                let mut place = 0;
                for tap in 0..pool * pool {
                    let (down, across) = (row * pool + tap / pool, column * pool + tap % pool);
                    let value = plane[down * width + across];
                    if value > greatest || value.is_nan() {
                        (greatest, place) = (value, tap as u8);
                    }
                }
                y.push(greatest);
                indices.push(place);
            }
        }
    }
    (y, indices)
}

/// The gradient of [`max_pool2d`] by `planes` planes.
#[must_use]
pub fn max_pool2d_backward(
    [height, width]: [usize; 2],
    pool: usize,
    planes: usize,
    dy: &[f64],
    indices: &[u8],
) -> Vec<f64> {
    let (out_height, out_width) = (height / pool, width / pool);
    let mut dx = vec![0.0; planes * height * width];
    for (output, (dy, &index)) in dy.iter().zip(indices).enumerate() {
        let plane = output / (out_height * out_width);
        let row = output / out_width % out_height * pool + usize::from(index) / pool;
        let column = output % out_width * pool + usize::from(index) % pool;
        dx[(plane * height + row) * width + column] += dy;
    }
    dx
}

/// Images of planes, `[batch, channels, pixels]`, as `[batch, pixels, channels]`.
#[must_use]
pub fn to_pixels(channels: usize, pixels: usize, planes: &[f64]) -> Vec<f64> {
    transpose(channels, pixels, planes)
}

/// The inverse of [`to_pixels`].
#[must_use]
pub fn to_planes(channels: usize, pixels: usize, images: &[f64]) -> Vec<f64> {
    transpose(pixels, channels, images)
}

/// Transposes matrices of `rows` by `columns` that lie one after the other.
fn transpose(rows: usize, columns: usize, matrices: &[f64]) -> Vec<f64> {
    let transposed = |matrix: &[f64]| -> Vec<f64> {
        (0..rows * columns)
            .map(|index| matrix[index % rows * columns + index / rows])
            .collect()
    };
    matrices
        .chunks_exact(rows * columns)
        .flat_map(transposed)
        .collect()
}

/// The rectified convolution before the pooling of a block, in planes.
fn rectified_planes(shape: &ConvPoolShape, x: &[f64], w: &[f64], bias: &[f64]) -> Vec<f64> {
    let conv = &shape.conv;
    let x = to_pixels(conv.in_channels, conv.height * conv.width, x);
    let output = relu(&conv2d(conv, &x, w, bias));
    to_planes(conv.out_channels, conv.out_pixels(), &output)
}

/// Convolution, bias, rectifier and maximum pooling of planes: the maxima and their places.
#[must_use]
pub fn conv_pool(shape: &ConvPoolShape, x: &[f64], w: &[f64], bias: &[f64]) -> (Vec<f64>, Vec<u8>) {
    let planes = rectified_planes(shape, x, w, bias);
    max_pool2d(
        [shape.conv.out_height, shape.conv.out_width],
        shape.pool,
        &planes,
    )
}

/// The gradients `(dw, db, dx)` of [`conv_pool`], whose maxima are at `indices`.
#[must_use]
pub fn conv_pool_backward(
    shape: &ConvPoolShape,
    x: &[f64],
    w: &[f64],
    bias: &[f64],
    indices: &[u8],
    dy: &[f64],
) -> (Vec<f64>, Vec<f64>, Vec<f64>) {
    let conv = &shape.conv;
    let size = [conv.out_height, conv.out_width];
    let planes = conv.batch * conv.out_channels;
    let gradient = max_pool2d_backward(size, shape.pool, planes, dy, indices);
    let gradient = relu_backward(&rectified_planes(shape, x, w, bias), &gradient);
    let gradient = to_pixels(conv.out_channels, conv.out_pixels(), &gradient);
    let pixels = to_pixels(conv.in_channels, conv.height * conv.width, x);
    let dx = conv2d_backward_input(conv, w, &gradient);
    (
        conv2d_backward_weight(conv, &pixels, &gradient),
        conv2d_backward_bias(conv, &gradient),
        to_planes(conv.in_channels, conv.height * conv.width, &dx),
    )
}

/// The mean over the pixels of each channel.
#[must_use]
pub fn global_avg_pool(shape: &ChannelShape, x: &[f64]) -> Vec<f64> {
    let planes = to_planes(shape.channels, shape.pixels, x);
    planes
        .chunks_exact(shape.pixels)
        .map(|plane| plane.iter().sum::<f64>() / shape.pixels as f64)
        .collect()
}

/// The gradient of a global average pooling.
#[must_use]
pub fn global_avg_pool_backward(shape: &ChannelShape, dy: &[f64]) -> Vec<f64> {
    let (channels, pixels) = (shape.channels, shape.pixels);
    (0..shape.input_len())
        .map(|index| dy[index / (pixels * channels) * channels + index % channels] / pixels as f64)
        .collect()
}

/// The mean loss and its gradient by the logits.
#[must_use]
pub fn softmax_cross_entropy(
    shape: &LossShape,
    logits: &[f64],
    labels: &[usize],
    smoothing: f64,
) -> (f64, Vec<f64>) {
    let (batch, classes) = (shape.batch as f64, shape.classes as f64);
    let mut loss = 0.0;
    let mut gradient = Vec::with_capacity(logits.len());
    for (logits, &label) in logits.chunks_exact(shape.classes).zip(labels) {
        let greatest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = logits.iter().map(|logit| (logit - greatest).exp()).sum();
        for (class, logit) in logits.iter().enumerate() {
            let hit = if class == label { 1.0 - smoothing } else { 0.0 };
            let target = hit + smoothing / classes;
            let log_probability = logit - greatest - sum.ln();
            loss -= target * log_probability / batch;
            gradient.push((log_probability.exp() - target) / batch);
        }
    }
    (loss, gradient)
}

/// The rectifier.
#[must_use]
pub fn relu(x: &[f64]) -> Vec<f64> {
    x.iter().map(|&x| if x < 0.0 { 0.0 } else { x }).collect()
}

/// The gradient of the rectifier, from its output.
#[must_use]
pub fn relu_backward(y: &[f64], dy: &[f64]) -> Vec<f64> {
    let pass = |(&y, &dy): (&f64, &f64)| if y > 0.0 { dy } else { 0.0 };
    y.iter().zip(dy).map(pass).collect()
}

/// The density of the standard normal distribution.
fn normal_density(x: f64) -> f64 {
    (-0.5 * x * x).exp() / (2.0 * std::f64::consts::PI).sqrt()
}

/// The distribution function of the standard normal distribution: the integral of its density by
/// Simpson's rule with steps of 1/128 or less, whose error is below 1e-11.
#[must_use]
pub fn normal_cdf(x: f64) -> f64 {
    // Beyond 9 the rest is below 1e-18.
    let x = x.clamp(-9.0, 9.0);
    let steps = 2 * ((x.abs() * 64.0).ceil() as usize).max(1);
    let width = x / steps as f64;
    let inner: f64 = (1..steps)
        .map(|step| {
            let weight = if step % 2 == 1 { 4.0 } else { 2.0 };
            weight * normal_density(step as f64 * width)
        })
        .sum();
    0.5 + (normal_density(0.0) + inner + normal_density(x)) * width / 3.0
}

/// The Gaussian error linear unit.
#[must_use]
pub fn gelu(x: f64) -> f64 {
    x * normal_cdf(x)
}

/// The derivative of [`gelu`].
#[must_use]
pub fn gelu_derivative(x: f64) -> f64 {
    normal_cdf(x) + x * normal_density(x)
}

/// One step of AdamW.
pub fn adamw_step(
    step: &AdamWStep,
    weights: &mut [f64],
    gradient: &[f64],
    first: &mut [f64],
    second: &mut [f64],
) {
    let [lr, beta1, beta2] = [step.lr, step.beta1, step.beta2].map(f64::from);
    let [epsilon, decay] = [step.epsilon, step.weight_decay].map(f64::from);
    let [share1, share2] = step.shares.map(f64::from);
    for (((w, g), m), v) in weights.iter_mut().zip(gradient).zip(first).zip(second) {
        *m = beta1 * *m + (1.0 - beta1) * g;
        *v = beta2 * *v + (1.0 - beta2) * g * g;
        let root = (*v / share2).sqrt();
        *w = *w * (1.0 - lr * decay) - lr * (*m / share1) / (root + epsilon);
    }
}

/// One step of stochastic gradient descent.
pub fn sgd_step(
    step: &SgdStep,
    weights: &mut [f64],
    gradient: &[f64],
    velocity: &mut [f64],
    first: bool,
) {
    let [lr, momentum, decay] = [step.lr, step.momentum, step.weight_decay].map(f64::from);
    for ((w, g), v) in weights.iter_mut().zip(gradient).zip(velocity) {
        let g = g + decay * *w;
        *v = if first { g } else { momentum * *v + g };
        let direction = if step.nesterov { g + momentum * *v } else { *v };
        *w -= lr * direction;
    }
}
