//! The images that a recipe asks for, and their batches.

use std::path::Path;

use cifar10::synthetic::{Part, generate};
use cifar10::{HostBatch, Images, Loader, LoaderConfig, Normalization};

use crate::progress::{FetchProgress, Verbosity};
use crate::recipe::{DatasetSpec, Normalize, Recipe};
use crate::run::DataRecord;

/// What a run's record has in place of a folder, where the images came from none.
pub const GENERATED: &str = "generated";

/// Batches of the three parts of a data set.
#[derive(Debug)]
pub struct Loaders {
    /// Shuffled and augmented.
    pub train: Loader,
    /// The hold-out, in order.
    pub valid: Loader,
    /// The test set, in order.
    pub test: Loader,
}

/// The images of a run, and what its record says of them.
#[derive(Debug)]
pub struct Data {
    /// All training images, the hold-out included.
    pub train: Images,
    /// The test images.
    pub test: Images,
    /// Where they came from.
    pub record: DataRecord,
}

/// The images that `recipe` asks for, CIFAR-10 from `data_dir` where one is given.
///
/// # Errors
/// [`cifar10::Error`] where they cannot be had.
pub fn images(
    recipe: &Recipe,
    data_dir: Option<&Path>,
    verbosity: Verbosity,
) -> Result<Data, cifar10::Error> {
    let dataset = recipe.data.source.name().to_owned();
    match recipe.data.source {
        DatasetSpec::Cifar10 => {
            let source = cifar10::SourceOptions {
                data_dir: data_dir
                    .map(Path::to_owned)
                    .or_else(cifar10::source::data_dir_from_env),
                ..Default::default()
            };
            let data = cifar10::load(&source, &FetchProgress::new(verbosity))?;
            let sha256 = data
                .hashes
                .iter()
                .map(|(f, h)| ((*f).to_owned(), (*h).to_owned()));
            Ok(Data {
                record: DataRecord {
                    dataset,
                    origin: data.origin.folder.display().to_string(),
                    sha256: sha256.collect(),
                },
                train: data.train,
                test: data.test,
            })
        }
        DatasetSpec::Synthetic {
            train_images,
            test_images,
        } => {
            verbosity.note("the images are synthetic: generated, and no photographs");
            let train = generate(Part::Train, train_images, recipe.seed);
            let test = generate(Part::Test, test_images, recipe.seed);
            let sha256 = [("training images", &train), ("test images", &test)]
                .map(|(name, part)| (name.to_owned(), cifar10::checksum::sha256(part.pixels())));
            Ok(Data {
                train,
                test,
                record: DataRecord {
                    dataset,
                    origin: GENERATED.to_owned(),
                    sha256: sha256.into(),
                },
            })
        }
    }
}

/// How `recipe` makes numbers of pixels.
#[must_use]
pub fn normalization(recipe: &Recipe) -> Normalization {
    match recipe.data.normalize {
        Normalize::Channel => Normalization::CHANNEL,
        Normalize::Half => Normalization::HALF,
    }
}

/// How many images a whitening layer is computed from, as in airbench.
const WHITENING_IMAGES: usize = 5_000;

/// The first training images, from which a network's whitening layer is computed: normalised,
/// `[count, 3, 32, 32]` row by row.
///
/// # Errors
/// [`cifar10::Error`] where the hold-out does not fit the data.
pub fn whitening_images(recipe: &Recipe, data: &Data) -> Result<Vec<f32>, cifar10::Error> {
    let split = cifar10::split(data.train.labels(), recipe.validation, recipe.seed)?;
    let indices: Vec<_> = split.train.into_iter().take(WHITENING_IMAGES).collect();
    let config = LoaderConfig {
        normalization: normalization(recipe),
        ..LoaderConfig::evaluation(WHITENING_IMAGES)
    };
    let mut batch = HostBatch::default();
    Loader::new(data.train.clone(), indices, config)?
        .epoch(0)
        .batch(0, &mut batch)?;
    Ok(batch.images)
}

/// Batches of `data` as `recipe` wants them.
///
/// # Errors
/// [`cifar10::Error`] where the hold-out or the augmentation does not fit the data.
pub fn loaders(recipe: &Recipe, data: &Data) -> Result<Loaders, cifar10::Error> {
    let (train, test) = (data.train.clone(), data.test.clone());
    let split = cifar10::split(train.labels(), recipe.validation, recipe.seed)?;
    let normalization = normalization(recipe);
    let evaluation = LoaderConfig {
        normalization,
        ..LoaderConfig::evaluation(500)
    };
    let training = LoaderConfig {
        normalization,
        augmentations: recipe.data.augment.clone(),
        drop_last: recipe.data.drop_last,
        ..LoaderConfig::training(recipe.batch_size, recipe.seed)
    };
    Ok(Loaders {
        train: Loader::new(train.clone(), split.train, training)?,
        valid: Loader::new(train, split.valid, evaluation.clone())?,
        test: Loader::all(test, evaluation)?,
    })
}
