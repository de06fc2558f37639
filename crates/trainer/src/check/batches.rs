//! Batches as a training has them, which a GPU makes of images that it holds, against the processor's.

use std::time::Instant;

use burn::tensor::Device;
use cifar10::synthetic::{Part, generate};
use cifar10::{Augmentation, Border, Loader, LoaderConfig};
use model::check::{CheckError, Errors};

use super::Measured;
use crate::batches::{Batch, Batches};

/// The name of the subject.
pub(super) const NAME: &str = "batches";
/// Values are taken from a table, whose neighbours are far more apart.
pub(super) const BOUNDS: Errors = Errors {
    value: 1e-6,
    gradient: 0.0,
};
const IMAGES: usize = 37;
const BATCH: usize = 8;

/// How far the batches of an epoch are from those that the processor makes.
pub(super) fn check(device: &Device) -> Result<Measured, CheckError> {
    let augmentations = vec![
        Augmentation::Crop {
            padding: 4,
            border: Border::Black,
        },
        Augmentation::Flip,
        Augmentation::Translate { pixels: 2 },
        Augmentation::Cutout { size: 8 },
    ];
    let config = LoaderConfig {
        augmentations,
        ..LoaderConfig::training(BATCH, 1)
    };
    let failed = |error: cifar10::Error| CheckError::Read(error.to_string());
    let loader = Loader::all(generate(Part::Train, IMAGES, 0), config).map_err(failed)?;
    let steps = loader.steps();
    let on_host = Batches::of_host(loader.clone(), Device::flex());
    let mut expected = on_host.epoch(1, 0).map_err(failed)?;
    let start = Instant::now();
    let mut found = (Batches::new(loader, device.clone()).epoch(1, 0)).map_err(failed)?;
    let (mut value, mut seconds) = (0.0, 0.0);
    for step in 0..steps {
        let found = numbers(found.batch(step).map_err(failed)?)?;
        seconds = start.elapsed().as_secs_f64();
        let expected = numbers(expected.batch(step).map_err(failed)?)?;
        value = f64::max(value, distance(&found, &expected));
    }
    Ok(Measured {
        errors: Errors {
            value,
            gradient: 0.0,
        },
        seconds,
        remark: format!("an epoch of {IMAGES} images in batches of {BATCH}"),
    })
}

/// The images of a batch, and after them their classes.
fn numbers(batch: Batch) -> Result<Vec<f32>, CheckError> {
    let images = batch.images.try_into_data().map_err(unread)?;
    let classes = batch.targets.try_into_data().map_err(unread)?;
    Ok(images.iter::<f32>().chain(classes.iter::<f32>()).collect())
}

fn unread(error: impl std::fmt::Debug) -> CheckError {
    CheckError::Read(format!("{error:?}"))
}

/// The largest difference; infinite where a number is missing or is none.
fn distance(found: &[f32], expected: &[f32]) -> f64 {
    if found.len() != expected.len() {
        return f64::INFINITY;
    }
    let pairs = found.iter().zip(expected);
    let differences = pairs.map(|(a, b)| f64::from((a - b).abs()));
    differences.fold(0.0, |largest, difference| {
        if difference.is_nan() {
            f64::INFINITY
        } else {
            f64::max(largest, difference)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_or_a_class_that_differs_by_one_is_beyond_the_bound() {
        let tables = cifar10::Normalization::CHANNEL.tables();
        let nearest = tables[0].windows(2).map(|pair| pair[1] - pair[0]);
        assert!(nearest.fold(1.0, f32::min) > BOUNDS.value as f32);
        assert!(distance(&[0.5, 3.0], &[0.5, 4.0]) > BOUNDS.value);
        assert_eq!(distance(&[0.5], &[0.5, 4.0]), f64::INFINITY);
        assert_eq!(distance(&[0.5, f32::NAN], &[0.5, 4.0]), f64::INFINITY);
        assert!(check(&Device::flex()).unwrap().errors.are_within(BOUNDS));
    }
}
