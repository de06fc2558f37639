//! A run's folder, its first lines, and where it begins.

use std::fmt::Display;
use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime};

use burn_train::Learner;
use cifar10::View;
use model::Network;

use super::average::Averages;
use super::checkpoint::{BEST, Checkpoint, Store, TableLengths, load_learner};
use super::datasets::Data;
use super::log::Log;
use super::record::{Figures, Place, Record};
use super::recorded::Recorder;
use super::saver::Saver;
use super::session::Session;
use super::strategy::lock;
use super::tables::Tables;
use super::{Classifier, Run, Schedule, TrainError, TrainOptions, optimizer};
use crate::device::Computing;
use crate::progress::Verbosity;
use crate::recipe::Recipe;
use crate::run::{self, Environment, Event, InitialWeights, Resumption, RunFolder};

/// Makes the run's folder, the last thing before training starts.
pub(super) fn start_folder(
    recipe: &Recipe,
    options: &TrainOptions,
    device: (String, Computing),
    data: &Data,
    initial_weights: Option<InitialWeights>,
) -> Result<RunFolder, TrainError> {
    let now = SystemTime::now();
    let folder = RunFolder::create(&options.artifacts, &recipe.name, now)?;
    let written = environment(recipe, options, device, data, initial_weights, now)
        .write(&folder.environment())
        // Last, since a run with a recipe can be resumed, and resuming reads the other file.
        .and_then(|()| run::write_atomic(&folder.config(), recipe.to_toml().as_bytes()));
    match written {
        Ok(()) => Ok(folder),
        Err(error) => Err(undone(&folder, error.into())),
    }
}

/// `error`, which kept the run in `folder` from its first step, after the folder is gone again.
pub(super) fn undone(folder: &RunFolder, error: TrainError) -> TrainError {
    // The first error is the one to report.
    let _ = folder.undo();
    error.before_the_first_step()
}

/// What a run that begins `now` runs on.
fn environment(
    recipe: &Recipe,
    options: &TrainOptions,
    device: (String, Computing),
    data: &Data,
    initial_weights: Option<InitialWeights>,
    now: SystemTime,
) -> Environment {
    let (device, computing) = device;
    Environment {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        git_commit: option_env!("TRAINER_GIT_COMMIT").map(str::to_owned),
        rustc: option_env!("TRAINER_RUSTC").unwrap_or("unknown").to_owned(),
        burn: run::BURN.to_owned(),
        backend: options.device.backend.name().to_owned(),
        device,
        asked_devices: std::iter::once(&options.device)
            .chain(&options.others)
            .map(|choice| choice.device.to_string())
            .collect(),
        token_file: options.device.token_file.clone(),
        precision: computing.precision,
        isa: computing.isa,
        threads: computing.threads,
        cpu: run::cpu_model(),
        os: std::env::consts::OS.to_owned(),
        arch: std::env::consts::ARCH.to_owned(),
        data: data.record.clone(),
        recipe_hash: recipe.hash(),
        initial_weights,
        command: std::env::args().collect(),
        started: Environment::timestamp(now),
        resumptions: Vec::new(),
    }
}

/// A number of things that a word names.
fn counted(number: impl Display, word: &str) -> String {
    let number = number.to_string();
    let ending = if number == "1" { "" } else { "s" };
    format!("{number} {word}{ending}")
}

/// Notes in the run's record that it goes on after `step` steps, and on what. A record that cannot be read
/// is begun anew, which the returned line says: the run does not depend on it.
pub(super) fn note_resumption(
    folder: &RunFolder,
    recipe: &Recipe,
    options: &TrainOptions,
    device: (String, Computing),
    data: &Data,
    step: u64,
) -> Result<Option<String>, TrainError> {
    let path = folder.environment();
    let (mut environment, remark) = match Environment::read(&path) {
        Ok(environment) => (environment, None),
        Err(error) => (
            environment(
                recipe,
                options,
                device.clone(),
                data,
                None,
                SystemTime::now(),
            ),
            Some(format!(
                "{error}; the record of what the run began on is lost, and is begun anew"
            )),
        ),
    };
    let (device, computing) = device;
    environment.resumptions.push(Resumption {
        step,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        backend: options.device.backend.name().to_owned(),
        device,
        precision: computing.precision,
        isa: computing.isa,
        threads: computing.threads,
        command: std::env::args().collect(),
        started: Environment::timestamp(SystemTime::now()),
    });
    environment.write(&path)?;
    Ok(remark)
}

impl Run<'_> {
    /// The run as it starts, and Burn's Learner of it.
    pub(super) fn start(
        &self,
        network: Network,
        checkpoint: Option<Checkpoint>,
    ) -> Result<(Session, Learner<Classifier>), TrainError> {
        let recipe = self.recipe;
        let classifier =
            Classifier::with_loss(network, recipe.loss).computing(self.options.device.precision);
        let optimizer =
            optimizer::optimizer(&recipe.optimizer, &recipe.groups, &classifier.network);
        let steps_per_epoch = self.loaders.train.steps() as u64;
        let schedule = Schedule::new(
            recipe.schedule.clone(),
            recipe.optimizer.lr(),
            self.steps(),
            steps_per_epoch,
        )
        .of_network(&recipe.groups, &classifier.network);
        let (last, figures, record, lengths, best, parts, averages);
        match checkpoint {
            Some(mut found) => {
                let manifest = found.manifest.clone();
                parts = load_learner(&mut found, classifier, optimizer, schedule)?;
                averages = Averages::restored(recipe, self.steps(), &parts.0, &mut found)?;
                best = match manifest.record.best {
                    Some(_) => Some(found.take(BEST)?),
                    None => None,
                };
                (last, figures) = (Some((manifest.place, found.name)), manifest.figures);
                (record, lengths) = (manifest.record, manifest.tables);
            }
            None => {
                averages = Averages::new(recipe, self.steps(), &classifier);
                parts = (classifier, optimizer, schedule);
                (last, best, figures) = (None, None, Figures::default());
                (record, lengths) = (Record::default(), TableLengths::default());
            }
        }
        let verbosity = self.options.verbosity;
        let mut tables = Tables::open(self.folder, lengths, record.seconds)?;
        tables.event(&if last.is_some() {
            Event::Resumed { step: record.steps }
        } else {
            Event::Started {
                recipe: &recipe.name,
                based_on: recipe.based_on.as_deref(),
                network: &recipe.network,
                steps: self.steps(),
            }
        })?;
        let session = Session {
            place: last.map_or_else(Place::default, |(place, _)| place),
            figures,
            record,
            tables,
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
            averages,
            recorder: Recorder::default(),
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
    pub(super) fn start_log(
        &self,
        session: &Mutex<Session>,
        remarks: &[String],
    ) -> Result<(), TrainError> {
        let log = &mut lock(session).log;
        for remark in remarks {
            log.note(remark)?;
        }
        log.line(&format!(
            "{} on {}, {} images for training, {} held out, {}, {}: {}",
            self.recipe.network,
            self.recipe.data.source.name(),
            self.loaders.train.len(),
            self.loaders.valid.len(),
            counted(self.recipe.epochs, "epoch"),
            counted(self.steps(), "step"),
            self.folder.path().display(),
        ))?;
        if self.computes_aside() && !View::covers(&self.recipe.data.augment) {
            log.line(
                "the augmentations change more than where pixels stand, so that the processor makes the batches",
            )?;
        }
        let (devices, parts) = (self.replicas.count(), self.recipe.gradients.accumulate);
        let images = self.recipe.batch_size.div_ceil(devices).div_ceil(parts);
        let on = match devices {
            1 => String::new(),
            several => format!(" on each of {several} devices"),
        };
        if parts > 1 {
            log.line(&format!(
                "a batch is computed{on} in {parts} parts of {images} images or fewer, which is what \
                 normalisation sees"
            ))?;
        } else if devices > 1 {
            log.line(&format!(
                "a batch is computed{on} with {images} images, which is what normalisation sees"
            ))?;
        }
        if self.options.verbosity == Verbosity::Verbose {
            log.line(&format!(
                "{} on {}, {} threads, data from {}",
                self.options.device.backend.name(),
                self.options.device.describe(self.device),
                self.options.device.threads(),
                self.data.origin,
            ))?;
            for (file, hash) in &self.data.sha256 {
                log.line(&format!("{hash}  {file}"))?;
            }
        }
        Ok(())
    }
}
