//! Random numbers without a state that outlives one decision.
//!
//! Every random decision is a pure function of (seed, purpose, epoch, index). These four numbers
//! are the 256-bit key of a ChaCha8 generator, so that streams of different keys are independent
//! and any of them can be computed at any time, on any thread, in any order. Drawing from the
//! stream is done here and not by the `rand` crate, whose algorithms may change between versions.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// What a stream is for. The numbers are part of the key; changing one changes every run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u64)]
pub enum Purpose {
    /// The order of the samples in an epoch.
    Order = 1,
    /// Where an image is cropped.
    Crop = 2,
    /// Whether an image is flipped.
    Flip = 3,
    /// Which images are held out for validation.
    Split = 4,
    /// The pixels of a synthetic image.
    Synthetic = 5,
    /// How far an image is shifted.
    Translate = 6,
    /// Where a square is cut out.
    Cutout = 7,
    /// How bright an image is.
    Brightness = 8,
    /// How much contrast an image has.
    Contrast = 9,
    /// Which operation of TrivialAugment, and how strong.
    Trivial = 10,
    /// Which other image is mixed in, how much of it, and where.
    Mix = 11,
    /// How an image is corrupted.
    Corruption = 12,
}

/// The random stream of one decision.
#[derive(Debug, Clone)]
pub struct Stream(ChaCha8Rng);

impl Stream {
    /// Opens the stream that belongs to these four numbers.
    #[must_use]
    pub fn new(seed: u64, purpose: Purpose, epoch: u64, index: u64) -> Self {
        let mut key = [0; 32];
        let numbers = [seed, purpose as u64, epoch, index];
        for (bytes, number) in key.chunks_exact_mut(8).zip(numbers) {
            bytes.copy_from_slice(&number.to_le_bytes());
        }
        Self(ChaCha8Rng::from_seed(key))
    }

    /// The next 32 bits.
    pub fn next_u32(&mut self) -> u32 {
        self.0.next_u32()
    }

    /// The next bit, as a fair coin.
    pub fn coin(&mut self) -> bool {
        self.next_u32() & 1 == 1
    }

    /// A number from 0 to `bound - 1`, all equally likely; 0 where `bound` is 0.
    ///
    /// Lemire, "Fast Random Integer Generation in an Interval" (2019): the high half of a 32 by 32
    /// bit product, redrawn while the low half is in the part that would favour some numbers.
    pub fn below(&mut self, bound: u32) -> u32 {
        if bound == 0 {
            return 0;
        }
        let threshold = bound.wrapping_neg() % bound;
        loop {
            let product = u64::from(self.next_u32()) * u64::from(bound);
            if product as u32 >= threshold {
                return (product >> 32) as u32;
            }
        }
    }

    /// A number in `[0, 1)`, of 32 random bits.
    pub fn unit(&mut self) -> f64 {
        f64::from(self.next_u32()) / (1_u64 << 32) as f64
    }

    /// A number between `low` and `high`.
    pub fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    /// A number from the symmetric beta distribution with parameter `alpha`, as the share of one of two
    /// gamma variates in their sum.
    pub fn beta(&mut self, alpha: f64) -> f64 {
        let (one, other) = (self.ln_gamma(alpha), self.ln_gamma(alpha));
        1.0 / (1.0 + (other - one).exp())
    }

    /// The logarithm of a number from the gamma distribution with shape `shape` and scale 1 (Marsaglia
    /// and Tsang, "A Simple Method for Generating Gamma Variables", 2000). A small shape gives numbers
    /// that only their logarithm can hold.
    fn ln_gamma(&mut self, shape: f64) -> f64 {
        if shape < 1.0 {
            let boost = (1.0 - self.unit()).ln() / shape;
            return self.ln_gamma(shape + 1.0) + boost;
        }
        let d = shape - 1.0 / 3.0;
        let c = 1.0 / (9.0 * d).sqrt();
        loop {
            let normal = self.normal();
            let v = (1.0 + c * normal).powi(3);
            let unit = 1.0 - self.unit();
            if v > 0.0 && unit.ln() < 0.5 * normal * normal + d - d * v + d * v.ln() {
                return (d * v).ln();
            }
        }
    }

    /// A number from the normal distribution with mean 0 and deviation 1 (Box and Muller, 1958).
    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.unit()).cos()
    }

    /// Fills `bytes`.
    pub fn fill(&mut self, bytes: &mut [u8]) {
        self.0.fill_bytes(bytes);
    }

    /// Shuffles `items` (Fisher and Yates, from the end). Only the first 2^32 - 1 would take part,
    /// far more than any image set here has.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        let length = u32::try_from(items.len()).unwrap_or(u32::MAX);
        for last in (1..length).rev() {
            items.swap(last as usize, self.below(last + 1) as usize);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_depends_on_each_of_its_four_numbers() {
        let first =
            |seed, purpose, epoch, index| Stream::new(seed, purpose, epoch, index).0.next_u64();
        let base = first(0, Purpose::Order, 0, 0);
        assert_eq!(base, first(0, Purpose::Order, 0, 0));
        for other in [
            first(1, Purpose::Order, 0, 0),
            first(0, Purpose::Crop, 0, 0),
            first(0, Purpose::Order, 1, 0),
            first(0, Purpose::Order, 0, 1),
        ] {
            assert_ne!(base, other);
        }
    }

    #[test]
    fn numbers_below_a_bound_are_equally_likely() {
        let mut counts = [0_u32; 9];
        let mut stream = Stream::new(7, Purpose::Crop, 0, 0);
        for _ in 0..90_000 {
            counts[stream.below(9) as usize] += 1;
        }
        // The standard deviation of a count is 94; five of them are 471.
        assert!(
            counts.iter().all(|count| count.abs_diff(10_000) < 471),
            "{counts:?}"
        );
        assert_eq!(stream.below(0), 0);
        assert_eq!(stream.below(1), 0);
    }

    /// The variance of Beta(a, a) is 1 / (4 (2 a + 1)), its mean 1/2.
    #[test]
    fn beta_numbers_have_the_mean_and_variance_of_their_distribution() {
        for alpha in [0.2, 1.0, 4.0] {
            let mut stream = Stream::new(3, Purpose::Mix, 0, 0);
            let count = 20_000.0;
            let (mut sum, mut squares) = (0.0, 0.0);
            for _ in 0..count as usize {
                let value = stream.beta(alpha);
                assert!((0.0..=1.0).contains(&value));
                sum += value;
                squares += (value - 0.5).powi(2);
            }
            let variance = 1.0 / (4.0 * (2.0 * alpha + 1.0));
            assert!((sum / count - 0.5).abs() < 0.02, "{alpha}");
            assert!((squares / count / variance - 1.0).abs() < 0.05, "{alpha}");
        }
    }

    #[test]
    fn a_shuffle_is_a_permutation() {
        let mut items: Vec<u32> = (0..1000).collect();
        Stream::new(0, Purpose::Order, 0, 0).shuffle(&mut items);
        assert!(!items.is_sorted());
        items.sort_unstable();
        assert!(items.into_iter().eq(0..1000));
    }
}
