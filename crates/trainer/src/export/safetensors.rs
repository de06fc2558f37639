//! safetensors, which PyTorch loads by name.

use model::Network;

use super::Description;
use crate::training::{TrainError, weights};

/// The bytes of a file.
pub fn to_bytes(network: &Network, description: &Description) -> Result<Vec<u8>, TrainError> {
    weights::to_safetensors(network, description.entries()).map_err(TrainError::Export)
}
