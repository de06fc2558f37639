//! One network, one seed, the same batches: the losses of twenty steps agree on every backend, and with
//! those of Burn's own operations and an optimiser that is written out here.
#![allow(clippy::unwrap_used)]

use burn::module::Module;
use burn::nn::pool::MaxPool2dConfig;
use burn::tensor::activation::{log_softmax, relu};
use burn::tensor::module::conv2d;
use burn::tensor::ops::ConvOptions;
use burn::tensor::{Device, Int, Tensor, TensorData};
use burn_train::TrainStep;
use cifar10::synthetic::{Part, generate};
use cifar10::{Epoch, HostBatch, Loader, LoaderConfig};
use model::{Network, NetworkKind};
use safetensors::SafeTensors;
use trainer::device::{BackendName, DeviceChoice, DeviceName, Precision};
#[cfg(feature = "wgpu")]
use trainer::recipe::Role;
use trainer::recipe::{GroupSpec, OptimizerSpec};
use trainer::training::{Batch, Classifier, optimizer, weights};

const STEPS: usize = 20;
const BATCH: usize = 32;
const LEARNING_RATE: f64 = 0.01;
const MOMENTUM: f64 = 0.9;
const WEIGHT_DECAY: f64 = 5e-4;
const SMOOTHING: f64 = 0.1;

fn open(backend: BackendName, device: DeviceName) -> Device {
    let choice = DeviceChoice {
        backend,
        device,
        threads: None,
        precision: Precision::Fast,
        token_file: None,
    };
    choice.open().unwrap().autodiff()
}

fn epoch() -> Epoch {
    let images = generate(Part::Train, STEPS * BATCH, 0);
    let loader = Loader::all(images, LoaderConfig::training(BATCH, 0)).unwrap();
    loader.epoch(0)
}

fn network(device: &Device) -> Network {
    Network::init(NetworkKind::SimpleCnn, 10, 0, device).unwrap()
}

/// The images `[batch, 3, 32, 32]` and the labels of a step.
fn batch(epoch: &Epoch, step: usize, device: &Device) -> (Tensor<4>, Vec<i32>) {
    let mut host = HostBatch::default();
    epoch.batch(step, &mut host).unwrap();
    let labels = host.labels.iter().map(|&label| i32::from(label)).collect();
    let data = TensorData::new(host.images.clone(), [host.len(), 3, 32, 32]);
    (Tensor::from_data(data, device), labels)
}

fn losses(device: &Device, groups: &[GroupSpec], precision: Precision) -> Vec<f32> {
    let sgd = OptimizerSpec::Sgd {
        lr: LEARNING_RATE,
        momentum: MOMENTUM,
        nesterov: true,
        weight_decay: WEIGHT_DECAY,
        decay_norm_and_bias: false,
    };
    let mut classifier = Classifier::new(network(device), SMOOTHING)
        .computing(precision)
        .train();
    let mut optimizer = optimizer::optimizer(&sgd, groups, &classifier.network);
    let epoch = epoch();
    (0..STEPS)
        .map(|step| {
            let (images, labels) = batch(&epoch, step, device);
            let batch = Batch {
                images,
                targets: Tensor::<1, Int>::from_data(labels.as_slice(), device),
                mixed: None,
            };
            let output = TrainStep::step(&classifier, batch);
            let loss = output.item.loss.into_scalar::<f32>();
            let lr = LEARNING_RATE.into();
            classifier = (classifier.clone()).optimize(&mut optimizer, lr, output.grads);
            loss
        })
        .collect()
}

/// A parameter of the network of Burn's own operations, as one row of numbers.
struct Plain {
    shape: Vec<usize>,
    value: Tensor<1>,
    velocity: Option<Tensor<1>>,
}

impl Plain {
    fn shaped<const D: usize>(&self) -> Tensor<D> {
        let shape: [usize; D] = self.shape.clone().try_into().unwrap();
        self.value.clone().reshape(shape)
    }

    /// SGD with Nesterov's momentum as PyTorch writes it; biases do not decay.
    fn step(&mut self, gradient: Tensor<1>) {
        let value = self.value.clone().inner();
        let decay = if self.shape.len() > 1 {
            WEIGHT_DECAY
        } else {
            0.0
        };
        let gradient = gradient + value.clone() * decay;
        let velocity = match self.velocity.take() {
            Some(velocity) => velocity * MOMENTUM + gradient.clone(),
            None => gradient.clone(),
        };
        let step = gradient + velocity.clone() * MOMENTUM;
        self.velocity = Some(velocity);
        self.value = Tensor::from_inner(value - step * LEARNING_RATE).require_grad();
    }
}

/// The tutorial's network layer by layer: images to logits.
fn plain_forward(parameters: &[Plain], images: Tensor<4>) -> Tensor<2> {
    let convolve = |x, at: usize| {
        let (weight, bias) = (parameters[at].shaped::<4>(), parameters[at + 1].shaped());
        let options = ConvOptions::new([1, 1], [0, 0], [1, 1], 1);
        let x = relu(conv2d(x, weight, Some(bias), options));
        MaxPool2dConfig::new([2, 2])
            .with_strides([2, 2])
            .init()
            .forward(x)
    };
    let linear = |x: Tensor<2>, at: usize| {
        let (weight, bias) = (parameters[at].shaped::<2>(), &parameters[at + 1].value);
        x.matmul(weight.transpose()) + bias.clone().unsqueeze()
    };
    let x: Tensor<2> = convolve(convolve(images, 0), 2).flatten(1, 3);
    linear(relu(linear(relu(linear(x, 4)), 6)), 8)
}

/// The losses of Burn's own operations, from the same weights.
fn plain_losses() -> Vec<f32> {
    let device = open(BackendName::Ndarray, DeviceName::Default);
    let file = weights::to_safetensors(&network(&device), std::iter::empty()).unwrap();
    let file = SafeTensors::deserialize(&file).unwrap();
    let mut parameters: Vec<Plain> = ["conv1", "conv2", "fc1", "fc2", "fc3"]
        .iter()
        .flat_map(|layer| ["weight", "bias"].map(|kind| format!("{layer}.{kind}")))
        .map(|name| {
            let tensor = file.tensor(&name).unwrap();
            let (numbers, _) = tensor.data().as_chunks();
            let numbers: Vec<f32> = numbers
                .iter()
                .map(|bytes| f32::from_le_bytes(*bytes))
                .collect();
            Plain {
                shape: tensor.shape().to_vec(),
                value: Tensor::<1>::from_data(numbers.as_slice(), &device).require_grad(),
                velocity: None,
            }
        })
        .collect();
    let epoch = epoch();
    (0..STEPS)
        .map(|step| {
            let (images, labels) = batch(&epoch, step, &device);
            let mut wanted = vec![SMOOTHING as f32 / 10.0; labels.len() * 10];
            for (row, label) in labels.iter().enumerate() {
                wanted[row * 10 + *label as usize] += 1.0 - SMOOTHING as f32;
            }
            let wanted = TensorData::new(wanted, [labels.len(), 10]);
            let wanted = Tensor::<2>::from_data(wanted, &device);
            let logits = plain_forward(&parameters, images);
            let likelihood = (log_softmax(logits, 1) * wanted).sum();
            let loss = likelihood.neg() / labels.len() as f64;
            let gradients = loss.backward();
            for parameter in &mut parameters {
                parameter.step(parameter.value.grad(&gradients).unwrap().inner());
            }
            loss.into_scalar::<f32>()
        })
        .collect()
}

fn assert_close(ours: &[f32], theirs: &[f32], bound: f32) {
    assert_eq!(ours.len(), STEPS);
    assert_eq!(theirs.len(), STEPS);
    // Training moves by far more than the bound, so that equal losses are no matter of course.
    assert!(
        ours.iter().any(|loss| (loss - ours[0]).abs() > 0.01),
        "{ours:?}"
    );
    for (step, (a, b)) in ours.iter().zip(theirs).enumerate() {
        assert!(
            (a - b).abs() <= bound * b.abs(),
            "step {}: {a} and {b}",
            step + 1
        );
    }
}

#[test]
fn twenty_losses_are_those_of_burns_own_operations() {
    let plain = plain_losses();
    for backend in [BackendName::Ndarray, BackendName::Flex] {
        let losses = losses(&open(backend, DeviceName::Default), &[], Precision::Fast);
        assert_close(&losses, &plain, 1e-4);
    }
}

/// With SGD for all parameters, and with Muon for the filters: its momenta go through three iterations a step, whose
/// products the processor and the adapter make each in their own way.
#[cfg(feature = "wgpu")]
#[test]
fn twenty_losses_agree_on_ndarray_and_the_software_adapter() {
    let muon = GroupSpec {
        role: Role::Filters,
        optimizer: OptimizerSpec::Muon {
            lr: LEARNING_RATE,
            momentum: 0.6,
            nesterov: true,
            weight_decay: 0.1,
            newton_schulz_steps: 3,
            rescale: true,
        },
        epochs: None,
        own_schedule: false,
    };
    let software = open(BackendName::Wgpu, DeviceName::Software);
    let host = open(BackendName::Ndarray, DeviceName::Default);
    let [plain, with_muon] = [&[][..], &[muon]].map(|groups| {
        let expected = losses(&host, groups, Precision::Fast);
        for (precision, bound) in [(Precision::Fast, 1e-4), (Precision::Half, 1e-2)] {
            assert_close(&losses(&software, groups, precision), &expected, bound);
        }
        expected
    });
    assert_ne!(plain, with_muon);
}
