//! Twenty steps of a training, whose losses a wrong step would send elsewhere.

use std::time::Instant;

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use burn_train::TrainStep;
use model::check::{CheckError, Errors, networks};
use model::{Network, NetworkKind};

use super::Measured;
use crate::device::Precision;
use crate::recipe::OptimizerSpec;
use crate::training::{Batch, Classifier, Recorder, optimizer};

/// The name of the subject.
pub(super) const NAME: &str = "training";
/// Steps of the training.
pub const STEPS: usize = 20;
/// Losses agree to a ten-thousandth of their value.
pub(super) const BOUNDS: Errors = Errors {
    value: 1e-4,
    gradient: 0.0,
};
/// The same with images in half precision.
pub(super) const BOUNDS_OF_HALF: Errors = Errors {
    value: 1e-2,
    gradient: 0.0,
};
const NETWORK: NetworkKind = NetworkKind::SimpleCnn;
const BATCH: usize = 16;
const SEED: u64 = 1;
const LEARNING_RATE: f64 = 0.1;
const MOMENTUM: f64 = 0.9;

/// How far the losses of a training on `device` are from those of the host in double precision.
pub(super) fn check(precision: Precision, device: &Device) -> Result<Measured, CheckError> {
    let device = device.clone().autodiff();
    let network = networks::network(NETWORK, &device)?;
    let parameters = networks::parameters(&network)?;
    let expected = networks::expected_losses(
        NETWORK,
        parameters,
        (STEPS, BATCH, SEED),
        [LEARNING_RATE, MOMENTUM],
    )?;
    let start = Instant::now();
    let found = losses(network, LEARNING_RATE, precision, &device)?;
    let seconds = start.elapsed().as_secs_f64();
    let (value, step) = farthest(&found, &expected);
    Ok(Measured {
        errors: Errors {
            value,
            gradient: 0.0,
        },
        seconds,
        remark: format!("the loss of step {step} of {STEPS} of {}", NETWORK.name()),
    })
}

/// The losses of a training on a device with autodiff, in steps as a run has them.
fn losses(
    network: Network,
    lr: f64,
    precision: Precision,
    device: &Device,
) -> Result<Vec<f64>, CheckError> {
    let (images, targets) = networks::batch(BATCH, SEED, device);
    let batch = Batch {
        images,
        targets,
        mixed: None,
    };
    let sgd = OptimizerSpec::Sgd {
        lr,
        momentum: MOMENTUM,
        nesterov: false,
        weight_decay: 0.0,
        decay_norm_and_bias: true,
    };
    let mut classifier = Classifier::new(network, 0.0).computing(precision).train();
    let mut optimizer = optimizer::optimizer(&sgd, &[], &classifier.network);
    // The first ones are asked for one by one, the rest as a training on a fast device has them.
    let mut recorder = Recorder::always();
    let mut losses = Vec::with_capacity(STEPS);
    for _ in 0..STEPS {
        let output = recorder.step(&classifier, &batch);
        losses.push(output.item.loss);
        classifier = classifier.optimize(&mut optimizer, lr.into(), output.grads);
    }
    let read = |loss: Tensor<1>| {
        loss.try_into_scalar::<f64>()
            .map_err(|error| CheckError::Read(error.to_string()))
    };
    losses.into_iter().map(read).collect()
}

/// The largest difference over the expected loss, and its step from 1; infinite where a loss is no
/// number.
fn farthest(found: &[f64], expected: &[f64]) -> (f64, usize) {
    let mut farthest = (0.0, 0);
    for (step, (loss, expected)) in found.iter().zip(expected).enumerate() {
        let error = ((loss - expected) / expected).abs();
        let error = if error.is_nan() { f64::INFINITY } else { error };
        if error > farthest.0 {
            farthest = (error, step + 1);
        }
    }
    farthest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_learning_rate_is_beyond_the_bound_and_the_losses_fall() {
        let device = Device::flex().autodiff();
        let network = || networks::network(NETWORK, &device).unwrap();
        let right = losses(network(), LEARNING_RATE, Precision::Fast, &device).unwrap();
        assert!(right[STEPS - 1] < 0.9 * right[0], "{right:?}");
        let wrong = losses(network(), 1.01 * LEARNING_RATE, Precision::Fast, &device).unwrap();
        assert!(farthest(&wrong, &right).0 > BOUNDS.value);
        assert!(
            check(Precision::Fast, &device.inner())
                .unwrap()
                .errors
                .are_within(BOUNDS)
        );
        assert_eq!(farthest(&[1.0, f64::NAN], &[1.0, 1.0]), (f64::INFINITY, 2));
    }
}
