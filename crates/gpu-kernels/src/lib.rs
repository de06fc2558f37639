//! Kernels for convolutional networks on a GPU.
#![allow(missing_docs)]
pub mod conv;
pub mod loss;
pub mod norm;
pub mod pool;
mod rows;
pub mod update;

pub use rows::sums;

use cubecl::prelude::*;

/// Four numbers that lie side by side.
pub(crate) type Quad = Vector<f32, Const<4>>;

/// Numbers of a device.
#[derive(Clone, Debug)]
pub struct Buffer {
    pub handle: cubecl::server::Handle,
    pub length: usize,
}

impl Buffer {
    pub fn new(client: &Client, length: usize) -> Self {
        Self { handle: client.empty(length * 4), length }
    }

    /// As vectors of `width` numbers.
    pub(crate) fn argument(&self, width: usize) -> BufferArg {
        // SAFETY: a buffer holds `length` numbers.
        unsafe { BufferArg::from_raw_parts(self.handle.clone(), self.length / width) }
    }
}

/// How many channels are read at once.
pub(crate) fn width(channels: usize) -> usize {
    if channels.is_multiple_of(4) { 4 } else { 1 }
}

/// Four channels from `channel` on, the first of which lies `at`; zeros past the last of `channels`.
#[cube]
pub(crate) fn read<N: Size>(x: &[Vector<f32, N>], at: usize, channel: usize, channels: usize) -> Quad {
    let mut value = Quad::new(0.0);
    let of = N::value();
    if comptime!(of == 4) {
        let whole = x[at / 4];
        #[unroll]
        for j in 0..4usize {
            value.insert(j, whole.extract(j));
        }
    } else {
        #[unroll]
        for j in 0..4usize {
            if channel + j < channels {
                value.insert(j, x[at + j].extract(0usize));
            }
        }
    }
    value
}

/// Stores what [`read`] reads.
#[cube]
pub(crate) fn write<N: Size>(y: &mut [Vector<f32, N>], value: Quad, at: usize, channel: usize, channels: usize) {
    let of = N::value();
    if comptime!(of == 4) {
        let mut whole = Vector::<f32, N>::new(0.0);
        #[unroll]
        for j in 0..4usize {
            whole.insert(j, value.extract(j));
        }
        y[at / 4] = whole;
    } else {
        #[unroll]
        for j in 0..4usize {
            if channel + j < channels {
                y[at + j] = Vector::<f32, N>::new(value.extract(j));
            }
        }
    }
}
