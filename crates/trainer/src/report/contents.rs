//! What a run's folder says.

use model::NetworkKind;

use super::ReportError;
use crate::recipe::{self, Recipe};
use crate::run::{
    self, Environment, MetricsRow, Prediction, RunFolder, RunResult, StepRow, if_there, read_rows,
    read_short,
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
            predictions: if_there(&folder.predictions(), |path| {
                run::read_predictions(path, &cifar10::CLASS_NAMES)
            })?,
        })
    }

    /// What the run's logits are divided by so that probabilities agree best with its hold-out.
    #[must_use]
    pub fn temperature(&self) -> Option<f64> {
        self.result.as_ref().and_then(|result| result.temperature)
    }

    /// The accuracy on the test set with Wilson's interval of 95%, where the run was tested.
    #[must_use]
    pub fn accuracy(&self) -> Option<Share> {
        self.predictions.as_deref().map(statistics::accuracy)
    }
}
