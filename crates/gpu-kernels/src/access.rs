//! How kernels read and write numbers: in single precision, however they are stored.

use cubecl::ir::FloatKind;
use cubecl::prelude::*;

/// Four numbers that lie side by side.
pub(crate) type Quad = Vector<f32, Const<4>>;

/// How many channels are read at once.
pub(crate) fn width(channels: usize) -> usize {
    if channels.is_multiple_of(4) { 4 } else { 1 }
}

/// The largest number of half precision.
const MOST: f32 = 65_504.0;
const LEAST: f32 = -MOST;

/// Stored numbers as they are computed with.
#[cube]
pub(crate) fn widen<E: Float, N: Size>(x: Vector<E, N>) -> Vector<f32, N> {
    Vector::<f32, N>::cast_from(x)
}

/// Numbers as they are stored; those that half precision cannot hold become the largest that it can.
#[cube]
pub(crate) fn narrow<E: Float, N: Size>(x: Vector<f32, N>) -> Vector<E, N> {
    let element = elem_type_of::<E>();
    let mut value = x;
    if comptime!(element == ElemType::Float(FloatKind::F16)) {
        value = min(
            max(x, Vector::<f32, N>::new(LEAST)),
            Vector::<f32, N>::new(MOST),
        );
    }
    Vector::<E, N>::cast_from(value)
}

/// Four channels from `channel` on, the first of which lies `at`; zeros past the last of `channels`.
#[cube]
pub(crate) fn read<E: Float, N: Size>(
    x: &[Vector<E, N>],
    at: usize,
    channel: usize,
    channels: usize,
) -> Quad {
    let mut value = Quad::new(0.0);
    let of = N::value();
    if comptime!(of == 4) {
        let whole = widen::<E, N>(x[at / 4]);
        #[unroll]
        for j in 0..4usize {
            value.insert(j, whole.extract(j));
        }
    } else {
        #[unroll]
        for j in 0..4usize {
            if channel + j < channels {
                value.insert(j, widen::<E, N>(x[at + j]).extract(0usize));
            }
        }
    }
    value
}

/// Stores what [`read()`] reads.
#[cube]
pub(crate) fn write<E: Float, N: Size>(
    y: &mut [Vector<E, N>],
    value: Quad,
    at: usize,
    channel: usize,
    channels: usize,
) {
    let of = N::value();
    if comptime!(of == 4) {
        let mut whole = Vector::<f32, N>::new(0.0);
        #[unroll]
        for j in 0..4usize {
            whole.insert(j, value.extract(j));
        }
        y[at / 4] = narrow::<E, N>(whole);
    } else {
        #[unroll]
        for j in 0..4usize {
            if channel + j < channels {
                y[at + j] = narrow::<E, N>(Vector::<f32, N>::new(value.extract(j)));
            }
        }
    }
}
