//! Convolution, bias, rectifier and maximum pooling.
//!
//! The image between convolution and pooling exists only a few rows at a time. Behind the pooling
//! one pixel of a window has a gradient for each channel, and so the backward pass visits only
//! those: a quarter of the products where the windows are 2 by 2.
//!
//! Outputs are planes, `[batch, out_channels, out_height, out_width]`, which is what a linear layer
//! flattens and what the next block takes.

mod backward;
mod forward;
mod narrow;
mod window;

use super::Images;
use crate::context::Worker;
use crate::conv::images_from;
use crate::layout::Frame;
use crate::scratch::Scratch;
use crate::shape::ConvPoolShape;

pub use backward::backward;
pub use forward::forward;

/// Copies image `image` of `x` to `pixels`, `[height, width, in_channels]`.
fn load(shape: &ConvPoolShape, x: &Images, image: usize, pixels: &mut [f32]) {
    let conv = &shape.conv;
    let len = conv.image_len();
    match *x {
        Images::Planes(x) => {
            let frame = Frame::new(conv.height, conv.width, conv.in_channels, 0);
            frame.load_planes(&images_from(x, image, len)[..len], pixels);
        }
        Images::Pixels(x) => pixels[..len].copy_from_slice(&images_from(x, image, len)[..len]),
    }
}

/// Room for one image in pixels and for a vector beyond it, which kernels may read.
fn image_room<'c>(worker: &Worker<'c>, shape: &ConvPoolShape) -> Scratch<'c, f32> {
    worker.floats(shape.conv.image_len() + worker.lanes())
}
