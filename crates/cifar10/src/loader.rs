//! Batches on the host: which images, in which order, augmented and normalised.
//!
//! A [`Loader`] has no state. The order of an epoch is a pure function of (seed, epoch), and any
//! step of it can be asked for directly, which is how a run resumes inside an epoch.

use std::ops::Range;
use std::sync::Arc;

use crate::augment::{self, Augmentation, Border, Mix, Partners, Place, View};
use crate::dataset::Images;
use crate::error::Error;
use crate::normalize::Normalization;
use crate::random::{Purpose, Stream};
use crate::record::{CHANNELS, IMAGE_BYTES};

/// How batches are made.
#[derive(Debug, Clone, PartialEq)]
pub struct LoaderConfig {
    /// Images in a batch; an epoch's last batch has what is left, unless `drop_last` is set.
    pub batch_size: usize,
    /// Seed of the order and the augmentation.
    pub seed: u64,
    /// Whether each epoch has an order of its own. Otherwise images come as listed.
    pub shuffle: bool,
    /// Whether a last batch with fewer images is left out.
    pub drop_last: bool,
    /// What pixel bytes become.
    pub normalization: Normalization,
    /// What is done to each image, in this order; empty for evaluation.
    pub augmentations: Vec<Augmentation>,
}

impl LoaderConfig {
    /// Batches in the listed order, without augmentation, normalised by channel.
    #[must_use]
    pub fn evaluation(batch_size: usize) -> Self {
        Self {
            batch_size,
            seed: 0,
            shuffle: false,
            drop_last: false,
            normalization: Normalization::CHANNEL,
            augmentations: Vec::new(),
        }
    }

    /// Shuffled batches with a crop of 4 pixels and a flip, normalised by channel.
    #[must_use]
    pub fn training(batch_size: usize, seed: u64) -> Self {
        Self {
            seed,
            shuffle: true,
            augmentations: vec![
                Augmentation::Crop {
                    padding: 4,
                    border: Border::Black,
                },
                Augmentation::Flip,
            ],
            ..Self::evaluation(batch_size)
        }
    }
}

/// A batch in host memory. It is meant to be filled again and again: after the first time nothing
/// is allocated.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct HostBatch {
    /// Normalised pixels, `[batch, channel, height, width]`.
    pub images: Vec<f32>,
    /// Classes from 0 to 9, `[batch]`.
    pub labels: Vec<u8>,
    /// The images' places in the whole set, `[batch]`.
    pub indices: Vec<usize>,
    /// Classes of the images that were mixed in, `[batch]`; empty where nothing is mixed.
    pub other_labels: Vec<u8>,
    /// The shares of the images themselves, from 0 to 1, `[batch]`; empty where nothing is mixed. The
    /// rest of each belongs to the image that was mixed in.
    pub shares: Vec<f32>,
}

impl HostBatch {
    /// Number of images.
    #[must_use]
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there are no images.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }
}

/// An image of an epoch as a batch shows it, for a device that holds the images and makes batches itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// Its place in the whole set.
    pub index: usize,
    /// Its class, from 0 to 9.
    pub label: u8,
    /// How it is seen.
    pub view: View,
}

/// Makes batches of a set of images or a part of it. Cloning is cheap and shares everything.
#[derive(Debug, Clone)]
pub struct Loader {
    images: Images,
    indices: Arc<[usize]>,
    partners: Partners,
    config: Arc<LoaderConfig>,
    tables: Arc<[[f32; 256]; CHANNELS]>,
}

impl Loader {
    /// Sets a loader up for those of `images` that `indices` name.
    ///
    /// # Errors
    /// [`Error::Loader`] for a batch size of zero, an index beyond the images, or augmentations
    /// that do not go together.
    pub fn new(
        images: Images,
        indices: impl Into<Arc<[usize]>>,
        config: LoaderConfig,
    ) -> Result<Self, Error> {
        let indices = indices.into();
        if config.batch_size == 0 {
            return Err(Error::Loader(
                "the batch size must be at least 1".to_owned(),
            ));
        }
        if let Some(index) = indices.iter().find(|index| **index >= images.len()) {
            return Err(Error::Loader(format!(
                "image {index} was listed, there are {}",
                images.len()
            )));
        }
        augment::validate(&config.augmentations)?;
        Ok(Self {
            partners: Partners::new(Arc::clone(&indices), images.len()),
            images,
            indices,
            tables: Arc::new(config.normalization.tables()),
            config: Arc::new(config),
        })
    }

    /// Sets a loader up for all of `images`.
    ///
    /// # Errors
    /// As [`Loader::new`].
    pub fn all(images: Images, config: LoaderConfig) -> Result<Self, Error> {
        let indices: Arc<[usize]> = (0..images.len()).collect();
        Self::new(images, indices, config)
    }

    /// How batches are made.
    #[must_use]
    pub fn config(&self) -> &LoaderConfig {
        &self.config
    }

    /// The whole set, of which the loader may list a part.
    #[must_use]
    pub fn images(&self) -> &Images {
        &self.images
    }

    /// The images that it lists, as places in the whole set.
    #[must_use]
    pub fn indices(&self) -> &[usize] {
        &self.indices
    }

    /// The same images in the listed order, `batch_size` of them, with or without their augmentations.
    #[must_use]
    pub(crate) fn in_order(&self, batch_size: usize, augmented: bool) -> Self {
        let mut config = LoaderConfig::clone(&self.config);
        (config.batch_size, config.shuffle, config.drop_last) = (batch_size.max(1), false, false);
        if !augmented {
            config.augmentations.clear();
        }
        Self {
            config: config.into(),
            ..self.clone()
        }
    }

    /// Number of images that an epoch goes through.
    #[must_use]
    pub fn len(&self) -> usize {
        if self.config.drop_last {
            self.steps() * self.config.batch_size
        } else {
            self.indices.len()
        }
    }

    /// Whether an epoch has no images.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number of batches in an epoch.
    #[must_use]
    pub fn steps(&self) -> usize {
        if self.config.drop_last {
            self.indices.len() / self.config.batch_size
        } else {
            self.indices.len().div_ceil(self.config.batch_size)
        }
    }

    /// Lays out the epoch with this number: its order is drawn, no image is touched yet.
    #[must_use]
    pub fn epoch(&self, epoch: u64) -> Epoch {
        let order = if self.config.shuffle {
            let mut order = self.indices.to_vec();
            Stream::new(self.config.seed, Purpose::Order, epoch, 0).shuffle(&mut order);
            order.into()
        } else {
            Arc::clone(&self.indices)
        };
        Epoch {
            loader: self.clone(),
            epoch,
            order,
        }
    }
}

/// One epoch: a fixed order of images, cut into batches.
#[derive(Debug, Clone)]
pub struct Epoch {
    loader: Loader,
    epoch: u64,
    order: Arc<[usize]>,
}

impl Epoch {
    /// Number of batches.
    #[must_use]
    pub fn steps(&self) -> usize {
        self.loader.steps()
    }

    /// The images' places in the whole set, in this epoch's order.
    #[must_use]
    pub fn order(&self) -> &[usize] {
        &self.order[..self.loader.len().min(self.order.len())]
    }

    /// Makes the batch of `step`, counted from 0, in `batch`, whose memory is reused.
    ///
    /// # Errors
    /// [`Error::Step`] beyond the epoch's end.
    pub fn batch(&self, step: usize, batch: &mut HostBatch) -> Result<(), Error> {
        let config = &self.loader.config;
        let Some(indices) = self.order().chunks(config.batch_size).nth(step) else {
            return Err(Error::Step {
                step,
                steps: self.steps(),
            });
        };
        batch.indices.clear();
        batch.indices.extend_from_slice(indices);
        batch.labels.clear();
        batch.other_labels.clear();
        batch.shares.clear();
        batch.images.resize(indices.len() * IMAGE_BYTES, 0.0);
        let (outputs, _) = batch.images.as_chunks_mut::<IMAGE_BYTES>();
        for (&index, output) in indices.iter().zip(outputs) {
            batch.labels.push(self.image(index, output)?);
            let partners = &self.loader.partners;
            if let Some(mix) = Mix::draw(&config.augmentations, self.place(index), partners) {
                let mut pixels = [0.0; IMAGE_BYTES];
                batch.other_labels.push(self.image(mix.other, &mut pixels)?);
                batch.shares.push(mix.share);
                mix.apply(output, &pixels);
            }
        }
        Ok(())
    }

    /// The images of the steps in `steps` as their batches show them, one after the other; nothing
    /// where the augmentations change more than places ([`View::covers`]).
    ///
    /// # Errors
    /// [`Error::Step`] beyond the epoch's end.
    pub fn seen(&self, steps: Range<usize>) -> Result<Option<Vec<Seen>>, Error> {
        let config = &self.loader.config;
        if !View::covers(&config.augmentations) {
            return Ok(None);
        }
        if steps.end > self.steps() {
            return Err(Error::Step {
                step: steps.end.saturating_sub(1),
                steps: self.steps(),
            });
        }
        let (all, size) = (self.order(), config.batch_size);
        let images = all.iter().take(steps.end * size).skip(steps.start * size);
        let seen = images.map(|&index| {
            let (_, label) = self.stored(index)?;
            let view = View::draw(&config.augmentations, self.place(index));
            Ok(Seen { index, label, view })
        });
        seen.collect::<Result<_, _>>().map(Some)
    }

    /// An image's bytes and its label.
    fn stored(&self, index: usize) -> Result<(&[u8; IMAGE_BYTES], u8), Error> {
        let stored = self.loader.images.get(index);
        stored.ok_or_else(|| Error::Loader(format!("image {index} does not exist")))
    }

    fn place(&self, index: usize) -> Place {
        Place {
            seed: self.loader.config.seed,
            epoch: self.epoch,
            index: index as u64,
        }
    }

    /// Writes an image as this epoch shows it, before anything is mixed in, and gives its label.
    fn image(&self, index: usize, output: &mut [f32; IMAGE_BYTES]) -> Result<u8, Error> {
        let Loader { config, tables, .. } = &self.loader;
        let (image, label) = self.stored(index)?;
        augment::apply(
            &config.augmentations,
            self.place(index),
            image,
            tables,
            output,
        );
        Ok(label)
    }

    /// Iterates over the batches from `first_step` on, each in memory of its own. [`Epoch::batch`] and the
    /// [`Prefetcher`](crate::Prefetcher) use theirs again.
    pub fn batches(&self, first_step: usize) -> impl Iterator<Item = Result<HostBatch, Error>> {
        (first_step..self.steps()).map(|step| {
            let mut batch = HostBatch::default();
            self.batch(step, &mut batch)?;
            Ok(batch)
        })
    }
}
