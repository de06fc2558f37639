//! The gradients of whole networks against the same networks made of Burn's own operations in
//! double precision. The precision is set once for a process, so that exact and fast convolutions
//! have a binary each.

use burn::module::{Module, ModuleVisitor, Param, ParamId};
use burn::tensor::activation::{log_softmax, relu};
use burn::tensor::module;
use burn::tensor::ops::{ConvOptions, MaxPoolOptions, PaddedConvOptions};
use burn::tensor::{DType, Device, Distribution, Gradients, Int, Tensor, TensorData};
use model::backend::{Precision, set_precision};
use model::layers::cross_entropy;
use model::{Network, NetworkKind};

const CLASSES: usize = 10;
/// Images of the batches.
const SIZES: [usize; 5] = [1, 2, 3, 4, 5];

/// The values of all parameters, those that do not train too, in the order of the network's fields.
struct Values {
    parameters: Vec<ParamId>,
    found: Vec<TensorData>,
}

impl ModuleVisitor for Values {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        // Running statistics come by here too.
        if self.parameters.contains(&param.id) {
            self.found.push(param.val().into_data());
        }
    }
}

/// The gradients by all trainable parameters, in the order of the network's fields.
struct ByParameter<'a> {
    gradients: &'a Gradients,
    values: Vec<Vec<f32>>,
}

impl ModuleVisitor for ByParameter<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(gradient) = param.val().grad(self.gradients) {
            self.values.push(gradient.into_data().iter().collect());
        }
    }
}

/// The exact Gaussian error linear unit of Burn's own operations.
fn gelu(x: Tensor<4>) -> Tensor<4> {
    let cdf = x.clone().mul_scalar(std::f64::consts::FRAC_1_SQRT_2).erf();
    x * (cdf + 1.0).mul_scalar(0.5)
}

/// A gradient by one parameter, read from those of a loss.
type Reader = Box<dyn Fn(&Gradients) -> Vec<f32>>;

/// Parameters as Burn's operations take them, one after the other.
struct Parameters {
    values: std::vec::IntoIter<TensorData>,
    device: Device,
    readers: Vec<Reader>,
}

impl Parameters {
    fn next<const D: usize>(&mut self) -> Tensor<D> {
        let value = self.values.next().unwrap();
        let tensor = Tensor::<D>::from_data(value, &self.device);
        let tensor = tensor.cast(DType::F64).require_grad();
        let of = tensor.clone();
        self.readers.push(Box::new(move |gradients| {
            let gradient = of.grad(gradients).unwrap();
            gradient.into_data().convert::<f32>().iter().collect()
        }));
        tensor
    }

    /// A parameter that does not train.
    fn fixed<const D: usize>(&mut self) -> Tensor<D> {
        let value = self.values.next().unwrap();
        Tensor::<D>::from_data(value, &self.device).cast(DType::F64)
    }

    /// A convolution of a group, of which `maxima` asks for maxima of windows.
    fn shifted_conv(&mut self, x: Tensor<4>, weight: Tensor<4>, maxima: bool) -> Tensor<4> {
        let options = ConvOptions::new([1; 2], [1; 2], [1; 2], 1);
        let x = module::conv2d(x, weight, None, PaddedConvOptions::from(options));
        let x = if maxima {
            module::max_pool2d(x, MaxPoolOptions::new([2, 2]))
        } else {
            x
        };
        let (gamma, beta) = (self.fixed(), self.next());
        module::batch_norm_train(x, gamma, beta, 1e-12).output
    }

    fn airbench(&mut self, x: Tensor<4>, residual: bool, divisor: f64) -> Tensor<2> {
        let (filters, bias) = (self.fixed(), self.next());
        let options = ConvOptions::new([1; 2], [0; 2], [1; 2], 1);
        let x = module::conv2d(x, filters, Some(bias), PaddedConvOptions::from(options));
        let mut x = gelu(x);
        for _ in 0..3 {
            let weight = self.next();
            let around = self.shifted_conv(x, weight, true);
            let around = gelu(around);
            let weight = self.next();
            x = gelu(self.shifted_conv(around.clone(), weight, false));
            if residual {
                let weight = self.next();
                x = gelu(self.shifted_conv(x, weight, false) + around);
            }
        }
        let [batch, channels, ..] = x.dims();
        let x = module::max_pool2d(x, MaxPoolOptions::new([3, 3])).reshape([batch, channels]);
        let weight = self.next::<2>();
        x.matmul(weight.transpose()).div_scalar(divisor)
    }

    fn conv_norm(&mut self, x: Tensor<4>, stride: usize) -> Tensor<4> {
        let (weight, gamma, beta) = (self.next::<4>(), self.next(), self.next());
        let padding = weight.dims()[2] / 2;
        let options = ConvOptions::new([stride; 2], [padding; 2], [1; 2], 1);
        let x = module::conv2d(x, weight, None, PaddedConvOptions::from(options));
        module::batch_norm_train(x, gamma, beta, 1e-5).output
    }

    fn conv_relu_pool(&mut self, x: Tensor<4>) -> Tensor<4> {
        let (weight, bias) = (self.next::<4>(), self.next());
        let options = ConvOptions::new([1; 2], [0; 2], [1; 2], 1);
        let x = module::conv2d(x, weight, Some(bias), PaddedConvOptions::from(options));
        module::max_pool2d(relu(x), MaxPoolOptions::new([2, 2]))
    }

    fn linear(&mut self, x: Tensor<2>) -> Tensor<2> {
        let (weight, bias) = (self.next::<2>(), self.next::<1>());
        x.matmul(weight.transpose()) + bias.unsqueeze()
    }

    fn simple_cnn(&mut self, x: Tensor<4>) -> Tensor<2> {
        let x = self.conv_relu_pool(x);
        let x: Tensor<2> = self.conv_relu_pool(x).flatten(1, 3);
        let x = relu(self.linear(x));
        let x = relu(self.linear(x));
        self.linear(x)
    }

    fn resnet(&mut self, x: Tensor<4>, widths: &[usize], blocks: usize) -> Tensor<2> {
        let mut x = relu(self.conv_norm(x, 1));
        for stage in 0..widths.len() {
            for block in 0..blocks {
                let projects = stage > 0 && block == 0;
                let stride = if projects { 2 } else { 1 };
                let middle = relu(self.conv_norm(x.clone(), stride));
                let end = self.conv_norm(middle, 1);
                let around = if projects {
                    self.conv_norm(x, stride)
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
}

impl Parameters {
    /// A convolution without normalisation.
    fn conv(&mut self, x: Tensor<4>, stride: usize) -> Tensor<4> {
        let weight = self.next::<4>();
        let padding = weight.dims()[2] / 2;
        let options = ConvOptions::new([stride; 2], [padding; 2], [1; 2], 1);
        module::conv2d(x, weight, None, PaddedConvOptions::from(options))
    }

    fn norm_relu(&mut self, x: Tensor<4>) -> Tensor<4> {
        let (gamma, beta) = (self.next(), self.next());
        relu(module::batch_norm_train(x, gamma, beta, 1e-5).output)
    }

    fn resnet9(&mut self, x: Tensor<4>) -> Tensor<2> {
        let mut x = relu(self.conv_norm(x, 1));
        for around in [true, false, true] {
            x = relu(self.conv_norm(x, 1));
            x = module::max_pool2d(x, MaxPoolOptions::new([2, 2]));
            if around {
                let inner = relu(self.conv_norm(x.clone(), 1));
                x = x + relu(self.conv_norm(inner, 1));
            }
        }
        let [batch, channels, ..] = x.dims();
        let x = module::max_pool2d(x, MaxPoolOptions::new([4, 4])).reshape([batch, channels]);
        let weight = self.next::<2>();
        x.matmul(weight.transpose()).mul_scalar(0.125)
    }

    /// A wide residual network with two blocks in each of three groups.
    fn wide_resnet(&mut self, x: Tensor<4>) -> Tensor<2> {
        let mut x = self.conv(x, 1);
        for block in 0..6 {
            let stride = if block == 2 || block == 4 { 2 } else { 1 };
            let rectified = self.norm_relu(x.clone());
            let first = self.conv(rectified.clone(), stride);
            let middle = self.norm_relu(first);
            let inner = self.conv(middle, 1);
            let around = if block % 2 == 0 {
                self.conv(rectified, stride)
            } else {
                x
            };
            x = inner + around;
        }
        let x = self.norm_relu(x);
        let [batch, channels, ..] = x.dims();
        let x = x.mean_dim(3).mean_dim(2).reshape([batch, channels]);
        self.linear(x)
    }
}

/// A batch of random images, and labels that go round the classes.
fn batch(size: usize, device: &Device) -> (Tensor<4>, Tensor<1, Int>) {
    let host = Device::flex();
    host.seed(3);
    let images = Tensor::<4>::random([size, 3, 32, 32], Distribution::Normal(0.0, 1.0), &host);
    let labels: Vec<i32> = (0..size as i32).map(|i| i % CLASSES as i32).collect();
    (
        Tensor::from_data(images.into_data(), device),
        Tensor::from_data(labels.as_slice(), device),
    )
}

/// The gradients of the mean cross-entropy by all parameters, through Burn's own operations.
fn expected(kind: NetworkKind, size: usize, values: Vec<TensorData>) -> Vec<Vec<f32>> {
    let device = Device::flex().autodiff();
    let (images, labels) = batch(size, &device);
    let mut parameters = Parameters {
        values: values.into_iter(),
        device: device.clone(),
        readers: Vec::new(),
    };
    let images = images.cast(DType::F64);
    let logits = match kind {
        NetworkKind::SimpleCnn => parameters.simple_cnn(images),
        NetworkKind::ResNet20 => parameters.resnet(images, &[16, 32, 64], 3),
        NetworkKind::ResNet18 => parameters.resnet(images, &[64, 128, 256, 512], 2),
        NetworkKind::ResNet9 => parameters.resnet9(images),
        NetworkKind::Wrn16x4 => parameters.wide_resnet(images),
        NetworkKind::AirbenchNarrow => parameters.airbench(images, false, 96.0),
        NetworkKind::Airbench94 => parameters.airbench(images, false, 256.0),
        NetworkKind::Airbench95 => parameters.airbench(images, false, 9.0),
        NetworkKind::Airbench96 => parameters.airbench(images, true, 9.0),
    };
    assert!(parameters.values.next().is_none(), "parameters are left");
    let targets = labels.reshape([size, 1]);
    let loss = log_softmax(logits, 1).gather(1, targets).mean().neg();
    let gradients = loss.backward();
    let readers = parameters.readers.iter();
    readers.map(|read| read(&gradients)).collect()
}

/// The gradients of the network's own operations.
fn ours(network: &Network, size: usize, device: &Device) -> Vec<Vec<f32>> {
    let (images, labels) = batch(size, device);
    let loss = cross_entropy(network.forward(images).unwrap(), labels, 0.0);
    let mut by_parameter = ByParameter {
        gradients: &loss.backward(),
        values: Vec::new(),
    };
    network.visit(&mut by_parameter);
    by_parameter.values
}

/// The norm of the difference over the norm.
fn distance(a: &[Vec<f32>], b: &[Vec<f32>]) -> f64 {
    let norm = |values: &mut dyn Iterator<Item = f64>| values.map(|x| x * x).sum::<f64>().sqrt();
    let (a, b) = (a.iter().flatten(), b.iter().flatten());
    let differences = a.zip(b.clone()).map(|(a, b)| f64::from(*a) - f64::from(*b));
    norm(&mut differences.into_iter()) / norm(&mut b.map(|b| f64::from(*b)))
}

/// How far the gradients of a network are from those of Burn's own operations, on some batches in
/// order of size.
fn distances(kind: NetworkKind, device: &Device) -> Vec<f64> {
    let network = Network::init(kind, CLASSES, 7, device).unwrap();
    let roles = network.roles().into_iter();
    let mut values = Values {
        parameters: roles.map(|parameter| parameter.id).collect(),
        found: Vec::new(),
    };
    network.visit(&mut values);
    let mut distances: Vec<f64> = SIZES
        .map(|size| {
            let ours = ours(&network, size, device);
            let expected = expected(kind, size, values.found.clone());
            let lens = |all: &[Vec<f32>]| all.iter().map(Vec::len).collect::<Vec<_>>();
            assert_eq!(lens(&ours), lens(&expected));
            distance(&ours, &expected)
        })
        .into();
    distances.sort_by(f64::total_cmp);
    println!("{}: {distances:?}", kind.name());
    distances
}

/// Asserts that the gradients of every network agree with those of Burn's own operations, on ndarray
/// and on Flex.
///
/// A rectifier whose input is zero but for rounding may open on one side alone, and then gradients
/// differ by a thousand times what rounding does; Burn's own in single precision do so too. So on
/// every batch they differ by a few hundredths at most, and by less than `bound` on one at least, where
/// no rectifier does so.
pub fn assert_gradients_agree(precision: Precision, bound: impl Fn(NetworkKind) -> f64) {
    set_precision(precision).unwrap();
    for kind in NetworkKind::ALL {
        for device in [Device::ndarray(), Device::flex()].map(Device::autodiff) {
            let distances = distances(kind, &device);
            assert!(distances[0] < bound(kind), "{}", kind.name());
            assert!(distances[SIZES.len() - 1] < 5e-2, "{}", kind.name());
        }
    }
}
