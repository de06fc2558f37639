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
        self.fill(shape, |source| bound * (2.0 * source.unit() - 1.0))
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
        let count = shape.iter().product();
        let values: Vec<f32> = (0..count).map(|_| draw(self) as f32).collect();
        let mut parameter = Param::from_data(TensorData::new(values, shape), &self.device);
        parameter.id = self.next_id();
        parameter
    }

    fn next_id(&mut self) -> ParamId {
        self.made += 1;
        ParamId::from(self.made)
    }

    /// A number in `[0, 1)`, of 53 random bits.
    fn unit(&mut self) -> f64 {
        (self.generator.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }
}
