//! Kernels for convolutional networks on a GPU, in float32, for every runtime of CubeCL.
//!
//! | module | what it computes |
//! | --- | --- |
//! | `conv` | convolutions with square windows, forward and backward, with what stands before and after |
//! | `winograd` | those of three by three taps with a quarter of the products |
//! | `moments` | means and variances by channel |
//! | `norm` | normalisation and its gradients |
//! | `activation` | what follows them |
//! | `pool` | largest and mean values of windows |
//! | `images` | batches of images that live on the device |
//! | `loss` | cross-entropy |
//! | `update` | the optimiser's step, SGD and AdamW |
//! | `muon` | Muon's step, whose direction is made orthogonal by products of matrices |
//!
//! Images are `[batch, height, width, channels]` in memory. A kernel is enqueued and its result handed
//! out at once: nothing here waits for the device. Every sum has a fixed partition and a fixed order,
//! so that the same numbers give the same result again on the same device.
//!
//! The words are CubeCL's: a *unit* is a thread, a *cube* a group of units with shared memory. Kernels are
//! launched without CubeCL's own checks of bounds, which cost more than the work: each checks its places
//! against the sizes that it is given, and each function here takes those from its buffers.
#![cfg(feature = "wgpu")]
#![allow(unsafe_code)]

pub mod activation;
pub mod conv;
pub mod images;
mod launches;
pub mod loss;
mod many;
pub mod moments;
pub mod muon;
pub mod norm;
pub mod pool;
mod product;
mod rows;
pub mod update;
pub mod winograd;

pub use launches::launches;
pub use rows::{Parts, add_parts, sums};

use cubecl::prelude::*;
use cubecl::server::MemoryLayoutDescriptor;
use cubecl::zspace::Shape;

/// Four numbers that lie side by side.
pub(crate) type Quad = Vector<f32, Const<4>>;

/// Units of a cube where nothing asks for another number.
pub(crate) const UNITS: usize = 256;

/// Bytes of a number.
const NUMBER: usize = 4;

/// Numbers of a device, of four bytes each, side by side.
#[derive(Clone, Debug)]
pub struct Buffer {
    /// Where they are.
    pub handle: cubecl::server::Handle,
    /// How many they are.
    pub length: usize,
}

impl Buffer {
    /// Room for so many numbers, which are any.
    #[must_use]
    pub fn new(client: &Client, length: usize) -> Self {
        Self {
            handle: client.empty(length * NUMBER),
            length,
        }
    }

    /// Room for several buffers that live equally long, side by side: one reservation in place of many,
    /// whose cost is the host's.
    #[must_use]
    pub fn several<const N: usize>(client: &Client, lengths: [usize; N]) -> [Self; N] {
        let descriptors =
            lengths.map(|length| MemoryLayoutDescriptor::contiguous(Shape::from([length]), NUMBER));
        let mut layouts = client.empty_tensors(descriptors.into()).into_iter();
        lengths.map(|length| match layouts.next() {
            Some(layout) => Self {
                handle: layout.memory,
                length,
            },
            None => Self::new(client, length),
        })
    }

    /// As vectors of `width` numbers.
    pub(crate) fn argument(&self, width: usize) -> BufferArg {
        // SAFETY: a buffer holds `length` numbers of four bytes.
        unsafe { BufferArg::from_raw_parts(self.handle.clone(), self.length / width) }
    }
}

/// How many channels are read at once.
pub(crate) fn width(channels: usize) -> usize {
    if channels.is_multiple_of(4) { 4 } else { 1 }
}

/// Four channels from `channel` on, the first of which lies `at`; zeros past the last of `channels`.
#[cube]
pub(crate) fn read<N: Size>(
    x: &[Vector<f32, N>],
    at: usize,
    channel: usize,
    channels: usize,
) -> Quad {
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

/// Stores what [`read()`] reads.
#[cube]
pub(crate) fn write<N: Size>(
    y: &mut [Vector<f32, N>],
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
