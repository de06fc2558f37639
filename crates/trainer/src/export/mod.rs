//! A network in a file for other programs.
//!
//! | file | what it holds |
//! | --- | --- |
//! | `description` | what a file says of its network beside the weights |
//! | `safetensors`, `burnpack`, `onnx` | a writer a format |
//! | `protobuf` | the messages of an ONNX file |

mod burnpack;
mod description;
mod onnx;
mod protobuf;
mod safetensors;

use crate::trained::Trained;
use crate::training::TrainError;

pub use description::Description;

/// A format of files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Weights and running statistics under PyTorch's names.
    Safetensors,
    /// The network by its running statistics, as operations with their weights.
    Onnx,
    /// Weights and running statistics in Burn's own format.
    Burnpack,
}

/// The bytes of a file with `trained` in `format`.
///
/// # Errors
/// [`TrainError`] where the weights cannot be read from the device.
pub fn to_bytes(
    trained: &Trained,
    description: &Description,
    format: Format,
) -> Result<Vec<u8>, TrainError> {
    match format {
        Format::Safetensors => safetensors::to_bytes(&trained.network, description),
        Format::Onnx => onnx::to_bytes(&trained.network.folded().graph(), description),
        Format::Burnpack => burnpack::to_bytes(&trained.network, description),
    }
}
