//! The tables that grow as a run goes.

use super::checkpoint::TableLengths;
use crate::run::{CsvLog, MetricsRow, RunError, RunFolder, StepRow};

/// `metrics.csv` and `steps.csv`.
#[derive(Debug)]
pub struct Tables {
    /// A row an epoch.
    pub metrics: CsvLog<MetricsRow>,
    /// A row a step.
    pub steps: CsvLog<StepRow>,
}

impl Tables {
    /// The tables of `folder`, cut to `lengths`.
    ///
    /// # Errors
    /// [`RunError`] where one cannot be used.
    pub fn open(folder: &RunFolder, lengths: TableLengths) -> Result<Self, RunError> {
        Ok(Self {
            metrics: CsvLog::resume(&folder.metrics(), lengths.metrics)?,
            steps: CsvLog::resume(&folder.steps(), lengths.steps)?,
        })
    }

    /// Hands all rows to the system.
    ///
    /// # Errors
    /// [`RunError`] where they cannot be written.
    pub fn flush(&mut self) -> Result<(), RunError> {
        self.metrics.flush()?;
        self.steps.flush()
    }

    /// Flushes all rows to the disk and gives the tables' lengths.
    ///
    /// # Errors
    /// [`RunError`] where they cannot be written.
    pub fn sync(&mut self) -> Result<TableLengths, RunError> {
        Ok(TableLengths {
            metrics: self.metrics.sync()?,
            steps: self.steps.sync()?,
        })
    }
}
