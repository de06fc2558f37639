//! One step: a batch to a loss, and a loss to gradients.

use burn::lr_scheduler::module_lr_scheduler::ModuleLearningRate;
use burn::module::Module;
use burn::optim::{GradientsParams, ModuleOptimizer};
use burn::tensor::activation::log_softmax;
use burn::tensor::{Int, Tensor};
use burn_train::{ClassificationOutput, InferenceStep, TrainOutput, TrainStep};
use model::backend::together;
use model::layers::{cross_entropy, in_half_precision};
use model::{Network, NetworkError};

use super::checkpoint::instead_of_training;
use super::gradient;
use crate::batches::{Batch, Mixed};
use crate::device::Precision;
use crate::recipe::{LossSpec, Reduction};

/// A network with its loss.
#[derive(Module, Debug)]
pub struct Classifier {
    /// The network.
    pub network: Network,
    label_smoothing: f64,
    sums: bool,
    in_half: bool,
}

impl Classifier {
    /// `label_smoothing` is the probability spread over all classes, in `[0, 1)`. The mean loss of a
    /// batch is minimised.
    #[must_use]
    pub fn new(network: Network, label_smoothing: f64) -> Self {
        Self {
            network,
            label_smoothing,
            sums: false,
            in_half: false,
        }
    }

    /// The classifier with the loss that a recipe asks for.
    #[must_use]
    pub fn with_loss(network: Network, loss: LossSpec) -> Self {
        Self {
            network,
            label_smoothing: loss.label_smoothing,
            sums: loss.reduction == Reduction::Sum,
            in_half: false,
        }
    }

    /// The classifier with steps of this precision.
    #[must_use]
    pub fn computing(self, precision: Precision) -> Self {
        Self {
            in_half: precision == Precision::Half,
            ..self
        }
    }

    /// Whether gradients are those of the summed loss, and not of the mean.
    #[must_use]
    pub fn sums(&self) -> bool {
        self.sums
    }

    /// What classifies batches without a graph. It is made once for any number of batches, and asks
    /// for a classifier on a device without autodiff.
    pub fn folded(&self) -> impl Fn(Batch) -> ClassificationOutput + use<> {
        let (network, label_smoothing) = (self.network.folded(), self.label_smoothing);
        move |batch: Batch| {
            let logits = network.forward(batch.images.clone());
            classify(logits, batch, label_smoothing)
        }
    }
}

/// Mean cross-entropy on logits, with label smoothing (Szegedy et al., 2016).
fn classify(
    logits: Result<Tensor<2>, NetworkError>,
    batch: Batch,
    label_smoothing: f64,
) -> ClassificationOutput {
    // A batch comes from our own loader, which makes images of this one shape.
    #[allow(clippy::expect_used)]
    let logits = logits.expect("the loader makes images of 3x32x32");
    let loss = match batch.mixed {
        None => cross_entropy(
            logits.clone(),
            batch.targets.clone(),
            label_smoothing as f32,
        ),
        Some(mixed) => mixed_cross_entropy(
            logits.clone(),
            batch.targets.clone(),
            mixed,
            label_smoothing,
        ),
    };
    ClassificationOutput::new(loss, logits, batch.targets)
}

/// The mean of the cross-entropies against both targets by their shares, with label smoothing.
fn mixed_cross_entropy(
    logits: Tensor<2>,
    targets: Tensor<1, Int>,
    mixed: Mixed,
    label_smoothing: f64,
) -> Tensor<1> {
    let logarithms = log_softmax(logits, 1);
    let of = |targets: Tensor<1, Int>| -> Tensor<1> {
        let picked = logarithms.clone().gather(1, targets.unsqueeze_dim(1));
        picked.squeeze_dim(1)
    };
    let shares = mixed.shares;
    let rest = shares.clone().neg().add_scalar(1.0);
    let targets = of(targets) * shares + of(mixed.targets) * rest;
    let every = logarithms.clone().mean_dim(1).squeeze_dim(1);
    let kept = targets.mul_scalar(1.0 - label_smoothing);
    (kept + every.mul_scalar(label_smoothing)).mean().neg()
}

impl TrainStep for Classifier {
    type Input = Batch;
    type Output = ClassificationOutput;

    fn step(&self, batch: Batch) -> TrainOutput<ClassificationOutput> {
        let [count] = batch.targets.dims();
        let mut output = together(|| {
            let images = batch.images.clone();
            let logits = self.network.forward(if self.in_half {
                in_half_precision(images)
            } else {
                images
            });
            let output = classify(logits, batch, self.label_smoothing);
            let minimised = if self.sums && !self.in_half {
                output.loss.clone().mul_scalar(count as f64)
            } else {
                output.loss.clone()
            };
            TrainOutput::new(self, minimised.backward(), output)
        });
        // Half precision is scaled for gradients of a mean, and has no room for so many times as large ones.
        if self.sums && self.in_half {
            output.grads = gradient::scaled(self, output.grads, count as f64);
        }
        output
    }

    fn optimize(
        self,
        optimizer: &mut ModuleOptimizer,
        lr: ModuleLearningRate,
        gradients: GradientsParams,
    ) -> Self {
        if let Some(given) = instead_of_training(&self, optimizer) {
            return given;
        }
        together(|| optimizer.step(lr, self, gradients))
    }
}

impl InferenceStep for Classifier {
    type Input = Batch;
    type Output = ClassificationOutput;

    fn step(&self, batch: Batch) -> ClassificationOutput {
        self.folded()(batch)
    }
}
