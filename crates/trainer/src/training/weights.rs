//! A network's weights in files.

use std::path::Path;

use burn::module::Module;
use burn::store::{ModuleRecord, ModuleSnapshot, SafetensorsStore};
use model::Network;

use super::TrainError;
use crate::run;

/// Saves a network's weights as a burnpack, written beside and renamed.
///
/// # Errors
/// [`TrainError`] where the file cannot be written.
pub fn save(network: &Network, path: &Path) -> Result<(), TrainError> {
    let bytes = network
        .clone()
        .into_record()
        .into_bytes()
        .map_err(|error| TrainError::save(path, error))?;
    Ok(run::write_atomic(path, &bytes)?)
}

/// `network` with the weights of a burnpack.
///
/// # Errors
/// [`TrainError::Load`] where the file is absent, damaged or of another network.
pub fn load(network: Network, path: &Path) -> Result<Network, TrainError> {
    let record = ModuleRecord::load(path).map_err(|error| TrainError::load(path, error))?;
    network
        .try_load_record(record)
        .map_err(|error| TrainError::load(path, error))
}

/// Saves a network's weights as safetensors, under the names that PyTorch gives them.
///
/// # Errors
/// [`TrainError::Save`] where the file cannot be written.
pub fn save_safetensors(network: &Network, path: &Path) -> Result<(), TrainError> {
    // The variant of the enum that holds the network is no part of PyTorch's names.
    let mut store = SafetensorsStore::from_file(path)
        .skip_enum_variants(true)
        .overwrite(true);
    network
        .save_into(&mut store)
        .map_err(|error| TrainError::save(path, error))
}
