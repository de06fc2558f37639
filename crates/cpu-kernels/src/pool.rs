//! Maximum pooling and global average pooling.

use crate::context::Context;
use crate::norm::sum_of;
use crate::shape::{ChannelShape, PoolShape, ShapeError, check_len};

/// Planes that one task pools.
const PLANES_PER_TASK: usize = 16;

/// Outputs of a maximum pooling that are computed side by side.
const LANES: usize = 8;

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
            match (shape.kernel, shape.stride) {
                (2, 2) => max_pool_plane(shape, (2, 2), x, y, indices),
                sizes => max_pool_plane(shape, sizes, x, y, indices),
            }
        }
    });
    Ok(())
}

/// Pools one plane. Kernel and stride are those of `shape`; they are inlined as constants for the
/// usual sizes, so that the compiler unrolls the window.
#[inline(always)]
fn max_pool_plane(
    shape: &PoolShape,
    (kernel, stride): (usize, usize),
    x: &[f32],
    y: &mut [f32],
    indices: &mut [u8],
) {
    let rows = y
        .chunks_exact_mut(shape.out_width)
        .zip(indices.chunks_exact_mut(shape.out_width));
    for (out_row, (y, indices)) in rows.enumerate() {
        let x = &x[out_row * stride * shape.width..][..kernel * shape.width];
        let blocks = y.chunks_mut(LANES).zip(indices.chunks_mut(LANES));
        for (block, (y, indices)) in blocks.enumerate() {
            let mut greatest = [f32::NEG_INFINITY; LANES];
            let mut places = [0_u32; LANES];
            for tap in 0..kernel * kernel {
                let start = tap / kernel * shape.width + tap % kernel + block * LANES * stride;
                let mut values = [f32::NEG_INFINITY; LANES];
                for (value, x) in values.iter_mut().zip(x[start..].iter().step_by(stride)) {
                    *value = *x;
                }
                // Lanes are selected without branches: which value wins cannot be predicted.
                for lane in 0..LANES {
                    let wins = (values[lane] > greatest[lane]) | values[lane].is_nan();
                    greatest[lane] = if wins { values[lane] } else { greatest[lane] };
                    places[lane] = if wins { tap as u32 } else { places[lane] };
                }
            }
            // The last block may have fewer outputs than lanes.
            for (lane, (y, index)) in y.iter_mut().zip(indices).enumerate() {
                *y = greatest[lane];
                // `PoolShape` admits only kernels whose places fit into a byte.
                *index = places[lane] as u8;
            }
        }
    }
}

/// The gradient of [`max_pool2d`]: each value of `dy`, shaped as the output, is added to `dx`,
/// shaped as the input, at the place of its maximum.
///
/// # Errors
///
/// A slice does not have the length that `shape` asks for, or an index does not lie in its window.
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
    let places = shape.kernel * shape.kernel;
    if let Some(&index) = indices.iter().find(|&&index| usize::from(index) >= places) {
        return Err(ShapeError::PoolIndex { index, places });
    }
    // Where each place of a window lies in the plane, from the window's first element: a division
    // for every value would take longer than the rest.
    let offsets: [usize; 256] =
        std::array::from_fn(|place| place / shape.kernel * shape.width + place % shape.kernel);
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
                    let place = offsets[usize::from(index)];
                    let window = out_row * shape.stride * shape.width + out_column * shape.stride;
                    dx[window + place] += dy;
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
