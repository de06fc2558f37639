//! A network's weights in files.

use std::collections::BTreeMap;
use std::path::Path;

use burn::module::Module;
use burn::store::{ModuleRecord, ModuleSnapshot, SafetensorsStore};
use burn::tensor::Bytes;
use model::Network;

use super::TrainError;
use super::held::on_host;
use crate::run::{self, RunError};
use crate::weight_file;

/// A network's weights as a burnpack.
///
/// # Errors
/// [`TrainError::Learner`] where they cannot be read from the device.
pub fn to_bytes(network: &Network) -> Result<Bytes, TrainError> {
    let network = on_host(network).map_err(TrainError::device)?;
    let record = network.into_record();
    record
        .into_bytes()
        .map_err(|error| TrainError::Learner(error.to_string()))
}

/// Saves a network's weights as a burnpack, written beside and renamed.
///
/// # Errors
/// [`TrainError`] where the file cannot be written.
pub fn save(network: &Network, path: &Path) -> Result<(), TrainError> {
    Ok(run::write_atomic(path, &to_bytes(network)?)?)
}

/// `network` with the weights of a burnpack.
///
/// # Errors
/// [`TrainError::Load`] where the file is absent, damaged or of another network.
pub fn load(network: Network, path: &Path) -> Result<Network, TrainError> {
    let bytes = cifar10::file::read(path, weight_file::LONGEST).map_err(RunError::read(path))?;
    from_bytes(network, Bytes::from_bytes_vec(bytes)).map_err(|error| TrainError::load(path, error))
}

/// `network` with the weights of a burnpack in memory.
///
/// # Errors
/// What Burn says where they are damaged or of another network.
pub fn from_bytes(network: Network, bytes: Bytes) -> Result<Network, burn::store::RecordError> {
    network.try_load_record(ModuleRecord::from_bytes(bytes)?)
}

/// Saves a network's weights as safetensors, under the names that PyTorch gives them, written beside
/// and renamed.
///
/// # Errors
/// [`TrainError`] where the file cannot be written.
pub fn save_safetensors(network: &Network, path: &Path) -> Result<(), TrainError> {
    let bytes = to_safetensors(network, std::iter::empty())
        .map_err(|reason| TrainError::save(path, reason))?;
    Ok(run::write_atomic(path, &bytes)?)
}

/// A network's weights as safetensors, under the names that PyTorch gives them, with texts in the
/// header's metadata.
///
/// # Errors
/// What Burn says where they cannot be read from the device.
pub fn to_safetensors<'a>(
    network: &Network,
    metadata: impl Iterator<Item = (&'a str, &'a str)>,
) -> Result<Vec<u8>, String> {
    // The variant of the enum that holds the network is no part of PyTorch's names.
    let mut store = SafetensorsStore::from_bytes(None).skip_enum_variants(true);
    for (name, text) in metadata {
        store = store.metadata(name, text);
    }
    let network = on_host(network).map_err(|error| error.to_string())?;
    network
        .save_into(&mut store)
        .map_err(|error| error.to_string())?;
    let bytes = store.get_bytes().map_err(|error| error.to_string())?;
    with_sorted_header(&bytes).ok_or_else(|| "the header is not that of safetensors".to_owned())
}

/// The same safetensors with the entries of its header in alphabetical order, where Burn writes the
/// metadata in an order that differs from run to run: the same weights are then the same bytes.
fn with_sorted_header(bytes: &[u8]) -> Option<Vec<u8>> {
    let (length, rest) = bytes.split_first_chunk()?;
    let (header, tensors) =
        rest.split_at_checked(usize::try_from(u64::from_le_bytes(*length)).ok()?)?;
    let entries: BTreeMap<String, serde_json::Value> = serde_json::from_slice(header).ok()?;
    let mut sorted = serde_json::to_vec(&entries).ok()?;
    // The header's length keeps the tensors aligned; spaces after the JSON are part of the format.
    sorted.resize(header.len(), b' ');
    Some([&length[..], &sorted, tensors].concat())
}
