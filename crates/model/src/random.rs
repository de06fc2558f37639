//! Initial weights, drawn on the host, so that one seed gives the same weights on every backend.

use burn::module::Param;
use burn::tensor::{Device, Tensor, TensorData};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// A source of initial weights: ChaCha8 from the run's seed, read in the order in which a
/// network's parameters are made.
#[derive(Debug)]
pub struct WeightSource {
    generator: ChaCha8Rng,
    device: Device,
}

impl WeightSource {
    /// The weights of `seed`, put on `device`.
    #[must_use]
    pub fn new(seed: u64, device: &Device) -> Self {
        Self {
            generator: ChaCha8Rng::seed_from_u64(seed),
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

    /// A tensor that is no parameter, the same value everywhere.
    #[must_use]
    pub fn buffer<const D: usize>(&self, shape: [usize; D], value: f32) -> Tensor<D> {
        let count = shape.iter().product();
        Tensor::from_data(TensorData::new(vec![value; count], shape), &self.device)
    }

    fn fill<const D: usize>(
        &mut self,
        shape: [usize; D],
        mut draw: impl FnMut(&mut Self) -> f64,
    ) -> Param<Tensor<D>> {
        let count = shape.iter().product();
        let values: Vec<f32> = (0..count).map(|_| draw(self) as f32).collect();
        Param::from_data(TensorData::new(values, shape), &self.device)
    }

    /// A number in `[0, 1)`, of 53 random bits.
    fn unit(&mut self) -> f64 {
        (self.generator.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }
}
