//! How many kernels a training step asks of a GPU. Each costs the host some microseconds, and at small batches
//! the host is what a step waits for.
#![cfg(feature = "wgpu")]
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use burn::lr_scheduler::module_lr_scheduler::ModuleLearningRate;
use burn::module::Module;
use burn::tensor::Device;
use burn_train::TrainStep;
use cifar10::synthetic::{Part, generate};
use cifar10::{Loader, LoaderConfig};
use model::backend::launches;
use model::{Network, NetworkKind};
use trainer::device::{BackendName, DeviceChoice, DeviceName};
use trainer::recipe::{GroupSpec, OptimizerSpec, Role};
use trainer::training::{Batches, Classifier, optimizer};

const BATCH: usize = 128;

const SGD: OptimizerSpec = OptimizerSpec::Sgd {
    lr: 0.1,
    momentum: 0.9,
    nesterov: true,
    weight_decay: 5e-4,
    decay_norm_and_bias: false,
};
const ADAMW: OptimizerSpec = OptimizerSpec::AdamW {
    lr: 0.001,
    beta1: 0.9,
    beta2: 0.999,
    epsilon: 1e-8,
    weight_decay: 0.01,
    decay_norm_and_bias: false,
};

/// Filters that follow Muon with the settings of the recipe `speedrun-94`.
const MUON: GroupSpec = GroupSpec {
    role: Role::Filters,
    optimizer: OptimizerSpec::Muon {
        lr: 0.24,
        momentum: 0.6,
        nesterov: true,
        weight_decay: 0.0,
        newton_schulz_steps: 3,
        rescale: true,
    },
    epochs: None,
    own_schedule: false,
};

/// The kernels of a step of the batch's making, forward, backward and the optimiser.
fn of_a_step(
    kind: NetworkKind,
    spec: &OptimizerSpec,
    groups: &[GroupSpec],
    device: &Device,
) -> BTreeMap<String, usize> {
    let network = Network::init(kind, 10, 0, device).unwrap();
    let mut classifier = Classifier::new(network, 0.1).train();
    let mut optimizer = optimizer::optimizer(spec, groups, &classifier.network);
    let images = generate(Part::Train, 3 * BATCH, 0);
    let loader = Loader::all(images, LoaderConfig::training(BATCH, 0)).unwrap();
    let mut batches = Batches::new(loader, device.clone()).epoch(0, 0).unwrap();
    let mut step = |step| {
        let output = TrainStep::step(&classifier, batches.batch(step).unwrap());
        let lr = ModuleLearningRate::from(0.1);
        classifier = (classifier.clone()).optimize(&mut optimizer, lr, output.grads);
    };
    // The first step makes velocities or means too.
    let first = launches(|| step(0));
    let second = launches(|| step(1));
    assert!(first.values().sum::<usize>() > second.values().sum());
    assert_eq!(second, launches(|| step(2)));
    second
}

/// The bounds are those of docs/speed.md, a row for each network.
#[test]
fn a_step_asks_for_no_more_kernels_than_documented() {
    let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/speed.md");
    let document = fs::read_to_string(document).unwrap();
    let software = DeviceChoice {
        backend: BackendName::Wgpu,
        device: DeviceName::Software,
        threads: None,
        precision: Default::default(),
        token_file: None,
    };
    let device = software.open().unwrap().autodiff();
    for (name, kind, spec, groups) in [
        ("simple_cnn", NetworkKind::SimpleCnn, SGD, &[][..]),
        ("resnet20", NetworkKind::ResNet20, SGD, &[]),
        ("resnet20 with AdamW", NetworkKind::ResNet20, ADAMW, &[]),
        ("airbench94", NetworkKind::Airbench94, SGD, &[]),
        (
            "airbench94 with Muon",
            NetworkKind::Airbench94,
            SGD,
            &[MUON],
        ),
    ] {
        let kernels = of_a_step(kind, &spec, groups, &device);
        let count = kernels.values().sum::<usize>();
        println!("{name}: {count}, {kernels:?}");
        let row = document.lines().find_map(|line| {
            let cells: Vec<_> = line.split('|').map(str::trim).collect();
            match cells[..] {
                [_, network, most, _] if network == name => most.parse::<usize>().ok(),
                _ => None,
            }
        });
        let most = row.unwrap_or(0);
        assert!(count <= most, "{name}: {count}, {most} by docs/speed.md");
    }
}
