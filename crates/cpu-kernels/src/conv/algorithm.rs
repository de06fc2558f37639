//! Which algorithm a convolution gets: the one place where that is decided.

use super::winograd::{OUTPUTS, Tiles};
use crate::context::Precision;
use crate::shape::ConvShape;

/// How a convolution is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Algorithm {
    /// Every product of the definition.
    Direct,
    /// Winograd's F(4x4, 3x3).
    Winograd,
}

/// Inputs and outputs below which transforms cost more than the products that they save.
const LEAST_CHANNELS: usize = 16;

/// Inputs and outputs from which on transforms cost little beside products.
const MANY_CHANNELS: usize = 128;

impl Algorithm {
    /// The algorithm for `shape`. Winograd's needs a kernel of 3 by 3 with stride 1 and whole
    /// vectors of `lanes` channels, and pays where most of a tile lies within the image, or half of
    /// it if there are many channels.
    pub(crate) fn choose(shape: &ConvShape, precision: Precision, lanes: usize) -> Self {
        let kernel_fits = shape.kernel_height == 3 && shape.kernel_width == 3 && shape.stride == 1;
        let channels_fit = [shape.in_channels, shape.out_channels]
            .iter()
            .all(|&channels| channels >= LEAST_CHANNELS && channels.is_multiple_of(lanes));
        let tiles = Tiles::of(shape.out_height, shape.out_width).count() * OUTPUTS * OUTPUTS;
        let mostly_within = 4 * shape.out_pixels() >= 3 * tiles;
        // With many channels the products rule: 36 for a tile pay from eight of its outputs on.
        let many = shape.in_channels.min(shape.out_channels) >= MANY_CHANNELS;
        let within = mostly_within || many && 2 * shape.out_pixels() >= tiles;
        let possible = kernel_fits && channels_fit && shape.padding <= 2 && within;
        if precision == Precision::Fast && possible {
            Self::Winograd
        } else {
            Self::Direct
        }
    }
}
