//! Runs beside each other: what differs, and whether the difference is larger than chance.
//!
//! | file | what it holds |
//! | --- | --- |
//! | `mod` | the comparison |
//! | `doubts` | labels that all runs contradict |
//! | `page` | the comparison as an HTML page |

mod doubts;
mod page;
#[cfg(test)]
mod tests;

use crate::report::{Contents, ReportError};
use crate::run::{Prediction, RunFolder};
use crate::statistics::mcnemar;

pub use doubts::{CONFIDENCE, Doubt, Doubts, doubts};
pub use page::page;

/// A difference is called larger than chance where chance alone gives it less often than this.
pub const LEVEL: f64 = 0.05;

/// A run of a comparison.
#[derive(Debug)]
pub struct Compared {
    /// The folder's name.
    pub name: String,
    /// What its folder says.
    pub contents: Contents,
}

impl Compared {
    /// Reads a run.
    ///
    /// # Errors
    /// [`ReportError`] with the file that cannot be read.
    pub fn read(folder: &RunFolder) -> Result<Self, ReportError> {
        Ok(Self {
            name: folder.name(),
            contents: Contents::read(folder)?,
        })
    }
}

/// A key on which the recipes differ, with each run's value as TOML.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DifferingKey {
    /// The key with its sections.
    pub key: String,
    /// The runs' values in their order; none where a recipe has no such key.
    pub values: Vec<Option<String>>,
}

/// The keys on which not all recipes agree, in alphabetical order.
#[must_use]
pub fn differing_keys(runs: &[Compared]) -> Vec<DifferingKey> {
    let Some(first) = runs.first() else {
        return Vec::new();
    };
    let mut keys: Vec<DifferingKey> = Vec::new();
    for (place, run) in runs.iter().enumerate() {
        for found in first.contents.recipe.differences(&run.contents.recipe) {
            let at = keys.iter().position(|known| known.key == found.key);
            let at = at.unwrap_or_else(|| {
                keys.push(DifferingKey {
                    key: found.key,
                    values: vec![found.first; runs.len()],
                });
                keys.len() - 1
            });
            if let Some(value) = keys.get_mut(at).and_then(|key| key.values.get_mut(place)) {
                *value = found.second;
            }
        }
    }
    keys.sort_by(|a, b| a.key.cmp(&b.key));
    keys
}

/// McNemar's exact test between the first run and another.
#[derive(Debug, Clone, PartialEq)]
pub enum Paired {
    /// Both were tested on the same images.
    Tested {
        /// Images that only the first run gets right.
        only_first: u64,
        /// Images that only the other run gets right.
        only_other: u64,
        /// How likely chance alone gives such a split.
        p: f64,
    },
    /// One of the two was not tested, or not on the same images: which, as the end of a sentence.
    NotComparable(String),
}

impl Paired {
    /// Whether the difference is larger than chance, where `tests` of them are made at once
    /// (Bonferroni's correction). Nothing where there was no test.
    #[must_use]
    pub fn is_larger_than_chance(&self, tests: usize) -> Option<bool> {
        match self {
            Self::Tested { p, .. } => Some(*p < LEVEL / tests.max(1) as f64),
            Self::NotComparable(_) => None,
        }
    }

    /// The test in words.
    #[must_use]
    pub fn describe(&self, tests: usize) -> String {
        match self {
            Self::NotComparable(why) => why.clone(),
            Self::Tested {
                only_first,
                only_other,
                p,
            } => format!(
                "{only_first} images right in the first only, {only_other} in this one only, {}: {}",
                p_value(*p),
                if self.is_larger_than_chance(tests) == Some(true) {
                    "larger than chance"
                } else {
                    "may be chance"
                }
            ),
        }
    }
}

/// Compares the answers of two runs image by image.
#[must_use]
pub fn paired(first: &Compared, other: &Compared) -> Paired {
    let (a, b) = match paired_images(first, other) {
        Ok(pairs) => pairs,
        Err(why) => return Paired::NotComparable(why),
    };
    let count = |first: bool, other: bool| {
        let pairs = a.iter().zip(b);
        pairs
            .filter(|(a, b)| a.is_right() == first && b.is_right() == other)
            .count() as u64
    };
    let (only_first, only_other) = (count(true, false), count(false, true));
    Paired::Tested {
        only_first,
        only_other,
        p: mcnemar(only_first, only_other),
    }
}

/// A p-value as people read it: `p = 0.042`, `p = 3.1e-7`, `p = 1`.
fn p_value(p: f64) -> String {
    match p {
        // Beyond this the tail of the distribution is no number of 64 bits.
        ..1e-300 => "p below 1e-300".to_owned(),
        ..0.001 => format!("p = {p:.1e}"),
        _ => {
            let digits = format!("{p:.3}");
            format!("p = {}", digits.trim_end_matches('0').trim_end_matches('.'))
        }
    }
}

/// The answers of two runs on the same images in one order, or why there are none.
fn paired_images<'a>(
    first: &'a Compared,
    other: &'a Compared,
) -> Result<(&'a [Prediction], &'a [Prediction]), String> {
    let answers = |run: &'a Compared| {
        let found = run.contents.predictions.as_deref();
        found.ok_or_else(|| match run.contents.accuracy() {
            Some(_) => format!("the answers of {} (predictions.csv) are missing", run.name),
            None => format!("{} was not tested", run.name),
        })
    };
    let (a, b) = (answers(first)?, answers(other)?);
    let [data, other_data] = [first, other].map(|run| &run.contents.environment.data);
    let image = |one: &Prediction| (one.index, one.label);
    let same_images = data.dataset == other_data.dataset
        && data.test_hashes().eq(other_data.test_hashes())
        && a.iter().map(image).eq(b.iter().map(image));
    if !same_images {
        return Err(format!(
            "{} and {} were not tested on the same images",
            first.name, other.name
        ));
    }
    Ok((a, b))
}
