//! Batches of a loader's images on a device, and who makes them: the processor, or a GPU or another machine's
//! device, which holds the images itself.
//!
//! Both give the same numbers bit for bit, since what happens to an image is drawn by the same functions.

mod held;

use burn::tensor::{Device, Int, Tensor, TensorData};
use cifar10::{Epoch, HostBatch, Loader, Prefetcher};

use held::{Held, HeldEpoch};

/// A batch on a device.
#[derive(Debug, Clone)]
pub struct Batch {
    /// Normalised images, `[batch, 3, 32, 32]`.
    pub images: Tensor<4>,
    /// Classes, `[batch]`.
    pub targets: Tensor<1, Int>,
    /// The classes of what was mixed into the images; nothing where nothing was.
    pub mixed: Option<Mixed>,
}

/// Second targets of a batch of mixed images.
#[derive(Debug, Clone)]
pub struct Mixed {
    /// Classes of the images that were mixed in, `[batch]`.
    pub targets: Tensor<1, Int>,
    /// The shares of the first targets, `[batch]`; the rest of each is the second's.
    pub shares: Tensor<1>,
}

impl Batch {
    /// The `count` images from the one at `start` on.
    #[must_use]
    pub fn part(&self, start: usize, count: usize) -> Self {
        Self {
            images: self.images.clone().narrow(0, start, count),
            targets: self.targets.clone().narrow(0, start, count),
            mixed: self.mixed.as_ref().map(|mixed| Mixed {
                targets: mixed.targets.clone().narrow(0, start, count),
                shares: mixed.shares.clone().narrow(0, start, count),
            }),
        }
    }

    /// The batch on `device`.
    #[must_use]
    pub fn on(self, device: &Device) -> Self {
        Self {
            images: self.images.to_device(device),
            targets: self.targets.to_device(device),
            mixed: self.mixed.map(|mixed| Mixed {
                targets: mixed.targets.to_device(device),
                shares: mixed.shares.to_device(device),
            }),
        }
    }

    fn of_host(batch: &HostBatch, device: &Device) -> Self {
        let images = TensorData::new(batch.images.clone(), [batch.len(), 3, 32, 32]);
        let classes = |labels: &[u8]| {
            let labels: Vec<i32> = labels.iter().map(|&label| i32::from(label)).collect();
            Tensor::from_data(labels.as_slice(), device)
        };
        let mixed = (!batch.shares.is_empty()).then(|| Mixed {
            targets: classes(&batch.other_labels),
            shares: Tensor::from_data(batch.shares.as_slice(), device),
        });
        Self {
            images: Tensor::from_data(images, device),
            targets: classes(&batch.labels),
            mixed,
        }
    }
}

/// The batches of a loader on a device. Copies share the images that the device holds.
#[derive(Debug, Clone)]
pub struct Batches {
    loader: Loader,
    device: Device,
    held: Option<Held>,
    threads: usize,
}

impl Batches {
    /// Batches of `loader` on `device`. A GPU or a worker is given the images once, unless the augmentations change
    /// more than where pixels stand ([`cifar10::View::covers`]) or there are too many of them.
    #[must_use]
    pub fn new(loader: Loader, device: Device) -> Self {
        Self {
            held: Held::new(&loader, &device),
            ..Self::of_host(loader, device)
        }
    }

    /// As [`Batches::new`], made by the processor on every device.
    #[must_use]
    pub fn of_host(loader: Loader, device: Device) -> Self {
        Self {
            loader,
            device,
            held: None,
            threads: 0,
        }
    }

    /// Has the processor prepare batches ahead in `threads` threads of their own, for a device that would wait
    /// for them. With 0 they are prepared when they are asked for, which costs a processor that trains least.
    #[must_use]
    pub fn ahead(mut self, threads: usize) -> Self {
        self.threads = threads;
        self
    }

    /// The same batches on `device`.
    #[must_use]
    pub fn on(&self, device: &Device) -> Self {
        // To Burn a device is the same with autodiff and without.
        let held = self.held.as_ref().filter(|_| *device == self.device);
        Self {
            device: device.clone(),
            held: held.cloned(),
            ..self.clone()
        }
    }

    /// Whose batches they are.
    #[must_use]
    pub fn loader(&self) -> &Loader {
        &self.loader
    }

    /// The batches of `epoch` from `first_step` on.
    ///
    /// # Errors
    /// [`cifar10::Error`] where the system gives no thread.
    pub fn epoch(&self, epoch: u64, first_step: usize) -> Result<EpochBatches, cifar10::Error> {
        let epoch_of = || self.loader.epoch(epoch);
        let made = match &self.held {
            Some(held) => Made::ByDevice(Box::new(held.epoch(epoch_of()))),
            None if self.threads == 0 => Made::WhenAsked(epoch_of(), HostBatch::default()),
            None => {
                let mut prefetcher = Prefetcher::new(self.loader.clone(), self.threads)?;
                prefetcher.start(epoch, first_step);
                Made::Ahead(prefetcher, HostBatch::default())
            }
        };
        Ok(EpochBatches {
            made,
            device: self.device.clone(),
        })
    }
}

/// How an epoch's batches are made.
enum Made {
    /// By the thread that asks for them.
    WhenAsked(Epoch, HostBatch),
    /// By threads of their own, ahead.
    Ahead(Prefetcher, HostBatch),
    /// By the device.
    ByDevice(Box<HeldEpoch>),
}

/// The batches of an epoch on a device.
pub struct EpochBatches {
    made: Made,
    device: Device,
}

impl EpochBatches {
    /// The batch of `step`. Steps are asked for one after the other, from the first on.
    ///
    /// # Errors
    /// [`cifar10::Error`] where there is none, or it cannot be made.
    pub fn batch(&mut self, step: usize) -> Result<Batch, cifar10::Error> {
        let batch = match &mut self.made {
            Made::WhenAsked(epoch, batch) => {
                epoch.batch(step, batch)?;
                batch
            }
            Made::Ahead(prefetcher, batch) => {
                prefetcher.next(batch)?;
                batch
            }
            Made::ByDevice(epoch) => return epoch.batch(step, &self.device),
        };
        Ok(Batch::of_host(batch, &self.device))
    }
}

#[cfg(test)]
mod tests;
