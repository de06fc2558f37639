//! `metrics.csv` and `steps.csv`: tables that grow as a run goes, and are cut back when it is resumed.

use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use cifar10::file;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::error::RunError;
use super::grow::GrowingFile;

/// A row of a table that grows with a run's steps.
pub trait LogRow: Serialize + DeserializeOwned {
    /// The names of the columns, in the order of the fields.
    const COLUMNS: &'static [&'static str];
    /// The longest table that is read whole, in bytes.
    const LONGEST: u64;
}

/// The most rows of a table that are read: a step each of 84 epochs in batches of four.
const MOST_ROWS: usize = 1 << 20;

/// The longest line that a table can have, in bytes.
const LONGEST_LINE: usize = 1 << 10;

/// A row of `metrics.csv`: one epoch. Times stand last.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MetricsRow {
    /// The epoch, from 1. The last one may be a part of an epoch.
    pub epoch: u64,
    /// Optimiser steps done at its end.
    pub step: u64,
    /// Mean loss over the epoch's training images.
    pub train_loss: Option<f64>,
    /// Accuracy over the epoch's training images, from 0 to 1.
    pub train_accuracy: Option<f64>,
    /// Mean loss over the hold-out; empty without one.
    pub valid_loss: Option<f64>,
    /// Accuracy over the hold-out, from 0 to 1; empty without one.
    pub valid_accuracy: Option<f64>,
    /// Learning rate of the epoch's last step.
    pub learning_rate: f64,
    /// Seconds that the epoch took, validation included.
    pub seconds: f64,
    /// Training images per second over the epoch.
    pub images_per_second: f64,
}

impl LogRow for MetricsRow {
    const COLUMNS: &'static [&'static str] = &[
        "epoch",
        "step",
        "train_loss",
        "train_accuracy",
        "valid_loss",
        "valid_accuracy",
        "learning_rate",
        "seconds",
        "images_per_second",
    ];
    // Some 50,000 epochs.
    const LONGEST: u64 = 1 << 23;
}

/// A row of `steps.csv`: one optimiser step. The time stands last.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepRow {
    /// Optimiser steps done, this one included.
    pub step: u64,
    /// The epoch it belongs to, from 1.
    pub epoch: u64,
    /// Mean loss over the step's batch.
    pub loss: f64,
    /// Learning rate of the step.
    pub learning_rate: f64,
    /// Seconds that the step took.
    pub seconds: f64,
}

impl LogRow for StepRow {
    const COLUMNS: &'static [&'static str] = &["step", "epoch", "loss", "learning_rate", "seconds"];
    const LONGEST: u64 = 1 << 26;
}

/// A table on the disk that takes one row after another. Rows reach the disk at [`CsvLog::flush`].
#[derive(Debug)]
pub struct CsvLog<R> {
    path: PathBuf,
    writer: csv::Writer<GrowingFile>,
    rows: std::marker::PhantomData<fn(R)>,
}

impl<R: LogRow> CsvLog<R> {
    /// Begins a new table with its header.
    ///
    /// # Errors
    /// [`RunError::Io`] where the file exists or cannot be written.
    pub fn create(path: &Path) -> Result<Self, RunError> {
        GrowingFile::create(path, header::<R>().as_bytes()).map(|file| Self::over(path, file))
    }

    /// Goes on with the table of a resumed run: what lies beyond its first `length` bytes is cut off.
    /// With a length of 0, or where the table is missing, it is begun.
    ///
    /// # Errors
    /// [`RunError::Io`] where the file cannot be used, [`RunError::Damaged`] where it is no such table
    /// or too short.
    pub fn resume(path: &Path, length: u64) -> Result<Self, RunError> {
        if length > 0 && path.exists() {
            check_whole_rows::<R>(path, length)?;
        }
        GrowingFile::resume(path, length, header::<R>().as_bytes())
            .map(|file| Self::over(path, file))
    }

    fn over(path: &Path, file: GrowingFile) -> Self {
        Self {
            path: path.to_owned(),
            writer: csv::WriterBuilder::new()
                .has_headers(false)
                .from_writer(file),
            rows: std::marker::PhantomData,
        }
    }

    /// Adds a row. An absent number is an empty cell.
    ///
    /// # Errors
    /// [`RunError::Io`] with the path.
    pub fn append(&mut self, row: &R) -> Result<(), RunError> {
        self.writer
            .serialize(row)
            .map_err(|error| self.failed(error))
    }

    /// Hands all rows to the system, so that others can read them: once an epoch is enough.
    ///
    /// # Errors
    /// [`RunError::Io`] with the path.
    pub fn flush(&mut self) -> Result<(), RunError> {
        self.writer
            .flush()
            .map_err(RunError::io("write", &self.path))
    }

    /// Flushes all rows to the disk, so that they survive a loss of power, and gives the table's length
    /// in bytes.
    ///
    /// # Errors
    /// [`RunError::Io`] with the path.
    pub fn sync(&mut self) -> Result<u64, RunError> {
        self.flush()?;
        self.writer.get_ref().sync_handed()
    }

    fn failed(&self, error: csv::Error) -> RunError {
        RunError::io("write", &self.path)(error.into())
    }
}

/// Reads the rows of a table. A last line without its end, which a killed run leaves, is passed over.
///
/// # Errors
/// [`RunError::Io`] where the file cannot be read, [`RunError::TooLong`] where it has more than
/// [`LogRow::LONGEST`] bytes, [`RunError::Damaged`] where it is no such table or has more than a million
/// rows.
pub fn read_rows<R: LogRow>(path: &Path) -> Result<Vec<R>, RunError> {
    let mut text = file::read(path, R::LONGEST).map_err(RunError::read(path))?;
    let whole = text
        .iter()
        .rposition(|byte| *byte == b'\n')
        .map_or(0, |end| end + 1);
    text.truncate(whole);
    check_lines(&text).map_err(RunError::damaged(path))?;
    let mut reader = csv::Reader::from_reader(text.as_slice());
    let header = reader.headers().map_err(RunError::damaged(path))?;
    if !header.is_empty() && !header.iter().eq(R::COLUMNS.iter().copied()) {
        return Err(RunError::Damaged {
            path: path.to_owned(),
            problem: format!("line 1 must be {}", R::COLUMNS.join(",")),
        });
    }
    reader
        .deserialize()
        .collect::<Result<_, _>>()
        .map_err(RunError::damaged(path))
}

/// The first line of a table.
fn header<R: LogRow>() -> String {
    R::COLUMNS.join(",") + "\n"
}

/// Checks that rows take no more memory than tables of this length can have. A row takes more than the
/// shortest line that holds one, and a line is held twice.
fn check_lines(text: &[u8]) -> Result<(), String> {
    let mut lines = 0;
    for line in text.split(|byte| *byte == b'\n') {
        lines += 1;
        if line.len() > LONGEST_LINE {
            return Err(format!("line {lines} has more than {LONGEST_LINE} bytes"));
        }
    }
    if lines > MOST_ROWS {
        return Err(format!("it has more than {MOST_ROWS} lines"));
    }
    Ok(())
}

/// Checks that the first `length` bytes of a table, which is not empty, are its header and whole rows.
fn check_whole_rows<R: LogRow>(path: &Path, length: u64) -> Result<(), RunError> {
    let damaged = |problem: String| RunError::Damaged {
        path: path.to_owned(),
        problem,
    };
    let (mut table, found) = file::open(path).map_err(RunError::read(path))?;
    if found < length {
        return Err(damaged(format!(
            "it has {found} of the {length} bytes that the checkpoint counts on; put the file back, or \
             remove it to begin a new table"
        )));
    }
    // Only its two ends are read: a table has no limit to its length where a run goes on with it.
    let header = header::<R>();
    let (mut first, mut last) = (Vec::new(), [0]);
    (&mut table)
        .take((header.len() as u64).min(length))
        .read_to_end(&mut first)
        .and_then(|_| table.seek(SeekFrom::Start(length.saturating_sub(1))))
        .and_then(|_| table.read_exact(&mut last))
        .map_err(RunError::io("read", path))?;
    if first != header.as_bytes() || last != *b"\n" {
        return Err(damaged(format!(
            "its first {length} bytes are not whole rows"
        )));
    }
    Ok(())
}
