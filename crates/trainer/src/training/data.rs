//! The data crate's loader as Burn's `DataLoader`.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use burn::data::dataloader::{DataLoader, DataLoaderIterator, Progress};
use burn::tensor::{Device, Tensor, TensorData};
use burn_dataset::DatasetError;
use cifar10::{Epoch, HostBatch, Loader, Prefetcher};

use super::classifier::{Batch, Mixed};

/// Batches of a [`Loader`] on a device. Burn asks for an epoch's batches without saying which epoch
/// it is, so all copies share a counter.
#[derive(Clone)]
pub struct DeviceLoader {
    loader: Loader,
    device: Device,
    first_epoch: u64,
    first_step: usize,
    threads: usize,
    epoch: Arc<AtomicU64>,
}

impl DeviceLoader {
    /// Batches of `loader` on `device`, from step `first_step` of epoch `first_epoch` on, both counted
    /// from 0.
    #[must_use]
    pub fn new(loader: Loader, device: Device, first_epoch: u64, first_step: usize) -> Self {
        Self {
            loader,
            device,
            first_epoch,
            first_step,
            threads: 0,
            epoch: Arc::new(AtomicU64::new(first_epoch)),
        }
    }

    /// Prepares batches ahead in `threads` threads of their own, for a device that would wait for them.
    /// With 0 they are prepared when they are asked for, which costs a processor that trains least.
    #[must_use]
    pub fn ahead(mut self, threads: usize) -> Self {
        self.threads = threads;
        self
    }

    fn host(&self, epoch: u64, step: usize) -> Result<Host, cifar10::Error> {
        if self.threads == 0 {
            return Ok(Host::Here(self.loader.epoch(epoch)));
        }
        let mut prefetcher = Prefetcher::new(self.loader.clone(), self.threads)?;
        prefetcher.start(epoch, step);
        Ok(Host::Ahead(prefetcher))
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
        Box::new(Batches {
            from: self.host(epoch, step).map_err(Some),
            device: self.device.clone(),
            steps: step..self.loader.steps(),
            items_processed: (step * self.loader.config().batch_size).min(self.loader.len()),
            items_total: self.loader.len(),
            batch: HostBatch::default(),
        })
    }

    fn num_items(&self) -> usize {
        self.loader.len()
    }

    fn to_device(&self, device: &Device) -> Arc<dyn DataLoader<Batch>> {
        Arc::new(Self {
            device: device.clone(),
            ..self.clone()
        })
    }

    fn slice(&self, _start: usize, _end: usize) -> Arc<dyn DataLoader<Batch>> {
        // Only data-parallel strategies slice, and training here runs on one device.
        Arc::new(self.clone())
    }
}

/// Who prepares batches.
enum Host {
    /// The thread that asks for them.
    Here(Epoch),
    /// Threads of their own.
    Ahead(Prefetcher),
}

impl Host {
    fn batch(&mut self, step: usize, batch: &mut HostBatch) -> Result<(), cifar10::Error> {
        match self {
            Self::Here(epoch) => epoch.batch(step, batch),
            Self::Ahead(prefetcher) => prefetcher.next(batch).map(|_| ()),
        }
    }
}

struct Batches {
    /// Or why nobody can, until that has been said.
    from: Result<Host, Option<cifar10::Error>>,
    device: Device,
    steps: Range<usize>,
    items_processed: usize,
    items_total: usize,
    batch: HostBatch,
}

impl Iterator for Batches {
    type Item = Result<Batch, DatasetError>;

    fn next(&mut self) -> Option<Self::Item> {
        let from = match &mut self.from {
            Ok(from) => from,
            Err(error) => return error.take().map(|error| Err(DatasetError::new(error))),
        };
        let step = self.steps.next()?;
        if let Err(error) = from.batch(step, &mut self.batch) {
            return Some(Err(DatasetError::new(error)));
        }
        let batch = &self.batch;
        let count = batch.len();
        self.items_processed += count;
        let images = TensorData::new(batch.images.clone(), [count, 3, 32, 32]);
        let classes = |labels: &[u8]| {
            let labels: Vec<i32> = labels.iter().map(|&label| i32::from(label)).collect();
            Tensor::from_data(labels.as_slice(), &self.device)
        };
        let mixed = (!batch.shares.is_empty()).then(|| Mixed {
            targets: classes(&batch.other_labels),
            shares: Tensor::from_data(batch.shares.as_slice(), &self.device),
        });
        Some(Ok(Batch {
            images: Tensor::from_data(images, &self.device),
            targets: classes(&batch.labels),
            mixed,
        }))
    }
}

impl DataLoaderIterator<Batch> for Batches {
    fn progress(&self) -> Progress {
        Progress::new(self.items_processed, self.items_total, None)
    }
}

#[cfg(test)]
mod tests {
    use cifar10::LoaderConfig;
    use cifar10::synthetic::{Part, generate};

    use super::*;

    /// The images and classes of every batch from a step on, of two epochs.
    fn batches(threads: usize) -> Vec<(Vec<f32>, Vec<i32>)> {
        let images = generate(Part::Train, 103, 0);
        let loader = Loader::all(images, LoaderConfig::training(10, 0)).unwrap();
        let loader = DeviceLoader::new(loader, Device::flex(), 1, 4).ahead(threads);
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
