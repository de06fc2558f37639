//! Pooling.

use cubecl::prelude::*;

use crate::activation::{Activation, activate};
use crate::rows::elementwise;
use crate::{Buffer, narrow, widen, width};

#[derive(CubeLaunch, CubeType, Clone, Copy)]
struct Pooling {
    height: u32,
    width: u32,
    out_height: u32,
    out_width: u32,
    lanes: u32,
}

#[cube(launch_unchecked)]
fn max_pool_kernel<E: Float, N: Size>(
    x: &[Vector<E, N>],
    bias: ComptimeOption<&[Vector<f32, N>]>,
    y: &mut [Vector<E, N>],
    places: &mut [Vector<i32, N>],
    pooling: Pooling,
    #[comptime] window: usize,
    #[comptime] activation: Activation,
    #[define(E)] _element: ElemType,
) {
    let at = ABSOLUTE_POS;
    if at < y.len() {
        let lanes = pooling.lanes as usize;
        let lane = at % lanes;
        let column = at / lanes % pooling.out_width as usize;
        let row = at / lanes / pooling.out_width as usize % pooling.out_height as usize;
        let image = at / lanes / pooling.out_width as usize / pooling.out_height as usize;
        let first = ((image * pooling.height as usize + row * window) * pooling.width as usize
            + column * window)
            * lanes
            + lane;
        let mut best = widen::<E, N>(x[first]);
        let mut place = Vector::<i32, N>::new(0);
        #[unroll]
        for i in 1..comptime!(window * window) {
            let value = widen::<E, N>(
                x[first
                    + (comptime!(i / window) * pooling.width as usize + comptime!(i % window))
                        * lanes],
            );
            #[unroll]
            for k in 0..N::value() {
                if value.extract(k) > best.extract(k) {
                    best.insert(k, value.extract(k));
                    place.insert(k, comptime!(i as i32));
                }
            }
        }
        #[comptime]
        if let ComptimeOption::Some(bias) = bias {
            best += bias[lane];
        }
        y[at] = narrow::<E, N>(activate::<N>(best, activation));
        places[at] = place;
    }
}

/// `activation(max_pool(x) + bias)` for images `[batch, height, width, channels]` and windows that do
/// not overlap; and where in its window each maximum was, as integers.
#[allow(clippy::too_many_arguments)]
pub fn max_pool(
    client: &Client,
    x: &Buffer,
    [height, columns, channels]: [usize; 3],
    window: usize,
    bias: Option<&Buffer>,
    activation: Activation,
) -> (Buffer, Buffer) {
    let of = width(channels);
    let batch = x.length / (height * columns * channels);
    let length = batch * (height / window) * (columns / window) * channels;
    let y = Buffer::of(client, length, x.element);
    let places = Buffer::new(client, length);
    let (count, dim) = elementwise(length / of);
    // SAFETY: the kernel stays below the length of its results, whose windows lie inside of `x`.
    unsafe {
        max_pool_kernel::launch_unchecked(
            client,
            count,
            dim,
            of,
            x.argument(of),
            bias.map(|bias| bias.argument(of)).into(),
            y.argument(of),
            places.argument(of),
            PoolingLaunch::new(
                height as u32,
                columns as u32,
                (height / window) as u32,
                (columns / window) as u32,
                (channels / of) as u32,
            ),
            window,
            activation,
            x.element.kind(),
        );
    }
    (y, places)
}

#[cube(launch_unchecked)]
fn max_pool_back_kernel<E: Float, N: Size>(
    dy: &[Vector<E, N>],
    y: ComptimeOption<&[Vector<E, N>]>,
    places: &[Vector<i32, N>],
    dx: &mut [Vector<E, N>],
    pooling: Pooling,
    #[comptime] window: usize,
    #[define(E)] _element: ElemType,
) {
    let at = ABSOLUTE_POS;
    if at < dx.len() {
        let lanes = pooling.lanes as usize;
        let lane = at % lanes;
        let column = at / lanes % pooling.width as usize;
        let row = at / lanes / pooling.width as usize % pooling.height as usize;
        let image = at / lanes / pooling.width as usize / pooling.height as usize;
        let mut value = Vector::<f32, N>::new(0.0);
        if row / window < pooling.out_height as usize
            && column / window < pooling.out_width as usize
        {
            let from = ((image * pooling.out_height as usize + row / window)
                * pooling.out_width as usize
                + column / window)
                * lanes
                + lane;
            let mine = (row % window * window + column % window) as i32;
            let place = places[from];
            let g = widen::<E, N>(dy[from]);
            #[unroll]
            for k in 0..N::value() {
                if place.extract(k) == mine {
                    value.insert(k, g.extract(k));
                }
            }
            #[comptime]
            if let ComptimeOption::Some(y) = y {
                let y = widen::<E, N>(y[from]);
                #[unroll]
                for k in 0..N::value() {
                    if y.extract(k) <= 0.0 {
                        value.insert(k, 0.0);
                    }
                }
            }
        }
        dx[at] = narrow::<E, N>(value);
    }
}

/// The gradient of [`max_pool`] by `x`, of `[height, width, channels]` an image. With `y`, the result of a
/// rectifier after it, the gradient passes only where that is above zero.
pub fn max_pool_back(
    client: &Client,
    dy: &Buffer,
    y: Option<&Buffer>,
    places: &Buffer,
    [height, columns, channels]: [usize; 3],
    window: usize,
) -> Buffer {
    let of = width(channels);
    let batch = dy.length / ((height / window) * (columns / window) * channels);
    let dx = Buffer::of(client, batch * height * columns * channels, dy.element);
    let (count, dim) = elementwise(dx.length / of);
    // SAFETY: the kernel stays below the length of `dx`, and reads only windows that there are.
    unsafe {
        max_pool_back_kernel::launch_unchecked(
            client,
            count,
            dim,
            of,
            dy.argument(of),
            y.map(|y| y.argument(of)).into(),
            places.argument(of),
            dx.argument(of),
            PoolingLaunch::new(
                height as u32,
                columns as u32,
                (height / window) as u32,
                (columns / window) as u32,
                (channels / of) as u32,
            ),
            window,
            dy.element.kind(),
        );
    }
    dx
}

#[cube(launch_unchecked)]
fn mean_kernel<E: Float, N: Size>(
    x: &[Vector<E, N>],
    y: &mut [Vector<E, N>],
    lanes: u32,
    pixels: u32,
    #[define(E)] _element: ElemType,
) {
    let at = ABSOLUTE_POS;
    if at < y.len() {
        let lanes = lanes as usize;
        let first = at / lanes * pixels as usize * lanes + at % lanes;
        let mut sum = Vector::<f32, N>::new(0.0);
        for pixel in 0..pixels as usize {
            sum += widen::<E, N>(x[first + pixel * lanes]);
        }
        y[at] = narrow::<E, N>(sum * Vector::<f32, N>::new(1.0 / f32::cast_from(pixels)));
    }
}

/// The mean of each channel over the pixels of an image: `[batch, pixels, channels]` to `[batch, channels]`.
pub fn mean(client: &Client, x: &Buffer, pixels: usize, channels: usize) -> Buffer {
    let of = width(channels);
    let y = Buffer::of(client, x.length / pixels, x.element);
    let (count, dim) = elementwise(y.length / of);
    // SAFETY: the kernel stays below the length of `y`, which is that of `x` by `pixels`.
    unsafe {
        mean_kernel::launch_unchecked(
            client,
            count,
            dim,
            of,
            x.argument(of),
            y.argument(of),
            (channels / of) as u32,
            pixels as u32,
            x.element.kind(),
        );
    }
    y
}

#[cube(launch_unchecked)]
fn mean_back_kernel<E: Float, N: Size>(
    dy: &[Vector<E, N>],
    dx: &mut [Vector<E, N>],
    lanes: u32,
    pixels: u32,
    #[define(E)] _element: ElemType,
) {
    let at = ABSOLUTE_POS;
    if at < dx.len() {
        let lanes = lanes as usize;
        let from = at / (lanes * pixels as usize) * lanes + at % lanes;
        let factor = Vector::<f32, N>::new(1.0 / f32::cast_from(pixels));
        dx[at] = narrow::<E, N>(widen::<E, N>(dy[from]) * factor);
    }
}

/// The gradient of [`mean`].
pub fn mean_back(client: &Client, dy: &Buffer, pixels: usize, channels: usize) -> Buffer {
    let of = width(channels);
    let dx = Buffer::of(client, dy.length * pixels, dy.element);
    let (count, dim) = elementwise(dx.length / of);
    // SAFETY: the kernel stays below the length of `dx`, which is that of `dy` times `pixels`.
    unsafe {
        mean_back_kernel::launch_unchecked(
            client,
            count,
            dim,
            of,
            dy.argument(of),
            dx.argument(of),
            (channels / of) as u32,
            pixels as u32,
            dy.element.kind(),
        );
    }
    dx
}

#[cube(launch_unchecked)]
fn max_kernel<E: Float>(
    x: &[E],
    y: &mut [E],
    places: &mut [i32],
    channels: u32,
    pixels: u32,
    #[define(E)] _element: ElemType,
) {
    let at = ABSOLUTE_POS;
    if at < y.len() {
        let channels = channels as usize;
        let first = at / channels * pixels as usize * channels + at % channels;
        let mut best = x[first];
        let mut place = 0i32;
        for pixel in 1..pixels as usize {
            let value = x[first + pixel * channels];
            if value > best {
                best = value;
                place = pixel as i32;
            }
        }
        y[at] = best;
        places[at] = place;
    }
}

/// The maximum of each channel over the pixels of an image, `[batch, pixels, channels]` to
/// `[batch, channels]`, and at which pixel it was.
pub fn max(client: &Client, x: &Buffer, pixels: usize, channels: usize) -> (Buffer, Buffer) {
    let length = x.length / pixels;
    let y = Buffer::of(client, length, x.element);
    let places = Buffer::new(client, length);
    let (count, dim) = elementwise(length);
    // SAFETY: the kernel stays below the length of `y`, which is that of `x` by `pixels`.
    unsafe {
        max_kernel::launch_unchecked(
            client,
            count,
            dim,
            x.argument(1),
            y.argument(1),
            places.argument(1),
            channels as u32,
            pixels as u32,
            x.element.kind(),
        );
    }
    (y, places)
}

#[cube(launch_unchecked)]
fn max_back_kernel<E: Float>(
    dy: &[E],
    places: &[i32],
    dx: &mut [E],
    channels: u32,
    pixels: u32,
    #[define(E)] _element: ElemType,
) {
    let at = ABSOLUTE_POS;
    if at < dx.len() {
        let channels = channels as usize;
        let from = at / (channels * pixels as usize) * channels + at % channels;
        let mut value = E::new(0.0);
        if places[from] == (at / channels % pixels as usize) as i32 {
            value = dy[from];
        }
        dx[at] = value;
    }
}

/// The gradient of [`max()`].
pub fn max_back(
    client: &Client,
    dy: &Buffer,
    places: &Buffer,
    pixels: usize,
    channels: usize,
) -> Buffer {
    let dx = Buffer::of(client, dy.length * pixels, dy.element);
    let (count, dim) = elementwise(dx.length);
    // SAFETY: the kernel stays below the length of `dx`, which is that of `dy` times `pixels`.
    unsafe {
        max_back_kernel::launch_unchecked(
            client,
            count,
            dim,
            dy.argument(1),
            places.argument(1),
            dx.argument(1),
            channels as u32,
            pixels as u32,
            dy.element.kind(),
        );
    }
    dx
}
