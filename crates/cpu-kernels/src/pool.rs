//! Global pooling: the mean or the maximum of each channel.

use crate::context::Context;
use crate::divide::Chunked;
use crate::partition::images_per_chunk;
use crate::shape::{ChannelShape, ShapeError, check_len};

/// Channels whose sums are taken together: they fill two vectors of the widest instruction set.
const CHANNELS_AT_A_TIME: usize = 32;

/// The mean over the pixels of each channel: from `x` `[batch, pixels, channels]` to `y`
/// `[batch, channels]`.
///
/// # Errors
///
/// A slice does not have the length that `shape` asks for.
pub fn global_avg_pool(
    context: &Context,
    shape: &ChannelShape,
    x: &[f32],
    y: &mut [f32],
) -> Result<(), ShapeError> {
    check_len("x", x, shape.input_len())?;
    check_len("y", y, shape.batch * shape.channels)?;
    let per_chunk = images_per_chunk(shape.batch, 0);
    let chunks = shape.batch.div_ceil(per_chunk);
    let y = Chunked::new(y, per_chunk * shape.channels);
    context.divide(chunks, y, |_, chunk, y| {
        let images = x[chunk * per_chunk * shape.image_len()..].chunks_exact(shape.image_len());
        for (x, y) in images.zip(y.data.chunks_exact_mut(shape.channels)) {
            mean_of_pixels(shape, x, y);
        }
    });
    Ok(())
}

/// The means of one image, whose sums are taken in double precision.
fn mean_of_pixels(shape: &ChannelShape, x: &[f32], y: &mut [f32]) {
    for (block, y) in y.chunks_mut(CHANNELS_AT_A_TIME).enumerate() {
        let first = block * CHANNELS_AT_A_TIME;
        let mut sums = [0.0_f64; CHANNELS_AT_A_TIME];
        for pixel in x.chunks_exact(shape.channels) {
            for (sum, x) in sums.iter_mut().zip(&pixel[first..]) {
                *sum += f64::from(*x);
            }
        }
        for (y, sum) in y.iter_mut().zip(sums) {
            *y = (sum / shape.pixels as f64) as f32;
        }
    }
}

/// The gradient of [`global_avg_pool`]: `dx = dy / pixels` for every pixel of the channel, from
/// `dy` `[batch, channels]` to `dx` `[batch, pixels, channels]`.
///
/// # Errors
///
/// A slice does not have the length that `shape` asks for.
pub fn global_avg_pool_backward(
    context: &Context,
    shape: &ChannelShape,
    dy: &[f32],
    dx: &mut [f32],
) -> Result<(), ShapeError> {
    check_len("dy", dy, shape.batch * shape.channels)?;
    check_len("dx", dx, shape.input_len())?;
    let per_chunk = images_per_chunk(shape.batch, 0);
    let chunks = shape.batch.div_ceil(per_chunk);
    let dx = Chunked::new(dx, per_chunk * shape.image_len());
    context.divide(chunks, dx, |_, chunk, dx| {
        let images = dx.data.chunks_exact_mut(shape.image_len());
        let rows = dy[chunk * per_chunk * shape.channels..].chunks_exact(shape.channels);
        for (dx, dy) in images.zip(rows) {
            let (first, others) = dx.split_at_mut(shape.channels);
            for (dx, dy) in first.iter_mut().zip(dy) {
                *dx = dy / shape.pixels as f32;
            }
            for pixel in others.chunks_exact_mut(shape.channels) {
                pixel.copy_from_slice(first);
            }
        }
    });
    Ok(())
}

/// The most pixels of an image whose place fits into a byte.
const MOST_PLACES: usize = 256;

/// The maximum over the pixels of each channel, and its pixel: from `x`
/// `[batch, pixels, channels]` to `y` and `places`, each `[batch, channels]`. The first of equal
/// values wins, and a NaN wins over every number.
///
/// # Errors
///
/// A slice does not have the length that `shape` asks for, or an image has more than 256 pixels.
pub fn global_max_pool(
    context: &Context,
    shape: &ChannelShape,
    x: &[f32],
    y: &mut [f32],
    places: &mut [u8],
) -> Result<(), ShapeError> {
    check_len("x", x, shape.input_len())?;
    check_len("y", y, shape.batch * shape.channels)?;
    check_len("places", places, shape.batch * shape.channels)?;
    if shape.pixels > MOST_PLACES {
        return Err(ShapeError::PoolKernelTooLarge {
            kernel: shape.pixels,
            greatest: MOST_PLACES,
        });
    }
    let per_chunk = images_per_chunk(shape.batch, 0);
    let chunks = shape.batch.div_ceil(per_chunk);
    let parts = (
        Chunked::new(y, per_chunk * shape.channels),
        Chunked::new(places, per_chunk * shape.channels),
    );
    context.divide(chunks, parts, |_, chunk, (y, places)| {
        let images = x[chunk * per_chunk * shape.image_len()..].chunks_exact(shape.image_len());
        let rows = (y.data.chunks_exact_mut(shape.channels))
            .zip(places.data.chunks_exact_mut(shape.channels));
        for (x, (y, places)) in images.zip(rows) {
            y.copy_from_slice(&x[..shape.channels]);
            places.fill(0);
            for (pixel, x) in (0_u8..=u8::MAX).zip(x.chunks_exact(shape.channels)) {
                for ((y, place), &x) in y.iter_mut().zip(&mut *places).zip(x) {
                    if x > *y || x.is_nan() {
                        (*y, *place) = (x, pixel);
                    }
                }
            }
        }
    });
    Ok(())
}

/// The gradient of [`global_max_pool`], whose maxima were at `places`: from `dy`
/// `[batch, channels]` to `dx` `[batch, pixels, channels]`.
///
/// # Errors
///
/// A slice does not have the length that `shape` asks for, or a place is no pixel.
pub fn global_max_pool_backward(
    context: &Context,
    shape: &ChannelShape,
    dy: &[f32],
    places: &[u8],
    dx: &mut [f32],
) -> Result<(), ShapeError> {
    check_len("dy", dy, shape.batch * shape.channels)?;
    check_len("places", places, shape.batch * shape.channels)?;
    check_len("dx", dx, shape.input_len())?;
    let greatest = places.iter().copied().max().unwrap_or(0);
    if usize::from(greatest) >= shape.pixels {
        return Err(ShapeError::PoolIndex {
            index: greatest,
            places: shape.pixels,
        });
    }
    let dx = Chunked::new(dx, shape.image_len());
    context.divide(shape.batch, dx, |_, image, dx| {
        dx.data.fill(0.0);
        let row = image * shape.channels..(image + 1) * shape.channels;
        let values = dy[row.clone()].iter().zip(&places[row]);
        for (channel, (dy, place)) in values.enumerate() {
            dx.data[usize::from(*place) * shape.channels + channel] = *dy;
        }
    });
    Ok(())
}
