//! Weights that other programs wrote: safetensors, burnpacks and PyTorch's archives.

use std::path::Path;

use trainer::weight_file::{Values, tensors};

use super::Read;

/// A tensor that is read has as many numbers as its shape says.
pub(super) fn weight_file(input: &[u8]) -> Read {
    let tensors = tensors(input.to_vec(), Path::new("weights"));
    for tensor in tensors.iter().flatten() {
        if let Values::Float(values) = &tensor.values {
            let shape = tensor.shape.iter().copied();
            let numbers = shape.fold(1, usize::saturating_mul);
            assert_eq!(values.len(), numbers, "{}", tensor.name.escape_debug());
        }
    }
    Read::of(&tensors)
}
