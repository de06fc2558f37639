//! Normalisation by channel, with the activation after it.
//!
//! Images are rows of channels: `[batch * height * width, channels]`.

use cubecl::prelude::*;

use crate::rows::{Rows, UNITS, elementwise, together};
use crate::{Buffer, width};

/// What follows a normalisation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum Activation {
    None,
    Relu,
    Gelu,
}

/// Where the gradient behind an activation comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum Gate {
    /// There was no activation.
    Open,
    /// A rectifier whose result is at hand.
    Result,
    /// An activation of the normalisation alone.
    Own(Activation),
    /// GELU of the normalisation and of a second summand, which is at hand.
    Sum,
}

#[cube(launch_unchecked)]
fn moments_kernel<N: Size>(
    x: &[Vector<f32, N>],
    partial: &mut [Vector<f32, N>],
    rows: u32,
    per_cube: u32,
    all_lanes: u32,
    #[comptime] lanes: usize,
    #[comptime] units: usize,
) {
    let unit = UNIT_POS as usize;
    let all = all_lanes as usize;
    let lane = CUBE_POS_Y as usize * lanes + unit % lanes;
    let first = CUBE_POS_X as usize * per_cube as usize;
    let mut end = first + per_cube as usize;
    if end > rows as usize {
        end = rows as usize;
    }
    let mut sum = Vector::<f32, N>::new(0.0);
    let mut square = Vector::<f32, N>::new(0.0);
    let mut pivot = Vector::<f32, N>::new(0.0);
    if lane < all {
        // Differences from a value of the channel, so that squares do not swallow small deviations.
        pivot = x[first * all + lane];
        let mut row = first + unit / lanes;
        while row < end {
            let d = x[row * all + lane] - pivot;
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

/// Units that share a channel where sums end.
const END_UNITS: usize = 256;

/// Sums over the units of a cube.
#[cube]
fn over_units(value: f32, shared: &mut Shared<[f32]>) -> f32 {
    let unit = UNIT_POS as usize;
    sync_cube();
    shared[unit] = value;
    #[unroll]
    for level in 1..=comptime!(END_UNITS.ilog2() as usize) {
        let half = comptime!(END_UNITS >> level);
        sync_cube();
        if unit < half {
            shared[unit] = shared[unit] + shared[unit + half];
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
    let moments = Moments {
        mean: Buffer::new(client, channels),
        variance: Buffer::new(client, channels),
        affine: Buffer::new(client, 2 * channels),
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
    let channel = ABSOLUTE_POS as usize;
    if channel < channels as usize {
        let scale = gamma[channel] / (variance[channel] + epsilon).sqrt();
        affine[channel] = scale;
        affine[channels as usize + channel] = beta[channel] - mean[channel] * scale;
    }
}

/// The scale and shift that normalise by known statistics.
pub fn affine(client: &Client, mean: &Buffer, variance: &Buffer, gamma: &Buffer, beta: &Buffer, epsilon: f32) -> Buffer {
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

#[cube]
pub(crate) fn activate<N: Size>(x: Vector<f32, N>, #[comptime] activation: Activation) -> Vector<f32, N> {
    let mut y = x;
    if comptime!(activation == Activation::Relu) {
        y = max(x, Vector::<f32, N>::new(0.0));
    }
    if comptime!(activation == Activation::Gelu) {
        y = x * normal_cdf::<N>(x);
    }
    y
}

/// `(1 + erf(x / sqrt(2))) / 2`.
#[cube]
fn normal_cdf<N: Size>(x: Vector<f32, N>) -> Vector<f32, N> {
    let half = Vector::<f32, N>::new(0.5);
    let root = Vector::<f32, N>::new(std::f32::consts::FRAC_1_SQRT_2);
    fma(half, (x * root).erf(), half)
}

#[cube]
fn derivative<N: Size>(x: Vector<f32, N>, #[comptime] activation: Activation) -> Vector<f32, N> {
    let zero = Vector::<f32, N>::new(0.0);
    let one = Vector::<f32, N>::new(1.0);
    let mut d = one;
    if comptime!(activation == Activation::Relu) {
        #[unroll]
        for i in 0..N::value() {
            if x.extract(i) <= 0.0 {
                d.insert(i, 0.0);
            }
        }
    }
    if comptime!(activation == Activation::Gelu) {
        let density = (x * x * Vector::<f32, N>::new(-0.5)).exp()
            * Vector::<f32, N>::new(0.398_942_28);
        d = fma(x, density, normal_cdf::<N>(x));
    }
    let _ = zero;
    d
}

#[cube(launch_unchecked)]
fn normalize_kernel<N: Size>(
    x: &[Vector<f32, N>],
    affine: &[Vector<f32, N>],
    around: ComptimeOption<&[Vector<f32, N>]>,
    around_affine: ComptimeOption<&[Vector<f32, N>]>,
    y: &mut [Vector<f32, N>],
    lanes: u32,
    #[comptime] activation: Activation,
) {
    let at = ABSOLUTE_POS as usize;
    if at < y.len() {
        let lane = at % lanes as usize;
        let mut value = fma(x[at], affine[lane], affine[lanes as usize + lane]);
        #[comptime]
        if let ComptimeOption::Some(around) = around {
            let mut other = around[at];
            #[comptime]
            if let ComptimeOption::Some(of) = around_affine {
                other = fma(other, of[lane], of[lanes as usize + lane]);
            }
            value += other;
        }
        y[at] = activate::<N>(value, activation);
    }
}

/// `activation(x * scale + shift + around)`, where `around` may have a scale and a shift of its own.
pub fn normalize(
    client: &Client,
    x: &Buffer,
    affine: &Buffer,
    around: Option<(&Buffer, Option<&Buffer>)>,
    activation: Activation,
) -> Buffer {
    let channels = affine.length / 2;
    let width = width(channels);
    let y = Buffer::new(client, x.length);
    let (count, dim) = elementwise(x.length / width);
    let around_affine = around.and_then(|(_, affine)| affine);
    // SAFETY: the kernel stays below the length of `y`, which is that of `x`.
    unsafe {
        normalize_kernel::launch_unchecked(
            client,
            count,
            dim,
            width,
            x.argument(width),
            affine.argument(width),
            around.map(|(around, _)| around.argument(width)).into(),
            around_affine.map(|affine| affine.argument(width)).into(),
            y.argument(width),
            (channels / width) as u32,
            activation,
        );
    }
    y
}

/// The gradient behind the activation.
#[cube]
fn gated<N: Size>(
    dy: Vector<f32, N>,
    x: Vector<f32, N>,
    scale: Vector<f32, N>,
    shift: Vector<f32, N>,
    other: Vector<f32, N>,
    #[comptime] gate: Gate,
) -> Vector<f32, N> {
    let mut g = dy;
    match comptime!(gate) {
        Gate::Open => {}
        Gate::Result => {
            g = dy * derivative::<N>(other, Activation::Relu);
        }
        Gate::Own(activation) => {
            g = dy * derivative::<N>(fma(x, scale, shift), activation);
        }
        Gate::Sum => {
            g = dy * derivative::<N>(fma(x, scale, shift) + other, Activation::Gelu);
        }
    }
    g
}

#[cube(launch_unchecked)]
fn gradient_sums_kernel<N: Size>(
    dy: &[Vector<f32, N>],
    x: &[Vector<f32, N>],
    mean: &[Vector<f32, N>],
    affine: ComptimeOption<&[Vector<f32, N>]>,
    other: ComptimeOption<&[Vector<f32, N>]>,
    partial: &mut [Vector<f32, N>],
    rows: u32,
    per_cube: u32,
    all_lanes: u32,
    #[comptime] gate: Gate,
    #[comptime] lanes: usize,
    #[comptime] units: usize,
) {
    let unit = UNIT_POS as usize;
    let all = all_lanes as usize;
    let lane = CUBE_POS_Y as usize * lanes + unit % lanes;
    let first = CUBE_POS_X as usize * per_cube as usize;
    let mut end = first + per_cube as usize;
    if end > rows as usize {
        end = rows as usize;
    }
    let mut sum = Vector::<f32, N>::new(0.0);
    let mut product = Vector::<f32, N>::new(0.0);
    if lane < all {
        let mean = mean[lane];
        let mut scale = Vector::<f32, N>::new(0.0);
        let mut shift = Vector::<f32, N>::new(0.0);
        #[comptime]
        if let ComptimeOption::Some(affine) = affine {
            scale = affine[lane];
            shift = affine[all + lane];
        }
        let mut row = first + unit / lanes;
        while row < end {
            let at = row * all + lane;
            let x = x[at];
            let mut others = Vector::<f32, N>::new(0.0);
            #[comptime]
            if let ComptimeOption::Some(other) = &other {
                others = other[at];
            }
            let g = gated::<N>(dy[at], x, scale, shift, others, gate);
            sum += g;
            product = fma(g, x - mean, product);
            row += comptime!(units / lanes);
        }
    }
    let (sum, product) = together::<N>(sum, product, lanes, units);
    if unit < lanes && lane < all {
        let at = CUBE_POS_X as usize * 2 * all + lane;
        partial[at] = sum;
        partial[at + all] = product;
    }
}

#[cube(launch_unchecked)]
fn gradient_end_kernel(
    partial: &[f32],
    mean: &[f32],
    variance: &[f32],
    gamma: &[f32],
    d_gamma: &mut [f32],
    d_beta: &mut [f32],
    factors: &mut [f32],
    channels: u32,
    rows: u32,
    cubes: u32,
    epsilon: f32,
) {
    let mut shared = Shared::<[f32]>::new_slice(END_UNITS);
    let channels = channels as usize;
    let channel = CUBE_POS_X as usize;
    let mut sum = 0.0f32;
    let mut product = 0.0f32;
    let mut cube = UNIT_POS as usize;
    while cube < cubes as usize {
        sum += partial[cube * 2 * channels + channel];
        product += partial[(cube * 2 + 1) * channels + channel];
        cube += END_UNITS;
    }
    let sum = over_units(sum, &mut shared);
    let product = over_units(product, &mut shared);
    if UNIT_POS == 0 {
        let inverse = 1.0f32 / (variance[channel] + epsilon).sqrt();
        let count = f32::cast_from(rows);
        d_beta[channel] = sum;
        d_gamma[channel] = product * inverse;
        let by_g = gamma[channel] * inverse;
        let by_x = -by_g * inverse * inverse * product / count;
        factors[channel] = by_g;
        factors[channels + channel] = by_x;
        factors[2 * channels + channel] = -by_g * sum / count - by_x * mean[channel];
    }
}

#[cube(launch_unchecked)]
fn gradient_kernel<N: Size>(
    dy: &[Vector<f32, N>],
    x: &[Vector<f32, N>],
    affine: ComptimeOption<&[Vector<f32, N>]>,
    factors: &[Vector<f32, N>],
    other: ComptimeOption<&[Vector<f32, N>]>,
    dx: &mut [Vector<f32, N>],
    lanes: u32,
    #[comptime] gate: Gate,
) {
    let at = ABSOLUTE_POS as usize;
    if at < dx.len() {
        let all = lanes as usize;
        let lane = at % all;
        let x = x[at];
        let mut others = Vector::<f32, N>::new(0.0);
        #[comptime]
        if let ComptimeOption::Some(other) = other {
            others = other[at];
        }
        let mut scale = Vector::<f32, N>::new(0.0);
        let mut shift = Vector::<f32, N>::new(0.0);
        #[comptime]
        if let ComptimeOption::Some(affine) = affine {
            scale = affine[lane];
            shift = affine[all + lane];
        }
        let g = gated::<N>(dy[at], x, scale, shift, others, gate);
        dx[at] = fma(g, factors[lane], fma(x, factors[all + lane], factors[2 * all + lane]));
    }
}

/// The gradients of [`normalize`] by what it takes, by scale and by shift.
#[derive(Clone, Debug)]
pub struct Gradients {
    pub x: Buffer,
    pub gamma: Buffer,
    pub beta: Buffer,
}

/// The gradients of a normalisation by its batch's own statistics and of the activation after it.
/// `affine` and
/// `other` are what the gate asks for: the scale and shift, and the result or the second summand.
#[allow(clippy::too_many_arguments)]
pub fn normalize_back(
    client: &Client,
    dy: &Buffer,
    x: &Buffer,
    [mean, variance]: [&Buffer; 2],
    gamma: &Buffer,
    affine: Option<&Buffer>,
    other: Option<&Buffer>,
    gate: Gate,
    epsilon: f32,
) -> Gradients {
    let channels = mean.length;
    let rows = Rows::new(x.length / channels, channels);
    let partial = Buffer::new(client, rows.cubes * 2 * channels);
    let of = rows.width;
    let lanes = (channels / of) as u32;
    let gradients = Gradients {
        x: Buffer::new(client, x.length),
        gamma: Buffer::new(client, channels),
        beta: Buffer::new(client, channels),
    };
    let factors = Buffer::new(client, 3 * channels);
    let (count, dim) = elementwise(x.length / of);
    // SAFETY: the kernels read and write below the lengths that they are given, which are the buffers'.
    unsafe {
        gradient_sums_kernel::launch_unchecked(
            client,
            rows.count(),
            rows.dim(),
            of,
            dy.argument(of),
            x.argument(of),
            mean.argument(of),
            affine.map(|affine| affine.argument(of)).into(),
            other.map(|other| other.argument(of)).into(),
            partial.argument(of),
            rows.rows as u32,
            rows.per_cube as u32,
            lanes,
            gate,
            rows.lanes,
            rows.units,
        );
        gradient_end_kernel::launch_unchecked(
            client,
            CubeCount::new_1d(channels as u32),
            CubeDim::new_1d(END_UNITS as u32),
            partial.argument(1),
            mean.argument(1),
            variance.argument(1),
            gamma.argument(1),
            gradients.gamma.argument(1),
            gradients.beta.argument(1),
            factors.argument(1),
            channels as u32,
            rows.rows as u32,
            rows.cubes as u32,
            epsilon,
        );
        gradient_kernel::launch_unchecked(
            client,
            count,
            dim,
            of,
            dy.argument(of),
            x.argument(of),
            affine.map(|affine| affine.argument(of)).into(),
            factors.argument(of),
            other.map(|other| other.argument(of)).into(),
            gradients.x.argument(of),
            lanes,
            gate,
        );
    }
    gradients
}

#[cube(launch_unchecked)]
fn gelu_back_kernel<N: Size>(dy: &[Vector<f32, N>], x: &[Vector<f32, N>], dx: &mut [Vector<f32, N>]) {
    let at = ABSOLUTE_POS as usize;
    if at < dx.len() {
        dx[at] = dy[at] * derivative::<N>(x[at], Activation::Gelu);
    }
}

/// The gradient of GELU at `x`.
pub fn gelu_back(client: &Client, dy: &Buffer, x: &Buffer) -> Buffer {
    let of = width(x.length);
    let dx = Buffer::new(client, x.length);
    let (count, dim) = elementwise(x.length / of);
    // SAFETY: the kernel stays below the length that all three have.
    unsafe {
        gelu_back_kernel::launch_unchecked(client, count, dim, of, dy.argument(of), x.argument(of), dx.argument(of));
    }
    dx
}

#[cube(launch_unchecked)]
fn follow_kernel(
    mean: &[f32],
    variance: &[f32],
    batch_mean: &[f32],
    batch_variance: &[f32],
    new_mean: &mut [f32],
    new_variance: &mut [f32],
    keep: f32,
    take_mean: f32,
    take_variance: f32,
) {
    let at = ABSOLUTE_POS as usize;
    if at < new_mean.len() {
        new_mean[at] = mean[at] * keep + batch_mean[at] * take_mean;
        new_variance[at] = variance[at] * keep + batch_variance[at] * take_variance;
    }
}

/// Running means and variances times `keep`, plus those of a batch times their factors.
pub fn follow(
    client: &Client,
    running: [&Buffer; 2],
    batch: [&Buffer; 2],
    keep: f32,
    take: [f32; 2],
) -> [Buffer; 2] {
    let channels = running[0].length;
    let new = [Buffer::new(client, channels), Buffer::new(client, channels)];
    let (count, dim) = elementwise(channels);
    // SAFETY: the kernel stays below the length that all six have.
    unsafe {
        follow_kernel::launch_unchecked(
            client,
            count,
            dim,
            running[0].argument(1),
            running[1].argument(1),
            batch[0].argument(1),
            batch[1].argument(1),
            new[0].argument(1),
            new[1].argument(1),
            keep,
            take[0],
            take[1],
        );
    }
    new
}
