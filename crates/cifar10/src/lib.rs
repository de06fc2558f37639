//! CIFAR-10: 60,000 colour photographs of 32 by 32 pixels in ten classes, fetched, verified,
//! decoded, augmented and batched.
//!
//! A. Krizhevsky, "Learning Multiple Layers of Features from Tiny Images" (2009).
//!
//! ```no_run
//! use cifar10::{HostBatch, Loader, LoaderConfig, Silent, SourceOptions};
//!
//! let data = cifar10::load(&SourceOptions::default(), &Silent)?;
//! let split = cifar10::split(data.train.labels(), 5_000, 0)?;
//! let loader = Loader::new(data.train, split.train, LoaderConfig::training(128, 0))?;
//! let mut batch = HostBatch::default();
//! let epoch = loader.epoch(0);
//! for step in 0..epoch.steps() {
//!     epoch.batch(step, &mut batch)?; // [128, 3, 32, 32] in batch.images
//! }
//! # Ok::<(), cifar10::Error>(())
//! ```
//!
//! How an image flows, and where to find each part:
//!
//! | module | what it does |
//! | --- | --- |
//! | [`source`] | finds the six files in a folder or fetches them, and verifies them at every load |
//! | [`mod@file`] | reads a file whole, within a limit |
//! | [`checksum`] | the six files' published hashes |
//! | [`record`] | the binary format, its sizes, the classes' names |
//! | [`dataset`] | images in memory, and Burn's `Dataset` over them |
//! | [`synthetic`] | a generated set of the same shape |
//! | [`mod@split`] | the stratified hold-out |
//! | [`random`] | random numbers as pure functions of (seed, purpose, epoch, index) |
//! | [`augment`] | crop, flip, cutout, colours, TrivialAugment, mixup and CutMix |
//! | [`corruption`] | the corruptions of CIFAR-10-C |
//! | [`normalize`] | from bytes to numbers |
//! | [`sheet`] | augmented images as one picture |
//! | [`loader`] | the order of an epoch and its batches |
//! | [`prefetch`] | batches prepared ahead by threads |
//! | [`progress`] | how the caller learns what takes long |
//!
//! Only [`source`] and [`mod@file`] touch files and the network. Everything after it is pure: a batch is a
//! function of (images, configuration, epoch, step), whatever the number of threads.

pub mod augment;
pub mod checksum;
pub mod corruption;
pub mod dataset;
mod error;
pub mod file;
pub mod loader;
pub mod normalize;
pub mod prefetch;
pub mod progress;
pub mod random;
pub mod record;
pub mod sheet;
pub mod source;
pub mod split;
pub mod synthetic;

pub use augment::{Augmentation, Border, View};
pub use corruption::{Corruption, Severity};
pub use dataset::{CifarDataset, CifarItem, Images};
pub use error::{Attempt, Error};
pub use loader::{Epoch, HostBatch, Loader, LoaderConfig, Seen};
pub use normalize::Normalization;
pub use prefetch::Prefetcher;
pub use progress::{Event, Progress, Silent};
pub use record::CLASS_NAMES;
pub use source::{Cifar10, Source, SourceOptions, fetch_into, load};
pub use split::{Split, split};
