//! One batch over several devices, with the gradients brought together on the first.

use std::panic::resume_unwind;
use std::thread;

use burn::module::Module;
use burn::tensor::Device;
use burn_train::{ClassificationOutput, TrainOutput};

use super::gradient::{self, Sum};
use super::{Batch, Classifier, TrainError, TrainOptions};
use crate::check::trust;
use crate::device::{Computing, DeviceChoice};

/// The devices of a run.
pub struct Devices {
    /// The one that holds the network, without autodiff.
    pub first: Device,
    /// Those that compute with it.
    pub replicas: Replicas,
    /// The names of all of them, for records.
    pub names: String,
    /// How the first one computes.
    pub computing: Computing,
}

impl Devices {
    /// Opens the devices that `options` name, each of which must compute what it should. One that is named
    /// twice is opened once, since Burn opens none twice.
    ///
    /// # Errors
    /// [`TrainError`] where one cannot be had or computes wrongly, or where batches of `batch_size` images
    /// do not divide among them.
    pub fn open(options: &TrainOptions, batch_size: usize) -> Result<Self, TrainError> {
        let open = |choice: &DeviceChoice| {
            let device = choice.open()?;
            let trust = options.trust_device;
            trust::before_training(choice, &device, trust, options.verbosity)?;
            Ok::<_, TrainError>(device)
        };
        let first = open(&options.device)?;
        let mut names = options.device.describe(&first);
        let computing = options.device.computing(&first);
        let mut opened = vec![(&options.device, first.clone())];
        for choice in &options.others {
            let known = opened.iter().find(|(other, _)| *other == choice);
            let device = match known {
                Some((_, device)) => device.clone(),
                None => open(choice)?,
            };
            names.push_str(&format!(" + {}", choice.describe(&device)));
            opened.push((choice, device));
        }
        let others = opened.into_iter().skip(1).map(|(_, device)| device);
        let replicas = Replicas::new(others.collect());
        replicas.check(batch_size)?;
        Ok(Self {
            first,
            replicas,
            names,
            computing,
        })
    }
}

/// The devices that compute a batch with the one that holds the network, each with a copy of it.
///
/// A batch is cut by its shape alone, and parts are added in the order of the devices, so that the same
/// devices give the same sums, whichever is done first. The gradients are those of the whole batch but for
/// what normalisation does, which sees a part; the running statistics are the first device's.
#[derive(Debug, Clone, Default)]
pub struct Replicas {
    others: Vec<Device>,
}

impl Replicas {
    /// The devices beside the first one; none for a training on one device.
    #[must_use]
    pub fn new(others: Vec<Device>) -> Self {
        Self {
            others: others.into_iter().map(Device::autodiff).collect(),
        }
    }

    /// Refuses batches that do not divide among the devices. The last one of an epoch may be smaller all
    /// the same.
    ///
    /// # Errors
    /// [`TrainError::Indivisible`] with a batch that divides.
    pub fn check(&self, batch_size: usize) -> Result<(), TrainError> {
        let devices = self.count();
        if batch_size.is_multiple_of(devices) {
            return Ok(());
        }
        Err(TrainError::Indivisible {
            batch_size,
            devices,
        })
    }

    /// How many devices compute.
    #[must_use]
    pub fn count(&self) -> usize {
        1 + self.others.len()
    }

    /// The loss of a batch and its gradients, on the device of `classifier`. Each device computes an equal
    /// share, of which the last may be smaller where the batch does not divide, in `parts` one after
    /// the other.
    #[must_use]
    pub fn of_batch(
        &self,
        classifier: &Classifier,
        batch: &Batch,
        parts: usize,
    ) -> TrainOutput<ClassificationOutput> {
        let [images] = batch.targets.dims();
        let most = images.div_ceil(self.count());
        if self.others.is_empty() || most == images {
            return gradient::of_batch(classifier, batch, parts);
        }
        let first_device = batch.images.device();
        let mut sum = Sum::new(classifier, images);
        thread::scope(|scope| {
            let starts = (most..images).step_by(most);
            let running: Vec<_> = (self.others.iter().zip(starts))
                .map(|(device, start)| {
                    let part = batch.part(start, most.min(images - start)).on(device);
                    let replica = copy(classifier, device);
                    scope.spawn(move || gradient::of_batch(&replica, &part, parts))
                })
                .collect();
            sum.add(gradient::of_batch(classifier, &batch.part(0, most), parts));
            for part in running {
                // A panic goes on here, where the run's own guard turns it into an error.
                let part = part.join().unwrap_or_else(|panic| resume_unwind(panic));
                sum.add(moved(part, classifier, &first_device));
            }
        });
        sum.finish()
    }
}

/// A copy of the network on `device`, with running statistics of its own: clones of a network share them,
/// and moving one moves them all.
fn copy(classifier: &Classifier, device: &Device) -> Classifier {
    classifier.valid().train().fork(device)
}

/// What a replica computed, on the first device.
fn moved(
    part: TrainOutput<ClassificationOutput>,
    classifier: &Classifier,
    device: &Device,
) -> TrainOutput<ClassificationOutput> {
    let item = part.item;
    TrainOutput {
        grads: part.grads.to_device(&device.clone().inner(), classifier),
        item: ClassificationOutput::new(
            item.loss.detach().to_device(device),
            item.output.detach().to_device(device),
            item.targets.to_device(device),
        ),
    }
}

#[cfg(test)]
mod tests {
    #![allow(deprecated)]

    use burn::module::ModuleVisitor;
    use burn::module::Param;
    use burn::tensor::Tensor;
    use burn_train::TrainStep;
    use model::check::networks;
    use model::{Network, NetworkKind};

    use super::super::optimizer;
    use super::*;
    use crate::recipe::OptimizerSpec;

    const LR: f64 = 0.15;
    const SGD: OptimizerSpec = OptimizerSpec::Sgd {
        lr: LR,
        momentum: 0.9,
        nesterov: true,
        weight_decay: 5e-4,
        decay_norm_and_bias: true,
    };

    fn classifier(kind: NetworkKind, device: &Device) -> Classifier {
        let network = Network::init(kind, 10, 0, device).unwrap();
        Classifier::new(network, 0.1).train()
    }

    fn batch(size: usize, seed: u64, device: &Device) -> Batch {
        let (images, targets) = networks::batch(size, seed, device);
        Batch {
            images,
            targets,
            mixed: None,
        }
    }

    /// The losses of a training over the replicas.
    fn losses(device: &Device, replicas: &Replicas, parts: usize) -> Vec<f64> {
        let mut classifier = classifier(NetworkKind::SimpleCnn, device);
        let mut optimizer = optimizer::optimizer(&SGD, &[], &classifier.network);
        (0..20)
            .map(|step| {
                // Two batches, so that losses fall; the second leaves a smaller part at the end.
                let size = [24, 17][step % 2];
                let batch = batch(size, step as u64 % 2, device);
                let output = replicas.of_batch(&classifier, &batch, parts);
                assert_eq!(output.item.output.dims(), [size, 10]);
                classifier = classifier
                    .clone()
                    .optimize(&mut optimizer, LR.into(), output.grads);
                output.item.loss.into_scalar::<f64>()
            })
            .collect()
    }

    #[test]
    fn twenty_losses_over_two_or_three_devices_are_those_of_one() {
        for device in [Device::flex(), Device::ndarray()].map(Device::autodiff) {
            let one = losses(&device, &Replicas::default(), 1);
            assert!(one[18] < 0.97 * one[0], "{one:?}");
            for (others, parts) in [(1, 1), (2, 1), (1, 3)] {
                let replicas = Replicas::new(vec![device.clone(); others]);
                let several = losses(&device, &replicas, parts);
                for (a, b) in one.iter().zip(&several) {
                    assert!((a - b).abs() <= 1e-5 * a, "{one:?} {several:?}");
                }
                assert_eq!(several, losses(&device, &replicas, parts));
            }
        }
    }

    #[test]
    fn devices_of_two_backends_train_one_network() {
        let device = Device::ndarray().autodiff();
        let one = losses(&device, &Replicas::default(), 1);
        let both = losses(&device, &Replicas::new(vec![Device::flex()]), 1);
        for (a, b) in one.iter().zip(&both) {
            assert!((a - b).abs() <= 1e-5 * a, "{one:?} {both:?}");
        }
    }

    /// Everything that a network holds, its running statistics too.
    #[derive(Default)]
    struct Values(Vec<f32>);

    impl ModuleVisitor for Values {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            self.0.extend(param.val().into_data().iter::<f32>());
        }
    }

    fn values(classifier: &Classifier) -> Vec<f32> {
        let mut values = Values::default();
        classifier.valid().visit(&mut values);
        values.0
    }

    #[test]
    fn running_statistics_are_those_of_the_first_device() {
        let device = Device::flex().autodiff();
        let one = classifier(NetworkKind::ResNet20, &device);
        let two = classifier(NetworkKind::ResNet20, &device);
        let before = values(&one);
        let batch = batch(4, 0, &device);
        let half = TrainStep::step(&one, batch.part(0, 2));
        let whole = Replicas::new(vec![device]).of_batch(&two, &batch, 1);
        assert_ne!(values(&one), before);
        assert_eq!(values(&one), values(&two));
        assert_eq!(half.grads.len(), whole.grads.len());
    }
}
