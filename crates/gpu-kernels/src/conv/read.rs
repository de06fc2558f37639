//! What a convolution reads: its input, with what stands before it, and its filters.

use cubecl::prelude::*;

use super::shape::{Sizes, Window};
use crate::{Quad, read};

/// Four channels of a pixel of the input, which `affine` normalises and a rectifier follows where there
/// is one; zeros outside of it.
#[cube]
pub(crate) fn load<E: Float, N: Size>(
    x: &[Vector<E, N>],
    affine: ComptimeOption<&[Vector<f32, N>]>,
    sizes: &Sizes,
    image: usize,
    row: usize,
    column: usize,
    channel: usize,
) -> Quad {
    let mut value = Quad::new(0.0);
    let channels = sizes.in_channels as usize;
    // Below zero is above every size.
    let inside = image < sizes.batch as usize
        && row < sizes.height as usize
        && column < sizes.width as usize
        && channel < channels;
    if inside {
        let at = ((image * sizes.height as usize + row) * sizes.width as usize + column) * channels
            + channel;
        value = read::<E, N>(x, at, channel, channels);
        #[comptime]
        if let ComptimeOption::Some(affine) = affine {
            let scale = read::<f32, N>(affine, channel, channel, channels);
            let shift = read::<f32, N>(affine, channels + channel, channel, channels);
            value = max(fma(value, scale, shift), Quad::new(0.0));
        }
    }
    value
}

/// The weight between two channels at a tap; zero where there is none.
#[cube]
pub(crate) fn load_weight(
    weight: &[f32],
    sizes: &Sizes,
    from: usize,
    to: usize,
    tap: usize,
    #[comptime] taps: usize,
    #[comptime] window: Window,
) -> f32 {
    let mut value = 0.0f32;
    if from < sizes.in_channels as usize && to < sizes.out_channels as usize {
        if comptime!(window.flipped) {
            value = weight[(from * sizes.out_channels as usize + to) * taps + (taps - 1 - tap)];
        } else {
            value = weight[(to * sizes.in_channels as usize + from) * taps + tap];
        }
    }
    value
}
