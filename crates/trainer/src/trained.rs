//! A run's network, for use after training or while it goes on.

use std::path::{Path, PathBuf};

use burn::module::Module;
use burn::store::ModuleRecord;
use burn::tensor::{Bytes, Device};
use cifar10::Normalization;
use model::{Network, NetworkKind};

use crate::device::{DeviceChoice, DeviceError};
use crate::recipe::{self, Recipe, RecipeError};
use crate::run::{CLASSES, RunError, RunFolder, RunResult, RunState, if_there};
use crate::training::checkpoint::{BEST, CheckpointError, Store};
use crate::training::{Averages, Classifier, TrainError, datasets, weights};
use crate::weight_file::{self, WeightFileError};

/// Which weights of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WeightChoice {
    /// Those that the run's recipe selects; of a run that has not ended, those that validation saw, as its
    /// newest checkpoint has them: an average or slow weights where the recipe has any.
    Last,
    /// Those of the best epoch so far by accuracy on the hold-out.
    Best,
    /// Those of a file.
    File(PathBuf),
}

impl From<&str> for WeightChoice {
    fn from(text: &str) -> Self {
        match text {
            "last" => Self::Last,
            "best" => Self::Best,
            file => Self::File(file.into()),
        }
    }
}

/// A run's network could not be had. Each message is one line.
#[derive(Debug, thiserror::Error)]
pub enum TrainedError {
    /// The run's recipe cannot be read.
    #[error(transparent)]
    Recipe(#[from] RecipeError),
    /// No device.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// The network cannot be built.
    #[error(transparent)]
    Network(#[from] model::NetworkError),
    /// The run's own weights cannot be loaded.
    #[error(transparent)]
    Weights(#[from] TrainError),
    /// A file's weights cannot be taken.
    #[error(transparent)]
    File(#[from] WeightFileError),
    /// A checkpoint cannot be read.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// A file of the run cannot be read.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The best epoch is asked for where no epoch was validated.
    #[error("this run held no images out, so it has no best epoch; leave `--weights best` out")]
    NoHoldOut,
    /// A finished run's weights are gone.
    #[error(
        "{}: this file of a finished run is missing; name another one with --weights, such as the run's \
         model.safetensors, or `best` for its best epoch", .0.display()
    )]
    ModelGone(PathBuf),
    /// The run has not saved any weights.
    #[error("{}: this run has no weights; where it is not finished go on with it by `trainer train --resume`, or name a file with --weights", .0.display())]
    NoWeights(PathBuf),
}

/// A run's network with its recipe.
#[derive(Debug, Clone)]
pub struct Trained {
    /// What it was trained by.
    pub recipe: Recipe,
    /// The network, on a device without autodiff.
    pub network: Network,
    /// The device.
    pub device: Device,
}

impl Trained {
    /// The network of the run in `folder`.
    ///
    /// # Errors
    /// [`TrainedError`] where the run, its weights or the device cannot be had.
    pub fn open(
        folder: &RunFolder,
        weights: &WeightChoice,
        device: &DeviceChoice,
    ) -> Result<Self, TrainedError> {
        let config = folder.config().display().to_string();
        let recipe = recipe::load(&config, &[], &NetworkKind::NAMES)?;
        if *weights == WeightChoice::Best && recipe.validation == 0 {
            return Err(TrainedError::NoHoldOut);
        }
        let kind = NetworkKind::from_name(&recipe.network)?;
        let device = device.open()?;
        let network = Network::init(kind, CLASSES, recipe.seed, &device)?;
        let network = match weights {
            WeightChoice::Last if folder.model_burnpack().is_file() => {
                weights::load(network, &folder.model_burnpack())?
            }
            WeightChoice::Last if is_finished(folder)? => {
                return Err(TrainedError::ModelGone(folder.model_burnpack()));
            }
            WeightChoice::Last => {
                from_checkpoint(folder, Averages::counting_part(&recipe), |bytes| {
                    let record = ModuleRecord::from_bytes(bytes)?;
                    Ok(Classifier::new(network, 0.0)
                        .try_load_record(record)?
                        .network)
                })?
            }
            WeightChoice::Best => {
                from_checkpoint(folder, BEST, |bytes| weights::from_bytes(network, bytes))?
            }
            WeightChoice::File(path) => from_file(network, kind.name(), path)?,
        };
        Ok(Self {
            recipe,
            network,
            device,
        })
    }

    /// How pixels become the numbers that the network was trained on.
    #[must_use]
    pub fn normalization(&self) -> Normalization {
        datasets::normalization(&self.recipe)
    }
}

/// Whether a run has come to its end, and so has weights that its recipe selected.
fn is_finished(folder: &RunFolder) -> Result<bool, RunError> {
    let result = if_there(&folder.result(), RunResult::read)?;
    Ok(result.is_some_and(|result| result.state == RunState::Finished))
}

/// The network that `load` makes of a part of the run's newest checkpoint.
fn from_checkpoint(
    folder: &RunFolder,
    part: &'static str,
    load: impl FnOnce(Bytes) -> Result<Network, burn::store::RecordError>,
) -> Result<Network, TrainedError> {
    let found = Store::new(folder.checkpoints()).latest()?;
    let mut checkpoint =
        (found.checkpoint).ok_or_else(|| TrainedError::NoWeights(folder.path().to_owned()))?;
    let bytes = Bytes::from_bytes_vec(checkpoint.take(part)?);
    Ok(load(bytes).map_err(|error| CheckpointError::Load {
        path: checkpoint.path,
        part,
        reason: error.to_string(),
    })?)
}

fn from_file(network: Network, name: &str, path: &Path) -> Result<Network, WeightFileError> {
    let tensors = weight_file::tensors(weight_file::read(path)?, path)?;
    weight_file::fit_all(network, name, tensors, path)
}
