//! What every network promises, on every backend that needs no adapter.
#![allow(deprecated, clippy::unwrap_used)]

use burn::backend::NdArray;
use burn::backend::ndarray::NdArrayDevice;
use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Device, Distribution, Int, Tensor, activation::log_softmax};
use model::{Network, NetworkError, NetworkKind};

const CLASSES: usize = 10;

#[derive(Default)]
struct Trainable {
    count: usize,
}

impl ModuleVisitor for Trainable {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if param.is_require_grad() {
            self.count += param.val().shape().num_elements();
        }
    }
}

fn build(kind: NetworkKind, device: &Device) -> Network {
    Network::init(kind, CLASSES, 7, device).unwrap()
}

fn images(batch: usize, device: &Device) -> Tensor<4> {
    let host = Device::flex();
    host.seed(3);
    let data = Tensor::<4>::random([batch, 3, 32, 32], Distribution::Normal(0.0, 1.0), &host);
    Tensor::from_data(data.into_data(), device)
}

/// Mean cross-entropy of a batch whose labels go round the classes.
fn loss(network: &Network, batch: usize, device: &Device) -> Tensor<1> {
    let labels: Vec<i32> = (0..batch as i32).map(|i| i % CLASSES as i32).collect();
    let labels = Tensor::<1, Int>::from_data(labels.as_slice(), device).reshape([batch, 1]);
    let logits = network.forward(images(batch, device)).unwrap();
    log_softmax(logits, 1).gather(1, labels).mean().neg()
}

#[test]
fn parameter_counts_are_the_published_ones() {
    for kind in NetworkKind::ALL {
        let mut trainable = Trainable::default();
        build(kind, &Device::ndarray().autodiff()).visit(&mut trainable);
        assert_eq!(trainable.count, kind.parameters(), "{}", kind.name());
    }
}

#[test]
fn a_wrong_shape_and_a_wrong_class_count_are_typed_errors() {
    let device = Device::ndarray();
    assert_eq!(
        Network::init(NetworkKind::SimpleCnn, 1, 0, &device).unwrap_err(),
        NetworkError::Classes { classes: 1 }
    );
    let narrow = Tensor::<4>::zeros([1, 3, 32, 31], &device);
    assert!(matches!(
        build(NetworkKind::SimpleCnn, &device).forward(narrow),
        Err(NetworkError::Shape { .. })
    ));
    assert!(NetworkKind::from_name("resnet21").is_err());
}

#[test]
fn the_typed_door_gives_the_same_network() {
    let device = NdArrayDevice::default();
    let typed = Network::init_on::<NdArray>(NetworkKind::SimpleCnn, CLASSES, 7, &device).unwrap();
    let plain = build(NetworkKind::SimpleCnn, &Device::ndarray());
    let x = images(2, &Device::ndarray());
    let (a, b) = (typed.forward(x.clone()).unwrap(), plain.forward(x).unwrap());
    a.into_data().assert_eq(&b.into_data(), true);
}

/// The kernels against Burn's own operations: the loss and one whole gradient step agree.
#[test]
fn ndarray_kernels_agree_with_default_bodies_on_flex() {
    for kind in [NetworkKind::SimpleCnn, NetworkKind::ResNet20] {
        let results = [Device::ndarray(), Device::flex()].map(|device| {
            let device = device.autodiff();
            let network = build(kind, &device);
            let loss = loss(&network, 4, &device);
            let value = loss.clone().into_scalar::<f32>();
            let mut norms = GradientNorms {
                grads: loss.backward(),
                norms: Vec::new(),
            };
            network.visit(&mut norms);
            (value, norms.norms)
        });
        let [(a, grads_a), (b, grads_b)] = results;
        assert!((a - b).abs() <= 1e-4 * b.abs(), "{}: {a} {b}", kind.name());
        assert_eq!(grads_a.len(), grads_b.len());
        assert!(!grads_a.is_empty());
        for (x, y) in grads_a.iter().zip(&grads_b) {
            assert!(
                (x - y).abs() <= 2e-3 * y.abs() + 1e-6,
                "{}: {x} {y}",
                kind.name()
            );
        }
    }
}

struct GradientNorms {
    grads: burn::tensor::Gradients,
    norms: Vec<f32>,
}

impl ModuleVisitor for GradientNorms {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(grad) = param.val().grad(&self.grads) {
            self.norms
                .push(grad.powf_scalar(2.0).sum().sqrt().into_scalar::<f32>());
        }
    }
}
