//! Burn's own format, in which runs keep their weights.

use burn::tensor::{Bytes, DType};
use burn_pack::Reader;

use super::NamedTensor;
use super::element::Element;

/// The tensors of a file, without the name of the network's variant that Burn puts first.
pub fn tensors(bytes: Vec<u8>) -> Result<Vec<NamedTensor>, String> {
    let damaged = |error: burn_pack::Error| format!("it is a damaged burnpack: {error}");
    let read = Reader::from_bytes(Bytes::from_bytes_vec(bytes))
        .and_then(Reader::into_tensors)
        .map_err(damaged)?;
    let mut tensors = Vec::with_capacity(read.len());
    for tensor in read {
        let element = match tensor.dtype {
            DType::F64 => Element::F64,
            DType::F32 => Element::F32,
            DType::F16 => Element::F16,
            DType::BF16 => Element::Bf16,
            _ => Element::Other("another type", 1),
        };
        let shape = tensor.shape.to_vec();
        let (first, rest) = tensor.name.split_once('.').unwrap_or(("", &tensor.name));
        let is_variant = first.starts_with(|letter: char| letter.is_ascii_uppercase());
        let name = if is_variant { rest } else { &tensor.name }.to_owned();
        let bytes = tensor.into_bytes().map_err(damaged)?;
        let count = shape.iter().try_fold(1, |n: usize, d| n.checked_mul(*d));
        if count.and_then(|n| n.checked_mul(element.size())) != Some(bytes.len()) {
            return Err(format!(
                "it is a damaged burnpack: {name} is not as long as its shape says"
            ));
        }
        tensors.push(NamedTensor {
            name,
            shape,
            values: element.values(&bytes),
        });
    }
    Ok(tensors)
}
