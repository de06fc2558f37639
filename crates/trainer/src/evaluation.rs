//! A network's answers on a set of images.

use burn::tensor::activation::softmax;
use burn::tensor::{Device, Int, Tensor, TensorData};
use cifar10::Loader;
use indicatif::ProgressBar;
use model::{FoldedNetwork, IMAGE_CHANNELS, IMAGE_SIZE, Network, NetworkError};

use crate::batches::Batches;
use crate::progress::{self, Verbosity};
use crate::recipe::Tta;
use crate::run::{CLASSES, Prediction};

/// Images could not be classified.
#[derive(Debug, thiserror::Error)]
pub enum EvaluationError {
    /// A batch could not be had.
    #[error(transparent)]
    Data(#[from] cifar10::Error),
    /// The network does not take these images.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// The caller wanted no more of it.
    #[error("interrupted")]
    Interrupted,
    /// The device failed while computing.
    #[error("the device failed: {0}")]
    Device(String),
}

impl EvaluationError {
    fn device(reason: impl std::fmt::Debug) -> Self {
        Self::Device(format!("{reason:?}"))
    }
}

/// The probabilities that `network`, on a device without autodiff, gives every image of `loader`. With
/// test-time augmentation they are those of the mean of the views' logits. A bar shows how far it is, and
/// `stop` is asked before each batch.
///
/// # Errors
/// [`EvaluationError`] where a batch or the device fails, or `stop` says so.
pub fn predict(
    network: &Network,
    loader: &Loader,
    device: &Device,
    tta: Tta,
    verbosity: Verbosity,
    stop: &dyn Fn() -> bool,
) -> Result<Vec<Prediction>, EvaluationError> {
    let bar = progress::bar(verbosity, loader.len() as u64, "images classified");
    let predictions = predict_beside(network, loader, device, tta, &bar, stop);
    bar.finish_and_clear();
    predictions
}

/// As [`predict`], for one set of images of several: a `bar` of the caller's moves on by each image.
///
/// # Errors
/// As [`predict`].
pub fn predict_beside(
    network: &Network,
    loader: &Loader,
    device: &Device,
    tta: Tta,
    bar: &ProgressBar,
    stop: &dyn Fn() -> bool,
) -> Result<Vec<Prediction>, EvaluationError> {
    let network = network.folded();
    let mirrored = |images: Tensor<4>| -> Result<Tensor<2>, NetworkError> {
        let mirror = network.forward(images.clone().flip([3]))?;
        Ok((network.forward(images)? + mirror).mul_scalar(0.5))
    };
    predict_by(loader, device, bar, stop, |images| {
        let logits = match tta {
            Tta::None => network.forward(images)?,
            Tta::Flip => mirrored(images)?,
            Tta::FlipTranslate => {
                let shifted =
                    mirrored(shifted(images.clone(), -1))? + mirrored(shifted(images.clone(), 1))?;
                mirrored(images)?.mul_scalar(0.5) + shifted.mul_scalar(0.25)
            }
        };
        Ok(softmax(logits, 1))
    })
}

/// The window of `images` that lies `by` pixels right and below, over their own reflection.
fn shifted(images: Tensor<4>, by: i32) -> Tensor<4> {
    let [_, _, size, _] = images.dims();
    let last = size as i32 - 1;
    let reflected = |place: i32| last - (last - place.abs()).abs();
    let places: Vec<i32> = (0..=last).map(|place| reflected(place + by)).collect();
    let places = Tensor::<1, Int>::from_data(places.as_slice(), &images.device());
    images.select(2, places.clone()).select(3, places)
}

/// Fills predictions from `probabilities`, which takes `[batch, 3, 32, 32]` to `[batch, classes]`.
fn predict_by(
    loader: &Loader,
    device: &Device,
    bar: &ProgressBar,
    stop: &dyn Fn() -> bool,
    probabilities: impl Fn(Tensor<4>) -> Result<Tensor<2>, NetworkError>,
) -> Result<Vec<Prediction>, EvaluationError> {
    let mut batches = Batches::new(loader.clone(), device.clone()).epoch(0, 0)?;
    let labels = loader.images().labels();
    let epoch = loader.epoch(0);
    let mut shown = epoch
        .order()
        .iter()
        .filter_map(|&index| Some((index, *labels.get(index)?)));
    let mut predictions = Vec::with_capacity(loader.len());
    for step in 0..loader.steps() {
        if stop() {
            return Err(EvaluationError::Interrupted);
        }
        let values = rows(probabilities(batches.batch(step)?.images)?)?;
        bar.inc(values.len() as u64);
        for (probabilities, (index, label)) in values.into_iter().zip(shown.by_ref()) {
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
/// [`EvaluationError`] where they are no whole images, or the device fails.
pub fn classify(
    network: &FoldedNetwork,
    images: Vec<f32>,
    device: &Device,
) -> Result<Vec<[f32; CLASSES]>, EvaluationError> {
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
fn rows(probabilities: Tensor<2>) -> Result<Vec<[f32; CLASSES]>, EvaluationError> {
    let values =
        (probabilities.into_data().try_to_vec::<f32>()).map_err(EvaluationError::device)?;
    Ok(values.as_chunks::<CLASSES>().0.to_vec())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_shifted_image_is_a_window_over_its_reflection() {
        #[allow(deprecated)]
        let device = Device::ndarray();
        let values: Vec<f32> = (0..16).map(|value| value as f32).collect();
        let image = Tensor::<4>::from_data(TensorData::new(values, [1, 1, 4, 4]), &device);
        let rows = |by| {
            shifted(image.clone(), by)
                .into_data()
                .try_to_vec::<f32>()
                .unwrap()
        };
        assert_eq!(rows(-1)[..8], [5.0, 4.0, 5.0, 6.0, 1.0, 0.0, 1.0, 2.0]);
        assert_eq!(
            rows(1)[8..],
            [13.0, 14.0, 15.0, 14.0, 9.0, 10.0, 11.0, 10.0]
        );
    }
}
