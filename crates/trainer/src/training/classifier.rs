//! One step: a batch to a loss, and a loss to gradients.

use burn::module::Module;
use burn::tensor::{Int, Tensor};
use burn::train::{ClassificationOutput, InferenceStep, TrainOutput, TrainStep};
use model::layers::cross_entropy;
use model::{Network, NetworkError};

/// A batch on a device.
#[derive(Debug, Clone)]
pub struct Batch {
    /// Normalised images, `[batch, 3, 32, 32]`.
    pub images: Tensor<4>,
    /// Classes, `[batch]`.
    pub targets: Tensor<1, Int>,
}

/// A network with its loss.
#[derive(Module, Debug)]
pub struct Classifier {
    /// The network.
    pub network: Network,
    label_smoothing: f64,
}

impl Classifier {
    /// `label_smoothing` is the probability spread over all classes, in `[0, 1)`.
    #[must_use]
    pub fn new(network: Network, label_smoothing: f64) -> Self {
        Self {
            network,
            label_smoothing,
        }
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
    let loss = cross_entropy(
        logits.clone(),
        batch.targets.clone(),
        label_smoothing as f32,
    );
    ClassificationOutput::new(loss, logits, batch.targets)
}

impl TrainStep for Classifier {
    type Input = Batch;
    type Output = ClassificationOutput;

    fn step(&self, batch: Batch) -> TrainOutput<ClassificationOutput> {
        let logits = self.network.forward(batch.images.clone());
        let output = classify(logits, batch, self.label_smoothing);
        TrainOutput::new(self, output.loss.backward(), output)
    }
}

impl InferenceStep for Classifier {
    type Input = Batch;
    type Output = ClassificationOutput;

    fn step(&self, batch: Batch) -> ClassificationOutput {
        self.folded()(batch)
    }
}
