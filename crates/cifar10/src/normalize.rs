//! From pixel bytes to the numbers that a network sees.

use crate::record::CHANNELS;

/// Channel means and standard deviations, in units where a pixel goes from 0 to 1. A pixel byte
/// `p` of channel `c` becomes `(p / 255 - mean[c]) / std[c]`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Normalization {
    /// Means of red, green and blue.
    pub mean: [f32; CHANNELS],
    /// Standard deviations of red, green and blue.
    pub std: [f32; CHANNELS],
}

impl Normalization {
    /// The means and deviations of CIFAR-10's training set, rounded as everybody rounds them.
    pub const CHANNEL: Self = Self {
        mean: [0.4914, 0.4822, 0.4465],
        std: [0.2470, 0.2435, 0.2616],
    };
    /// Means and deviations of 0.5, which map pixels to -1 to 1.
    pub const HALF: Self = Self {
        mean: [0.5; CHANNELS],
        std: [0.5; CHANNELS],
    };

    /// The normalised value of each possible byte, by channel. There are only 768 of them, so
    /// batches are made by looking values up.
    #[must_use]
    pub fn tables(&self) -> [[f32; 256]; CHANNELS] {
        std::array::from_fn(|channel| {
            std::array::from_fn(|byte| {
                (byte as f32 / 255.0 - self.mean[channel]) / self.std[channel]
            })
        })
    }
}
