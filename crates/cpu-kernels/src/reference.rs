//! The operations as plain loops in double precision: the truth for tests.
//!
//! Each function states its formula and nothing else. Layouts are those of the fast operations of
//! the same name; results are returned.
//!
//! # Panics
//!
//! These functions trust their caller: a slice that is shorter than the shape asks for panics.

use crate::shape::{ChannelShape, ConvShape, LinearShape, LossShape, PoolShape};

/// Calls `visit(x_index, w_index, y_index)` for every multiplication of a convolution.
fn for_each_product(shape: &ConvShape, mut visit: impl FnMut(usize, usize, usize)) {
    let s = shape;
    for n in 0..s.batch {
        for o in 0..s.out_channels {
            for row in 0..s.out_height {
                for column in 0..s.out_width {
                    let y = ((n * s.out_channels + o) * s.out_height + row) * s.out_width + column;
                    for i in 0..s.in_channels {
                        for ky in 0..s.kernel_height {
                            for kx in 0..s.kernel_width {
                                let padded_row = row * s.stride + ky;
                                let padded_column = column * s.stride + kx;
                                let inside = (s.padding..s.padding + s.height)
                                    .contains(&padded_row)
                                    && (s.padding..s.padding + s.width).contains(&padded_column);
                                if inside {
                                    let x_row =
                                        (n * s.in_channels + i) * s.height + padded_row - s.padding;
                                    let x = x_row * s.width + padded_column - s.padding;
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
    let pixels = shape.out_height * shape.out_width;
    let mut output: Vec<f64> = (0..shape.output_len())
        .map(|index| bias[index / pixels % shape.out_channels])
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
    let pixels = shape.out_height * shape.out_width;
    let mut db = vec![0.0; shape.out_channels];
    for (index, dy) in dy.iter().enumerate() {
        db[index / pixels % shape.out_channels] += dy;
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

/// The maxima of a maximum pooling and their places within their windows.
#[must_use]
pub fn max_pool2d(shape: &PoolShape, x: &[f64]) -> (Vec<f64>, Vec<u8>) {
    let s = shape;
    let (mut y, mut indices) = (Vec::new(), Vec::new());
    for plane in x.chunks_exact(s.height * s.width) {
        for row in 0..s.out_height {
            for column in 0..s.out_width {
                let mut greatest = f64::NEG_INFINITY;
                let mut place = 0;
                for tap in 0..s.kernel * s.kernel {
                    let x_row = row * s.stride + tap / s.kernel;
                    let x_column = column * s.stride + tap % s.kernel;
                    let value = plane[x_row * s.width + x_column];
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

/// The gradient of a maximum pooling.
#[must_use]
pub fn max_pool2d_backward(shape: &PoolShape, dy: &[f64], indices: &[u8]) -> Vec<f64> {
    let s = shape;
    let mut dx = vec![0.0; s.input_len()];
    for (output, (dy, &index)) in dy.iter().zip(indices).enumerate() {
        let plane = output / (s.out_height * s.out_width);
        let row = output / s.out_width % s.out_height * s.stride + usize::from(index) / s.kernel;
        let column = output % s.out_width * s.stride + usize::from(index) % s.kernel;
        dx[(plane * s.height + row) * s.width + column] += dy;
    }
    dx
}

/// The mean over the pixels of each channel.
#[must_use]
pub fn global_avg_pool(shape: &ChannelShape, x: &[f64]) -> Vec<f64> {
    x.chunks_exact(shape.pixels)
        .map(|plane| plane.iter().sum::<f64>() / shape.pixels as f64)
        .collect()
}

/// The gradient of a global average pooling.
#[must_use]
pub fn global_avg_pool_backward(shape: &ChannelShape, dy: &[f64]) -> Vec<f64> {
    let pixels = shape.pixels;
    (0..shape.input_len())
        .map(|index| dy[index / pixels] / pixels as f64)
        .collect()
}

/// The mean and the biased variance of each channel, in two passes.
#[must_use]
pub fn batch_norm_statistics(shape: &ChannelShape, x: &[f64]) -> (Vec<f64>, Vec<f64>) {
    let count = (shape.batch * shape.pixels) as f64;
    let channel_of = |index: usize| index / shape.pixels % shape.channels;
    let mut mean = vec![0.0; shape.channels];
    for (index, x) in x.iter().enumerate() {
        mean[channel_of(index)] += x / count;
    }
    let mut variance = vec![0.0; shape.channels];
    for (index, x) in x.iter().enumerate() {
        variance[channel_of(index)] += (x - mean[channel_of(index)]).powi(2) / count;
    }
    (mean, variance)
}

/// The output of a batch normalisation with the given statistics.
#[must_use]
pub fn batch_norm(
    shape: &ChannelShape,
    x: &[f64],
    (gamma, beta): (&[f64], &[f64]),
    (mean, variance): (&[f64], &[f64]),
    eps: f64,
) -> Vec<f64> {
    let normalise = |(index, x): (usize, &f64)| {
        let c = index / shape.pixels % shape.channels;
        (x - mean[c]) / (variance[c] + eps).sqrt() * gamma[c] + beta[c]
    };
    x.iter().enumerate().map(normalise).collect()
}

/// The gradients `(dx, dgamma, dbeta)` of a batch normalisation by the statistics of its batch.
#[must_use]
pub fn batch_norm_backward(
    shape: &ChannelShape,
    x: &[f64],
    gamma: &[f64],
    eps: f64,
    dy: &[f64],
) -> (Vec<f64>, Vec<f64>, Vec<f64>) {
    let count = (shape.batch * shape.pixels) as f64;
    let channel_of = |index: usize| index / shape.pixels % shape.channels;
    let (mean, variance) = batch_norm_statistics(shape, x);
    let normalised = |index: usize, c: usize| (x[index] - mean[c]) / (variance[c] + eps).sqrt();
    let mut dgamma = vec![0.0; shape.channels];
    let mut dbeta = vec![0.0; shape.channels];
    for (index, dy) in dy.iter().enumerate() {
        let c = channel_of(index);
        dgamma[c] += dy * normalised(index, c);
        dbeta[c] += dy;
    }
    let by_input = |(index, dy): (usize, &f64)| {
        let c = channel_of(index);
        let centred = dy - dbeta[c] / count - normalised(index, c) * dgamma[c] / count;
        gamma[c] / (variance[c] + eps).sqrt() * centred
    };
    let dx = dy.iter().enumerate().map(by_input).collect();
    (dx, dgamma, dbeta)
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
