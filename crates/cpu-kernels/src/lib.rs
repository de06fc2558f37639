//! The operations of a small image classifier and their gradients, on slices of `f32`.
//!
//! Every operation takes a [`Context`], which owns the threads and the scratch buffers, a shape,
//! which was checked when it was made, and slices, whose lengths are checked on each call. There
//! is no tensor type, no input or output, and no global state but for the allocator that a program
//! may choose.
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`context`] | [`Context`]: threads and scratch buffers |
//! | [`shape`] | the shapes that operations take, and [`ShapeError`] |
//! | [`conv`] | two-dimensional convolution and its three gradients |
//! | [`mod@linear`] | fully connected layers |
//! | [`block`] | whole parts of a network: convolution, normalisation, rectifier, pooling |
//! | [`pool`] | global pooling |
//! | [`allocator`] | memory that stays with the process |
//! | [`peak`] | what the machine can do at most |
//! | [`optimizer`] | steps of optimizers |
//! | [`loss`] | softmax cross-entropy |
//! | [`stored`] | batches of images that a device holds as bytes |
//! | [`mod@reference`] | the same operations as plain loops, the truth for tests |
//!
//! # Layout
//!
//! Images are `[batch, height, width, channels]`, the channels of a pixel side by side, row major and
//! contiguous; a first layer also takes `[batch, channels, height, width]` ([`block::Images`]). Weights
//! are as in PyTorch: `[out_channels, in_channels, kernel_height, kernel_width]` for a convolution,
//! `[out_features, in_features]` for a linear layer.
//!
//! # Determinism
//!
//! Results are the same bit for bit with any number of threads. Work is cut into chunks of images
//! (or of elements) by the shape alone; where chunks contribute to one sum, each has a private
//! partial sum, and the partial sums are added in the order of the chunks.
//!
//! # Example
//!
//! ```
//! use cpu_kernels::{Context, ConvShape, conv2d};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let context = Context::new(1)?;
//! // One image of one channel, 3 by 3; one filter of 2 by 2; stride 1, no padding.
//! let shape = ConvShape::new([1, 1, 3, 3], [1, 1, 2, 2], 1, 0)?;
//! let image = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0];
//! let filter = [1.0, 0.0, 0.0, 1.0];
//! let mut output = vec![0.0; shape.output_len()];
//! conv2d(&context, &shape, &image, &filter, &mut output)?;
//! assert_eq!(output, [6.0, 8.0, 12.0, 14.0]);
//! # Ok(())
//! # }
//! ```

#![deny(unsafe_code)]
#![warn(missing_docs)]

mod activation;
pub mod allocator;
pub mod block;
pub mod context;
pub mod conv;
mod crew;
mod divide;
mod image;
pub mod isa;
mod layout;
pub mod linear;
pub mod loss;
mod memory;
pub mod optimizer;
mod partition;
pub mod peak;
pub mod pool;
mod product;
pub mod reference;
mod scratch;
pub mod shape;
mod simd;
pub mod stored;

pub use activation::Activation;
pub use context::{Context, ContextError, Precision};
pub use conv::{conv2d, conv2d_backward_input, conv2d_backward_weight};
pub use isa::{Isa, IsaError};
pub use linear::{linear, linear_backward};
pub use loss::{LossError, softmax_cross_entropy};
pub use memory::buffer;
pub use optimizer::{AdamWStep, MuonStep, SgdStep, adamw_step, sgd_step};
pub use pool::{
    global_avg_pool, global_avg_pool_backward, global_max_pool, global_max_pool_backward,
};
pub use shape::{ChannelShape, ConvPoolShape, ConvShape, LinearShape, LossShape, ShapeError};
