//! Initial weights, drawn on the host, so that one seed gives the same weights on every backend.

use burn::module::{Param, ParamId, RunningState};
use burn::tensor::{Device, Tensor, TensorData};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// A source of initial weights: ChaCha8 from the run's seed, read in the order in which a
/// network's parameters are made.
#[derive(Debug)]
pub struct WeightSource {
    generator: ChaCha8Rng,
    /// How many parameters and running statistics were made. Their identities count from 1, where
    /// Burn would draw them at random: files of the same weights are then the same bytes.
    made: u64,
    device: Device,
}

impl WeightSource {
    /// The weights of `seed`, put on `device`.
    #[must_use]
    pub fn new(seed: u64, device: &Device) -> Self {
        Self {
            generator: ChaCha8Rng::seed_from_u64(seed),
            made: 0,
            device: device.clone(),
        }
    }

    /// Uniform between `-bound` and `bound`.
    pub fn uniform<const D: usize>(&mut self, shape: [usize; D], bound: f64) -> Param<Tensor<D>> {
        self.fill(shape, |source| source.within(bound))
    }

    /// Normal with mean 0, by the Box-Muller transform (1958).
    pub fn normal<const D: usize>(
        &mut self,
        shape: [usize; D],
        deviation: f64,
    ) -> Param<Tensor<D>> {
        self.fill(shape, |source| {
            // The unit interval is open at 1 here, so that the logarithm is finite.
            let radius = (-2.0 * (1.0 - source.unit()).ln()).sqrt();
            let angle = std::f64::consts::TAU * source.unit();
            deviation * radius * angle.cos()
        })
    }

    /// Filters of `[out_channels, in_channels, height, width]`, the first `in_channels` of which pass
    /// their channel through and the others uniform within
    /// `1 / sqrt(in_channels * height * width)`.
    pub fn identity_filters(&mut self, shape: [usize; 4]) -> Param<Tensor<4>> {
        let [_, in_channels, height, width] = shape;
        let (taps, fan_in) = (height * width, in_channels * height * width);
        let bound = 1.0 / (fan_in as f64).sqrt();
        let mut values = self.draw(shape, &mut |source: &mut Self| source.within(bound));
        let filters = values.chunks_exact_mut(fan_in).take(in_channels);
        for (channel, filter) in filters.enumerate() {
            filter.fill(0.0);
            filter[channel * taps + height / 2 * width + width / 2] = 1.0;
        }
        self.values(shape, values)
    }

    /// Uniform, and scaled such that the deviation of what was drawn is 1.
    pub fn standard_uniform<const D: usize>(&mut self, shape: [usize; D]) -> Param<Tensor<D>> {
        let mut values = self.draw(shape, &mut |source: &mut Self| source.within(1.0));
        let count = values.len() as f64;
        let mean = values.iter().copied().map(f64::from).sum::<f64>() / count;
        let squares = values
            .iter()
            .map(|&value| (f64::from(value) - mean).powi(2));
        let deviation = (squares.sum::<f64>() / (count - 1.0).max(1.0)).sqrt();
        for value in &mut values {
            *value = (f64::from(*value) / deviation) as f32;
        }
        self.values(shape, values)
    }

    /// The same value everywhere.
    pub fn constant<const D: usize>(&mut self, shape: [usize; D], value: f32) -> Param<Tensor<D>> {
        self.fill(shape, |_| f64::from(value))
    }

    /// A running statistic, which is no parameter, with the same value everywhere.
    #[must_use]
    pub fn statistic<const D: usize>(
        &mut self,
        shape: [usize; D],
        value: f32,
    ) -> RunningState<Tensor<D>> {
        let values = TensorData::new(vec![value; shape.iter().product()], shape);
        RunningState::with_id(self.next_id(), Tensor::from_data(values, &self.device))
    }

    fn fill<const D: usize>(
        &mut self,
        shape: [usize; D],
        mut draw: impl FnMut(&mut Self) -> f64,
    ) -> Param<Tensor<D>> {
        let values = self.draw(shape, &mut draw);
        self.values(shape, values)
    }

    /// As many numbers as `shape` has elements.
    fn draw<const D: usize>(
        &mut self,
        shape: [usize; D],
        draw: &mut impl FnMut(&mut Self) -> f64,
    ) -> Vec<f32> {
        let count = shape.iter().product();
        (0..count).map(|_| draw(self) as f32).collect()
    }

    /// The given values, row by row.
    pub(crate) fn values<const D: usize>(
        &mut self,
        shape: [usize; D],
        values: Vec<f32>,
    ) -> Param<Tensor<D>> {
        let mut parameter = Param::from_data(TensorData::new(values, shape), &self.device);
        parameter.id = self.next_id();
        parameter
    }

    fn next_id(&mut self) -> ParamId {
        self.made += 1;
        ParamId::from(self.made)
    }

    /// A number between `-bound` and `bound`.
    fn within(&mut self, bound: f64) -> f64 {
        bound * (2.0 * self.unit() - 1.0)
    }

    /// A number in `[0, 1)`, of 53 random bits.
    fn unit(&mut self) -> f64 {
        (self.generator.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }
}
