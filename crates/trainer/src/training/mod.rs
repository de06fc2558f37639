//! A run: data, network, Learner, run folder.
//!
//! | file | what it holds |
//! | --- | --- |
//! | `datasets` | the images of a recipe, and their batches on the host |
//! | `data` | batches on a device |
//! | `classifier` | a batch to a loss and gradients |
//! | `optimizer`, `schedule`, `gradient` | what the recipe asks for, and a gradient's length |
//! | `strategy` | the loop over epochs and steps |
//! | `session` | a run under way: where it stands, and what it writes |
//! | `record`, `mean`, `exact` | what a run has done, in numbers that read back bit for bit |
//! | `tables` | `metrics.csv` and `steps.csv` |
//! | `saver` | when a run is saved |
//! | `checkpoint` | how it is saved and found again |
//! | `resume` | where an interrupted run goes on |
//! | `finish` | a run's last files |
//! | `weights` | a network's weights in files |
//! | `log`, `speed`, `renderer` | what a run shows |

pub mod checkpoint;
mod classifier;
mod data;
pub mod datasets;
mod error;
mod exact;
mod finish;
mod gradient;
mod log;
mod mean;
pub mod optimizer;
pub mod record;
mod renderer;
mod resume;
mod saver;
mod schedule;
mod session;
mod speed;
mod strategy;
mod tables;
pub mod weights;

use std::any::Any;
use std::io::{IsTerminal, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use burn::data::dataloader::DataLoader;
use burn::lr_scheduler::module_lr_scheduler::ModuleLrScheduler;
use burn::tensor::Device;
use burn::train::metric::{AccuracyMetric, LearningRateMetric, LossMetric};
use burn::train::{Interrupter, Learner, SupervisedTraining, TrainingStrategy};
use model::{Network, NetworkKind};

use crate::device::DeviceChoice;
use crate::progress::Verbosity;
use crate::recipe::Recipe;
use crate::run::{self, CLASSES, Environment, RunFolder, RunLock, RunResult};

pub use classifier::{Batch, Classifier};
pub use data::DeviceLoader;
pub use error::TrainError;
pub use schedule::Schedule;

use checkpoint::{BEST, Checkpoint, Identity, Store, TableLengths, load_learner};
use datasets::{Data, Loaders};
use log::Log;
use record::{Figures, Place, Record};
use resume::Resumed;
use saver::Saver;
use session::Session;
use strategy::Loop;
pub(crate) use strategy::lock;
use tables::Tables;

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
    let identity = Identity {
        recipe: recipe.hash(),
        data: data.record.hash(),
        seed: recipe.seed,
    };
    let loaders = datasets::loaders(recipe, &data)?;
    let network = Network::init(kind, CLASSES, recipe.seed, &device.clone().autodiff())?;
    let (folder, _lock, checkpoint, remarks) = match resumed {
        Some(resumed) => (
            resumed.folder,
            resumed.lock,
            resumed.checkpoint,
            resumed.remarks,
        ),
        None => {
            let folder = start_folder(recipe, options, &device, &data)?;
            let lock = RunLock::take(&folder)?;
            (folder, lock, None, Vec::new())
        }
    };
    if let Some(checkpoint) = &checkpoint {
        checkpoint.check(&identity)?;
    }
    let run = Run {
        recipe,
        options,
        folder: &folder,
        loaders: &loaders,
        device: &device,
        origin: &data.record.origin,
        identity,
    };
    let result = run.train(network, interrupter, checkpoint, &remarks)?;
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
    identity: Identity,
}

impl Run<'_> {
    /// Trains `network` from its start or from `checkpoint`, to the run's end or to an interrupt, and
    /// writes the result.
    fn train(
        &self,
        network: Network,
        interrupter: &Interrupter,
        checkpoint: Option<Checkpoint>,
        remarks: &[String],
    ) -> Result<RunResult, TrainError> {
        for remark in remarks {
            // A closed standard error is no reason to end a run.
            let _ = writeln!(std::io::stderr(), "{remark}");
        }
        let (session, learner) = self.start(network, checkpoint)?;
        let session = Arc::new(Mutex::new(session));
        let fitted = self.start_log(&session, remarks).and_then(|()| {
            catch_unwind(AssertUnwindSafe(|| {
                self.fit(learner, interrupter, &session)
            }))
            .unwrap_or_else(|payload| Err(self.panicked(&*payload)))
        });
        let mut session = lock(&session);
        fitted
            .and_then(|network| self.finish(network, &session))
            .map_err(|error| self.fail(error, &mut session))
    }

    /// The run as it starts, and Burn's Learner of it.
    fn start(
        &self,
        network: Network,
        checkpoint: Option<Checkpoint>,
    ) -> Result<(Session, Learner<Classifier>), TrainError> {
        let recipe = self.recipe;
        let classifier = Classifier::new(network, recipe.loss.label_smoothing);
        let optimizer = optimizer::optimizer(&recipe.optimizer)?;
        let steps_per_epoch = self.loaders.train.steps() as u64;
        let schedule = Schedule::new(
            recipe.schedule.clone(),
            recipe.optimizer.lr(),
            self.steps(),
            steps_per_epoch,
        );
        let (last, figures, record, lengths, best, parts);
        match checkpoint {
            Some(mut found) => {
                let manifest = found.manifest.clone();
                parts = load_learner(&mut found, classifier, optimizer, schedule)?;
                best = match manifest.record.best {
                    Some(_) => Some(found.take(BEST)?),
                    None => None,
                };
                (last, figures) = (Some((manifest.place, found.name)), manifest.figures);
                (record, lengths) = (manifest.record, manifest.tables);
            }
            None => {
                parts = (classifier, optimizer, ModuleLrScheduler::from(schedule));
                (last, best, figures) = (None, None, Figures::default());
                (record, lengths) = (Record::default(), TableLengths::default());
            }
        }
        let verbosity = self.options.verbosity;
        let session = Session {
            place: last.map_or_else(Place::default, |(place, _)| place),
            figures,
            record,
            tables: Tables::open(self.folder, lengths)?,
            log: Log::open(
                &self.folder.log(),
                !self.shows_dashboard() && verbosity != Verbosity::Quiet,
            )?,
            saver: Saver::new(
                Store::new(self.folder.checkpoints()),
                recipe.checkpoint,
                steps_per_epoch,
                self.identity.clone(),
                last,
                best,
            ),
            line_every: Duration::from_secs(if verbosity == Verbosity::Verbose {
                1
            } else {
                5
            }),
            clock: (Instant::now(), 0.0),
            stopped: false,
            error: None,
        };
        let (classifier, optimizer, schedule) = parts;
        Ok((session, Learner::new(classifier, optimizer, schedule)))
    }

    /// The first lines of the log.
    fn start_log(&self, session: &Mutex<Session>, remarks: &[String]) -> Result<(), TrainError> {
        let log = &mut lock(session).log;
        for remark in remarks {
            log.note(remark)?;
        }
        log.line(&format!(
            "{} on {}, {} images for training, {} held out, {} epochs, {} steps: {}",
            self.recipe.network,
            self.recipe.data.source.name(),
            self.loaders.train.len(),
            self.loaders.valid.len(),
            self.recipe.epochs.ceil(),
            self.steps(),
            self.folder.path().display(),
        ))?;
        if self.options.verbosity == Verbosity::Verbose {
            log.line(&format!(
                "{} on {}, {} threads, data from {}",
                self.options.device.backend.name(),
                self.options.device.describe(self.device),
                self.options.device.threads(),
                self.origin,
            ))?;
        }
        Ok(())
    }

    /// Trains to the run's end or to an interrupt, and gives the network back without autodiff.
    fn fit(
        &self,
        learner: Learner<Classifier>,
        interrupter: &Interrupter,
        session: &Arc<Mutex<Session>>,
    ) -> Result<Network, TrainError> {
        let Place { epoch, step } = lock(session).place;
        let (done, step) = (epoch - 1, step as usize);
        let autodiff = self.device.clone().autodiff();
        let (train, valid) = (self.loaders.train.clone(), self.loaders.valid.clone());
        let train: Arc<dyn DataLoader<Batch>> =
            Arc::new(DeviceLoader::new(train, autodiff.clone(), done, step));
        let valid: Arc<dyn DataLoader<Batch>> =
            Arc::new(DeviceLoader::new(valid, self.device.clone(), 0, 0));
        let training = Loop {
            device: autodiff,
            steps: self.steps(),
            session: session.clone(),
        };
        let done = usize::try_from(done).ok().filter(|done| *done > 0);
        let mut supervised = SupervisedTraining::new(self.folder.path(), train, valid)
            .metrics((AccuracyMetric::new(), LossMetric::new()))
            .metric_train_numeric(LearningRateMetric::new())
            .metric_train_numeric(speed::ImagesPerSecond::new())
            .with_metric_logger(burn::train::logger::InMemoryMetricLogger::new())
            .num_epochs(self.recipe.epochs.ceil() as usize)
            .with_interrupter(interrupter.clone())
            .with_application_logger(None)
            .renderer(renderer::renderer(
                self.shows_dashboard(),
                interrupter,
                done,
            ))
            .with_training_strategy(TrainingStrategy::Custom(Arc::new(training)));
        if let Some(done) = done {
            supervised = supervised.checkpoint(done);
        }
        let outcome = supervised.launch(learner);
        // The renderer holds the terminal until it is dropped.
        drop(outcome.renderer);
        if let Some(error) = lock(session).error.take() {
            return Err(error);
        }
        if let Some(error) = outcome.error {
            return Err(TrainError::Learner(error.to_string()));
        }
        Ok(outcome.model.network)
    }

    /// Steps of the whole run.
    fn steps(&self) -> u64 {
        (self.recipe.epochs * self.loaders.train.steps() as f64).ceil() as u64
    }

    fn shows_dashboard(&self) -> bool {
        std::io::stdout().is_terminal() && self.options.verbosity != Verbosity::Quiet
    }

    /// The error of a panic. The panic's own message has been printed where it happened.
    fn panicked(&self, payload: &(dyn Any + Send)) -> TrainError {
        let text = payload
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| payload.downcast_ref::<&str>().copied())
            .unwrap_or("it gave no reason")
            .to_owned();
        TrainError::of_reason(text, self.recipe.batch_size, TrainError::Panicked)
    }
}
