//! burnpack, Burn's own format.

use burn_pack::{Reader, Writer};
use model::Network;

use super::Description;
use crate::training::{TrainError, weights};

/// The bytes of a file.
pub fn to_bytes(network: &Network, description: &Description) -> Result<Vec<u8>, TrainError> {
    let failed = |error: burn_pack::Error| TrainError::Export(error.to_string());
    let reader = Reader::from_bytes(weights::to_bytes(network)?).map_err(failed)?;
    let own = reader.metadata().clone();
    let mut writer = Writer::new(reader.into_tensors().map_err(failed)?);
    for (name, text) in &own {
        writer = writer.with_metadata(name, text);
    }
    for (name, text) in description.entries() {
        writer = writer.with_metadata(name, text);
    }
    Ok(writer.into_bytes().map_err(failed)?.to_vec())
}
