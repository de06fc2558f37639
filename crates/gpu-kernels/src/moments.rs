//! Means and variances by channel, and running ones that follow them.
//!
//! Images are rows of channels: `[batch * height * width, channels]`. Each part of the rows gives a mean, a
//! sum of squared differences from it and a count, by a kernel here or where a convolution ends, and
//! one cube for each channel brings the parts together (Chan et al., 1979, "Updating formulae and a
//! pairwise algorithm for computing sample variances"), in an order that never changes.

use cubecl::prelude::*;

use crate::UNITS;
use crate::rows::{Rows, rows_here, together};
use crate::{Buffer, many, widen};

#[cube(launch_unchecked)]
fn moments_kernel<E: Float, N: Size>(
    x: &[Vector<E, N>],
    partial: &mut [Vector<f32, N>],
    rows: u32,
    per_cube: u32,
    all_lanes: u32,
    #[comptime] lanes: usize,
    #[comptime] units: usize,
    #[define(E)] _element: ElemType,
) {
    let unit = UNIT_POS as usize;
    let all = all_lanes as usize;
    let lane = CUBE_POS_Y as usize * lanes + unit % lanes;
    let (first, end) = rows_here(rows, per_cube);
    let mut sum = Vector::<f32, N>::new(0.0);
    let mut square = Vector::<f32, N>::new(0.0);
    let mut pivot = Vector::<f32, N>::new(0.0);
    if lane < all {
        // Differences from a value of the channel, so that squares do not swallow small deviations.
        pivot = widen::<E, N>(x[first * all + lane]);
        let mut row = first + unit / lanes;
        while row < end {
            let d = widen::<E, N>(x[row * all + lane]) - pivot;
            sum += d;
            square = fma(d, d, square);
            row += comptime!(units / lanes);
        }
    }
    let (sum, square) = together::<N>(sum, square, lanes, units);
    if unit < lanes && lane < all {
        let count = Vector::<f32, N>::new(f32::cast_from((end - first) as u32));
        let at = CUBE_POS_X as usize * comptime!(PART) * all + lane;
        let mean = sum / count;
        partial[at] = pivot + mean;
        partial[at + all] = square - sum * mean;
        partial[at + 2 * all] = count;
    }
}

/// Numbers by channel of a part of the pixels: mean, sum of squared differences from it, and count.
pub(crate) const PART: usize = 3;

/// Where a convolution writes its parts: a kernel has that argument whether it takes moments or not.
pub(crate) fn or_room(client: &Client, partial: Option<&Buffer>) -> Buffer {
    partial.map_or_else(|| Buffer::new(client, 1), Buffer::clone)
}

/// Units that share a channel where sums end.
pub(crate) const END_UNITS: usize = 256;

/// Sums over the units of a cube.
#[cube]
pub(crate) fn over_units(value: f32, shared: &mut Shared<[f32]>) -> f32 {
    let unit = UNIT_POS as usize;
    sync_cube();
    shared[unit] = value;
    #[unroll]
    for level in 1..=comptime!(END_UNITS.ilog2() as usize) {
        let half = comptime!(END_UNITS >> level);
        sync_cube();
        if unit < half {
            let other = shared[unit + half];
            shared[unit] += other;
        }
    }
    sync_cube();
    shared[0]
}

#[cube(launch_unchecked)]
fn moments_end_kernel(
    partial: &[f32],
    gamma: &[f32],
    beta: &[f32],
    mean: &mut [f32],
    variance: &mut [f32],
    affine: &mut [f32],
    channels: u32,
    parts: u32,
    epsilon: f32,
) {
    let mut shared = Shared::<[f32]>::new_slice(END_UNITS);
    let channels = channels as usize;
    let channel = CUBE_POS_X as usize;
    // Differences from the first part's mean, for the same reason as within a part.
    let pivot = partial[channel];
    let mut counts = 0.0f32;
    let mut sum = 0.0f32;
    let mut square = 0.0f32;
    let mut part = UNIT_POS as usize;
    while part < parts as usize {
        let at = part * comptime!(PART) * channels + channel;
        let d = partial[at] - pivot;
        let count = partial[at + 2 * channels];
        counts += count;
        sum = fma(count, d, sum);
        square += fma(count * d, d, partial[at + channels]);
        part += END_UNITS;
    }
    let counts = over_units(counts, &mut shared);
    let sum = over_units(sum, &mut shared);
    let square = over_units(square, &mut shared);
    if UNIT_POS == 0 {
        let shift = sum / counts;
        let mean_of = pivot + shift;
        let variance_of = max((square - sum * shift) / counts, 0.0);
        mean[channel] = mean_of;
        variance[channel] = variance_of;
        let scale = gamma[channel] / (variance_of + epsilon).sqrt();
        affine[channel] = scale;
        affine[channels + channel] = beta[channel] - mean_of * scale;
    }
}

/// The statistics of a batch by channel, and the scale and shift that normalise by them.
#[derive(Clone, Debug)]
pub struct Moments {
    /// `[channels]`.
    pub mean: Buffer,
    /// `[channels]`, biased.
    pub variance: Buffer,
    /// Scales and then shifts, `[2 * channels]`.
    pub affine: Buffer,
}

/// The moments of `x`, `[rows, channels]`.
pub fn moments(
    client: &Client,
    x: &Buffer,
    channels: usize,
    gamma: &Buffer,
    beta: &Buffer,
    epsilon: f32,
) -> Moments {
    let rows = Rows::new(x.length / channels, channels);
    let partial = Buffer::new(client, rows.cubes * PART * channels);
    // SAFETY: the kernel reads and writes below the lengths that it is given, which are the buffers'.
    unsafe {
        moments_kernel::launch_unchecked(
            client,
            rows.count(),
            rows.dim(),
            rows.width,
            x.argument(rows.width),
            partial.argument(rows.width),
            rows.rows as u32,
            rows.per_cube as u32,
            (channels / rows.width) as u32,
            rows.lanes,
            rows.units,
            x.element.kind(),
        );
    }
    moments_end(client, &partial, rows.cubes, gamma, beta, epsilon)
}

/// The moments of all parts together.
pub(crate) fn moments_end(
    client: &Client,
    partial: &Buffer,
    parts: usize,
    gamma: &Buffer,
    beta: &Buffer,
    epsilon: f32,
) -> Moments {
    let channels = gamma.length;
    let [mean, variance, affine] = Buffer::several(client, [channels, channels, 2 * channels]);
    let moments = Moments {
        mean,
        variance,
        affine,
    };
    // SAFETY: a cube reads and writes its own channel of the buffers.
    unsafe {
        moments_end_kernel::launch_unchecked(
            client,
            CubeCount::new_1d(channels as u32),
            CubeDim::new_1d(END_UNITS as u32),
            partial.argument(1),
            gamma.argument(1),
            beta.argument(1),
            moments.mean.argument(1),
            moments.variance.argument(1),
            moments.affine.argument(1),
            channels as u32,
            parts as u32,
            epsilon,
        );
    }
    moments
}

#[cube(launch_unchecked)]
fn affine_kernel(
    mean: &[f32],
    variance: &[f32],
    gamma: &[f32],
    beta: &[f32],
    affine: &mut [f32],
    channels: u32,
    epsilon: f32,
) {
    let channel = ABSOLUTE_POS;
    if channel < channels as usize {
        let scale = gamma[channel] / (variance[channel] + epsilon).sqrt();
        affine[channel] = scale;
        affine[channels as usize + channel] = beta[channel] - mean[channel] * scale;
    }
}

/// The scale and shift that normalise by known statistics.
pub fn affine(
    client: &Client,
    mean: &Buffer,
    variance: &Buffer,
    gamma: &Buffer,
    beta: &Buffer,
    epsilon: f32,
) -> Buffer {
    let channels = mean.length;
    let affine = Buffer::new(client, 2 * channels);
    // SAFETY: the kernel reads and writes below `channels`.
    unsafe {
        affine_kernel::launch_unchecked(
            client,
            CubeCount::new_1d(channels.div_ceil(UNITS) as u32),
            CubeDim::new_1d(UNITS as u32),
            mean.argument(1),
            variance.argument(1),
            gamma.argument(1),
            beta.argument(1),
            affine.argument(1),
            channels as u32,
            epsilon,
        );
    }
    affine
}

/// Running means and variances that follow a batch: what they are made of, and room for them.
#[derive(Clone, Debug)]
pub struct Follow {
    running: [Buffer; 2],
    batch: [Buffer; 2],
    keep: f32,
    take: [f32; 2],
    /// The new mean and variance, once [`follow`] has made them.
    pub new: [Buffer; 2],
}

impl Follow {
    /// Running means and variances times `keep`, plus those of a batch times their factors, still to be made. All
    /// buffers are equally long.
    #[must_use]
    pub fn new(
        client: &Client,
        running: [Buffer; 2],
        batch: [Buffer; 2],
        keep: f32,
        take: [f32; 2],
    ) -> Self {
        let new = Buffer::several(client, [running[0].length; 2]);
        Self {
            running,
            batch,
            keep,
            take,
            new,
        }
    }
}

#[cube(launch_unchecked)]
fn follow_kernel(
    running: &Sequence<Box<[f32]>>,
    batch: &Sequence<Box<[f32]>>,
    new: &mut Sequence<Box<[f32]>>,
    keep: &Sequence<f32>,
    take: &Sequence<f32>,
    #[comptime] tensors: usize,
) {
    #[unroll]
    for i in 0..tensors {
        if CUBE_POS_Y == i as u32 {
            let at = (CUBE_POS_X * CUBE_DIM_X + UNIT_POS_X) as usize;
            let running = running.index(i);
            let batch = batch.index(i);
            let new = new.index_mut(i);
            if at < new.len() {
                new[at] = running[at] * keep[i] + batch[at] * take[i];
            }
        }
    }
}

/// Makes running means and variances, several with one kernel.
pub fn follow(client: &Client, follows: &[Follow]) {
    for follows in follows.chunks((many::at_once(client, 3) / 2).max(1)) {
        let of = |buffers: fn(&Follow) -> &[Buffer; 2]| {
            let buffers = follows.iter().flat_map(buffers);
            buffers.map(|buffer| buffer.argument(1)).collect()
        };
        let longest = follows.iter().map(|follow| follow.new[0].length).max();
        let tensors = 2 * follows.len();
        // SAFETY: for each tensor the kernel stays below the length that its three buffers have.
        unsafe {
            follow_kernel::launch_unchecked(
                client,
                CubeCount::new_2d(longest.unwrap_or(0).div_ceil(UNITS) as u32, tensors as u32),
                CubeDim::new_1d(UNITS as u32),
                of(|follow| &follow.running),
                of(|follow| &follow.batch),
                of(|follow| &follow.new),
                follows.iter().flat_map(|follow| [follow.keep; 2]).collect(),
                follows.iter().flat_map(|follow| follow.take).collect(),
                tensors,
            );
        }
    }
}
