//! Whole networks and their training steps, of Burn's own operations in double precision.
//!
//! A rectifier whose input is zero but for rounding may open on one side alone, and then gradients
//! differ by a thousand times what rounding does; Burn's own in single precision do so too. So gradients
//! are compared on several batches, on one of which at least no rectifier does so.

use burn::module::{Module, ModuleVisitor, Param, ParamId};
use burn::tensor::activation::{log_softmax, relu};
use burn::tensor::{DType, Device, Gradients, Int, Tensor, TensorData};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use super::reference::{add_bias, convolution, gelu, max_pool, normalise};
use super::tape::{draw, read};
use super::{CheckError, Errors, distance, distance_of_vectors};
use crate::layers::cross_entropy;
use crate::{IMAGE_CHANNELS, IMAGE_SIZE, Network, NetworkKind};

/// The largest errors of a network's logits, and of its gradients on the batch where they agree best.
pub const BOUNDS: Errors = Errors {
    value: 1e-3,
    gradient: 1e-2,
};
/// The same with images in half precision. Rounding there decides for some thousandths of a rectifier's numbers.
pub const BOUNDS_OF_HALF: Errors = Errors {
    value: 3e-2,
    gradient: 3e-1,
};
/// Gradients that differ by more than this on any batch differ by more than a few rectifiers.
const FAR: f64 = 5e-2;
const CLASSES: usize = 10;
const SEED: u64 = 7;

/// What a network gives for a batch.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The mean cross-entropy.
    pub loss: f64,
    /// The logits, row by row.
    pub logits: Vec<f64>,
    /// The gradients by all trainable parameters, in the order of the network's fields.
    pub gradients: Vec<Vec<f64>>,
}

impl Answer {
    /// The Euclidean norm of the gradients' difference from those `expected`, over the norm of these;
    /// infinite where one is no number.
    #[must_use]
    pub fn distance(&self, expected: &Self) -> f64 {
        distance_of_vectors(&self.gradients, &expected.gradients)
    }
}

/// A parameter's values, those that do not train too.
#[derive(Debug, Clone, PartialEq)]
pub struct Parameter {
    shape: Vec<usize>,
    values: Vec<f64>,
}

/// `count` images of random numbers between -1 and 1, `[count, 3, 32, 32]`, and labels that go round
/// the classes.
#[must_use]
pub fn batch(count: usize, seed: u64, device: &Device) -> (Tensor<4>, Tensor<1, Int>) {
    let shape = [count, IMAGE_CHANNELS, IMAGE_SIZE, IMAGE_SIZE];
    let mut generator = ChaCha8Rng::seed_from_u64(seed);
    let values = draw(&mut generator, shape.iter().product());
    let labels: Vec<i32> = (0..count).map(|index| (index % CLASSES) as i32).collect();
    (
        Tensor::from_data(TensorData::new(values, shape), device),
        Tensor::from_data(labels.as_slice(), device),
    )
}

/// The network `kind` as it is compared, on `device`.
///
/// # Errors
/// [`CheckError::Network`] where it cannot be built.
pub fn network(kind: NetworkKind, device: &Device) -> Result<Network, CheckError> {
    Ok(Network::init(kind, CLASSES, SEED, device)?)
}

/// How far a network's answers on several batches, the first of each pair, are from those expected. Of
/// the gradients' errors the least counts, but for one that rectifiers do not explain.
#[must_use]
pub fn errors(pairs: &[(Answer, Answer)]) -> Errors {
    errors_within(FAR, pairs)
}

/// As [`errors`], for images in half precision, whose rounding moves so many rectifiers that none is too far.
#[must_use]
pub fn errors_of_half(pairs: &[(Answer, Answer)]) -> Errors {
    errors_within(f64::INFINITY, pairs)
}

fn errors_within(far: f64, pairs: &[(Answer, Answer)]) -> Errors {
    let values = pairs
        .iter()
        .map(|(found, expected)| distance(&found.logits, &expected.logits));
    let gradients = pairs
        .iter()
        .map(|(found, expected)| found.distance(expected));
    let most = gradients.clone().fold(0.0, f64::max);
    Errors {
        value: values.fold(0.0, f64::max),
        gradient: if most > far {
            most
        } else {
            gradients.fold(most, f64::min)
        },
    }
}

/// What `network`, on a device with autodiff, gives for a batch.
///
/// # Errors
/// [`CheckError`] where the device does not give its results.
pub fn answer(
    network: &Network,
    (images, labels): (Tensor<4>, Tensor<1, Int>),
) -> Result<Answer, CheckError> {
    let logits = network.forward(images)?;
    let loss = cross_entropy(logits.clone(), labels, 0.0);
    let mut by_parameter = ByParameter {
        gradients: &loss.backward(),
        found: Ok(Vec::new()),
    };
    network.visit(&mut by_parameter);
    Ok(Answer {
        gradients: by_parameter.found?,
        logits: read(logits)?.1,
        loss: read(loss)?.1.iter().sum(),
    })
}

/// What the network `kind` with these parameters should give for the [`batch`] of `size` images.
///
/// # Errors
/// [`CheckError`] where the host fails.
pub fn expected(
    kind: NetworkKind,
    parameters: &[Parameter],
    size: usize,
    seed: u64,
) -> Result<Answer, CheckError> {
    let device = Device::flex().autodiff();
    let (images, labels) = batch(size, seed, &device);
    let mut layers = Layers {
        values: parameters.iter(),
        device,
        readers: Vec::new(),
    };
    let images = images.cast(DType::F64);
    let logits = match kind {
        NetworkKind::SimpleCnn => layers.simple_cnn(images),
        NetworkKind::ResNet20 => layers.resnet(images, &[16, 32, 64], 3),
        NetworkKind::ResNet18 => layers.resnet(images, &[64, 128, 256, 512], 2),
        NetworkKind::ResNet9 => layers.resnet9(images),
        NetworkKind::Wrn16x4 => layers.wide_resnet(images),
        NetworkKind::AirbenchNarrow => layers.airbench(images, false, 96.0),
        NetworkKind::Airbench94 => layers.airbench(images, false, 256.0),
        NetworkKind::Airbench95 => layers.airbench(images, false, 9.0),
        NetworkKind::Airbench96 => layers.airbench(images, true, 9.0),
    }?;
    if layers.values.next().is_some() {
        return Err(CheckError::Parameters);
    }
    let targets = labels.reshape([size, 1]);
    let loss = log_softmax(logits.clone(), 1)
        .gather(1, targets)
        .mean()
        .neg();
    let gradients = loss.backward();
    let readers = layers.readers.iter();
    Ok(Answer {
        gradients: readers
            .map(|read| read(&gradients))
            .collect::<Result<_, _>>()?,
        logits: read(logits)?.1,
        loss: read(loss)?.1.iter().sum(),
    })
}

/// The losses of `steps` steps of stochastic gradient descent with momentum from `parameters`, all of
/// which train, on the host in double precision. Each step trains the same [`batch`] of `size` images of
/// `seed`, so that the losses fall.
///
/// # Errors
/// [`CheckError`] where the host fails.
pub fn expected_losses(
    kind: NetworkKind,
    mut parameters: Vec<Parameter>,
    (steps, size, seed): (usize, usize, u64),
    [lr, momentum]: [f64; 2],
) -> Result<Vec<f64>, CheckError> {
    let zeros = |parameter: &Parameter| vec![0.0; parameter.values.len()];
    let mut velocities: Vec<Vec<f64>> = parameters.iter().map(zeros).collect();
    let mut losses = Vec::with_capacity(steps);
    for _ in 0..steps {
        let answer = expected(kind, &parameters, size, seed)?;
        losses.push(answer.loss);
        let gradients = answer.gradients.iter().zip(&mut velocities);
        for (parameter, (gradient, velocity)) in parameters.iter_mut().zip(gradients) {
            let each = gradient.iter().zip(velocity);
            for (value, (gradient, velocity)) in parameter.values.iter_mut().zip(each) {
                *velocity = momentum * *velocity + gradient;
                *value -= lr * *velocity;
            }
        }
    }
    Ok(losses)
}

/// The values of all of a network's parameters, those that do not train too, in the order of its fields.
///
/// # Errors
/// [`CheckError::Read`] where the device does not give them.
pub fn parameters(network: &Network) -> Result<Vec<Parameter>, CheckError> {
    let roles = network.roles().into_iter();
    let mut values = Values {
        parameters: roles.map(|parameter| parameter.id).collect(),
        found: Ok(Vec::new()),
    };
    network.visit(&mut values);
    values.found
}

struct Values {
    parameters: Vec<ParamId>,
    found: Result<Vec<Parameter>, CheckError>,
}

impl ModuleVisitor for Values {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        // Running statistics come by here too.
        if let Ok(found) = &mut self.found
            && self.parameters.contains(&param.id)
        {
            match read(param.val()) {
                Ok((shape, values)) => found.push(Parameter { shape, values }),
                Err(error) => self.found = Err(error),
            }
        }
    }
}

/// Reads the gradients by all trainable parameters.
struct ByParameter<'a> {
    gradients: &'a Gradients,
    found: Result<Vec<Vec<f64>>, CheckError>,
}

impl ModuleVisitor for ByParameter<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Ok(found) = &mut self.found
            && let Some(gradient) = param.val().grad(self.gradients)
        {
            match read(gradient) {
                Ok((_, values)) => found.push(values),
                Err(error) => self.found = Err(error),
            }
        }
    }
}

/// A gradient by one parameter, read from those of a loss.
type Reader = Box<dyn Fn(&Gradients) -> Result<Vec<f64>, CheckError>>;

/// Layers of Burn's own operations, which take their parameters one after the other.
struct Layers<'a> {
    values: std::slice::Iter<'a, Parameter>,
    device: Device,
    readers: Vec<Reader>,
}

impl Layers<'_> {
    /// A parameter that does not train.
    fn fixed<const D: usize>(&mut self) -> Result<Tensor<D>, CheckError> {
        let Parameter { shape, values } = self.values.next().ok_or(CheckError::Parameters)?;
        if shape.len() != D {
            return Err(CheckError::Parameters);
        }
        let data = TensorData::new(values.clone(), shape.clone());
        Ok(Tensor::from_data(data, (&self.device, DType::F64)))
    }

    fn next<const D: usize>(&mut self) -> Result<Tensor<D>, CheckError> {
        let tensor = self.fixed::<D>()?.require_grad();
        let of = tensor.clone();
        self.readers.push(Box::new(move |gradients| {
            let gradient = of.grad(gradients).ok_or(CheckError::Parameters)?;
            Ok(read(gradient)?.1)
        }));
        Ok(tensor)
    }

    /// A convolution of a group, normalised with a shift alone, of which `maxima` asks for maxima of
    /// windows.
    fn shifted_conv(&mut self, x: Tensor<4>, maxima: bool) -> Result<Tensor<4>, CheckError> {
        let x = convolution(x, self.next()?, 1, 1);
        let x = if maxima { max_pool(x, [2, 2]) } else { x };
        let (gamma, beta) = (self.fixed()?, self.next()?);
        Ok(normalise(x, gamma, beta, 1e-12))
    }

    fn airbench(
        &mut self,
        x: Tensor<4>,
        residual: bool,
        divisor: f64,
    ) -> Result<Tensor<2>, CheckError> {
        let (filters, bias) = (self.fixed()?, self.next()?);
        let mut x = gelu(add_bias(convolution(x, filters, 1, 0), bias));
        for _ in 0..3 {
            let around = gelu(self.shifted_conv(x, true)?);
            x = gelu(self.shifted_conv(around.clone(), false)?);
            if residual {
                x = gelu(self.shifted_conv(x, false)? + around);
            }
        }
        let [batch, channels, ..] = x.dims();
        let x = max_pool(x, [3, 3]).reshape([batch, channels]);
        let weight = self.next::<2>()?;
        Ok(x.matmul(weight.transpose()).div_scalar(divisor))
    }

    fn conv_norm(&mut self, x: Tensor<4>, stride: usize) -> Result<Tensor<4>, CheckError> {
        let (weight, gamma, beta) = (self.next::<4>()?, self.next()?, self.next()?);
        let padding = weight.dims()[2] / 2;
        let x = convolution(x, weight, stride, padding);
        Ok(normalise(x, gamma, beta, crate::backend::EPSILON))
    }

    fn conv_relu_pool(&mut self, x: Tensor<4>) -> Result<Tensor<4>, CheckError> {
        let (weight, bias) = (self.next()?, self.next()?);
        let x = add_bias(convolution(x, weight, 1, 0), bias);
        Ok(max_pool(relu(x), [2, 2]))
    }

    fn linear(&mut self, x: Tensor<2>) -> Result<Tensor<2>, CheckError> {
        let (weight, bias) = (self.next::<2>()?, self.next::<1>()?);
        Ok(x.matmul(weight.transpose()) + bias.unsqueeze())
    }

    fn simple_cnn(&mut self, x: Tensor<4>) -> Result<Tensor<2>, CheckError> {
        let x = self.conv_relu_pool(x)?;
        let x: Tensor<2> = self.conv_relu_pool(x)?.flatten(1, 3);
        let x = relu(self.linear(x)?);
        let x = relu(self.linear(x)?);
        self.linear(x)
    }

    fn resnet(
        &mut self,
        x: Tensor<4>,
        widths: &[usize],
        blocks: usize,
    ) -> Result<Tensor<2>, CheckError> {
        let mut x = relu(self.conv_norm(x, 1)?);
        for stage in 0..widths.len() {
            for block in 0..blocks {
                let projects = stage > 0 && block == 0;
                let stride = if projects { 2 } else { 1 };
                let middle = relu(self.conv_norm(x.clone(), stride)?);
                let end = self.conv_norm(middle, 1)?;
                let around = if projects {
                    self.conv_norm(x, stride)?
                } else {
                    x
                };
                x = relu(end + around);
            }
        }
        let [batch, channels, ..] = x.dims();
        let x = x.mean_dim(3).mean_dim(2).reshape([batch, channels]);
        self.linear(x)
    }

    /// A convolution without normalisation.
    fn conv(&mut self, x: Tensor<4>, stride: usize) -> Result<Tensor<4>, CheckError> {
        let weight = self.next::<4>()?;
        let padding = weight.dims()[2] / 2;
        Ok(convolution(x, weight, stride, padding))
    }

    fn norm_relu(&mut self, x: Tensor<4>) -> Result<Tensor<4>, CheckError> {
        let (gamma, beta) = (self.next()?, self.next()?);
        Ok(relu(normalise(x, gamma, beta, crate::backend::EPSILON)))
    }

    fn resnet9(&mut self, x: Tensor<4>) -> Result<Tensor<2>, CheckError> {
        let mut x = relu(self.conv_norm(x, 1)?);
        for around in [true, false, true] {
            x = max_pool(relu(self.conv_norm(x, 1)?), [2, 2]);
            if around {
                let inner = relu(self.conv_norm(x.clone(), 1)?);
                x = x + relu(self.conv_norm(inner, 1)?);
            }
        }
        let [batch, channels, ..] = x.dims();
        let x = max_pool(x, [4, 4]).reshape([batch, channels]);
        let weight = self.next::<2>()?;
        Ok(x.matmul(weight.transpose()).mul_scalar(0.125))
    }

    /// A wide residual network with two blocks in each of three groups.
    fn wide_resnet(&mut self, x: Tensor<4>) -> Result<Tensor<2>, CheckError> {
        let mut x = self.conv(x, 1)?;
        for block in 0..6 {
            let stride = if block == 2 || block == 4 { 2 } else { 1 };
            let rectified = self.norm_relu(x.clone())?;
            let first = self.conv(rectified.clone(), stride)?;
            let middle = self.norm_relu(first)?;
            let inner = self.conv(middle, 1)?;
            let around = if block % 2 == 0 {
                self.conv(rectified, stride)?
            } else {
                x
            };
            x = inner + around;
        }
        let x = self.norm_relu(x)?;
        let [batch, channels, ..] = x.dims();
        let x = x.mean_dim(3).mean_dim(2).reshape([batch, channels]);
        self.linear(x)
    }
}
