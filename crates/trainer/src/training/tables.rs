//! The files that grow as a run goes: tables, events, and TensorBoard's events.

use std::time::{Duration, Instant};

use super::checkpoint::TableLengths;
use crate::run::{
    CsvLog, Environment, Event, EventLog, MetricsRow, RunError, RunFolder, StepRow, TensorBoardLog,
};

/// How often steps are handed to the system, so that others see a run while it goes on.
const FLUSH_EVERY: Duration = Duration::from_secs(1);

/// `metrics.csv` and `steps.csv`, `events.jsonl`, and TensorBoard's file. All are cut back to one place
/// when the run is resumed, so that none has a double row.
#[derive(Debug)]
pub struct Tables {
    metrics: CsvLog<MetricsRow>,
    steps: CsvLog<StepRow>,
    events: EventLog,
    tensorboard: TensorBoardLog,
    /// When this part of the run began, and the time of day then, as far as the run's own clock knows.
    clock: (Instant, f64),
    flushed: Instant,
}

impl Tables {
    /// The files of `folder`, cut to `lengths`, of a run that has trained for `seconds`.
    ///
    /// # Errors
    /// [`RunError`] where one cannot be used.
    pub fn open(folder: &RunFolder, lengths: TableLengths, seconds: f64) -> Result<Self, RunError> {
        // Only TensorBoard's times depend on it: a run whose record is damaged can still be resumed.
        let started = Environment::read(&folder.environment())
            .ok()
            .and_then(|environment| environment.started.parse::<jiff::Timestamp>().ok())
            .map_or(0.0, |started| started.as_second() as f64);
        let tables = Self {
            metrics: CsvLog::resume(&folder.metrics(), lengths.metrics)?,
            steps: CsvLog::resume(&folder.steps(), lengths.steps)?,
            events: EventLog::resume(&folder.events(), lengths.events)?,
            tensorboard: TensorBoardLog::resume(
                &folder.tensorboard(),
                lengths.tensorboard,
                started,
            )?,
            clock: (Instant::now(), started + seconds),
            flushed: Instant::now(),
        };
        folder.sync()?;
        Ok(tables)
    }

    fn now(&self) -> f64 {
        self.clock.1 + self.clock.0.elapsed().as_secs_f64()
    }

    /// Notes a step. Others can read it a second later.
    ///
    /// # Errors
    /// [`RunError`] where it cannot be written.
    pub fn step(&mut self, row: &StepRow) -> Result<(), RunError> {
        self.steps.append(row)?;
        self.events.append(&Event::Step(row))?;
        let figures = [
            ("loss/step", row.loss),
            ("learning_rate", row.learning_rate),
        ];
        self.tensorboard.append(self.now(), row.step, &figures)?;
        if self.flushed.elapsed() >= FLUSH_EVERY {
            self.flush()?;
            self.flushed = Instant::now();
        }
        Ok(())
    }

    /// Notes an epoch, and hands everything to the system.
    ///
    /// # Errors
    /// [`RunError`] where it cannot be written.
    pub fn epoch(&mut self, row: &MetricsRow) -> Result<(), RunError> {
        self.metrics.append(row)?;
        self.events.append(&Event::Epoch(row))?;
        let figures: Vec<(&str, f64)> = [
            ("loss/train", row.train_loss),
            ("accuracy/train", row.train_accuracy),
            ("loss/valid", row.valid_loss),
            ("accuracy/valid", row.valid_accuracy),
            ("images_per_second", Some(row.images_per_second)),
        ]
        .into_iter()
        .filter_map(|(tag, figure)| figure.map(|figure| (tag, figure)))
        .collect();
        self.tensorboard.append(self.now(), row.step, &figures)?;
        self.flush()
    }

    /// Notes something else, and hands it to the system.
    ///
    /// # Errors
    /// [`RunError`] where it cannot be written.
    pub fn event(&mut self, event: &Event<'_>) -> Result<(), RunError> {
        self.events.append(event)?;
        self.events.flush()
    }

    fn flush(&mut self) -> Result<(), RunError> {
        self.metrics.flush()?;
        self.steps.flush()?;
        self.events.flush()?;
        self.tensorboard.flush()
    }

    /// Flushes everything to the disk and gives the files' lengths.
    ///
    /// # Errors
    /// [`RunError`] where they cannot be written.
    pub fn sync(&mut self) -> Result<TableLengths, RunError> {
        Ok(TableLengths {
            metrics: self.metrics.sync()?,
            steps: self.steps.sync()?,
            events: self.events.sync()?,
            tensorboard: self.tensorboard.sync()?,
        })
    }
}
