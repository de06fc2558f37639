//! The safetensors format.

use safetensors::{Dtype, SafeTensors};

use super::NamedTensor;
use super::element::Element;

/// The tensors of a file.
pub fn tensors(bytes: &[u8]) -> Result<Vec<NamedTensor>, String> {
    let file = SafeTensors::deserialize(bytes)
        .map_err(|error| format!("it is a damaged safetensors file: {error}"))?;
    let tensors = file.iter().map(|(name, tensor)| {
        let element = match tensor.dtype() {
            Dtype::F64 => Element::F64,
            Dtype::F32 => Element::F32,
            Dtype::F16 => Element::F16,
            Dtype::BF16 => Element::Bf16,
            Dtype::I64 => Element::Other("int64", 8),
            _ => Element::Other("another type", 1),
        };
        NamedTensor {
            name: name.to_owned(),
            shape: tensor.shape().to_vec(),
            values: element.values(tensor.data()),
        }
    });
    Ok(tensors.collect())
}
