//! A network's answers on a set of images.

use burn::tensor::activation::softmax;
use burn::tensor::{Device, Tensor, TensorData};
use cifar10::{HostBatch, Loader};
use model::Network;

use crate::run::{CLASSES, Prediction};
use crate::training::TrainError;

/// The probabilities that `network`, on a device without autodiff, gives every image of `loader`.
///
/// # Errors
/// [`TrainError`] where a batch or the device fails.
pub fn predict(
    network: &Network,
    loader: &Loader,
    device: &Device,
) -> Result<Vec<Prediction>, TrainError> {
    let epoch = loader.epoch(0);
    let mut batch = HostBatch::default();
    let mut predictions = Vec::with_capacity(loader.len());
    for step in 0..epoch.steps() {
        epoch.batch(step, &mut batch)?;
        let images = TensorData::new(batch.images.clone(), [batch.len(), 3, 32, 32]);
        let logits = network.forward(Tensor::from_data(images, device))?;
        let probabilities = softmax(logits, 1)
            .into_data()
            .try_to_vec::<f32>()
            .map_err(|error| TrainError::Device(format!("{error:?}")))?;
        for (row, (&index, &label)) in probabilities
            .chunks_exact(CLASSES)
            .zip(batch.indices.iter().zip(&batch.labels))
        {
            let mut prediction = Prediction {
                index,
                label,
                probabilities: [0.0; CLASSES],
            };
            prediction.probabilities.copy_from_slice(row);
            predictions.push(prediction);
        }
    }
    Ok(predictions)
}

/// The share of images whose class the network finds, from 0 to 1.
#[must_use]
pub fn accuracy(predictions: &[Prediction]) -> f64 {
    let hits = predictions
        .iter()
        .filter(|prediction| prediction.class() == usize::from(prediction.label))
        .count();
    hits as f64 / predictions.len().max(1) as f64
}
