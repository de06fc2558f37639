//! Maximum pooling and global average pooling.

use crate::context::Context;
use crate::norm::sum_of;
use crate::shape::{ChannelShape, PoolShape, ShapeError, check_len};

/// Planes that one task pools.
const PLANES_PER_TASK: usize = 16;

/// Maximum pooling of `x` `[batch, channels, height, width]` into `y`
/// `[batch, channels, out_height, out_width]`.
///
/// `indices`, shaped as `y`, receives the place of each maximum within its window,
/// `row * kernel + column`. As in PyTorch the first of equal values wins, and a NaN wins over
/// every number.
///
/// # Errors
///
/// A slice does not have the length that `shape` asks for.
pub fn max_pool2d(
    context: &Context,
    shape: &PoolShape,
    x: &[f32],
    y: &mut [f32],
    indices: &mut [u8],
) -> Result<(), ShapeError> {
    check_len("x", x, shape.input_len())?;
    check_len("y", y, shape.output_len())?;
    check_len("indices", indices, shape.output_len())?;
    let plane_len = shape.height * shape.width;
    let out_plane_len = shape.out_height * shape.out_width;
    let task_len = PLANES_PER_TASK * out_plane_len;
    context.for_each_chunk_pair((y, task_len), (indices, task_len), |task, y, indices| {
        let planes = x[task * PLANES_PER_TASK * plane_len..]
            .chunks_exact(plane_len)
            .zip(y.chunks_exact_mut(out_plane_len))
            .zip(indices.chunks_exact_mut(out_plane_len));
        for ((x, y), indices) in planes {
            max_pool_plane(shape, x, y, indices);
        }
    });
    Ok(())
}

fn max_pool_plane(shape: &PoolShape, x: &[f32], y: &mut [f32], indices: &mut [u8]) {
    let rows = y
        .chunks_exact_mut(shape.out_width)
        .zip(indices.chunks_exact_mut(shape.out_width));
    for (out_row, (y, indices)) in rows.enumerate() {
        y.fill(f32::NEG_INFINITY);
        indices.fill(0);
        for tap_y in 0..shape.kernel {
            let x = &x[(out_row * shape.stride + tap_y) * shape.width..][..shape.width];
            for tap_x in 0..shape.kernel {
                let tap = (tap_y * shape.kernel + tap_x) as u8;
                let values = x[tap_x..].iter().step_by(shape.stride);
                for ((y, index), &value) in y.iter_mut().zip(indices.iter_mut()).zip(values) {
                    let wins = value > *y || value.is_nan();
                    *y = if wins { value } else { *y };
                    *index = if wins { tap } else { *index };
                }
            }
        }
    }
}

/// The gradient of [`max_pool2d`]: each value of `dy`, shaped as the output, is added to `dx`,
/// shaped as the input, at the place of its maximum.
///
/// # Errors
///
/// A slice does not have the length that `shape` asks for.
pub fn max_pool2d_backward(
    context: &Context,
    shape: &PoolShape,
    dy: &[f32],
    indices: &[u8],
    dx: &mut [f32],
) -> Result<(), ShapeError> {
    check_len("dy", dy, shape.output_len())?;
    check_len("indices", indices, shape.output_len())?;
    check_len("dx", dx, shape.input_len())?;
    let plane_len = shape.height * shape.width;
    let out_plane_len = shape.out_height * shape.out_width;
    context.for_each_chunk(dx, PLANES_PER_TASK * plane_len, |task, dx| {
        let first = task * PLANES_PER_TASK * out_plane_len;
        let planes = dx
            .chunks_exact_mut(plane_len)
            .zip(dy[first..].chunks_exact(out_plane_len))
            .zip(indices[first..].chunks_exact(out_plane_len));
        for ((dx, dy), indices) in planes {
            dx.fill(0.0);
            let rows = dy
                .chunks_exact(shape.out_width)
                .zip(indices.chunks_exact(shape.out_width));
            for (out_row, (dy, indices)) in rows.enumerate() {
                for (out_column, (dy, &index)) in dy.iter().zip(indices).enumerate() {
                    let row = out_row * shape.stride + usize::from(index) / shape.kernel;
                    let column = out_column * shape.stride + usize::from(index) % shape.kernel;
                    if let Some(dx) = dx.get_mut(row * shape.width + column) {
                        *dx += dy;
                    }
                }
            }
        }
    });
    Ok(())
}

/// The mean over the pixels of each channel: from `x` `[batch, channels, pixels]` to `y`
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
    context.for_each_chunk(y, PLANES_PER_TASK, |task, y| {
        let x = &x[task * PLANES_PER_TASK * shape.pixels..];
        for (y, plane) in y.iter_mut().zip(x.chunks_exact(shape.pixels)) {
            *y = (sum_of(plane) / shape.pixels as f64) as f32;
        }
    });
    Ok(())
}

/// The gradient of [`global_avg_pool`]: `dx = dy / pixels` for every pixel of the channel, from
/// `dy` `[batch, channels]` to `dx` `[batch, channels, pixels]`.
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
    context.for_each_chunk(dx, PLANES_PER_TASK * shape.pixels, |task, dx| {
        let dy = &dy[task * PLANES_PER_TASK..];
        for (plane, dy) in dx.chunks_exact_mut(shape.pixels).zip(dy) {
            plane.fill(dy / shape.pixels as f32);
        }
    });
    Ok(())
}
