//! A run: data, network, Learner, run folder.
//!
//! | file | what it holds |
//! | --- | --- |
//! | `datasets` | the images of a recipe, and their batches on the host |
//! | `data` | batches on a device |
//! | `classifier` | a batch to a loss and gradients |
//! | `optimizer`, `schedule` | what the recipe asks for |
//! | `strategy` | the loop over epochs and steps |
//! | `weights` | a network's weights in files |
//! | `resume` | where an interrupted run goes on |
//! | `log`, `speed`, `renderer` | what a run shows |

mod classifier;
mod data;
pub mod datasets;
mod error;
mod log;
mod mean;
pub mod optimizer;
mod renderer;
mod resume;
mod schedule;
mod speed;
mod strategy;
pub mod weights;

use std::io::IsTerminal;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use burn::data::dataloader::DataLoader;
use burn::tensor::Device;
use burn::train::checkpoint::{FileCheckpointer, KeepLastNCheckpoints};
use burn::train::metric::{AccuracyMetric, LearningRateMetric, LossMetric};
use burn::train::{Interrupter, Learner, SupervisedTraining, TrainingStrategy};
use model::{Network, NetworkKind};

use crate::device::DeviceChoice;
use crate::evaluation;
use crate::progress::Verbosity;
use crate::recipe::{Recipe, Select};
use crate::run::{self, CLASSES, CsvLog, Environment, RunFolder, RunResult, RunState};

pub use classifier::{Batch, Classifier};
pub use data::DeviceLoader;
pub use error::TrainError;
pub use schedule::Schedule;

use datasets::{Data, Loaders};
use log::Log;
use resume::Resumed;
pub(crate) use strategy::lock;
use strategy::{Loop, Record};

/// Where a run gets its data, its device and its folder.
#[derive(Debug, Clone)]
pub struct TrainOptions {
    /// The device to train on.
    pub device: DeviceChoice,
    /// A folder with CIFAR-10.
    pub data_dir: Option<PathBuf>,
    /// Where run folders are made.
    pub artifacts: PathBuf,
    /// The run to go on with.
    pub resume: Option<String>,
    /// How much the run says.
    pub verbosity: Verbosity,
}

/// Trains `recipe` and writes its run folder. `interrupter` stops it after the current step.
///
/// # Errors
/// [`TrainError`] with what went wrong; a run that could not start leaves no folder.
pub fn train(
    recipe: &Recipe,
    options: &TrainOptions,
    interrupter: &Interrupter,
) -> Result<(RunFolder, RunResult), TrainError> {
    let kind = NetworkKind::from_name(&recipe.network)?;
    let device = options.device.open()?;
    let resumed = options
        .resume
        .as_deref()
        .map(|run| Resumed::find(&options.artifacts, run))
        .transpose()?;
    let data = datasets::images(recipe, options.data_dir.as_deref(), options.verbosity)?;
    let loaders = datasets::loaders(recipe, &data)?;
    let autodiff = device.clone().autodiff();
    let network = Network::init(kind, CLASSES, recipe.seed, &autodiff)?;
    let folder = match &resumed {
        Some(resumed) => resumed.folder.clone(),
        None => start_folder(recipe, options, &device, &data)?,
    };
    let run = Run {
        recipe,
        options,
        folder: &folder,
        loaders: &loaders,
        device: &device,
        origin: &data.record.origin,
    };
    let record = Arc::new(Mutex::new(Record::default()));
    let network = run.fit(network, interrupter, &record, resumed.as_ref())?;
    let record = std::mem::take(&mut *lock(&record));
    let result = run.finish(network, record)?;
    Ok((folder, result))
}

/// Makes the run's folder, the last thing before training starts.
fn start_folder(
    recipe: &Recipe,
    options: &TrainOptions,
    device: &Device,
    data: &Data,
) -> Result<RunFolder, TrainError> {
    let now = SystemTime::now();
    let folder = RunFolder::create(&options.artifacts, &recipe.name, now)?;
    run::write_atomic(&folder.config(), recipe.to_toml().as_bytes())?;
    Environment {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        git_commit: option_env!("TRAINER_GIT_COMMIT").map(str::to_owned),
        rustc: option_env!("TRAINER_RUSTC").unwrap_or("unknown").to_owned(),
        burn: "0.22.1".to_owned(),
        backend: options.device.backend.name().to_owned(),
        device: options.device.describe(device),
        threads: options.device.threads(),
        cpu: run::cpu_model(),
        os: std::env::consts::OS.to_owned(),
        arch: std::env::consts::ARCH.to_owned(),
        data: data.record.clone(),
        recipe_hash: recipe.hash(),
        command: std::env::args().collect(),
        started: Environment::timestamp(now),
    }
    .write(&folder.environment())?;
    Ok(folder)
}

/// What one run works with.
struct Run<'a> {
    recipe: &'a Recipe,
    options: &'a TrainOptions,
    folder: &'a RunFolder,
    loaders: &'a Loaders,
    device: &'a Device,
    origin: &'a str,
}

impl Run<'_> {
    /// Trains `network` to the run's end or to an interrupt, and gives it back without autodiff.
    fn fit(
        &self,
        network: Network,
        interrupter: &Interrupter,
        record: &Arc<Mutex<Record>>,
        resumed: Option<&Resumed>,
    ) -> Result<Network, TrainError> {
        let (recipe, folder) = (self.recipe, self.folder);
        let steps_per_epoch = self.loaders.train.steps() as u64;
        let steps = (recipe.epochs * steps_per_epoch as f64).ceil() as u64;
        let epochs = recipe.epochs.ceil() as usize;
        let done = resumed.map_or(0, |resumed| resumed.epoch);
        let steps_done = done as u64 * steps_per_epoch;
        lock(record).seconds = resumed.map_or(0.0, |resumed| resumed.seconds);
        let verbosity = self.options.verbosity;
        let quiet = verbosity == Verbosity::Quiet;
        let dashboard = std::io::stdout().is_terminal() && !quiet;
        let mut log = Log::open(&folder.log(), !dashboard && !quiet)?;
        log.line(&format!(
            "{} on {}, {} images for training, {} held out, {epochs} epochs, {steps} steps: {}",
            recipe.network,
            recipe.data.source.name(),
            self.loaders.train.len(),
            self.loaders.valid.len(),
            folder.path().display(),
        ))?;
        if verbosity == Verbosity::Verbose {
            log.line(&format!(
                "{} on {}, {} threads, data from {}",
                self.options.device.backend.name(),
                self.options.device.describe(self.device),
                self.options.device.threads(),
                self.origin,
            ))?;
        }
        let autodiff = self.device.clone().autodiff();
        let training = Loop {
            device: autodiff.clone(),
            steps,
            steps_per_epoch,
            best_weights: self.best_weights(),
            record: record.clone(),
            tables: Mutex::new((
                CsvLog::resume(&folder.metrics(), steps_done)?,
                CsvLog::resume(&folder.steps(), steps_done)?,
            )),
            log: Mutex::new(log),
            line_every: Duration::from_secs(if verbosity == Verbosity::Verbose {
                1
            } else {
                5
            }),
        };
        let train: Arc<dyn DataLoader<Batch>> = Arc::new(DeviceLoader::new(
            self.loaders.train.clone(),
            autodiff,
            done as u64,
        ));
        let valid: Arc<dyn DataLoader<Batch>> = Arc::new(DeviceLoader::new(
            self.loaders.valid.clone(),
            self.device.clone(),
            0,
        ));
        let schedule = Schedule::new(
            recipe.schedule.clone(),
            recipe.optimizer.lr(),
            steps,
            steps_per_epoch,
        );
        let checkpoints = folder.checkpoints();
        let part = |name| FileCheckpointer::new(&checkpoints, name);
        let mut supervised = SupervisedTraining::new(folder.path(), train, valid)
            .metrics((AccuracyMetric::new(), LossMetric::new()))
            .metric_train_numeric(LearningRateMetric::new())
            .metric_train_numeric(speed::ImagesPerSecond::new())
            .with_metric_logger(burn::train::logger::InMemoryMetricLogger::new())
            .num_epochs(epochs)
            .with_interrupter(interrupter.clone())
            .with_application_logger(None)
            .with_custom_checkpointers(part("model"), part("optim"), part("scheduler"))
            .with_checkpointing_strategy(KeepLastNCheckpoints::new(recipe.checkpoint.keep))
            .renderer(renderer::renderer(
                dashboard,
                interrupter,
                resumed.map(|r| r.epoch),
            ))
            .with_training_strategy(TrainingStrategy::Custom(Arc::new(training)));
        if done > 0 {
            supervised = supervised.checkpoint(done);
        }
        let outcome = supervised.launch(Learner::new(
            Classifier::new(network, recipe.loss.label_smoothing),
            optimizer::optimizer(&recipe.optimizer)?,
            schedule,
        ));
        // The renderer holds the terminal until it is dropped.
        drop(outcome.renderer);
        if let Some(error) = lock(record).error.take() {
            return Err(error);
        }
        if let Some(error) = outcome.error {
            return Err(TrainError::Learner(error.to_string()));
        }
        Ok(outcome.model.network)
    }

    /// Saves the weights that the recipe selects, and tests them unless the run was interrupted.
    fn finish(&self, mut network: Network, record: Record) -> Result<RunResult, TrainError> {
        let folder = self.folder;
        if self.recipe.select == Select::Best && !record.stopped {
            network = weights::load(network, &self.best_weights())?;
        }
        weights::save(&network, &folder.model_burnpack())?;
        weights::save_safetensors(&network, &folder.model_safetensors())?;
        let test_accuracy = if record.stopped {
            None
        } else {
            let test = evaluation::predict(&network, &self.loaders.test, self.device)?;
            run::write_predictions(&folder.predictions(), &cifar10::CLASS_NAMES, &test)?;
            let confusion = run::confusion(&test)?;
            run::write_confusion(&folder.confusion(), &cifar10::CLASS_NAMES, &confusion)?;
            Some(evaluation::accuracy(&test))
        };
        let result = RunResult {
            recipe: self.recipe.name.clone(),
            network: self.recipe.network.clone(),
            backend: self.options.device.backend.name().to_owned(),
            seed: self.recipe.seed,
            dataset: self.recipe.data.source.name().to_owned(),
            epochs: self.recipe.epochs,
            steps: record.steps,
            train_loss: record.train_loss,
            valid_accuracy: record.valid_accuracy,
            best_epoch: record.best.map(|(epoch, _)| epoch),
            best_valid_accuracy: record.best.map(|(_, accuracy)| accuracy),
            test_accuracy,
            state: if record.stopped {
                RunState::Interrupted
            } else {
                RunState::Finished
            },
            error: None,
            seconds: record.seconds,
            images_per_second: record.images as f64 / record.seconds,
        };
        result.write(&folder.result())?;
        Ok(result)
    }

    fn best_weights(&self) -> PathBuf {
        self.folder.checkpoints().join("best.bpk")
    }
}
