//! The Python version of CIFAR-10: each batch is a pickled dictionary with a NumPy array.
//!
//! A pickle is a program for a small stack machine that can call any function Python can import.
//! [`machine`] runs only what these files need, calls nothing, and bounds what it holds.

mod machine;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::path::Path;

use super::readers::BatchSizes;
use crate::error::Error;
use crate::record::{self, IMAGE_BYTES, RECORDS_PER_FILE};
use machine::{Machine, Value};

/// Longest pickle that is read. The authors' have 31 megabytes; written again by Python 3 in
/// protocol 2, where half the bytes take two, they have 46.
pub(super) const MAX_BYTES: usize = 64 << 20;

/// Why a pickle was refused, and where in it.
#[derive(Debug)]
struct Refusal {
    offset: usize,
    reason: String,
}

/// A batch: one row of `columns` bytes an image.
#[derive(Debug)]
struct Batch<'a> {
    labels: Vec<u8>,
    pixels: Cow<'a, [u8]>,
    columns: usize,
}

/// Converts the pickle that was read from `path` into records of the binary version.
pub(super) fn to_records(pickle: &[u8], path: &Path) -> Result<Vec<u8>, Error> {
    let refused = |Refusal { offset, reason }| Error::Pickle {
        path: path.to_path_buf(),
        offset,
        reason,
    };
    let batch = read_batch(pickle).map_err(refused)?;
    if batch.columns != IMAGE_BYTES || batch.labels.len() != RECORDS_PER_FILE {
        return Err(refused(Refusal {
            offset: pickle.len(),
            reason: format!(
                "its data is {} by {} instead of {RECORDS_PER_FILE} by {IMAGE_BYTES}",
                batch.labels.len(),
                batch.columns
            ),
        }));
    }
    Ok(record::encode(&batch.pixels, &batch.labels))
}

/// Reads a batch of any size, and says how large it is.
pub(super) fn sizes(pickle: &[u8], path: &Path) -> Result<BatchSizes, Error> {
    match read_batch(pickle) {
        Ok(batch) => Ok(BatchSizes {
            labels: batch.labels.len(),
            columns: batch.columns,
            pixels: batch.pixels.len(),
        }),
        Err(Refusal { offset, reason }) => Err(Error::Pickle {
            path: path.to_path_buf(),
            offset,
            reason,
        }),
    }
}

/// Reads the entries `labels` and `data` of the pickled dictionary.
fn read_batch(pickle: &[u8]) -> Result<Batch<'_>, Refusal> {
    let mut machine = Machine::new(pickle);
    let result = machine.run().and_then(|value| extract(&machine, value));
    result.map_err(|reason| Refusal {
        offset: machine.offset(),
        reason,
    })
}

fn extract<'a>(machine: &Machine<'a>, value: Value) -> Result<Batch<'a>, String> {
    let (Some(labels), Some(data)) = (
        machine.entry(value, b"labels"),
        machine.entry(value, b"data"),
    ) else {
        return Err("it is not a dictionary with `labels` and `data`".to_owned());
    };
    let labels = machine.list(labels).ok_or("`labels` is not a list")?;
    let labels = labels
        .iter()
        .map(|label| match label {
            Value::Int(label) => {
                u8::try_from(*label).map_err(|_| format!("{label} is not a label"))
            }
            _ => Err("a label is not a number".to_owned()),
        })
        .collect::<Result<Vec<_>, _>>()?;
    let array = machine
        .array(data)
        .ok_or("`data` is not an array of bytes")?;
    if array.rows != labels.len() {
        return Err(format!(
            "{} images have {} labels",
            array.rows,
            labels.len()
        ));
    }
    Ok(Batch {
        labels,
        pixels: machine.detach(array.data),
        columns: array.columns,
    })
}
