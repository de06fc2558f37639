//! Images that a device holds, of which it makes batches.

use std::ops::Range;
use std::sync::Arc;

use burn::tensor::{Device, Tensor};
use cifar10::{Epoch, Error, Loader, Seen};
use model::backend::{StoredImages, StoredViews, View};

use super::Batch;

/// Images whose views are drawn and brought onto the device at once.
const VIEWS: usize = 4_096;

/// A loader's images on a device.
#[derive(Debug, Clone)]
pub(super) struct Held {
    images: StoredImages,
    /// The place on the device of each image of the whole set.
    places: Arc<[u32]>,
    batch_size: usize,
}

impl Held {
    /// Brings the images that `loader` lists onto `device`; nothing where it cannot make their batches.
    pub fn new(loader: &Loader, device: &Device) -> Option<Self> {
        let config = loader.config();
        if !cifar10::View::covers(&config.augmentations) {
            return None;
        }
        let all = loader.images();
        let mut places = vec![0; all.len()];
        let image = |place: usize| {
            let index = *loader.indices().get(place)?;
            let (image, _) = all.get(index)?;
            *places.get_mut(index)? = place as u32;
            Some(image.as_slice())
        };
        let (count, tables) = (loader.indices().len(), config.normalization.tables());
        Some(Self {
            images: StoredImages::new(count, image, &tables, device)?,
            places: places.into(),
            batch_size: config.batch_size,
        })
    }

    pub fn epoch(&self, epoch: Epoch) -> HeldEpoch {
        HeldEpoch {
            held: self.clone(),
            epoch,
            ready: None,
        }
    }

    fn view(&self, seen: &Seen) -> View {
        View {
            image: self.places.get(seen.index).copied().unwrap_or_default(),
            label: seen.label,
            columns: seen.view.columns,
            rows: seen.view.rows,
            square: seen.view.square,
        }
    }
}

/// An epoch whose batches the device makes.
pub(super) struct HeldEpoch {
    held: Held,
    epoch: Epoch,
    /// Steps whose views are on the device.
    ready: Option<(Range<usize>, StoredViews)>,
}

impl HeldEpoch {
    pub fn batch(&mut self, step: usize, device: &Device) -> Result<Batch, Error> {
        let size = self.held.batch_size;
        let ready = self.ready.take().filter(|(steps, _)| steps.contains(&step));
        let (steps, views) = match ready {
            Some(ready) => ready,
            None => self.views(step)?,
        };
        let first = (step - steps.start) * size;
        let (images, targets) = self.held.images.batch(&views, first, size);
        self.ready = Some((steps, views));
        let images = if device.is_autodiff() {
            Tensor::from_inner(images)
        } else {
            images
        };
        Ok(Batch {
            images,
            targets,
            mixed: None,
        })
    }

    /// Brings the views of some steps from `step` on onto the device.
    fn views(&self, step: usize) -> Result<(Range<usize>, StoredViews), Error> {
        let steps = (VIEWS / self.held.batch_size).max(1);
        let steps = step..(step + steps).min(self.epoch.steps()).max(step + 1);
        let seen = self.epoch.seen(steps.clone())?.unwrap_or_default();
        let views: Vec<_> = seen.iter().map(|seen| self.held.view(seen)).collect();
        Ok((steps, self.held.images.views(&views)))
    }
}
