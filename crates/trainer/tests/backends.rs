//! One network, one seed, the same batches: the losses of twenty steps agree on every backend.
#![allow(clippy::unwrap_used)]

use burn::module::Module;
use burn::tensor::{Device, Int, Tensor, TensorData};
use burn::train::TrainStep;
use cifar10::synthetic::{Part, generate};
use cifar10::{HostBatch, Loader, LoaderConfig};
use model::{Network, NetworkKind};
use trainer::device::{BackendName, DeviceChoice, DeviceName};
use trainer::recipe::OptimizerSpec;
use trainer::training::{Batch, Classifier, optimizer};

const STEPS: usize = 20;
const BATCH: usize = 32;
const LEARNING_RATE: f64 = 0.01;

fn losses(backend: BackendName, device: DeviceName) -> Vec<f32> {
    let device: Device = DeviceChoice {
        backend,
        device,
        threads: None,
        precision: Default::default(),
    }
    .open()
    .unwrap()
    .autodiff();
    let images = generate(Part::Train, STEPS * BATCH, 0);
    let epoch = Loader::all(images, LoaderConfig::training(BATCH, 0))
        .unwrap()
        .epoch(0);
    let sgd = OptimizerSpec::Sgd {
        lr: LEARNING_RATE,
        momentum: 0.9,
        nesterov: true,
        weight_decay: 5e-4,
        decay_norm_and_bias: false,
    };
    let network = Network::init(NetworkKind::SimpleCnn, 10, 0, &device).unwrap();
    let mut classifier = Classifier::new(network, 0.1).train();
    let mut optimizer = optimizer::optimizer(&sgd, &[], &classifier.network);
    let mut host = HostBatch::default();
    (0..STEPS)
        .map(|step| {
            epoch.batch(step, &mut host).unwrap();
            let labels: Vec<i32> = host.labels.iter().map(|&label| i32::from(label)).collect();
            let data = TensorData::new(host.images.clone(), [host.len(), 3, 32, 32]);
            let batch = Batch {
                images: Tensor::from_data(data, &device),
                targets: Tensor::<1, Int>::from_data(labels.as_slice(), &device),
                mixed: None,
            };
            let output = TrainStep::step(&classifier, batch);
            let loss = output.item.loss.into_scalar::<f32>();
            classifier = optimizer.step(LEARNING_RATE, classifier.clone(), output.grads);
            loss
        })
        .collect()
}

fn assert_close(ours: &[f32], theirs: &[f32]) {
    assert_eq!(ours.len(), theirs.len());
    // Training moves, so that equal losses are no matter of course.
    assert!(ours.first() != ours.last());
    for (step, (a, b)) in ours.iter().zip(theirs).enumerate() {
        assert!(
            (a - b).abs() <= 1e-4 * b.abs(),
            "step {}: {a} and {b}",
            step + 1
        );
    }
}

#[test]
fn twenty_losses_agree_on_ndarray_and_flex() {
    assert_close(
        &losses(BackendName::Ndarray, DeviceName::Default),
        &losses(BackendName::Flex, DeviceName::Default),
    );
}

#[cfg(feature = "wgpu")]
#[test]
fn twenty_losses_agree_on_ndarray_and_the_software_adapter() {
    assert_close(
        &losses(BackendName::Wgpu, DeviceName::Software),
        &losses(BackendName::Ndarray, DeviceName::Default),
    );
}
