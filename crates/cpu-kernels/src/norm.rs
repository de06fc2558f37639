//! Batch normalisation (Ioffe and Szegedy 2015) over `[batch, channels, pixels]`.
//!
//! Sums over a channel are taken in double precision. Each chunk of images has its own, and they
//! are added in the order of the chunks.

use crate::context::{Context, Scratch};
use crate::partition::images_per_chunk;
use crate::shape::{ChannelShape, ShapeError, check_len};

/// Sums that are taken for each channel.
const SUMS: usize = 2;

/// Normalises by the statistics of the batch:
/// `y = (x - mean) / sqrt(variance + eps) * gamma + beta`.
///
/// `x` and `y` are `[batch, channels, pixels]`; `gamma`, `beta` and the results `mean` and
/// `variance` are `[channels]`. The variance is the biased one, over `batch * pixels` values; the
/// unbiased one that running statistics take is `variance * n / (n - 1)` with
/// `n = batch * pixels`.
///
/// # Errors
///
/// A slice does not have the length that `shape` asks for.
#[allow(clippy::too_many_arguments)]
pub fn batch_norm_train(
    context: &Context,
    shape: &ChannelShape,
    x: &[f32],
    gamma: &[f32],
    beta: &[f32],
    eps: f32,
    y: &mut [f32],
    mean: &mut [f32],
    variance: &mut [f32],
) -> Result<(), ShapeError> {
    check_len("mean", mean, shape.channels)?;
    check_len("variance", variance, shape.channels)?;
    check_len("x", x, shape.input_len())?;
    let sums = channel_sums(context, shape, |image, channel| {
        let start = image * shape.image_len() + channel * shape.pixels;
        sum_and_sum_of_squares(&x[start..][..shape.pixels])
    });
    let count = (shape.batch * shape.pixels) as f64;
    let statistics = mean.iter_mut().zip(variance.iter_mut());
    for ((mean, variance), sums) in statistics.zip(sums.chunks_exact(SUMS)) {
        let exact_mean = sums[0] / count;
        let exact_variance = sums[1] / count - exact_mean * exact_mean;
        *mean = exact_mean as f32;
        // Rounding may leave a constant channel a little below zero; NaN must stay NaN.
        *variance = if exact_variance < 0.0 {
            0.0
        } else {
            exact_variance as f32
        };
    }
    batch_norm_infer(context, shape, x, gamma, beta, mean, variance, eps, y)
}

/// Normalises by given statistics, such as running ones:
/// `y = (x - mean) / sqrt(variance + eps) * gamma + beta`, shaped as in [`batch_norm_train`].
///
/// # Errors
///
/// A slice does not have the length that `shape` asks for.
#[allow(clippy::too_many_arguments)]
pub fn batch_norm_infer(
    context: &Context,
    shape: &ChannelShape,
    x: &[f32],
    gamma: &[f32],
    beta: &[f32],
    mean: &[f32],
    variance: &[f32],
    eps: f32,
    y: &mut [f32],
) -> Result<(), ShapeError> {
    check_len("x", x, shape.input_len())?;
    check_len("y", y, shape.input_len())?;
    for (operand, slice) in [
        ("gamma", gamma),
        ("beta", beta),
        ("mean", mean),
        ("variance", variance),
    ] {
        check_len(operand, slice, shape.channels)?;
    }
    context.for_each_chunk(y, shape.image_len(), |image, y| {
        let x = &x[image * shape.image_len()..];
        let planes = x
            .chunks_exact(shape.pixels)
            .zip(y.chunks_exact_mut(shape.pixels));
        for (channel, (x, y)) in planes.enumerate().take(shape.channels) {
            let scale = gamma[channel] / (variance[channel] + eps).sqrt();
            let (mean, beta) = (mean[channel], beta[channel]);
            for (y, x) in y.iter_mut().zip(x) {
                *y = (x - mean) * scale + beta;
            }
        }
    });
    Ok(())
}

/// The gradients of [`batch_norm_train`]: `dx`, shaped as `x`, and `dgamma` and `dbeta`,
/// `[channels]`, from the gradient `dy` by the output and the statistics of the batch.
///
/// With `n = batch * pixels` and `h = (x - mean) / sqrt(variance + eps)`:
/// `dbeta = sum dy`, `dgamma = sum dy h`, and
/// `dx = gamma / sqrt(variance + eps) * (dy - dbeta / n - h dgamma / n)`.
///
/// # Errors
///
/// A slice does not have the length that `shape` asks for.
#[allow(clippy::too_many_arguments)]
pub fn batch_norm_backward(
    context: &Context,
    shape: &ChannelShape,
    x: &[f32],
    gamma: &[f32],
    mean: &[f32],
    variance: &[f32],
    eps: f32,
    dy: &[f32],
    dx: &mut [f32],
    dgamma: &mut [f32],
    dbeta: &mut [f32],
) -> Result<(), ShapeError> {
    for (operand, slice) in [("x", x), ("dy", dy), ("dx", &*dx)] {
        check_len(operand, slice, shape.input_len())?;
    }
    for (operand, slice) in [
        ("gamma", gamma),
        ("mean", mean),
        ("variance", variance),
        ("dgamma", &*dgamma),
        ("dbeta", &*dbeta),
    ] {
        check_len(operand, slice, shape.channels)?;
    }
    let sums = channel_sums(context, shape, |image, channel| {
        let start = image * shape.image_len() + channel * shape.pixels;
        let (x, dy) = (&x[start..][..shape.pixels], &dy[start..][..shape.pixels]);
        sum_and_sum_with_deviation(dy, x, mean[channel])
    });
    for (channel, sums) in sums.chunks_exact(SUMS).enumerate() {
        let inverse = 1.0 / (f64::from(variance[channel]) + f64::from(eps)).sqrt();
        dbeta[channel] = sums[0] as f32;
        dgamma[channel] = (sums[1] * inverse) as f32;
    }
    let (dgamma, dbeta) = (&*dgamma, &*dbeta);
    let count = (shape.batch * shape.pixels) as f32;
    context.for_each_chunk(dx, shape.image_len(), |image, dx| {
        let start = image * shape.image_len();
        let planes = x[start..]
            .chunks_exact(shape.pixels)
            .zip(dy[start..].chunks_exact(shape.pixels))
            .zip(dx.chunks_exact_mut(shape.pixels));
        for (channel, ((x, dy), dx)) in planes.enumerate().take(shape.channels) {
            let inverse = 1.0 / (variance[channel] + eps).sqrt();
            let scale = gamma[channel] * inverse;
            let shift = dbeta[channel] / count;
            let slope = inverse * dgamma[channel] / count;
            let mean = mean[channel];
            for ((dx, x), dy) in dx.iter_mut().zip(x).zip(dy) {
                *dx = scale * (dy - shift - (x - mean) * slope);
            }
        }
    });
    Ok(())
}

/// The sums `[channels, SUMS]` over the batch of what `of_plane(image, channel)` returns for each
/// plane.
fn channel_sums<'a>(
    context: &'a Context,
    shape: &ChannelShape,
    of_plane: impl Fn(usize, usize) -> [f64; SUMS] + Send + Sync,
) -> Scratch<'a, f64> {
    let sums_len = shape.channels * SUMS;
    let images = images_per_chunk(shape.batch, sums_len);
    let chunks = shape.batch.div_ceil(images);
    let mut partials = context.doubles(chunks * sums_len);
    context.for_each_chunk(&mut partials, sums_len, |chunk, sums| {
        sums.fill(0.0);
        let first = chunk * images;
        for image in first..(first + images).min(shape.batch) {
            for (channel, sums) in sums.chunks_exact_mut(SUMS).enumerate() {
                let of_plane = of_plane(image, channel);
                for (sum, plane) in sums.iter_mut().zip(of_plane) {
                    *sum += plane;
                }
            }
        }
    });
    let mut total = context.doubles(sums_len);
    total.fill(0.0);
    for partial in partials.chunks_exact(sums_len) {
        for (total, partial) in total.iter_mut().zip(partial) {
            *total += partial;
        }
    }
    total
}

/// Independent sums that a loop carries, so that the compiler may keep them in vectors.
const LANES: usize = 8;

/// The sum of `values` in double precision.
pub(crate) fn sum_of(values: &[f32]) -> f64 {
    let mut lanes = [0.0_f64; LANES];
    let chunks = values.chunks_exact(LANES);
    let rest: f64 = chunks.remainder().iter().copied().map(f64::from).sum();
    for chunk in chunks {
        for (lane, &value) in lanes.iter_mut().zip(chunk) {
            *lane += f64::from(value);
        }
    }
    lanes.iter().sum::<f64>() + rest
}

/// The sum of `values` and the sum of their squares.
fn sum_and_sum_of_squares(values: &[f32]) -> [f64; SUMS] {
    let mut sums = [0.0_f64; LANES];
    let mut squares = [0.0_f64; LANES];
    let chunks = values.chunks_exact(LANES);
    for (lane, &value) in chunks.remainder().iter().enumerate() {
        let value = f64::from(value);
        sums[lane] += value;
        squares[lane] += value * value;
    }
    for chunk in chunks {
        for lane in 0..LANES {
            let value = f64::from(chunk[lane]);
            sums[lane] += value;
            squares[lane] += value * value;
        }
    }
    [sums.iter().sum(), squares.iter().sum()]
}

/// The sum of `dy` and the sum of `dy * (x - mean)`.
fn sum_and_sum_with_deviation(dy: &[f32], x: &[f32], mean: f32) -> [f64; SUMS] {
    let mean = f64::from(mean);
    let mut sums = [0.0_f64; LANES];
    let mut products = [0.0_f64; LANES];
    let dy_chunks = dy.chunks_exact(LANES);
    let x_chunks = x.chunks_exact(LANES);
    let rest = dy_chunks.remainder().iter().zip(x_chunks.remainder());
    for (lane, (&dy, &x)) in rest.enumerate() {
        sums[lane] += f64::from(dy);
        products[lane] += f64::from(dy) * (f64::from(x) - mean);
    }
    for (dy, x) in dy_chunks.zip(x_chunks) {
        for lane in 0..LANES {
            let gradient = f64::from(dy[lane]);
            sums[lane] += gradient;
            products[lane] += gradient * (f64::from(x[lane]) - mean);
        }
    }
    [sums.iter().sum(), products.iter().sum()]
}
