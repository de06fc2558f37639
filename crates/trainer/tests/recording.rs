//! Steps of a GPU: those that it is asked for again as they were recorded, and those in half precision.
#![cfg(feature = "wgpu")]
#![allow(clippy::unwrap_used)]

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::Tensor;
use burn_train::TrainStep;
use model::{Network, NetworkKind};
use trainer::device::{BackendName, DeviceChoice, DeviceName, Precision};
use trainer::recipe::{LossSpec, OptimizerSpec, Reduction};
use trainer::training::{Batch, Classifier, Recorder, gradient, optimizer, weights};

const LEARNING_RATE: f64 = 0.01;

/// Makes the weights of linear layers a thousand times as large, and so the gradients behind them.
struct LargeHead;

impl ModuleMapper for LargeHead {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let factor = if D == 2 { 1e3 } else { 1.0 };
        param.map(|tensor| tensor.mul_scalar(factor))
    }
}

/// From the fourth batch on a recording computes them, but the one of another size; losses, weights and running
/// statistics have the same bits.
#[test]
fn a_recording_computes_what_it_recorded() {
    let choice = DeviceChoice {
        backend: BackendName::Wgpu,
        device: DeviceName::Software,
        threads: None,
        precision: Precision::Fast,
        token_file: None,
    };
    let device = choice.open().unwrap().autodiff();
    let sgd = OptimizerSpec::Sgd {
        lr: LEARNING_RATE,
        momentum: 0.9,
        nesterov: true,
        weight_decay: 5e-4,
        decay_norm_and_bias: false,
    };
    let train = |kind, precision, records: bool| {
        let network = Network::init(kind, 10, 0, &device).unwrap();
        let mut classifier = Classifier::new(network, 0.1).computing(precision).train();
        let mut optimizer = optimizer::optimizer(&sgd, &[], &classifier.network);
        let mut recorder = Recorder::always();
        let mut recorded = 0;
        let mut losses = Vec::new();
        for step in 0..8 {
            let images = if step == 5 { 3 } else { 4 };
            let (images, targets) = model::check::networks::batch(images, step, &device);
            let batch = Batch {
                images,
                targets,
                mixed: None,
            };
            let output = if records {
                recorder.step(&classifier, &batch)
            } else {
                TrainStep::step(&classifier, batch)
            };
            recorded += usize::from(recorder.records());
            let said = recorder.news().unwrap_or_default();
            assert!(!said.contains("not recorded"), "{said}");
            losses.push(output.item.loss);
            let lr = LEARNING_RATE.into();
            classifier = classifier.optimize(&mut optimizer, lr, output.grads);
        }
        // Read at the end: the figures of a step are not those of a later one.
        let losses: Vec<f32> = losses.into_iter().map(Tensor::into_scalar).collect();
        let weights = weights::to_safetensors(&classifier.valid().network, std::iter::empty());
        (losses, weights.unwrap(), recorded)
    };
    for (kind, precision) in [
        (NetworkKind::SimpleCnn, Precision::Fast),
        (NetworkKind::ResNet20, Precision::Fast),
        (NetworkKind::ResNet20, Precision::Half),
    ] {
        let plain = train(kind, precision, false);
        let recorded = train(kind, precision, true);
        assert_eq!((plain.2, recorded.2), (0, 5), "{kind:?}");
        assert_eq!(plain.0, recorded.0, "{kind:?}");
        assert!(plain.1 == recorded.1, "{kind:?}: other weights");
    }

    // A sum over eight images has gradients eight times those of the mean, which a power of two is exact for: half
    // precision has room for them where they are large.
    let gradients = |reduction| {
        let network = Network::init(NetworkKind::ResNet20, 10, 0, &device.clone().inner()).unwrap();
        let loss = LossSpec {
            label_smoothing: 0.1,
            reduction,
        };
        let classifier = Classifier::with_loss(network, loss)
            .computing(Precision::Half)
            .map(&mut LargeHead)
            .train();
        let (images, targets) = model::check::networks::batch(8, 1, &device);
        let batch = Batch {
            images,
            targets,
            mixed: None,
        };
        let output = TrainStep::step(&classifier, batch);
        gradient::norm(&classifier, &output.grads).unwrap()
    };
    let [mean, sum] = [Reduction::Mean, Reduction::Sum].map(gradients);
    // Burn adds the squares of a tensor in no fixed order.
    assert!(
        mean > 0.0 && (8.0 * mean - sum).abs() < 1e-6 * sum,
        "{mean} {sum}"
    );
}
