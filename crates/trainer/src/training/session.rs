//! A run under way: where it stands, and everything that it writes.

use std::time::{Duration, Instant};

use burn::lr_scheduler::module_lr_scheduler::ModuleLearningRate;
use burn_train::metric::store::EventStoreClient;
use burn_train::{Interrupter, Learner};

use super::average::Averages;
use super::log::{EpochLine, Log};
use super::record::{Best, Figures, Place, Record};
use super::recorded::Recorder;
use super::saver::Saver;
use super::tables::Tables;
use super::unread::BatchFigures;
use super::{Classifier, TrainError};
use crate::run::{Event, StepRow};

/// A run under way.
pub struct Session {
    /// Where it stands.
    pub place: Place,
    /// Means over what is done of the epoch.
    pub figures: Figures,
    /// What it has done.
    pub record: Record,
    /// Its tables.
    pub tables: Tables,
    /// Its lines.
    pub log: Log,
    /// Its checkpoints.
    pub saver: Saver,
    /// What it keeps beside its weights.
    pub averages: Averages,
    /// What computes its batches.
    pub recorder: Recorder,
    /// How often a run without a dashboard says how far it is.
    pub line_every: Duration,
    /// When this part of it began, and the seconds of the parts before.
    pub clock: (Instant, f64),
    /// Whether it was stopped before its end.
    pub stopped: bool,
    /// What ended it before its end.
    pub error: Option<TrainError>,
}

/// What is known of a step before its figures are read.
pub struct Step {
    /// The learning rate.
    pub learning_rate: ModuleLearningRate,
    /// How long it took.
    pub seconds: f64,
}

impl Session {
    /// Brings the record's seconds up to now. Durations come from a clock that never jumps.
    pub fn read_clock(&mut self) {
        self.record.seconds = self.clock.1 + self.clock.0.elapsed().as_secs_f64();
    }

    /// Notes the next of the run's `steps` steps, whose figures have been read: in the record, as a row and, if
    /// it is time, as a line.
    ///
    /// # Errors
    /// [`TrainError::Loss`] where the loss is no number, in which case the step is not noted; another one where
    /// something cannot be written.
    pub fn end_step(
        &mut self,
        step: &Step,
        batch: BatchFigures,
        steps: u64,
    ) -> Result<(), TrainError> {
        let number = self.record.steps + 1;
        if !batch.loss.is_finite() {
            return Err(TrainError::Loss {
                step: number,
                loss: batch.loss,
                norm: None,
            });
        }
        self.figures.add(batch);
        self.figures.learning_rate = step.learning_rate.base();
        self.place.step += 1;
        self.record.steps = number;
        self.record.images += batch.images as u64;
        let row = StepRow {
            step: number,
            epoch: self.place.epoch,
            loss: batch.loss,
            learning_rate: self.figures.learning_rate,
            seconds: step.seconds,
        };
        self.tables.step(&row)?;
        self.log.step(
            self.line_every,
            &row,
            steps,
            (self.figures.loss.value(), self.figures.hits.value()),
            self.figures.hits.count() / self.figures.seconds,
        )?;
        Ok(())
    }

    /// Notes an epoch: its row, its line and, if it is the best so far, its weights. Says whether it is.
    ///
    /// # Errors
    /// [`TrainError`] where something cannot be written.
    pub fn end_epoch(
        &mut self,
        learner: &Learner<Classifier>,
        line: &EpochLine,
    ) -> Result<bool, TrainError> {
        self.tables.epoch(&line.row)?;
        self.log.epoch(line)?;
        self.record.train_loss = line.row.train_loss;
        self.record.valid_accuracy = line.row.valid_accuracy;
        self.place = Place {
            epoch: line.epoch + 1,
            step: 0,
        };
        self.figures = Figures::default();
        let Some(accuracy) = line.row.valid_accuracy else {
            return Ok(false);
        };
        let is_best = self.record.best.is_none_or(|best| accuracy > best.accuracy);
        if is_best {
            self.record.best = Some(Best {
                epoch: line.epoch,
                step: self.record.steps,
                accuracy,
            });
            let counting = self.averages.counting(&learner.model());
            self.saver.keep_best(&counting)?;
        }
        Ok(is_best)
    }

    /// Saves a checkpoint.
    ///
    /// # Errors
    /// [`TrainError`] where it cannot be written.
    pub fn save(
        &mut self,
        learner: &Learner<Classifier>,
        events: &EventStoreClient,
    ) -> Result<(), TrainError> {
        self.read_clock();
        let state = (self.place, &self.figures, &self.record);
        let more = self.averages.to_parts()?;
        let saved = self
            .saver
            .save(learner, events, &mut self.tables, state, &more)?;
        self.log.note(&format!(
            "saved {} in {:.1} ms",
            saved.name,
            1e3 * saved.took.as_secs_f64()
        ))?;
        if let Some(left) = &saved.left {
            self.log.note(&format!("{left}; it stays there"))?;
        }
        self.tables.event(&Event::Saved {
            step: self.record.steps,
            checkpoint: saved.name.to_string(),
            seconds: saved.took.as_secs_f64(),
        })?;
        Ok(())
    }

    /// Ends a run that was told to stop: saves it where it stands, unless it is saved there.
    ///
    /// # Errors
    /// [`TrainError`] where it was told so because of an error, or cannot be saved.
    pub fn stop(
        &mut self,
        learner: &Learner<Classifier>,
        events: &EventStoreClient,
        interrupter: &Interrupter,
    ) -> Result<(), TrainError> {
        if let Some(error) = interrupter.error() {
            return Err(TrainError::Learner(error.to_string()));
        }
        self.stopped = true;
        self.record.train_loss = self.figures.loss.value().or(self.record.train_loss);
        if self.saver.is_saved_at(self.place) {
            return Ok(());
        }
        self.save(learner, events)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

    use std::fs;
    use std::time::SystemTime;

    use burn::tensor::Device;
    use model::{Network, NetworkKind};

    use super::super::checkpoint::{Identity, Store, TableLengths};
    use super::*;
    use crate::run::RunFolder;

    #[test]
    fn a_loss_that_is_no_number_is_laid_to_its_step_when_several_are_read_at_once() {
        let artifacts = tempfile::tempdir().unwrap();
        let folder = RunFolder::create(artifacts.path(), "run", SystemTime::UNIX_EPOCH).unwrap();
        let recipe = crate::recipe::load("smoke", &[], &NetworkKind::NAMES).unwrap();
        let network = Network::init(NetworkKind::SimpleCnn, 10, 0, &Device::flex()).unwrap();
        let identity = Identity {
            recipe: String::new(),
            data: String::new(),
            seed: 0,
        };
        let store = Store::new(folder.checkpoints());
        let mut session = Session {
            place: Place::default(),
            figures: Figures::default(),
            record: Record::default(),
            tables: Tables::open(&folder, TableLengths::default(), 0.0).unwrap(),
            log: Log::open(&folder.log(), false).unwrap(),
            saver: Saver::new(store, recipe.checkpoint, 10, identity, None, None),
            recorder: Recorder::default(),
            averages: Averages::new(&recipe, 10, &Classifier::new(network, 0.0)),
            line_every: Duration::from_secs(5),
            clock: (Instant::now(), 0.0),
            stopped: false,
            error: None,
        };
        let step = Step {
            learning_rate: 0.5.into(),
            seconds: 0.25,
        };
        let read = [(2.0, 1, 4), (1.0, 3, 4), (f64::NAN, 0, 4)];
        let outcomes = read.map(|(loss, hits, images)| {
            let batch = BatchFigures { loss, hits, images };
            session.end_step(&step, batch, 10)
        });
        assert!(outcomes[0].is_ok() && outcomes[1].is_ok());
        let message = outcomes[2].as_ref().unwrap_err().to_string();
        assert!(
            message.starts_with("the loss became NaN at step 3; start a new run"),
            "{message}"
        );
        session.tables.sync().unwrap();
        let rows = fs::read_to_string(folder.steps()).unwrap();
        let rows: Vec<_> = rows.lines().collect();
        assert_eq!(rows[1..3], ["1,1,2.0,0.5,0.25", "2,1,1.0,0.5,0.25"]);
    }
}
