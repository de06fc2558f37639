//! A run: data, network, Learner, run folder.

mod classifier;
mod data;
mod optimizer;
mod schedule;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use burn::data::dataloader::DataLoader;
use burn::module::Module;
use burn::train::metric::{AccuracyMetric, LearningRateMetric, LossMetric};
use burn::train::{ExecutionStrategy, Interrupter, Learner, SupervisedTraining};
use cifar10::{Augmentation, Images, Loader, LoaderConfig, Normalization};
use model::{Network, NetworkKind};

use crate::device::BackendName;
use crate::recipe::{self, DatasetSpec, Normalize, Recipe};
use crate::run::{self, RunFolder, RunResult, RunState};
use crate::{evaluation, run::CLASSES};

pub use classifier::{Batch, Classifier};
pub use data::DeviceLoader;
pub use schedule::Schedule;

/// A run failed.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// The data could not be had.
    #[error(transparent)]
    Data(#[from] cifar10::Error),
    /// The network could not be built.
    #[error(transparent)]
    Network(#[from] model::NetworkError),
    /// The run's folder could not be made or written.
    #[error(transparent)]
    Run(#[from] run::RunError),
    /// No device.
    #[error(transparent)]
    DeviceOpen(#[from] crate::device::DeviceError),
    /// The device failed while computing.
    #[error("the device failed: {0}")]
    Device(String),
    /// Burn's Learner stopped with an error.
    #[error("training stopped: {0}")]
    Learner(String),
    /// The weights could not be saved.
    #[error("the weights could not be saved in {}: {reason}", path.display())]
    Save {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A fractional number of epochs is not trained yet.
    #[error("epochs = {0} is no whole number, and a part of an epoch cannot be trained")]
    FractionalEpochs(f64),
}

/// Where a run gets its data, its device and its folder.
#[derive(Debug, Clone)]
pub struct TrainOptions {
    /// The backend.
    pub backend: BackendName,
    /// Threads of the CPU kernels; every core where absent.
    pub threads: Option<usize>,
    /// A folder with CIFAR-10.
    pub data_dir: Option<PathBuf>,
    /// Where run folders are made.
    pub artifacts: PathBuf,
}

/// Trains `recipe` and writes its run folder. `interrupter` stops it after the current step.
///
/// # Errors
/// [`TrainError`] with what went wrong; a run that could not start leaves no folder.
pub fn train(
    recipe: &Recipe,
    options: &TrainOptions,
    interrupter: &Interrupter,
    interrupted: &dyn Fn() -> bool,
) -> Result<(RunFolder, RunResult), TrainError> {
    if recipe.epochs.fract() != 0.0 {
        return Err(TrainError::FractionalEpochs(recipe.epochs));
    }
    let epochs = recipe.epochs as usize;
    let kind = NetworkKind::from_name(&recipe.network)?;
    let device = options.backend.open(options.threads)?;
    let (train_images, test_images) = images(recipe, options)?;
    let loaders = loaders(recipe, train_images, test_images)?;
    let autodiff = device.clone().autodiff();
    let network = Network::init(kind, CLASSES, recipe.seed, &autodiff)?;
    let steps_per_epoch = loaders.train.steps() as u64;
    let steps = steps_per_epoch * epochs as u64;
    let schedule = Schedule::new(
        recipe.schedule.clone(),
        recipe.optimizer.lr(),
        steps,
        steps_per_epoch,
    );
    let folder = RunFolder::create(&options.artifacts, &recipe.name, SystemTime::now())?;
    run::write_atomic(&folder.config(), recipe.to_toml().as_bytes())?;

    let classifier = Classifier::new(network, recipe.loss.label_smoothing);
    let train_loader: Arc<dyn DataLoader<Batch>> =
        Arc::new(DeviceLoader::new(loaders.train.clone(), autodiff.clone()));
    let valid_loader: Arc<dyn DataLoader<Batch>> =
        Arc::new(DeviceLoader::new(loaders.valid.clone(), device.clone()));
    let start = Instant::now();
    let outcome = SupervisedTraining::new(folder.path(), train_loader, valid_loader)
        .metrics((AccuracyMetric::new(), LossMetric::new()))
        .metric_train_numeric(LearningRateMetric::new())
        .num_epochs(epochs)
        .with_interrupter(interrupter.clone())
        .with_application_logger(None)
        .with_training_strategy(ExecutionStrategy::single(autodiff).into())
        .launch(Learner::new(
            classifier,
            optimizer::optimizer(&recipe.optimizer),
            schedule,
        ));
    let seconds = start.elapsed().as_secs_f64();
    // The renderer holds the terminal until it is dropped.
    drop(outcome.renderer);
    if let Some(error) = outcome.error {
        return Err(TrainError::Learner(error.to_string()));
    }
    let network = outcome.model.network;
    let path = folder.model_burnpack();
    network
        .clone()
        .into_record()
        .save(&path)
        .map_err(|error| TrainError::Save {
            path,
            reason: error.to_string(),
        })?;
    let valid = (recipe.validation > 0)
        .then(|| evaluation::predict(&network, &loaders.valid, &device))
        .transpose()?;
    let test = evaluation::predict(&network, &loaders.test, &device)?;
    run::write_predictions(&folder.predictions(), &cifar10::CLASS_NAMES, &test)?;
    run::write_confusion(
        &folder.confusion(),
        &cifar10::CLASS_NAMES,
        &run::confusion(&test)?,
    )?;
    let trained = loaders.train.len() * epochs;
    let result = RunResult {
        recipe: recipe.name.clone(),
        network: recipe.network.clone(),
        backend: options.backend.name().to_owned(),
        seed: recipe.seed,
        dataset: recipe.data.source.name().to_owned(),
        epochs: recipe.epochs,
        steps,
        train_loss: None,
        valid_accuracy: valid.as_deref().map(evaluation::accuracy),
        best_epoch: None,
        best_valid_accuracy: None,
        test_accuracy: Some(evaluation::accuracy(&test)),
        state: if interrupted() {
            RunState::Interrupted
        } else {
            RunState::Finished
        },
        error: None,
        seconds,
        images_per_second: trained as f64 / seconds,
    };
    result.write(&folder.result())?;
    Ok((folder, result))
}

struct Loaders {
    train: Loader,
    valid: Loader,
    test: Loader,
}

fn images(recipe: &Recipe, options: &TrainOptions) -> Result<(Images, Images), TrainError> {
    match recipe.data.source {
        DatasetSpec::Cifar10 => {
            let source = cifar10::SourceOptions {
                data_dir: options
                    .data_dir
                    .clone()
                    .or_else(cifar10::source::data_dir_from_env),
                ..Default::default()
            };
            let data = cifar10::load(&source, &|event: cifar10::Event<'_>| {
                if let cifar10::Event::Note(note) = event {
                    eprintln!("{note}");
                }
            })?;
            Ok((data.train, data.test))
        }
        DatasetSpec::Synthetic {
            train_images,
            test_images,
        } => {
            eprintln!("training on synthetic data, which is generated and no photograph");
            use cifar10::synthetic::{Part, generate};
            Ok((
                generate(Part::Train, train_images, recipe.seed),
                generate(Part::Test, test_images, recipe.seed),
            ))
        }
    }
}

fn loaders(recipe: &Recipe, train: Images, test: Images) -> Result<Loaders, TrainError> {
    let split = cifar10::split(train.labels(), recipe.validation, recipe.seed)?;
    let normalization = match recipe.data.normalize {
        Normalize::Channel => Normalization::CHANNEL,
        Normalize::Half => Normalization::HALF,
    };
    let augmentations = recipe
        .data
        .augment
        .iter()
        .map(|augmentation| match *augmentation {
            recipe::Augmentation::Crop { padding } => Augmentation::Crop { padding },
            recipe::Augmentation::Flip => Augmentation::Flip,
        })
        .collect();
    let evaluation = LoaderConfig {
        normalization,
        ..LoaderConfig::evaluation(500)
    };
    let training = LoaderConfig {
        normalization,
        augmentations,
        ..LoaderConfig::training(recipe.batch_size, recipe.seed)
    };
    Ok(Loaders {
        train: Loader::new(train.clone(), split.train, training)?,
        valid: Loader::new(train, split.valid, evaluation.clone())?,
        test: Loader::all(test, evaluation)?,
    })
}
