//! One computation of a case: its inputs, its results and its gradients.

use burn::tensor::{DType, Device, Gradients, Int, Tensor, TensorData};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use super::operations::{Biased, Normalised, Operations};
use super::{CheckError, Errors, distance, distance_of_vectors};

/// Numbers that came from a device.
#[derive(Debug, Clone, PartialEq)]
struct Found {
    /// What they are, such as "the result" or "by the input".
    name: String,
    is_gradient: bool,
    /// Empty where there are no such numbers.
    shape: Vec<usize>,
    values: Vec<f64>,
}

/// What a case gave on a device.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    found: Vec<Found>,
}

impl Outcome {
    /// How far the results and gradients are from those `expected`, and which is the farthest.
    #[must_use]
    pub fn errors(&self, expected: &Self) -> (Errors, String) {
        self.errors_by(expected, distance)
    }

    /// As [`Outcome::errors`], with the norm of a difference over that of what is expected: where images are in
    /// half precision, rounding decides for some numbers on which side of a rectifier or a maximum they are.
    #[must_use]
    pub fn errors_by_norm(&self, expected: &Self) -> (Errors, String) {
        let norm = |found: &[f64], expected: &[f64]| {
            distance_of_vectors(&[found.to_vec()], &[expected.to_vec()])
        };
        self.errors_by(expected, norm)
    }

    fn errors_by(
        &self,
        expected: &Self,
        distance: impl Fn(&[f64], &[f64]) -> f64,
    ) -> (Errors, String) {
        let mut errors = Errors::default();
        let (mut worst, mut name) = (-1.0, String::new());
        if self.found.len() != expected.found.len() {
            let value = f64::INFINITY;
            let errors = Errors {
                value,
                gradient: value,
            };
            return (errors, "the number of results".to_owned());
        }
        for (found, expected) in self.found.iter().zip(&expected.found) {
            let error = if found.shape == expected.shape {
                distance(&found.values, &expected.values)
            } else {
                f64::INFINITY
            };
            let of_kind = if found.is_gradient {
                &mut errors.gradient
            } else {
                &mut errors.value
            };
            *of_kind = of_kind.max(error);
            if error > worst {
                (worst, name) = (error, found.name.clone());
            }
        }
        (errors, name)
    }
}

/// Which numbers are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Draws {
    /// Numbers of single precision.
    Single,
    /// Numbers that half precision holds too.
    Half,
}

/// Reads a gradient from those of a computation; nothing where it has none.
type Reader = Box<dyn Fn(&Gradients) -> Result<Option<(Vec<usize>, Vec<f64>)>, CheckError>>;

/// Makes the inputs of one computation, the same numbers on every device, and takes its results.
pub struct Tape<'a> {
    /// What computes.
    pub operations: &'a dyn Operations,
    device: Device,
    dtype: DType,
    draws: Draws,
    generator: ChaCha8Rng,
    results: Vec<Found>,
    /// A number that depends on every result in its own way, a mean over the batch.
    sum: Option<Tensor<1>>,
    readers: Vec<(String, Reader)>,
    failed: Option<CheckError>,
}

impl<'a> Tape<'a> {
    /// A computation by `operations` on `device`, with autodiff where gradients are wanted, in `dtype`.
    #[must_use]
    pub fn new(
        operations: &'a dyn Operations,
        device: &Device,
        dtype: DType,
        draws: Draws,
        seed: u64,
    ) -> Self {
        Self {
            operations,
            device: device.clone(),
            dtype,
            draws,
            generator: ChaCha8Rng::seed_from_u64(seed),
            results: Vec::new(),
            sum: None,
            readers: Vec::new(),
            failed: None,
        }
    }

    /// A tensor between -1 and 1 that asks for no gradient.
    pub fn constant<const D: usize>(&mut self, shape: [usize; D]) -> Tensor<D> {
        let count = shape.iter().product();
        let values = match self.draws {
            Draws::Single => draw(&mut self.generator, count),
            Draws::Half => draw_half(&mut self.generator, count),
        };
        Tensor::<D>::from_data(TensorData::new(values, shape), &self.device).cast(self.dtype)
    }

    /// A tensor between -1 and 1, called `name` among the gradients.
    pub fn input<const D: usize>(&mut self, name: &str, shape: [usize; D]) -> Tensor<D> {
        self.shifted(name, shape, 0.0)
    }

    /// A tensor between `by - 1` and `by + 1`, called `name` among the gradients.
    fn shifted<const D: usize>(&mut self, name: &str, shape: [usize; D], by: f64) -> Tensor<D> {
        let tensor = self.constant(shape).add_scalar(by);
        if !self.device.is_autodiff() {
            return tensor;
        }
        let tensor = tensor.detach().require_grad();
        let of = tensor.clone();
        let read: Reader = Box::new(move |gradients| {
            let gradient = of.grad(gradients);
            gradient.map(read::<D>).transpose()
        });
        self.readers.push((format!("the gradient by {name}"), read));
        tensor
    }

    /// The input of a layer: with a gradient, or as a network's first layer has it.
    pub fn image(&mut self, shape: [usize; 4], by_input: bool) -> Tensor<4> {
        if by_input {
            self.input("the input", shape)
        } else {
            self.constant(shape)
        }
    }

    /// Parameters of a normalised convolution, with filters of `weight`; `index` says which.
    pub fn normalised(&mut self, index: usize, weight: [usize; 4]) -> Normalised {
        Normalised {
            weight: self.input(&format!("weights {index}"), weight),
            gamma: self.shifted(&format!("scales {index}"), [weight[0]], 1.5),
            beta: self.input(&format!("shifts {index}"), [weight[0]]),
        }
    }

    /// Parameters of a layer with biases, of which there are `outputs`.
    pub fn biased<const D: usize>(&mut self, weight: [usize; D], outputs: usize) -> Biased<D> {
        Biased {
            weight: self.input("the weights", weight),
            bias: self.input("the biases", [outputs]),
        }
    }

    /// Classes that go round all `classes`.
    #[must_use]
    pub fn targets(&self, count: usize, classes: usize) -> Tensor<1, Int> {
        let targets: Vec<i32> = (0..count).map(|index| (index % classes) as i32).collect();
        Tensor::from_data(targets.as_slice(), &self.device)
    }

    /// Takes a result.
    pub fn result<const D: usize>(&mut self, y: Tensor<D>) {
        let weights = self.constant(y.dims());
        // As losses are: where gradients are stored in half precision that is taken to be so.
        let batch = y.dims().first().copied().unwrap_or(1);
        let sum = (y.clone() * weights).sum().div_scalar(batch as f64);
        self.sum = Some(match self.sum.take() {
            Some(before) => before + sum,
            None => sum,
        });
        match read(y) {
            Ok((shape, values)) => self.results.push(Found {
                name: "the result".to_owned(),
                is_gradient: false,
                shape,
                values,
            }),
            Err(error) => self.failed = Some(error),
        }
    }

    /// Everything that was computed.
    ///
    /// # Errors
    /// [`CheckError::Read`] where the device does not give its results.
    pub fn finish(mut self) -> Result<Outcome, CheckError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        if let (Some(sum), false) = (self.sum, self.readers.is_empty()) {
            let gradients = sum.backward();
            for (name, reader) in self.readers {
                let (shape, values) = reader(&gradients)?.unwrap_or_default();
                self.results.push(Found {
                    name,
                    is_gradient: true,
                    shape,
                    values,
                });
            }
        }
        Ok(Outcome {
            found: self.results,
        })
    }
}

/// `count` numbers between -1 and 1.
pub(super) fn draw(generator: &mut ChaCha8Rng, count: usize) -> Vec<f32> {
    (0..count)
        .map(|_| (generator.next_u32() >> 8) as f32 / (1u32 << 23) as f32 - 1.0)
        .collect()
}

/// `count` numbers between -1 and 1 that half precision holds.
fn draw_half(generator: &mut ChaCha8Rng, count: usize) -> Vec<f32> {
    (0..count)
        .map(|_| (generator.next_u32() >> 21) as f32 / (1u32 << 10) as f32 - 1.0)
        .collect()
}

/// The numbers of a tensor on the host, and its shape.
pub(super) fn read<const D: usize>(
    tensor: Tensor<D>,
) -> Result<(Vec<usize>, Vec<f64>), CheckError> {
    let shape = tensor.dims().to_vec();
    let data = tensor.try_into_data().map_err(CheckError::read)?;
    Ok((shape, data.iter::<f64>().collect()))
}
