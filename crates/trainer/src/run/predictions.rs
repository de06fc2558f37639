//! `predictions.csv` and `confusion.csv`: what a run says of each test image.

use std::path::Path;

use super::error::RunError;
use super::write::write_atomic;

/// Number of classes.
pub const CLASSES: usize = 10;

/// The longest `predictions.csv` that is read, in bytes: a quarter of a million test images.
const LONGEST: u64 = 1 << 25;

/// Counts of test images, `[true class][predicted class]`.
pub type ConfusionMatrix = [[u64; CLASSES]; CLASSES];

/// What the network says of one test image.
#[derive(Debug, Clone, PartialEq)]
pub struct Prediction {
    /// The image's index in the test set.
    pub index: usize,
    /// Its true class, from 0 to 9.
    pub label: u8,
    /// The probability of each class.
    pub probabilities: [f32; CLASSES],
}

impl Prediction {
    /// The class with the highest probability, the first of equal ones. A probability that is no number
    /// never wins.
    pub fn class(&self) -> usize {
        let mut best = (0, f32::NEG_INFINITY);
        for (class, &probability) in self.probabilities.iter().enumerate() {
            if probability > best.1 {
                best = (class, probability);
            }
        }
        best.0
    }

    /// Whether the network finds the image's class.
    pub fn is_right(&self) -> bool {
        self.class() == usize::from(self.label)
    }

    /// The probability of [`Prediction::class`].
    pub fn confidence(&self) -> f32 {
        let of_class = self.probabilities.get(self.class());
        of_class.copied().unwrap_or_default()
    }
}

/// Counts the predictions by true and by predicted class.
///
/// # Errors
/// [`RunError::Label`] for a label above 9.
pub fn confusion(predictions: &[Prediction]) -> Result<ConfusionMatrix, RunError> {
    let mut counts = ConfusionMatrix::default();
    for prediction in predictions {
        let count = counts
            .get_mut(usize::from(prediction.label))
            .and_then(|row| row.get_mut(prediction.class()))
            .ok_or(RunError::Label {
                index: prediction.index,
                label: prediction.label,
            })?;
        *count += 1;
    }
    Ok(counts)
}

/// Writes `predictions.csv` in one step: the columns `index`, `label` and one a class, named by the
/// class, with its probability.
///
/// # Errors
/// [`RunError::Io`] with the path.
pub fn write_predictions(
    path: &Path,
    class_names: &[&str; CLASSES],
    predictions: &[Prediction],
) -> Result<(), RunError> {
    let header = ["index", "label"].iter().chain(class_names);
    let rows = predictions.iter().map(|prediction| {
        [prediction.index.to_string(), prediction.label.to_string()]
            .into_iter()
            .chain(prediction.probabilities.map(|value| value.to_string()))
            .collect()
    });
    write_table(path, header.map(|name| (*name).to_owned()).collect(), rows)
}

/// Reads `predictions.csv`.
///
/// # Errors
/// [`RunError::Io`] where it cannot be read, [`RunError::TooLong`] above 32 MiB, [`RunError::Damaged`]
/// where it is no such table.
pub fn read_predictions(
    path: &Path,
    class_names: &[&str; CLASSES],
) -> Result<Vec<Prediction>, RunError> {
    let bytes = cifar10::file::read(path, LONGEST).map_err(RunError::read(path))?;
    let damaged = |problem: String| RunError::damaged(path)(problem);
    let mut reader = csv::Reader::from_reader(bytes.as_slice());
    let header = reader.headers().map_err(RunError::damaged(path))?;
    let expected = ["index", "label"].iter().chain(class_names).copied();
    if !header.iter().eq(expected) {
        return Err(damaged(format!(
            "line 1 must be index,label,{}",
            class_names.join(",")
        )));
    }
    let mut predictions = Vec::new();
    for row in reader.deserialize::<(usize, u8, [f32; CLASSES])>() {
        let (index, label, probabilities) = row.map_err(RunError::damaged(path))?;
        if usize::from(label) >= CLASSES {
            return Err(damaged(format!("image {index} has the label {label}")));
        }
        predictions.push(Prediction {
            index,
            label,
            probabilities,
        });
    }
    Ok(predictions)
}

/// Writes `confusion.csv` in one step: a row for each true class, a column for each predicted class.
///
/// # Errors
/// [`RunError::Io`] with the path.
pub fn write_confusion(
    path: &Path,
    class_names: &[&str; CLASSES],
    counts: &ConfusionMatrix,
) -> Result<(), RunError> {
    let header = ["true_class"].iter().chain(class_names);
    let rows = class_names.iter().zip(counts).map(|(name, row)| {
        std::iter::once((*name).to_owned())
            .chain(row.map(|count| count.to_string()))
            .collect()
    });
    write_table(path, header.map(|name| (*name).to_owned()).collect(), rows)
}

fn write_table(
    path: &Path,
    header: Vec<String>,
    rows: impl Iterator<Item = Vec<String>>,
) -> Result<(), RunError> {
    let mut text = Vec::new();
    let mut writer = csv::Writer::from_writer(&mut text);
    std::iter::once(header)
        .chain(rows)
        .try_for_each(|row| writer.write_record(row))
        .and_then(|()| writer.flush().map_err(csv::Error::from))
        .map_err(|error| RunError::io("write", path)(error.into()))?;
    drop(writer);
    write_atomic(path, &text)
}
