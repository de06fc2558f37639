//! A run under way: where it stands, and everything that it writes.

use std::time::{Duration, Instant};

use burn_train::metric::store::EventStoreClient;
use burn_train::{Interrupter, Learner};

use super::average::Averages;
use super::log::{EpochLine, Log};
use super::record::{Best, Figures, Place, Record};
use super::saver::Saver;
use super::tables::Tables;
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
    /// How often a run without a dashboard says how far it is.
    pub line_every: Duration,
    /// When this part of it began, and the seconds of the parts before.
    pub clock: (Instant, f64),
    /// Whether it was stopped before its end.
    pub stopped: bool,
    /// What ended it before its end.
    pub error: Option<TrainError>,
}

impl Session {
    /// Brings the record's seconds up to now. Durations come from a clock that never jumps.
    pub fn read_clock(&mut self) {
        self.record.seconds = self.clock.1 + self.clock.0.elapsed().as_secs_f64();
    }

    /// Notes a step: its row and, if it is time, its line.
    ///
    /// # Errors
    /// [`TrainError`] where they cannot be written.
    pub fn end_step(
        &mut self,
        row: &StepRow,
        steps: u64,
        images_per_second: f64,
    ) -> Result<(), TrainError> {
        self.tables.step(row)?;
        self.log.step(
            self.line_every,
            row,
            steps,
            (self.figures.loss.value(), self.figures.hits.value()),
            images_per_second,
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
