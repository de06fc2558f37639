//! Normalisation by channel, with the activation after it.
//!
//! Images are rows of channels: `[batch * height * width, channels]`.

use cubecl::prelude::*;

use crate::activation::{Activation, activate, derivative};
use crate::moments::{END_UNITS, over_units};
use crate::rows::{Rows, elementwise, rows_here, together};
use crate::{Buffer, narrow, widen, width};

/// Where the gradient behind an activation comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum Gate {
    /// There was no activation.
    Open,
    /// A rectifier, perhaps of more than the normalisation, whose result is at hand.
    Result,
    /// An activation of the normalisation alone.
    Own(Activation),
}

#[cube(launch_unchecked)]
fn normalize_kernel<E: Float, N: Size>(
    x: &[Vector<E, N>],
    affine: &[Vector<f32, N>],
    around: ComptimeOption<&[Vector<E, N>]>,
    around_affine: ComptimeOption<&[Vector<f32, N>]>,
    y: &mut [Vector<E, N>],
    lanes: u32,
    #[comptime] activation: Activation,
    #[define(E)] _element: ElemType,
) {
    let at = ABSOLUTE_POS;
    if at < y.len() {
        let lane = at % lanes as usize;
        let mut value = fma(
            widen::<E, N>(x[at]),
            affine[lane],
            affine[lanes as usize + lane],
        );
        #[comptime]
        if let ComptimeOption::Some(around) = around {
            let mut other = widen::<E, N>(around[at]);
            #[comptime]
            if let ComptimeOption::Some(of) = around_affine {
                other = fma(other, of[lane], of[lanes as usize + lane]);
            }
            value += other;
        }
        y[at] = narrow::<E, N>(activate::<N>(value, activation));
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
    let y = Buffer::of(client, x.length, x.element);
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
            x.element.kind(),
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
    }
    g
}

#[cube(launch_unchecked)]
fn gradient_sums_kernel<E: Float, N: Size>(
    dy: &[Vector<E, N>],
    x: &[Vector<E, N>],
    mean: &[Vector<f32, N>],
    affine: ComptimeOption<&[Vector<f32, N>]>,
    other: ComptimeOption<&[Vector<E, N>]>,
    partial: &mut [Vector<f32, N>],
    rows: u32,
    per_cube: u32,
    all_lanes: u32,
    #[comptime] gate: Gate,
    #[comptime] lanes: usize,
    #[comptime] units: usize,
    #[define(E)] _element: ElemType,
) {
    let unit = UNIT_POS as usize;
    let all = all_lanes as usize;
    let lane = CUBE_POS_Y as usize * lanes + unit % lanes;
    let (first, end) = rows_here(rows, per_cube);
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
            let x = widen::<E, N>(x[at]);
            let mut others = Vector::<f32, N>::new(0.0);
            #[comptime]
            if let ComptimeOption::Some(other) = &other {
                others = widen::<E, N>(other[at]);
            }
            let g = gated::<N>(widen::<E, N>(dy[at]), x, scale, shift, others, gate);
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
    factor: f32,
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
        d_beta[channel] = sum * factor;
        d_gamma[channel] = product * inverse * factor;
        let by_g = gamma[channel] * inverse;
        let by_x = -by_g * inverse * inverse * product / count;
        factors[channel] = by_g;
        factors[channels + channel] = by_x;
        factors[2 * channels + channel] = -by_g * sum / count - by_x * mean[channel];
    }
}

#[cube(launch_unchecked)]
fn gradient_kernel<E: Float, N: Size>(
    dy: &[Vector<E, N>],
    x: &[Vector<E, N>],
    affine: ComptimeOption<&[Vector<f32, N>]>,
    factors: &[Vector<f32, N>],
    other: ComptimeOption<&[Vector<E, N>]>,
    dx: &mut [Vector<E, N>],
    lanes: u32,
    #[comptime] gate: Gate,
    #[define(E)] _element: ElemType,
) {
    let at = ABSOLUTE_POS;
    if at < dx.len() {
        let all = lanes as usize;
        let lane = at % all;
        let x = widen::<E, N>(x[at]);
        let mut others = Vector::<f32, N>::new(0.0);
        #[comptime]
        if let ComptimeOption::Some(other) = other {
            others = widen::<E, N>(other[at]);
        }
        let mut scale = Vector::<f32, N>::new(0.0);
        let mut shift = Vector::<f32, N>::new(0.0);
        #[comptime]
        if let ComptimeOption::Some(affine) = affine {
            scale = affine[lane];
            shift = affine[all + lane];
        }
        let g = gated::<N>(widen::<E, N>(dy[at]), x, scale, shift, others, gate);
        dx[at] = narrow::<E, N>(fma(
            g,
            factors[lane],
            fma(x, factors[all + lane], factors[2 * all + lane]),
        ));
    }
}

/// The gradients of [`normalize`] by what it takes, by scale and by shift.
#[derive(Clone, Debug)]
pub struct Gradients {
    /// By what was normalised.
    pub x: Buffer,
    /// By the scale, `[channels]`.
    pub gamma: Buffer,
    /// By the shift, `[channels]`.
    pub beta: Buffer,
}

/// The gradients of a normalisation by its batch's own statistics and of the activation after it.
/// `affine` and `other` are what the gate asks for: scale and shift, or the result.
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
    batch: usize,
) -> Gradients {
    let channels = mean.length;
    let factor = 1.0 / dy.element.scale(batch);
    let rows = Rows::new(x.length / channels, channels);
    let partial = Buffer::new(client, rows.cubes * 2 * channels);
    let of = rows.width;
    let lanes = (channels / of) as u32;
    let [gamma_gradient, beta_gradient, factors] =
        Buffer::several(client, [channels, channels, 3 * channels]);
    let gradients = Gradients {
        x: Buffer::of(client, x.length, x.element),
        gamma: gamma_gradient,
        beta: beta_gradient,
    };
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
            x.element.kind(),
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
            factor,
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
            x.element.kind(),
        );
    }
    gradients
}
