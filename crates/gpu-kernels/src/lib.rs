//! Kernels for convolutional networks on a GPU, for every runtime of CubeCL.
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
//! | `copy` | copies of many tensors |
//! | `recording` | work that is asked for again at little cost |
//! | `buffer` | numbers of a device, and how images are stored |
//! | `access` | how kernels read and write them |
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
// A parameter that says what a kernel's type is: only what CubeCL makes of the kernel reads it.
#![allow(clippy::used_underscore_binding)]

mod access;
pub mod activation;
mod buffer;
pub mod conv;
mod copy;
pub mod images;
mod launches;
pub mod loss;
mod many;
pub mod moments;
pub mod muon;
pub mod norm;
pub mod pool;
mod product;
mod recording;
mod rows;
pub mod update;
pub mod winograd;

pub(crate) use access::{Quad, narrow, read, widen, width, write};
pub use buffer::{Buffer, Element, gradient_of, stored_as};
pub use copy::copy;
pub use launches::launches;
pub use recording::Recording;
pub use rows::{Parts, add_parts, sums};

/// Units of a cube where nothing asks for another number.
pub(crate) const UNITS: usize = 256;
