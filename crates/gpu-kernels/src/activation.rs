//! What follows a normalisation or a convolution.

use cubecl::prelude::*;

use crate::rows::elementwise;
use crate::{Buffer, narrow, widen, width};

/// What follows a normalisation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum Activation {
    /// Nothing.
    None,
    /// The positive part.
    Relu,
    /// `x * P(X < x)` for a normal `X` (Hendrycks and Gimpel, 2016, arXiv:1606.08415), by the error
    /// function.
    Gelu,
}

#[cube]
pub(crate) fn activate<N: Size>(
    x: Vector<f32, N>,
    #[comptime] activation: Activation,
) -> Vector<f32, N> {
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

/// The derivative of an activation at `x`.
#[cube]
pub(crate) fn derivative<N: Size>(
    x: Vector<f32, N>,
    #[comptime] activation: Activation,
) -> Vector<f32, N> {
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
        let density =
            (x * x * Vector::<f32, N>::new(-0.5)).exp() * Vector::<f32, N>::new(0.398_942_3);
        d = fma(x, density, normal_cdf::<N>(x));
    }
    d
}

#[cube(launch_unchecked)]
fn gelu_back_kernel<E: Float, N: Size>(
    dy: &[Vector<E, N>],
    x: &[Vector<E, N>],
    dx: &mut [Vector<E, N>],
    #[define(E)] _element: ElemType,
) {
    let at = ABSOLUTE_POS;
    if at < dx.len() {
        let by = derivative::<N>(widen::<E, N>(x[at]), Activation::Gelu);
        dx[at] = narrow::<E, N>(widen::<E, N>(dy[at]) * by);
    }
}

/// The gradient of GELU at `x`.
pub fn gelu_back(client: &Client, dy: &Buffer, x: &Buffer) -> Buffer {
    let of = width(x.length);
    let dx = Buffer::of(client, x.length, x.element);
    let (count, dim) = elementwise(x.length / of);
    // SAFETY: the kernel stays below the length that all three have.
    unsafe {
        gelu_back_kernel::launch_unchecked(
            client,
            count,
            dim,
            of,
            dy.argument(of),
            x.argument(of),
            dx.argument(of),
            x.element.kind(),
        );
    }
    dx
}
