//! A run: data, network, Learner, run folder.
//!
//! | file | what it holds |
//! | --- | --- |
//! | `datasets` | the images of a recipe, and their batches on the host |
//! | `data` | batches as Burn's `DataLoader` |
//! | `classifier` | a batch to a loss and gradients |
//! | `roles` | what each parameter is for |
//! | `optimizer`, `muon`, `schedule` | what the recipe asks for |
//! | `gradient` | lengths and sums of gradients |
//! | `replicas` | a batch over several devices |
//! | `recorded` | batches that a GPU computes again as they were recorded |
//! | `average` | weights kept beside those that train: their average, and slow ones |
//! | `strategy` | the loop over epochs and steps |
//! | `session` | a run under way: where it stands, and what it writes |
//! | `unread`, `read` | figures that stay on the device until several are read, in one wait |
//! | `held` | a network and an optimiser's state, read in one wait for a record of them |
//! | `record`, `mean`, `exact` | what a run has done, in numbers that read back bit for bit |
//! | `tables` | `metrics.csv`, `steps.csv`, `events.jsonl` and TensorBoard's events |
//! | `saver` | when a run is saved |
//! | `checkpoint` | how it is saved and found again |
//! | `initial` | weights of a file that a run begins with |
//! | `resume` | where an interrupted run goes on |
//! | `start`, `finish` | a run's first and last files |
//! | `stop` | how a run is told to end |
//! | `weights` | a network's weights in files |
//! | `log`, `latest`, `renderer`, `metric_log` | what a run shows |

mod average;
pub mod checkpoint;
mod classifier;
mod data;
pub mod datasets;
mod error;
mod exact;
mod finish;
pub mod gradient;
mod held;
mod initial;
mod latest;
mod log;
mod mean;
mod metric_log;
mod muon;
pub mod optimizer;
mod read;
pub mod record;
mod recorded;
mod renderer;
mod replicas;
mod resume;
mod roles;
mod saver;
mod schedule;
mod session;
mod start;
mod stop;
mod strategy;
mod tables;
mod unread;
pub mod weights;

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use burn::data::dataloader::DataLoader;
use burn::tensor::Device;
use burn_train::metric::{AccuracyMetric, LossMetric};
use burn_train::{Interrupter, Learner, SupervisedTraining, TrainingStrategy};
use model::{Network, NetworkKind};

use crate::device::DeviceChoice;
use crate::progress::Verbosity;
use crate::recipe::Recipe;
use crate::report;
#[cfg(unix)]
use crate::run::RunError;
use crate::run::{CLASSES, DataRecord, RunFolder, RunLock, RunResult};
use crate::screen;

pub use crate::batches::{Batch, Batches, Mixed};
pub use average::Averages;
pub use classifier::Classifier;
pub use data::DeviceLoader;
pub use error::TrainError;
pub(crate) use error::tells_of_full_memory;
pub use recorded::Recorder;
pub use schedule::Schedule;
pub use stop::{NotBegun, Stop};

use checkpoint::{Checkpoint, Identity};
use datasets::Loaders;
use latest::Latest;
use record::Place;
use replicas::{Devices, Replicas};
use resume::Resumed;
use session::Session;
use strategy::Loop;
pub(crate) use strategy::lock;

/// What burn-train's dashboard panics with when its user chooses to end the training at once.
const DASHBOARD_KILL: &str = "Killing training from user input";

/// Where a run gets its data, its device and its folder.
#[derive(Debug, Clone)]
pub struct TrainOptions {
    /// The device to train on.
    pub device: DeviceChoice,
    /// Devices that compute each batch with it.
    pub others: Vec<DeviceChoice>,
    /// Whether to train on it although it computes wrongly.
    pub trust_device: bool,
    /// A folder with CIFAR-10.
    pub data_dir: Option<PathBuf>,
    /// Where run folders are made.
    pub artifacts: PathBuf,
    /// The run to go on with.
    pub resume: Option<String>,
    /// A file of weights that a new run begins with, where they fit.
    pub init_from: Option<PathBuf>,
    /// How much the run says.
    pub verbosity: Verbosity,
    /// What the run says first.
    pub remarks: Vec<String>,
}

/// Trains `recipe` and writes its run folder, to its end or until `stop` is asked for.
///
/// # Errors
/// [`TrainError`] with what went wrong; a run that could not start leaves no folder.
pub fn train(
    recipe: &Recipe,
    options: &TrainOptions,
    stop: &Stop,
) -> Result<(RunFolder, RunResult), TrainError> {
    let kind = NetworkKind::from_name(&recipe.network)?;
    let Devices {
        first: device,
        replicas,
        names,
        computing,
    } = Devices::open(options, recipe.batch_size)?;
    let resumed = options
        .resume
        .as_deref()
        .map(|run| Resumed::find(&options.artifacts, run))
        .transpose()?;
    if resumed.is_none() {
        RunFolder::check_place(&options.artifacts)?;
    }
    let data = datasets::images(recipe, options.data_dir.as_deref(), options.verbosity)?;
    let identity = Identity {
        recipe: recipe.hash(),
        data: data.record.hash(),
        seed: recipe.seed,
    };
    let loaders = datasets::loaders(recipe, &data)?;
    let network = Network::init(kind, CLASSES, recipe.seed, &device.clone().autodiff())?;
    // A checkpoint's weights take the place of the first ones.
    let goes_on = (resumed.as_ref()).is_some_and(|resumed| resumed.checkpoint.is_some());
    let network = if network.whitens() && !goes_on {
        network.whitened(&datasets::whitening_images(recipe, &data)?)
    } else {
        network
    };
    let (network, initial) = match (&resumed, &options.init_from) {
        (Some(resumed), _) => (initial::again(network, resumed)?, None),
        (None, Some(file)) => initial::weights(network, file).map(|(n, i)| (n, Some(i)))?,
        (None, None) => (network, None),
    };
    let idle = roles::idle(&recipe.groups, &network, &recipe.network);
    stop.begin();
    let on = (names, computing);
    let (folder, _lock, checkpoint, mut remarks) = match resumed {
        Some(resumed) => {
            let step = (resumed.checkpoint.as_ref()).map_or(0, |found| found.manifest.record.steps);
            if let Some(checkpoint) = &resumed.checkpoint {
                checkpoint.check(&identity)?;
            }
            // The record first: weights are removed only once the run is sure to go on.
            let note = start::note_resumption(&resumed.folder, recipe, options, on, &data, step)
                .map_err(TrainError::before_the_first_step)?;
            resumed.folder.reopen()?;
            let mut remarks = resumed.remarks;
            remarks.extend(note);
            (resumed.folder, resumed.lock, resumed.checkpoint, remarks)
        }
        None => {
            let remarks: Vec<String> = initial.iter().map(initial::remark).collect();
            // The run's own lines are not shown then, and weights that were drawn in place of the file's
            // are no progress.
            if options.verbosity == Verbosity::Quiet
                && (initial.iter()).any(|initial| !initial.fit.misfit.is_none())
            {
                remarks
                    .iter()
                    .for_each(|remark| options.verbosity.warn(remark));
            }
            let folder = start::start_folder(recipe, options, on, &data, initial)?;
            let lock =
                RunLock::take(&folder).map_err(|error| start::undone(&folder, error.into()))?;
            (folder, lock, None, remarks)
        }
    };
    remarks.extend(options.remarks.iter().cloned());
    remarks.extend(idle);
    let run = Run {
        recipe,
        options,
        folder: &folder,
        loaders: &loaders,
        device: &device,
        replicas,
        data: &data.record,
        identity,
    };
    let result = run.train(network, stop.interrupter(), checkpoint, &remarks)?;
    // The run itself is whole without its report, which can be written again.
    if let Err(error) = report::write(&folder, Some(&data.test)) {
        options.verbosity.note(&format!(
            "{error}; the report can be written again with `trainer report`"
        ));
    }
    Ok((folder, result))
}

/// What one run works with.
struct Run<'a> {
    recipe: &'a Recipe,
    options: &'a TrainOptions,
    folder: &'a RunFolder,
    loaders: &'a Loaders,
    device: &'a Device,
    replicas: Replicas,
    data: &'a DataRecord,
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
            self.options.verbosity.note(remark);
        }
        let (session, learner) = self.start(network, checkpoint).map_err(|error| {
            if self.options.resume.is_some() {
                error.before_the_first_step()
            } else {
                start::undone(self.folder, error)
            }
        })?;
        let session = Arc::new(Mutex::new(session));
        let fitted = self.start_log(&session, remarks).and_then(|()| {
            catch_unwind(AssertUnwindSafe(|| {
                self.fit(learner, interrupter, &session)
            }))
            .unwrap_or_else(|payload| Err(self.panicked(&*payload)))
        });
        let mut session = lock(&session);
        // The dashboard is gone, and what follows it is said where it was.
        session.log.show(self.options.verbosity != Verbosity::Quiet);
        fitted
            .and_then(|classifier| self.finish(classifier, &mut session, interrupter))
            .map_err(|error| self.fail(error, &mut session))
    }

    /// Trains to the run's end or to an interrupt, and gives the classifier back without autodiff.
    fn fit(
        &self,
        learner: Learner<Classifier>,
        interrupter: &Interrupter,
        session: &Arc<Mutex<Session>>,
    ) -> Result<Classifier, TrainError> {
        let Place { epoch, step } = lock(session).place;
        let (done, step) = (epoch - 1, step as usize);
        let autodiff = self.device.clone().autodiff();
        let (train, valid) = (self.loaders.train.clone(), self.loaders.valid.clone());
        let train = Batches::new(train, autodiff.clone()).ahead(self.ahead());
        let valid = Batches::new(valid, self.device.clone());
        let train: Arc<dyn DataLoader<Batch>> = Arc::new(DeviceLoader::new(train, done, step));
        let valid: Arc<dyn DataLoader<Batch>> = Arc::new(DeviceLoader::new(valid, 0, 0));
        let training = Loop {
            device: autodiff,
            steps: self.steps(),
            replicas: self.replicas.clone(),
            gradients: self.recipe.gradients,
            patience: self.recipe.patience as u64,
            at_hand: !self.computes_aside(),
            session: session.clone(),
        };
        let done = usize::try_from(done).ok().filter(|done| *done > 0);
        #[cfg(unix)]
        let _aside = self
            .shows_dashboard()
            .then(|| crate::terminal::ErrorsAside::into(&self.folder.log()))
            .transpose()
            .map_err(RunError::io("open", &self.folder.log()))?;
        let mut supervised = SupervisedTraining::new(self.folder.path(), train, valid)
            .metrics((AccuracyMetric::new(), LossMetric::new()))
            .metric_train_numeric(Latest::learning_rate())
            .metric_train_numeric(Latest::images_per_second())
            .with_metric_logger(metric_log::Unlogged)
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
        Ok(outcome.model)
    }

    /// Threads that prepare batches beside the training: one where the device is no processor.
    fn ahead(&self) -> usize {
        usize::from(self.computes_aside())
    }

    /// Whether the device computes while the program goes on, so that reading from it is waiting for it.
    fn computes_aside(&self) -> bool {
        !self.options.device.backend.is_processor()
    }

    /// Steps of the whole run.
    fn steps(&self) -> u64 {
        self.recipe.steps()
    }

    /// Whether the run is over before its last epoch, because no epoch was better than the best.
    fn ends_early(&self, session: &Session) -> bool {
        session
            .record
            .ends_before(session.place.epoch, self.recipe.patience as u64)
    }

    fn shows_dashboard(&self) -> bool {
        screen::can_be_filled() && self.options.verbosity != Verbosity::Quiet
    }

    /// The error of a panic. The panic's own message has been printed where it happened.
    fn panicked(&self, payload: &(dyn Any + Send)) -> TrainError {
        let text = payload
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| payload.downcast_ref::<&str>().copied())
            .unwrap_or("it gave no reason")
            .to_owned();
        if text.contains(DASHBOARD_KILL) {
            return TrainError::Killed;
        }
        TrainError::of_reason(text, self.recipe.batch_size, TrainError::Panicked)
    }
}
