//! What a run's folder says.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use model::NetworkKind;

use super::ReportError;
use crate::recipe::{self, Recipe};
use crate::run::{
    self, Environment, LONGEST_EVENT, MetricsRow, Prediction, RunFolder, RunResult, RunState,
    StepRow, if_there, read_rows, read_short,
};
use crate::statistics::{self, Share};

/// What a run's folder says. A run that is under way, or was killed, has no result.
#[derive(Debug, Clone)]
pub struct Contents {
    /// The recipe.
    pub recipe: Recipe,
    /// The recipe's text.
    pub config: String,
    /// What it ran on.
    pub environment: Environment,
    /// What it gave.
    pub result: Option<RunResult>,
    /// A row an epoch.
    pub metrics: Vec<MetricsRow>,
    /// A row a step.
    pub steps: Vec<StepRow>,
    /// Steps of the whole run, as its first event says.
    pub planned_steps: Option<u64>,
    /// What the network says of each test image, where the run was tested.
    pub predictions: Option<Vec<Prediction>>,
}

impl Contents {
    /// Reads a run's folder.
    ///
    /// # Errors
    /// [`ReportError`] with the file that cannot be read.
    pub fn read(folder: &RunFolder) -> Result<Self, ReportError> {
        let path = folder.config();
        let recipe = recipe::load(&path.display().to_string(), &[], &NetworkKind::NAMES)?;
        let config = String::from_utf8_lossy(&read_short(&path)?).into_owned();
        Ok(Self {
            recipe,
            config,
            environment: Environment::read(&folder.environment())?,
            result: if_there(&folder.result(), RunResult::read)?,
            metrics: if_there(&folder.metrics(), read_rows)?.unwrap_or_default(),
            steps: if_there(&folder.steps(), read_rows)?.unwrap_or_default(),
            planned_steps: planned_steps(&folder.events()),
            predictions: if_there(&folder.predictions(), |path| {
                run::read_predictions(path, &cifar10::CLASS_NAMES)
            })?,
        })
    }

    /// What to say of files that a finished run has written and that its folder lacks, or that are empty.
    #[must_use]
    pub fn what_is_missing(&self) -> Option<String> {
        let result = self.result.as_ref();
        result.filter(|result| result.state == RunState::Finished)?;
        let files = [
            ("metrics.csv", self.metrics.is_empty()),
            ("steps.csv", self.steps.is_empty()),
            ("predictions.csv", self.predictions.is_none()),
        ];
        let missing = files.into_iter().filter(|(_, lacks)| *lacks);
        let missing = missing.map(|(file, _)| file).collect::<Vec<_>>().join(", ");
        (!missing.is_empty()).then(|| {
            format!("missing from this run's folder, with what is known from there only: {missing}")
        })
    }

    /// Epochs that were trained, the last one perhaps in part, beside those of the recipe: `2`, or `0.36 of 2`
    /// where the run has not finished.
    #[must_use]
    pub fn epochs(&self) -> String {
        let planned = self.recipe.epochs;
        let result = self.result.as_ref();
        if let Some(result) = result.filter(|result| result.state == RunState::Finished) {
            return result.epochs.to_string();
        }
        let done = self.steps.last().map_or(0, |row| row.step);
        match self.planned_steps.filter(|steps| *steps > 0) {
            Some(steps) => {
                let epochs = planned * done as f64 / steps as f64;
                format!("{} of {planned}", (100.0 * epochs).round() / 100.0)
            }
            None => format!("part of {planned}"),
        }
    }

    /// What the run's logits are divided by so that probabilities agree best with its hold-out.
    #[must_use]
    pub fn temperature(&self) -> Option<f64> {
        self.result.as_ref().and_then(|result| result.temperature)
    }

    /// The accuracy on the test set with Wilson's interval of 95%, where the run was tested.
    #[must_use]
    pub fn accuracy(&self) -> Option<Share> {
        if let Some(predictions) = &self.predictions {
            return Some(statistics::accuracy(predictions));
        }
        let accuracy = self.result.as_ref()?.test_accuracy?;
        let images = self.recipe.data.source.test_images();
        Some(Share::of(
            (accuracy * images as f64).round() as usize,
            images,
        ))
    }
}

/// What the first event says of the run's length; nothing where there is no such line.
fn planned_steps(events: &Path) -> Option<u64> {
    let mut line = String::new();
    let (file, _) = cifar10::file::open(events).ok()?;
    BufReader::new(file.take(LONGEST_EVENT))
        .read_line(&mut line)
        .ok()?;
    let started: serde_json::Value = serde_json::from_str(&line).ok()?;
    started.get("steps")?.as_u64()
}
