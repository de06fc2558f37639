//! Batches as Burn's `DataLoader`.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use burn::data::dataloader::{DataLoader, DataLoaderIterator, Progress};
use burn::tensor::Device;
use burn_dataset::DatasetError;

use crate::batches::{Batch, Batches, EpochBatches};

/// The epochs of [`Batches`]. Burn asks for an epoch's batches without saying which epoch it is, so all copies
/// share a counter.
#[derive(Clone)]
pub struct DeviceLoader {
    batches: Batches,
    first_epoch: u64,
    first_step: usize,
    epoch: Arc<AtomicU64>,
}

impl DeviceLoader {
    /// `batches` from step `first_step` of epoch `first_epoch` on, both counted from 0.
    #[must_use]
    pub fn new(batches: Batches, first_epoch: u64, first_step: usize) -> Self {
        Self {
            batches,
            first_epoch,
            first_step,
            epoch: Arc::new(AtomicU64::new(first_epoch)),
        }
    }
}

impl DataLoader<Batch> for DeviceLoader {
    fn iter<'a>(&'a self) -> Box<dyn DataLoaderIterator<Batch> + 'a> {
        let epoch = self.epoch.fetch_add(1, Ordering::Relaxed);
        let step = if epoch == self.first_epoch {
            self.first_step
        } else {
            0
        };
        let loader = self.batches.loader();
        Box::new(Steps {
            from: self.batches.epoch(epoch, step).map_err(Some),
            steps: step..loader.steps(),
            items_processed: (step * loader.config().batch_size).min(loader.len()),
            items_total: loader.len(),
        })
    }

    fn num_items(&self) -> usize {
        self.batches.loader().len()
    }

    fn to_device(&self, device: &Device) -> Arc<dyn DataLoader<Batch>> {
        Arc::new(Self {
            batches: self.batches.on(device),
            ..self.clone()
        })
    }

    fn slice(&self, _start: usize, _end: usize) -> Arc<dyn DataLoader<Batch>> {
        // Only data-parallel strategies slice, and training here cuts batches itself.
        Arc::new(self.clone())
    }
}

struct Steps {
    /// Or why there are none, until that has been said.
    from: Result<EpochBatches, Option<cifar10::Error>>,
    steps: Range<usize>,
    items_processed: usize,
    items_total: usize,
}

impl Iterator for Steps {
    type Item = Result<Batch, DatasetError>;

    fn next(&mut self) -> Option<Self::Item> {
        let from = match &mut self.from {
            Ok(from) => from,
            Err(error) => return error.take().map(|error| Err(DatasetError::new(error))),
        };
        let batch = from.batch(self.steps.next()?);
        if let Ok(batch) = &batch {
            let [count] = batch.targets.dims();
            self.items_processed += count;
        }
        Some(batch.map_err(DatasetError::new))
    }
}

impl DataLoaderIterator<Batch> for Steps {
    fn progress(&self) -> Progress {
        Progress::new(self.items_processed, self.items_total, None)
    }
}

#[cfg(test)]
mod tests {
    use cifar10::synthetic::{Part, generate};
    use cifar10::{Loader, LoaderConfig};

    use super::*;

    /// The images and classes of every batch from a step on, of two epochs.
    fn batches(threads: usize) -> Vec<(Vec<f32>, Vec<i32>)> {
        let images = generate(Part::Train, 103, 0);
        let loader = Loader::all(images, LoaderConfig::training(10, 0)).unwrap();
        let batches = Batches::new(loader, Device::flex()).ahead(threads);
        let loader = DeviceLoader::new(batches, 1, 4);
        let values = |batch: Batch| {
            let (images, classes) = (batch.images.into_data(), batch.targets.into_data());
            (images.try_to_vec().unwrap(), classes.try_to_vec().unwrap())
        };
        (0..2)
            .flat_map(|_| {
                loader
                    .iter()
                    .map(|batch| values(batch.unwrap()))
                    .collect::<Vec<_>>()
            })
            .collect()
    }

    #[test]
    fn batches_prepared_ahead_are_those_prepared_when_asked_for() {
        let here = batches(0);
        assert_eq!(here.len(), 7 + 11);
        assert_ne!(here[0], here[7]);
        for threads in [1, 3] {
            assert_eq!(batches(threads), here, "{threads} threads");
        }
    }
}
