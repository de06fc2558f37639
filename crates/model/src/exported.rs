//! A trained network from an exported file, for programs of other people.

use std::collections::HashMap;

use burn::store::{ModuleSnapshot, SafetensorsStore};
use burn::tensor::activation::softmax;
use burn::tensor::{Device, Tensor, TensorData};
use safetensors::{Dtype, SafeTensors};

use crate::picture::{Picture, PictureError};
use crate::zoo::{FoldedNetwork, Network, NetworkError, NetworkKind};
use crate::{IMAGE_CHANNELS, IMAGE_SIZE};

/// More classes than any file of this project names.
const MOST_CLASSES: usize = 1_000;

/// A trained network of the zoo with all that it needs to say what is on a picture.
#[derive(Debug, Clone)]
pub struct ExportedNetwork {
    kind: NetworkKind,
    classes: Vec<String>,
    mean: [f32; IMAGE_CHANNELS],
    std: [f32; IMAGE_CHANNELS],
    network: FoldedNetwork,
    device: Device,
}

/// A file holds no network, or a network has no answer.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ExportedError {
    /// The bytes are in another format, or damaged.
    #[error("this is no safetensors file: {0}")]
    Format(String),
    /// The file does not say what its network needs.
    #[error(
        "the file's metadata does not say the network's {0}; write the file with `trainer export --format safetensors`"
    )]
    Metadata(&'static str),
    /// The file names a network that there is not.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// The tensors are not those of the network that the file names.
    #[error("the weights are not those of {network}: {reason}")]
    Weights {
        /// The network's name.
        network: &'static str,
        /// What does not fit.
        reason: String,
    },
    /// The picture cannot be shown to a network.
    #[error(transparent)]
    Picture(#[from] PictureError),
    /// The device failed.
    #[error("the device gave no answer: {0}")]
    Device(String),
}

impl ExportedNetwork {
    /// The network of the bytes of a file that `trainer export --format safetensors` wrote, on `device`,
    /// which is one without autodiff. Network, classes and normalisation are those of its metadata.
    ///
    /// # Errors
    /// [`ExportedError`] where the file is damaged, of another network than it says, or lacks its metadata.
    pub fn from_safetensors(bytes: Vec<u8>, device: &Device) -> Result<Self, ExportedError> {
        let metadata = metadata(&bytes)?;
        let kind = NetworkKind::from_name(text(&metadata, "network")?)?;
        let classes: Vec<String> = parsed(&metadata, "classes")?;
        let mean: [f32; IMAGE_CHANNELS] = parsed(&metadata, "mean")?;
        let std: [f32; IMAGE_CHANNELS] = parsed(&metadata, "std")?;
        if !mean.iter().all(|mean| mean.is_finite()) {
            return Err(ExportedError::Metadata("mean"));
        }
        if !std.iter().all(|std| std.is_normal()) {
            return Err(ExportedError::Metadata("std"));
        }
        if classes.len() > MOST_CLASSES {
            return Err(ExportedError::Metadata("classes"));
        }
        let network = Network::init(kind, classes.len(), 0, device)?;
        let network = with_weights(network, bytes).map_err(|reason| ExportedError::Weights {
            network: kind.name(),
            reason,
        })?;
        Ok(Self {
            kind,
            classes,
            mean,
            std,
            network: network.folded(),
            device: device.clone(),
        })
    }

    /// Which network it is.
    #[must_use]
    pub fn kind(&self) -> NetworkKind {
        self.kind
    }

    /// The classes with their probabilities for what is in the middle of `picture`, the most probable
    /// first.
    ///
    /// # Errors
    /// [`ExportedError`] where the picture cannot be made smaller, or the device fails.
    pub fn classify(&self, picture: &Picture) -> Result<Vec<(&str, f32)>, ExportedError> {
        let numbers = picture.normalized(self.mean, self.std)?;
        let shape = [1, IMAGE_CHANNELS, IMAGE_SIZE, IMAGE_SIZE];
        let image = Tensor::from_data(TensorData::new(numbers, shape), &self.device);
        let probabilities = softmax(self.network.forward(image)?, 1);
        let probabilities = (probabilities.into_data().try_to_vec::<f32>())
            .map_err(|error| ExportedError::Device(error.to_string()))?;
        let classes = self.classes.iter().map(String::as_str);
        let mut ranked: Vec<_> = classes.zip(probabilities).collect();
        ranked.sort_by(|(_, a), (_, b)| b.total_cmp(a));
        Ok(ranked)
    }
}

/// The file's texts by their names, of a file whose tensors are whole and of 32-bit numbers.
fn metadata(bytes: &[u8]) -> Result<HashMap<String, String>, ExportedError> {
    let refused = |reason: String| ExportedError::Format(reason);
    let (_, header) =
        SafeTensors::read_metadata(bytes).map_err(|error| refused(error.to_string()))?;
    let file = SafeTensors::deserialize(bytes).map_err(|error| refused(error.to_string()))?;
    for (name, tensor) in file.iter() {
        let numbers = tensor.data().as_chunks::<4>().0;
        let is_finite = |bytes: &[u8; 4]| f32::from_le_bytes(*bytes).is_finite();
        if tensor.dtype() != Dtype::F32 || !numbers.iter().all(is_finite) {
            let name = name.escape_debug();
            return Err(refused(format!(
                "{name} has other than finite 32-bit numbers"
            )));
        }
    }
    Ok(header.metadata().clone().unwrap_or_default())
}

fn text<'a>(
    metadata: &'a HashMap<String, String>,
    name: &'static str,
) -> Result<&'a str, ExportedError> {
    (metadata.get(name).map(String::as_str)).ok_or(ExportedError::Metadata(name))
}

/// A text of the metadata that is JSON.
fn parsed<T: serde::de::DeserializeOwned>(
    metadata: &HashMap<String, String>,
    name: &'static str,
) -> Result<T, ExportedError> {
    serde_json::from_str(text(metadata, name)?).map_err(|_| ExportedError::Metadata(name))
}

/// `network` with the tensors of a safetensors file, of which there must be one for each of its own.
fn with_weights(mut network: Network, bytes: Vec<u8>) -> Result<Network, String> {
    // The variant of the enum that holds the network is no part of the names in a file.
    let mut store = SafetensorsStore::from_bytes(Some(bytes))
        .skip_enum_variants(true)
        .validate(false)
        .allow_partial(true);
    let fit = (network.load_from(&mut store)).map_err(|error| error.to_string())?;
    if let Some(error) = fit.errors.first() {
        return Err(error.to_string());
    }
    if let Some((name, _)) = fit.missing.first() {
        return Err(format!("{name} is missing"));
    }
    if let Some(name) = fit.unused.first() {
        return Err(format!("{} is unexpected", name.escape_debug()));
    }
    Ok(network)
}
