//! The weights of a file that a run begins with.

use std::path::Path;

use model::Network;

use super::TrainError;
use super::resume::Resumed;
use crate::run::{Environment, InitialWeights, RunError};
use crate::weight_file;

/// `network` with what fits of the file `path`, and what the run's record says of it.
///
/// # Errors
/// [`TrainError`] where the file cannot be read, or nothing in it fits.
pub(super) fn weights(
    network: Network,
    path: &Path,
) -> Result<(Network, InitialWeights), TrainError> {
    let bytes = weight_file::read(path)?;
    let sha256 = cifar10::checksum::sha256(&bytes);
    let tensors = weight_file::tensors(bytes, path)?;
    let (network, fit) = weight_file::fit(network, tensors, path)?;
    let initial = InitialWeights {
        file: path.canonicalize().map_err(RunError::io("find", path))?,
        sha256,
        fit,
    };
    Ok((network, initial))
}

/// What the user should know of it, in a line.
pub(super) fn remark(initial: &InitialWeights) -> String {
    let (file, taken) = (initial.file.display(), initial.fit.taken.len());
    let misfit = initial.fit.misfit.to_string();
    if misfit.is_empty() {
        return format!("took all {taken} tensors from {file}");
    }
    format!("took {taken} tensors from {file}; {misfit}")
}

/// `network` as the run began, where that run begins again: one that has a checkpoint needs no first
/// weights.
///
/// # Errors
/// [`TrainError`] where the file is gone or was changed.
pub(super) fn again(network: Network, resumed: &Resumed) -> Result<Network, TrainError> {
    if resumed.checkpoint.is_some() {
        return Ok(network);
    }
    let environment = Environment::read(&resumed.folder.environment())?;
    let Some(began_with) = environment.initial_weights else {
        return Ok(network);
    };
    let (network, found) = weights(network, &began_with.file)?;
    if found == began_with {
        Ok(network)
    } else {
        Err(TrainError::InitialWeights(began_with.file))
    }
}
