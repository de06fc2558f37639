//! A run: data, network, Learner, run folder.
//!
//! | file | what it holds |
//! | --- | --- |
//! | `data` | batches on a device |
//! | `classifier` | a batch to a loss and gradients |
//! | `optimizer`, `schedule` | what the recipe asks for |
//! | `strategy` | the loop over epochs and steps |
//! | `log`, `speed`, `renderer` | what a run shows |

mod classifier;
mod data;
mod error;
mod log;
mod mean;
mod optimizer;
mod renderer;
mod schedule;
mod speed;
mod strategy;

use std::fs;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use burn::data::dataloader::DataLoader;
use burn::module::Module;
use burn::store::{ModuleRecord, ModuleSnapshot, SafetensorsStore};
use burn::tensor::Device;
use burn::train::checkpoint::{FileCheckpointer, KeepLastNCheckpoints};
use burn::train::metric::{AccuracyMetric, LearningRateMetric, LossMetric};
use burn::train::{Interrupter, Learner, SupervisedTraining, TrainingStrategy};
use cifar10::{Augmentation, Images, Loader, LoaderConfig, Normalization};
use model::{Network, NetworkKind};

use crate::device::BackendName;
use crate::evaluation;
use crate::recipe::{self, DatasetSpec, Normalize, Recipe, Select};
use crate::run::{self, CLASSES, CsvLog, DataRecord, Environment, RunFolder, RunResult, RunState};

pub use classifier::{Batch, Classifier};
pub use data::DeviceLoader;
pub use error::TrainError;
pub use schedule::Schedule;

use log::Log;
use strategy::{Loop, Record, lock};

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
    /// The run to go on with.
    pub resume: Option<String>,
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
    let device = options.backend.open(options.threads)?;
    let resumed = options
        .resume
        .as_deref()
        .map(|run| Resumed::find(&options.artifacts, run))
        .transpose()?;
    let data = images(recipe, options)?;
    let loaders = loaders(recipe, &data)?;
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
    };
    let record = Arc::new(Mutex::new(Record::default()));
    let network = run.fit(network, interrupter, &record, resumed.as_ref())?;
    let record = std::mem::take(&mut *lock(&record));
    let result = run.finish(network, record);
    match result {
        Ok(result) => Ok((folder, result)),
        Err(error) => Err(error),
    }
}

/// A run to go on with.
struct Resumed {
    folder: RunFolder,
    epoch: usize,
    seconds: f64,
}

impl Resumed {
    fn find(artifacts: &Path, name: &str) -> Result<Self, TrainError> {
        let folder = RunFolder::open(run::resolve(artifacts, name)?)?;
        let result = RunResult::read(&folder.result()).ok();
        if result
            .as_ref()
            .is_some_and(|r| r.state == RunState::Finished)
        {
            return Err(TrainError::AlreadyFinished(folder.path().to_owned()));
        }
        let epoch = last_checkpoint(&folder.checkpoints())
            .ok_or_else(|| TrainError::NoCheckpoint(folder.path().to_owned()))?;
        Ok(Self {
            folder,
            epoch,
            seconds: result.map_or(0.0, |result| result.seconds),
        })
    }
}

/// The latest epoch of which model, optimiser and schedule were all saved.
fn last_checkpoint(folder: &Path) -> Option<usize> {
    let whole = |epoch: &usize| {
        ["model", "optim", "scheduler"]
            .iter()
            .all(|part| folder.join(format!("{part}-{epoch}.bpk")).is_file())
    };
    fs::read_dir(folder)
        .ok()?
        .filter_map(|entry| {
            let name = entry.ok()?.file_name();
            name.to_str()?
                .strip_prefix("model-")?
                .strip_suffix(".bpk")?
                .parse()
                .ok()
        })
        .filter(whole)
        .max()
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
        rustc: env!("CARGO_PKG_RUST_VERSION").to_owned(),
        burn: "0.22.1".to_owned(),
        backend: options.backend.name().to_owned(),
        device: format!("{device:?}"),
        threads: options.threads.unwrap_or_else(|| {
            std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
        }),
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
        let dashboard = std::io::stdout().is_terminal();
        let mut log = Log::open(&folder.log(), !dashboard)?;
        log.line(&format!(
            "{} on {}, {} images for training, {} held out, {epochs} epochs, {steps} steps: {}",
            recipe.network,
            recipe.data.source.name(),
            self.loaders.train.len(),
            self.loaders.valid.len(),
            folder.path().display(),
        ))?;
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
            optimizer::optimizer(&recipe.optimizer),
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
            network = load_network(network, &self.best_weights())?;
        }
        save_network(&network, &folder.model_burnpack())?;
        let mut store = SafetensorsStore::from_file(folder.model_safetensors())
            .skip_enum_variants(true)
            .overwrite(true);
        network
            .save_into(&mut store)
            .map_err(|error| TrainError::save(&folder.model_safetensors(), error))?;
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
            backend: self.options.backend.name().to_owned(),
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

/// Saves a network's weights as a burnpack, written beside and renamed.
fn save_network(network: &Network, path: &Path) -> Result<(), TrainError> {
    let bytes = network
        .clone()
        .into_record()
        .into_bytes()
        .map_err(|error| TrainError::save(path, error))?;
    Ok(run::write_atomic(path, &bytes)?)
}

fn load_network(network: Network, path: &Path) -> Result<Network, TrainError> {
    let record = ModuleRecord::load(path).map_err(|error| TrainError::load(path, error))?;
    network
        .try_load_record(record)
        .map_err(|error| TrainError::load(path, error))
}

struct Loaders {
    train: Loader,
    valid: Loader,
    test: Loader,
}

/// The images of a run, and what its record says of them.
struct Data {
    train: Images,
    test: Images,
    record: DataRecord,
}

fn images(recipe: &Recipe, options: &TrainOptions) -> Result<Data, TrainError> {
    let dataset = recipe.data.source.name().to_owned();
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
            eprintln!("training on synthetic data, which is generated and no photograph");
            use cifar10::synthetic::{Part, generate};
            Ok(Data {
                train: generate(Part::Train, train_images, recipe.seed),
                test: generate(Part::Test, test_images, recipe.seed),
                record: DataRecord {
                    dataset,
                    origin: "generated".to_owned(),
                    sha256: Vec::new(),
                },
            })
        }
    }
}

fn loaders(recipe: &Recipe, data: &Data) -> Result<Loaders, TrainError> {
    let (train, test) = (data.train.clone(), data.test.clone());
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
