//! Seeded random shapes and values.

use cpu_kernels::{ChannelShape, ConvPoolShape, ConvShape, LinearShape};

/// The generator SplitMix64 (Steele, Lea and Flood 2014).
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A value from `0` to `1`, without `1`.
    fn fraction(&mut self) -> f32 {
        (self.bits() >> 40) as f32 / (1_u64 << 24) as f32
    }

    /// A whole number from `least` to `greatest`, both included.
    pub fn size(&mut self, least: usize, greatest: usize) -> usize {
        least + (self.bits() % (greatest - least + 1) as u64) as usize
    }

    pub fn choice(&mut self, choices: &[usize]) -> usize {
        choices[self.size(0, choices.len() - 1)]
    }

    /// `len` values from -1 to 1.
    pub fn values(&mut self, len: usize) -> Vec<f32> {
        (0..len).map(|_| self.fraction() * 2.0 - 1.0).collect()
    }

    /// `len` values from 0.5 to 1.5.
    pub fn positive_values(&mut self, len: usize) -> Vec<f32> {
        (0..len).map(|_| self.fraction() + 0.5).collect()
    }

    /// A batch of 1 to 33 images, small ones more often.
    fn batch(&mut self) -> usize {
        self.choice(&[1, 2, 3, 4, 5, 7, 8, 16, 17, 33])
    }

    pub fn conv_shape(&mut self) -> ConvShape {
        loop {
            // Equal sizes hide exchanged axes least, odd and unit sizes hide remainders least.
            let equal = self.size(1, 8);
            let [in_channels, height, width] = if self.size(0, 5) == 0 {
                [equal; 3]
            } else {
                [self.size(1, 20), self.size(1, 13), self.size(1, 13)]
            };
            let input = [self.batch(), in_channels, height, width];
            let kernel = [self.choice(&[1, 3, 5]), self.choice(&[1, 3, 5])];
            let weight = [self.size(1, 20), in_channels, kernel[0], kernel[1]];
            let (stride, padding) = (self.choice(&[1, 1, 2, 2, 3]), self.size(0, 2));
            if let Ok(shape) = ConvShape::new(input, weight, stride, padding) {
                return shape;
            }
        }
    }

    /// A convolution that Winograd's algorithm fits.
    pub fn winograd_shape(&mut self) -> ConvShape {
        let channels = [self.choice(&[16, 32, 48]), self.choice(&[16, 32, 64])];
        let (height, width) = (self.choice(&[3, 4, 7, 8, 11, 12]), self.choice(&[4, 8, 15]));
        let padding = self.size(0, 2);
        let input = [
            self.batch(),
            channels[0],
            height + 2 - 2 * padding.min(1),
            width + 2,
        ];
        ConvShape::new(input, [channels[1], channels[0], 3, 3], 1, padding).unwrap()
    }

    pub fn linear_shape(&mut self) -> LinearShape {
        let (batch, inputs, outputs) = (self.size(1, 150), self.size(1, 90), self.size(1, 150));
        LinearShape::new(batch, inputs, outputs).unwrap()
    }

    pub fn conv_pool_shape(&mut self) -> ConvPoolShape {
        loop {
            let equal = self.size(1, 8);
            let [in_channels, height, width] = if self.size(0, 5) == 0 {
                [equal; 3]
            } else {
                [self.size(1, 20), self.size(1, 14), self.size(1, 14)]
            };
            let input = [self.batch(), in_channels, height, width];
            let kernel = [self.choice(&[1, 2, 3, 5, 7]), self.choice(&[1, 2, 3, 5])];
            let weight = [self.size(1, 20), in_channels, kernel[0], kernel[1]];
            if let Ok(shape) = ConvPoolShape::new(input, weight, self.choice(&[1, 2, 2, 3, 4])) {
                return shape;
            }
        }
    }

    pub fn channel_shape(&mut self) -> ChannelShape {
        let pixels = self.choice(&[1, 2, 7, 8, 9, 16, 49, 64, 100, 225]);
        ChannelShape::new(self.batch(), self.size(1, 20), pixels).unwrap()
    }
}
