//! What every network promises, on every backend that needs no adapter.
#![allow(deprecated, clippy::unwrap_used)]

use burn::backend::NdArray;
use burn::backend::ndarray::NdArrayDevice;
use burn::module::{Module, ModuleVisitor, Param, ParamId};
use burn::tensor::{Device, Distribution, Tensor};
use model::layers::Conv2d;
use model::random::WeightSource;
use model::{Network, NetworkError, NetworkKind, Role};

const CLASSES: usize = 10;

#[derive(Default)]
struct Trainable {
    count: usize,
    ids: Vec<ParamId>,
}

impl ModuleVisitor for Trainable {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if param.is_require_grad() {
            self.count += param.val().shape().num_elements();
            self.ids.push(param.id);
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
        let biases = graph.parameters.iter().filter(|p| p.name.ends_with("bias"));
        let channels: usize = biases.map(|p| p.values.dims()[0]).sum();
        let expected = match kind {
            NetworkKind::SimpleCnn => kind.parameters(),
            // A folded normalisation has a bias in place of a scale and a shift of each channel.
            NetworkKind::ResNet20 | NetworkKind::ResNet18 => {
                kind.parameters() - (channels - CLASSES)
            }
            // As above, and the head gets biases of 0.
            NetworkKind::ResNet9 => kind.parameters() - (channels - CLASSES) + CLASSES,
            // Seven convolutions without a normalisation after them, the stem among them, and three
            // projections get biases of 0; six normalisations have a bias in place of scale and shift.
            NetworkKind::Wrn16x4 => kind.parameters() + 16 + 896 + 448 - 896,
            // The filters of the first layer do not train, and the head gets biases of 0.
            _ => kind.parameters() + 24 * 3 * 2 * 2 + CLASSES,
        };
        assert_eq!(total, expected, "{}", kind.name());
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

/// The airbench networks.
const AIRBENCH: [NetworkKind; 4] = [
    NetworkKind::AirbenchNarrow,
    NetworkKind::Airbench94,
    NetworkKind::Airbench95,
    NetworkKind::Airbench96,
];

#[test]
fn every_trainable_parameter_has_a_role_that_trains() {
    for kind in NetworkKind::ALL {
        let network = build(kind, &Device::ndarray().autodiff());
        let mut trainable = Trainable::default();
        network.visit(&mut trainable);
        let roles = network.roles();
        let mut frozen = roles
            .iter()
            .filter(|parameter| parameter.role == Role::Frozen);
        assert_eq!(frozen.next().is_some(), AIRBENCH.contains(&kind));
        let ids = trainable.ids;
        let training = roles
            .iter()
            .filter(|parameter| parameter.role != Role::Frozen);
        assert_eq!(
            training.map(|p| p.id).collect::<Vec<_>>(),
            ids,
            "{}",
            kind.name()
        );
        let of = |role| {
            roles
                .iter()
                .filter(|parameter| parameter.role == role)
                .count()
        };
        assert_eq!(of(Role::Head), 1, "{}", kind.name());
    }
}

#[test]
fn parameters_are_named_as_in_pytorch_and_known_by_what_they_are_for() {
    let network = build(NetworkKind::Airbench96, &Device::ndarray());
    let roles = network.roles();
    let found = |path: &str| {
        let parameter = roles.iter().find(|parameter| parameter.path == path);
        parameter.map(|parameter| parameter.role)
    };
    assert_eq!(found("whiten.weight"), Some(Role::Frozen));
    assert_eq!(found("whiten.bias"), Some(Role::WhiteningBias));
    assert_eq!(found("groups.0.conv1.weight"), Some(Role::Filter));
    assert_eq!(found("groups.2.norm3.weight"), Some(Role::Frozen));
    assert_eq!(found("groups.2.norm3.bias"), Some(Role::NormShift));
    assert_eq!(found("head.weight"), Some(Role::Head));
    assert_eq!(roles.len(), 2 + 3 * 9 + 1);
    let roles = build(NetworkKind::ResNet20, &Device::ndarray()).roles();
    let found = |path: &str| {
        let parameter = roles.iter().find(|parameter| parameter.path == path);
        parameter.map(|parameter| parameter.role)
    };
    assert_eq!(found("stages.1.0.shortcut.1.weight"), Some(Role::NormScale));
    assert_eq!(found("stages.1.0.shortcut.0.weight"), Some(Role::Filter));
    assert_eq!(found("bn1.bias"), Some(Role::NormShift));
    assert_eq!(found("fc.bias"), Some(Role::Bias));
    let roles = build(NetworkKind::Wrn16x4, &Device::ndarray()).roles();
    let found = |path: &str| {
        let parameter = roles.iter().find(|parameter| parameter.path == path);
        parameter.map(|parameter| parameter.role)
    };
    assert_eq!(found("groups.1.0.shortcut.weight"), Some(Role::Filter));
    assert_eq!(found("groups.1.0.bn1.weight"), Some(Role::NormScale));
    assert_eq!(found("bn.bias"), Some(Role::NormShift));
    assert_eq!(found("fc.weight"), Some(Role::Head));
    let roles = build(NetworkKind::ResNet9, &Device::ndarray()).roles();
    let found = |path: &str| {
        let parameter = roles.iter().find(|parameter| parameter.path == path);
        parameter.map(|parameter| parameter.role)
    };
    assert_eq!(found("residual3.1.conv.weight"), Some(Role::Filter));
    assert_eq!(found("prep.bn.bias"), Some(Role::NormShift));
    assert_eq!(found("head.weight"), Some(Role::Head));
}

#[test]
fn a_whitened_network_trains_on_without_its_filters_and_in_the_end_without_their_bias() {
    let device = Device::ndarray().autodiff();
    let images = images(4, &device);
    let values: Vec<f32> = images.clone().into_data().iter().collect();
    let plain = build(NetworkKind::Airbench94, &device);
    assert!(plain.whitens());
    let network = plain.clone().whitened(&values);
    let a = network.forward(images.clone()).unwrap();
    let b = plain.forward(images.clone()).unwrap();
    assert!((a.clone() - b).abs().max().into_scalar::<f32>() > 1e-3);
    let count = |network: &Network| {
        let mut trainable = Trainable::default();
        network.visit(&mut trainable);
        trainable.count
    };
    assert_eq!(count(&network), NetworkKind::Airbench94.parameters());
    let fixed = network.clone().train_whitening_bias(false);
    assert_eq!(count(&fixed), NetworkKind::Airbench94.parameters() - 24);
    let gradients = |network: &Network| {
        let loss = network.forward(images.clone()).unwrap();
        let loss = loss.clone() * loss;
        let mut found = WithGradient {
            gradients: &loss.sum().backward(),
            names: Vec::new(),
        };
        network.visit(&mut found);
        found.names.len()
    };
    assert_eq!(gradients(&network), 1 + 3 * 4 + 1);
    assert_eq!(gradients(&fixed), 3 * 4 + 1);
    let again = fixed.train_whitening_bias(true);
    assert_eq!(gradients(&again), 1 + 3 * 4 + 1);
}

struct WithGradient<'a> {
    gradients: &'a burn::tensor::Gradients,
    names: Vec<u64>,
}

impl ModuleVisitor for WithGradient<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if param.val().grad(self.gradients).is_some() {
            self.names.push(param.id.val());
        }
    }
}

#[test]
fn identity_filters_pass_their_channels_through() {
    let device = &Device::ndarray();
    let conv = Conv2d::identity(&mut WeightSource::new(3, device), [5, 2, 3]);
    let mut filters = Filters::default();
    conv.visit(&mut filters);
    let filters = filters.0;
    assert_eq!(filters.len(), 5 * 2 * 9);
    for (index, value) in filters.iter().enumerate() {
        let (filter, channel, tap) = (index / 18, index / 9 % 2, index % 9);
        if filter < 2 {
            let expected = f32::from(u8::from(filter == channel && tap == 4));
            assert_eq!(
                *value, expected,
                "filter {filter}, channel {channel}, tap {tap}"
            );
        } else {
            assert!(value.abs() <= 1.0 / 18.0_f32.sqrt());
        }
    }
    assert!(filters[36..].iter().any(|value| value.abs() > 0.1));
}

#[derive(Default)]
struct Filters(Vec<f32>);

impl ModuleVisitor for Filters {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.0.extend(param.val().into_data().iter::<f32>());
    }
}

#[test]
fn in_inference_the_running_statistics_normalise() {
    // A batch that is seen again and again makes the running statistics its own.
    let device = Device::ndarray().autodiff();
    for kind in AIRBENCH
        .into_iter()
        .chain([NetworkKind::ResNet9, NetworkKind::Wrn16x4])
    {
        let network = build(kind, &device);
        let images = images(6, &device);
        let mut logits = network.forward(images.clone()).unwrap();
        for _ in 0..60 {
            logits = network.forward(images.clone()).unwrap();
        }
        let folded = network.valid().folded();
        let inferred = folded.forward(images.inner()).unwrap();
        let difference = (logits.inner() - inferred.clone()).abs().max();
        let scale = inferred.abs().max().into_scalar::<f32>();
        // The running variance is the unbiased one: the last group has 6 images of 3 by 3 pixels.
        let difference = difference.into_scalar::<f32>();
        assert!(
            difference < 0.1 * scale,
            "{}: {difference} of {scale}",
            kind.name()
        );
        assert!(difference > 0.0, "{}", kind.name());
    }
}
