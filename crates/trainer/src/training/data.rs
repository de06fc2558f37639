//! The data crate's loader as Burn's `DataLoader`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use burn::data::dataloader::{DataLoader, DataLoaderIterator, Progress};
use burn::tensor::{Device, Tensor, TensorData};
use burn_dataset::DatasetError;
use cifar10::{Epoch, HostBatch, Loader};

use super::classifier::{Batch, Mixed};

/// Batches of a [`Loader`] on a device. Burn asks for an epoch's batches without saying which epoch
/// it is, so all copies share a counter.
#[derive(Clone)]
pub struct DeviceLoader {
    loader: Loader,
    device: Device,
    first_epoch: u64,
    first_step: usize,
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
        Box::new(Batches {
            epoch: self.loader.epoch(epoch),
            device: self.device.clone(),
            step,
            items_processed: (step * self.loader.config().batch_size).min(self.loader.len()),
            items_total: self.loader.len(),
            host: HostBatch::default(),
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

struct Batches {
    epoch: Epoch,
    device: Device,
    step: usize,
    items_processed: usize,
    items_total: usize,
    host: HostBatch,
}

impl Iterator for Batches {
    type Item = Result<Batch, DatasetError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.step >= self.epoch.steps() {
            return None;
        }
        if let Err(error) = self.epoch.batch(self.step, &mut self.host) {
            return Some(Err(DatasetError::new(error)));
        }
        self.step += 1;
        let count = self.host.len();
        self.items_processed += count;
        let images = TensorData::new(self.host.images.clone(), [count, 3, 32, 32]);
        let classes = |labels: &[u8]| {
            let labels: Vec<i32> = labels.iter().map(|&label| i32::from(label)).collect();
            Tensor::from_data(labels.as_slice(), &self.device)
        };
        let mixed = (!self.host.shares.is_empty()).then(|| Mixed {
            targets: classes(&self.host.other_labels),
            shares: Tensor::from_data(self.host.shares.as_slice(), &self.device),
        });
        Some(Ok(Batch {
            images: Tensor::from_data(images, &self.device),
            targets: classes(&self.host.labels),
            mixed,
        }))
    }
}

impl DataLoaderIterator<Batch> for Batches {
    fn progress(&self) -> Progress {
        Progress::new(self.items_processed, self.items_total, None)
    }
}
