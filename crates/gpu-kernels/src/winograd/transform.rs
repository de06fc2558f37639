//! Tiles of images and of gradients, filters, and back: the transforms of F(4x4, 3x3).
//!
//! Each is one in each direction, of rows and then of columns, written out by hand so that common sums
//! are made once. Matrices: Lavin and Gray, 2016, "Fast algorithms for convolutional neural networks",
//! section 4.3; those of gradients are theirs transposed.

use cubecl::prelude::*;

use super::{OUT, POINTS, SIDE, TAPS};
use crate::activation::Activation;
use crate::conv::after::finish;
use crate::conv::read::{load, load_weight};
use crate::conv::shape::{Sizes, Window};
use crate::moments::PART;
use crate::{Quad, write};

const SIXTH: f32 = 1.0 / 6.0;
const MINUS_SIXTH: f32 = -SIXTH;
const TWELFTH: f32 = 1.0 / 12.0;
const TWENTY_FOURTH: f32 = 1.0 / 24.0;

/// Which tiles a kernel takes, of all those of a batch.
#[derive(CubeLaunch, CubeType, Clone, Copy)]
pub(super) struct Tiles {
    /// The first image.
    pub image0: u32,
    /// How many tiles there are.
    pub count: u32,
    /// Tiles side by side in an image, and below one another.
    pub across: u32,
    pub down: u32,
}

/// Six pixels of a tile of the input, `step` apart.
#[cube]
fn input_line(d: &mut Array<Quad>, #[comptime] first: usize, #[comptime] step: usize) {
    let d0 = d[first];
    let d1 = d[comptime!(first + step)];
    let d2 = d[comptime!(first + 2 * step)];
    let d3 = d[comptime!(first + 3 * step)];
    let d4 = d[comptime!(first + 4 * step)];
    let d5 = d[comptime!(first + 5 * step)];
    let four = Quad::new(4.0);
    let five = Quad::new(-5.0);
    let a = fma(Quad::new(-4.0), d2, d4);
    let b = fma(Quad::new(-4.0), d1, d3);
    let c = d4 - d2;
    let e = Quad::new(2.0) * (d3 - d1);
    d[first] = fma(four, d0, fma(five, d2, d4));
    d[comptime!(first + step)] = a + b;
    d[comptime!(first + 2 * step)] = a - b;
    d[comptime!(first + 3 * step)] = c + e;
    d[comptime!(first + 4 * step)] = c - e;
    d[comptime!(first + 5 * step)] = fma(four, d1, fma(five, d3, d5));
}

/// Four pixels of a tile of the gradient become six.
#[cube]
fn gradient_line(d: &mut Array<Quad>, #[comptime] first: usize, #[comptime] step: usize) {
    let d0 = d[first];
    let d1 = d[comptime!(first + step)];
    let d2 = d[comptime!(first + 2 * step)];
    let d3 = d[comptime!(first + 3 * step)];
    let a = d0 + d2;
    let b = d1 + d3;
    let c = fma(Quad::new(4.0), d2, d0);
    let e = fma(Quad::new(8.0), d3, d1 + d1);
    d[comptime!(first + step)] = a + b;
    d[comptime!(first + 2 * step)] = a - b;
    d[comptime!(first + 3 * step)] = c + e;
    d[comptime!(first + 4 * step)] = c - e;
    d[comptime!(first + 5 * step)] = d3;
}

/// Six sums become four pixels of the output.
#[cube]
fn output_line(m: &mut Array<Quad>, #[comptime] first: usize, #[comptime] step: usize) {
    let m1 = m[comptime!(first + step)];
    let m2 = m[comptime!(first + 2 * step)];
    let m3 = m[comptime!(first + 3 * step)];
    let m4 = m[comptime!(first + 4 * step)];
    let a = m1 + m2;
    let b = m1 - m2;
    let c = m3 + m4;
    let e = m3 - m4;
    m[first] = m[first] + a + c;
    m[comptime!(first + step)] = fma(Quad::new(2.0), e, b);
    m[comptime!(first + 2 * step)] = fma(Quad::new(4.0), c, a);
    m[comptime!(first + 3 * step)] = fma(Quad::new(8.0), e, b) + m[comptime!(first + 5 * step)];
}

/// Three taps of a filter become six.
#[cube]
fn filter_line(g: &mut Array<f32>, #[comptime] first: usize, #[comptime] step: usize) {
    let g0 = g[first];
    let g1 = g[comptime!(first + step)];
    let g2 = g[comptime!(first + 2 * step)];
    let s = (g0 + g2) * MINUS_SIXTH;
    let t = g1 * SIXTH;
    let u = fma(g0, TWENTY_FOURTH, g2 * SIXTH);
    let v = g1 * TWELFTH;
    g[first] = g0 * 0.25;
    g[comptime!(first + step)] = s - t;
    g[comptime!(first + 2 * step)] = s + t;
    g[comptime!(first + 3 * step)] = u + v;
    g[comptime!(first + 4 * step)] = u - v;
    g[comptime!(first + 5 * step)] = g2;
}

/// Six sums become the gradient by three taps.
#[cube]
fn taps_line(e: &mut Array<f32>, #[comptime] first: usize, #[comptime] step: usize) {
    let e1 = e[comptime!(first + step)];
    let e2 = e[comptime!(first + 2 * step)];
    let e3 = e[comptime!(first + 3 * step)];
    let e4 = e[comptime!(first + 4 * step)];
    let a = (e1 + e2) * MINUS_SIXTH;
    let b = e3 + e4;
    let c = (e2 - e1) * SIXTH;
    e[first] = fma(e[first], 0.25, fma(b, TWENTY_FOURTH, a));
    e[comptime!(first + step)] = fma(e3 - e4, TWELFTH, c);
    e[comptime!(first + 2 * step)] = fma(b, SIXTH, a) + e[comptime!(first + 5 * step)];
}

/// Tiles of `x`, `window` pixels high and wide, as `[points, tiles, channels]`: of the input, six, or of the
/// gradient by the output, four.
#[cube(launch_unchecked)]
pub(super) fn spread<E: Float, N: Size>(
    x: &[Vector<E, N>],
    affine: ComptimeOption<&[Vector<f32, N>]>,
    to: &mut [Vector<f32, N>],
    sizes: Sizes,
    tiles: Tiles,
    #[comptime] window: usize,
    #[define(E)] _element: ElemType,
) {
    let channels = sizes.in_channels as usize;
    let quads = channels / 4;
    let quad = ABSOLUTE_POS % quads;
    let tile = ABSOLUTE_POS / quads;
    let count = tiles.count as usize;
    if tile < count {
        let across = tiles.across as usize;
        let down = tiles.down as usize;
        // What is below zero wraps and is outside as well.
        let column = tile % across * OUT - sizes.padding as usize;
        let row = tile / across % down * OUT - sizes.padding as usize;
        let image = tile / (across * down) + tiles.image0 as usize;
        let mut d = Array::<Quad>::new(POINTS);
        #[unroll]
        for i in 0..comptime!(window * window) {
            d[comptime!(i / window * SIDE + i % window)] = load::<E, N>(
                x,
                affine,
                &sizes,
                image,
                row + comptime!(i / window),
                column + comptime!(i % window),
                quad * 4,
            );
        }
        #[unroll]
        for j in 0..window {
            if comptime!(window == SIDE) {
                input_line(&mut d, j, SIDE);
            } else {
                gradient_line(&mut d, j, SIDE);
            }
        }
        #[unroll]
        for i in 0..SIDE {
            if comptime!(window == SIDE) {
                input_line(&mut d, comptime!(i * SIDE), 1usize);
            } else {
                gradient_line(&mut d, comptime!(i * SIDE), 1usize);
            }
        }
        #[unroll]
        for p in 0..POINTS {
            let at = ((p * count + tile) * quads + quad) * 4;
            write::<f32, N>(to, d[p], at, quad * 4, channels);
        }
    }
}

/// Filters as `[points, in_channels, out_channels]`.
#[cube(launch_unchecked)]
pub(super) fn filters(weight: &[f32], to: &mut [f32], sizes: Sizes, #[comptime] window: Window) {
    let from_channels = sizes.in_channels as usize;
    let to_channels = sizes.out_channels as usize;
    let from = ABSOLUTE_POS / to_channels;
    let channel = ABSOLUTE_POS % to_channels;
    if from < from_channels {
        let mut g = Array::<f32>::new(POINTS);
        #[unroll]
        for tap in 0..comptime!(TAPS * TAPS) {
            g[comptime!(tap / TAPS * SIDE + tap % TAPS)] = load_weight(
                weight,
                &sizes,
                from,
                channel,
                tap.runtime(),
                comptime!(TAPS * TAPS),
                window,
            );
        }
        #[unroll]
        for j in 0..TAPS {
            filter_line(&mut g, j, SIDE);
        }
        #[unroll]
        for i in 0..SIDE {
            filter_line(&mut g, comptime!(i * SIDE), 1usize);
        }
        #[unroll]
        for p in 0..POINTS {
            to[(p * from_channels + from) * to_channels + channel] = g[p];
        }
    }
}

/// The gradient by filters, from parts of `[points, in_channels, out_channels]`.
#[cube(launch_unchecked)]
pub(super) fn filter_gradient(
    parts: &[f32],
    to: &mut [f32],
    in_channels: u32,
    out_channels: u32,
    count: u32,
    factor: f32,
) {
    let in_channels = in_channels as usize;
    let out_channels = out_channels as usize;
    let from = ABSOLUTE_POS / out_channels;
    let channel = ABSOLUTE_POS % out_channels;
    if from < in_channels {
        let mut e = Array::<f32>::new(POINTS);
        #[unroll]
        for p in 0..POINTS {
            e[p] = 0.0;
        }
        for part in 0..count as usize {
            #[unroll]
            for p in 0..POINTS {
                let at = ((part * POINTS + p) * in_channels + from) * out_channels + channel;
                e[p] += parts[at];
            }
        }
        #[unroll]
        for j in 0..SIDE {
            taps_line(&mut e, j, SIDE);
        }
        #[unroll]
        for i in 0..TAPS {
            taps_line(&mut e, comptime!(i * SIDE), 1usize);
        }
        let at = (channel * in_channels + from) * comptime!(TAPS * TAPS);
        #[unroll]
        for tap in 0..comptime!(TAPS * TAPS) {
            to[at + tap] = e[comptime!(tap / TAPS * SIDE + tap % TAPS)] * factor;
        }
    }
}

/// Units of a cube that gathers.
pub(super) const GATHER_UNITS: usize = 256;

/// Images of `[points, tiles, channels]`, with what follows a convolution, and their moments.
#[cube(launch_unchecked)]
pub(super) fn gather<E: Float, N: Size>(
    from: &[Vector<f32, N>],
    y: &mut [Vector<E, N>],
    bias: ComptimeOption<&[f32]>,
    around: ComptimeOption<&[Vector<E, N>]>,
    around_gate: ComptimeOption<&[Vector<E, N>]>,
    partial: &mut [f32],
    sizes: Sizes,
    tiles: Tiles,
    part0: u32,
    tiles_per_unit: u32,
    #[comptime] lanes: usize,
    #[comptime] activation: Activation,
    #[comptime] takes_moments: bool,
    #[define(E)] _element: ElemType,
) {
    let unit = UNIT_POS as usize;
    let lane = unit % lanes;
    let steps = comptime!(GATHER_UNITS / lanes);
    let step = unit / lanes;
    let channels = sizes.out_channels as usize;
    let quads = channels / 4;
    let quad = CUBE_POS_Y as usize * lanes + lane;
    let channel = quad * 4;
    let count = tiles.count as usize;
    let across = tiles.across as usize;
    let down = tiles.down as usize;
    let height = sizes.out_height as usize;
    let width = sizes.out_width as usize;

    let mut shared =
        Shared::<[Quad]>::new_slice(comptime!(if takes_moments { 2 * GATHER_UNITS } else { 1 }));
    let mut counts =
        Shared::<[f32]>::new_slice(comptime!(if takes_moments { GATHER_UNITS } else { 1 }));
    let mut sum = Quad::new(0.0);
    let mut square = Quad::new(0.0);
    let mut pivot = Quad::new(0.0);
    let mut pixels = 0.0f32;

    for n in 0..tiles_per_unit as usize {
        let tile = (CUBE_POS_X as usize * tiles_per_unit as usize + n) * steps + step;
        let is_tile = tile < count && quad < quads;
        let mut m = Array::<Quad>::new(POINTS);
        #[unroll]
        for p in 0..POINTS {
            m[p] = Quad::new(0.0);
        }
        if is_tile {
            #[unroll]
            for p in 0..POINTS {
                let at = ((p * count + tile) * quads + quad) * 4;
                m[p] = crate::read::<f32, N>(from, at, channel, channels);
            }
        }
        #[unroll]
        for j in 0..SIDE {
            output_line(&mut m, j, SIDE);
        }
        #[unroll]
        for i in 0..OUT {
            output_line(&mut m, comptime!(i * SIDE), 1usize);
        }
        if comptime!(takes_moments) {
            // Differences from the cube's first pixel, so that squares do not swallow small deviations.
            if n == 0 {
                if step == 0 {
                    shared[lane] = m[0];
                }
                sync_cube();
                pivot = shared[lane];
                sync_cube();
            }
        }
        let column0 = tile % across * OUT;
        let row0 = tile / across % down * OUT;
        let image = tile / (across * down) + tiles.image0 as usize;
        #[unroll]
        for i in 0..comptime!(OUT * OUT) {
            let row = row0 + comptime!(i / OUT);
            let column = column0 + comptime!(i % OUT);
            if is_tile && row < height && column < width {
                let value = m[comptime!(i / OUT * SIDE + i % OUT)];
                if comptime!(takes_moments) {
                    let d = value - pivot;
                    sum += d;
                    square = fma(d, d, square);
                    pixels += 1.0;
                }
                let at = ((image * height + row) * width + column) * channels;
                let value = finish::<E, N>(
                    value,
                    bias,
                    around,
                    around_gate,
                    at,
                    channel,
                    channels,
                    activation,
                );
                write::<E, N>(y, value, at + channel, channel, channels);
            }
        }
    }

    if comptime!(takes_moments) {
        shared[unit] = sum;
        shared[GATHER_UNITS + unit] = square;
        counts[unit] = pixels;
        #[unroll]
        for level in 1..=comptime!(steps.ilog2() as usize) {
            let half = comptime!((steps >> level) * lanes);
            sync_cube();
            if unit < half {
                shared[unit] = shared[unit] + shared[unit + half];
                shared[GATHER_UNITS + unit] =
                    shared[GATHER_UNITS + unit] + shared[GATHER_UNITS + unit + half];
                counts[unit] += counts[unit + half];
            }
        }
        if step == 0 && quad < quads {
            let count = Quad::new(counts[unit]);
            let sum = shared[unit];
            let mean = sum / count;
            let square = shared[GATHER_UNITS + unit] - sum * mean;
            let part = (part0 + CUBE_POS_X) as usize;
            let at = part * comptime!(PART) * channels + channel;
            #[unroll]
            for k in 0..4usize {
                partial[at + k] = pivot.extract(k) + mean.extract(k);
                partial[at + channels + k] = square.extract(k);
                partial[at + 2 * channels + k] = count.extract(k);
            }
        }
    }
}
