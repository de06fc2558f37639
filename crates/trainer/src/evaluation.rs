//! A network's answers on a set of images.

use burn::tensor::activation::softmax;
use burn::tensor::{Device, Tensor, TensorData};
use cifar10::{HostBatch, Loader};
use model::{FoldedNetwork, IMAGE_CHANNELS, IMAGE_SIZE, Network, NetworkError};

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
    let network = network.folded();
    predict_by(loader, device, |images| {
        Ok(softmax(network.forward(images)?, 1))
    })
}

/// As [`predict`], the mean of the probabilities of each image and its mirror image.
///
/// # Errors
/// As [`predict`].
pub fn predict_with_mirror(
    network: &Network,
    loader: &Loader,
    device: &Device,
) -> Result<Vec<Prediction>, TrainError> {
    let network = network.folded();
    predict_by(loader, device, |images| {
        let mirrored = softmax(network.forward(images.clone().flip([3]))?, 1);
        let plain = softmax(network.forward(images)?, 1);
        Ok((plain + mirrored).mul_scalar(0.5))
    })
}

/// Fills predictions from `probabilities`, which takes `[batch, 3, 32, 32]` to `[batch, classes]`.
fn predict_by(
    loader: &Loader,
    device: &Device,
    probabilities: impl Fn(Tensor<4>) -> Result<Tensor<2>, NetworkError>,
) -> Result<Vec<Prediction>, TrainError> {
    let epoch = loader.epoch(0);
    let mut batch = HostBatch::default();
    let mut predictions = Vec::with_capacity(loader.len());
    for step in 0..epoch.steps() {
        epoch.batch(step, &mut batch)?;
        let images = TensorData::new(batch.images.clone(), [batch.len(), 3, 32, 32]);
        let values = rows(probabilities(Tensor::from_data(images, device))?)?;
        for (probabilities, (&index, &label)) in values
            .into_iter()
            .zip(batch.indices.iter().zip(&batch.labels))
        {
            predictions.push(Prediction {
                index,
                label,
                probabilities,
            });
        }
    }
    Ok(predictions)
}

/// The probabilities that `network` gives each of `images`, which are normalised, `[batch, 3, 32, 32]`
/// one after the other.
///
/// # Errors
/// [`TrainError`] where they are no whole images, or the device fails.
pub fn classify(
    network: &FoldedNetwork,
    images: Vec<f32>,
    device: &Device,
) -> Result<Vec<[f32; CLASSES]>, TrainError> {
    let shape = [IMAGE_CHANNELS, IMAGE_SIZE, IMAGE_SIZE];
    let batch = images.len() / shape.iter().product::<usize>();
    if batch == 0 {
        return Ok(Vec::new());
    }
    let [channels, height, width] = shape;
    let images = TensorData::new(images, [batch, channels, height, width]);
    rows(softmax(
        network.forward(Tensor::from_data(images, device))?,
        1,
    ))
}

/// Classes by their probability, the most probable first; of equal ones the first.
#[must_use]
pub fn ranked(probabilities: &[f32; CLASSES]) -> Vec<(usize, f32)> {
    let mut ranked: Vec<_> = probabilities.iter().copied().enumerate().collect();
    ranked.sort_by(|(_, a), (_, b)| b.total_cmp(a));
    ranked
}

/// The rows of `[batch, classes]`.
fn rows(probabilities: Tensor<2>) -> Result<Vec<[f32; CLASSES]>, TrainError> {
    let values = (probabilities.into_data().try_to_vec::<f32>()).map_err(TrainError::device)?;
    Ok(values.as_chunks::<CLASSES>().0.to_vec())
}

/// The share of images whose class the network finds, from 0 to 1.
#[must_use]
pub fn accuracy(predictions: &[Prediction]) -> f64 {
    let hits = predictions
        .iter()
        .filter(|prediction| prediction.is_right())
        .count();
    hits as f64 / predictions.len().max(1) as f64
}
