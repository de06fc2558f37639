//! Weights that other programs wrote: safetensors, burnpacks and PyTorch's archives.

use std::path::Path;
use std::sync::OnceLock;

use model::{ExportedNetwork, Picture};
use trainer::training::weights;
use trainer::weight_file::{Values, tensors};

use super::Read;
use super::run_files::{processor, saved_network};

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

/// An exported file of the tutorial's network, as a program that embeds it reads it. The input is the
/// file's first byte to its last one before the numbers. What is read has an answer.
pub(super) fn exported(input: &[u8]) -> Read {
    static SAVED: OnceLock<Option<Vec<u8>>> = OnceLock::new();
    let (Some(file), Ok(device)) = (SAVED.get_or_init(saved_export), processor().open()) else {
        return Read::Refused;
    };
    let mut bytes = input.to_vec();
    bytes.extend(file.get(input.len()..).unwrap_or_default());
    let network = ExportedNetwork::from_safetensors(bytes, &device);
    if let (Ok(network), Ok(picture)) = (&network, Picture::new(1, 1, &[7])) {
        assert!(
            network
                .classify(&picture)
                .is_ok_and(|classes| classes.len() > 1)
        );
    }
    Read::of(&network)
}

/// An exported file.
pub fn saved_export() -> Option<Vec<u8>> {
    let (network, _) = saved_network()?;
    let classes = r#"["a","b","c","d","e","f","g","h","i","j"]"#;
    let metadata = [
        ("classes", classes),
        ("mean", "[0.5,0.5,0.5]"),
        ("network", "simple_cnn"),
        ("std", "[0.5,0.5,0.5]"),
    ];
    weights::to_safetensors(&network, metadata.into_iter()).ok()
}
