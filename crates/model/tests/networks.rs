//! What every network promises, on every backend that needs no adapter.
#![allow(deprecated, clippy::unwrap_used)]

use burn::backend::NdArray;
use burn::backend::ndarray::NdArrayDevice;
use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Device, Distribution, Tensor};
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

#[test]
fn a_graph_holds_every_parameter_and_takes_values_only_after_they_are_given() {
    for kind in NetworkKind::ALL {
        let graph = build(kind, &Device::ndarray()).folded().graph();
        let sizes = graph
            .parameters
            .iter()
            .map(|p| p.shape.iter().product::<usize>());
        let total: usize = sizes.sum();
        // A folded normalisation has a bias in place of a scale and a shift of each channel.
        let folded = graph.parameters.iter().filter(|p| p.name.ends_with("bias"));
        let channels: usize = folded.map(|p| p.values.dims()[0]).sum();
        let normalised = if kind == NetworkKind::SimpleCnn {
            0
        } else {
            channels - CLASSES
        };
        assert_eq!(total + normalised, kind.parameters(), "{}", kind.name());
        let mut known: Vec<String> = graph.parameters.iter().map(|p| p.name.clone()).collect();
        known.push(model::inference::Graph::INPUT.to_owned());
        for node in &graph.nodes {
            assert!(
                node.inputs.iter().all(|input| known.contains(input)),
                "{node:?}"
            );
            assert!(!known.contains(&node.output), "{node:?}");
            known.push(node.output.clone());
        }
        assert_eq!(known.last(), Some(&graph.output));
    }
}
