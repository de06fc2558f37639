//! Weights from files that other programs may have written.
//!
//! | file | what it holds |
//! | --- | --- |
//! | `element` | numbers of a file to `f32` |
//! | `safetensors`, `burnpack`, `pytorch` | a reader a format |
//! | `pickle` | the stack machine that reads PyTorch's index of tensors |
//! | `fit` | which tensors a network takes, and which not |
//!
//! A file is recognised by its first bytes, whatever its name. It is data to every reader here:
//! nothing in it is ever called, and what it may ask for is bounded by its own length.

mod burnpack;
mod element;
mod fit;
mod pickle;
mod pytorch;
mod safetensors;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use cifar10::file::{self, ReadError};

pub use fit::{Fit, Misfit, fit, fit_all};

/// The longest file that is read, in bytes: the largest network four times over, in 64-bit numbers.
pub(crate) const LONGEST: u64 = 512 << 20;
/// What PyTorch's wrappers for several devices and for compilation put before the name of every tensor. No
/// network here has such names.
const WRAPPERS: [&str; 2] = ["module.", "_orig_mod."];
/// What a file can be, for messages.
const FORMATS: &str = "a safetensors file, a burnpack, or what PyTorch's `torch.save(net.state_dict(), \
    file)` writes";

/// A tensor of a file.
#[derive(Debug, Clone, PartialEq)]
pub struct NamedTensor {
    /// Its name, such as `stages.0.1.conv1.weight`.
    pub name: String,
    /// Its shape.
    pub shape: Vec<usize>,
    /// Its numbers, the last dimension's side by side.
    pub values: Values,
}

/// A tensor's numbers.
#[derive(Debug, Clone, PartialEq)]
pub enum Values {
    /// Floating-point numbers of 16, 32 or 64 bits, as 32 bits.
    Float(Vec<f32>),
    /// Numbers of another type, which no weight is.
    Other(String),
}

/// Why weights could not be taken from a file. Each message is one line.
#[derive(Debug, thiserror::Error)]
pub enum WeightFileError {
    /// The file could not be read.
    #[error("{}: cannot read this: {source}; check the path and who may read it", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The path is that of a folder, a pipe or a device.
    #[error("{}: this is not a file; give {FORMATS}", .0.display())]
    NotAFile(PathBuf),
    /// The file is longer than any that is read.
    #[error("{}: it has {found} bytes; files of up to {LONGEST} are read, and weights of these networks have at most a tenth of that", path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
        /// Its length in bytes.
        found: u64,
    },
    /// The file holds something else.
    #[error("{}: this is no file of weights; give {FORMATS}", .0.display())]
    Unknown(PathBuf),
    /// The file is damaged, or holds what is not read.
    #[error("{}: {reason}", path.display())]
    Refused {
        /// The file.
        path: PathBuf,
        /// What is wrong, and what to do.
        reason: String,
    },
    /// The tensors are those of another network.
    #[error("{}: its weights are not those of {network}: {misfit}; name the network that it was trained as", path.display())]
    Misfit {
        /// The file.
        path: PathBuf,
        /// The network's name.
        network: String,
        /// What does not fit.
        misfit: Misfit,
    },
}

/// The bytes of the file `path`.
///
/// # Errors
/// [`WeightFileError`] where it is no regular file, cannot be read, or has more than 512 MiB.
pub fn read(path: &Path) -> Result<Vec<u8>, WeightFileError> {
    file::read(path, LONGEST).map_err(|error| {
        let path = path.to_owned();
        match error {
            ReadError::Io(source) => WeightFileError::Io { path, source },
            ReadError::NotRegular => WeightFileError::NotAFile(path),
            ReadError::TooLong { found, .. } => WeightFileError::TooLong { path, found },
        }
    })
}

/// The tensors in `bytes`, which were read from `path`.
///
/// # Errors
/// [`WeightFileError`] where they are in no known format, damaged, or more than weights.
pub fn tensors(bytes: Vec<u8>, path: &Path) -> Result<Vec<NamedTensor>, WeightFileError> {
    let tensors = match bytes.as_slice() {
        [b'P', b'K', 3, 4, ..] => pytorch::tensors(&bytes),
        [0x80, 2..=5, ..] => Err(
            "PyTorch before 1.6 wrote this, or a bare pickle; load it in a newer \
             PyTorch and save it again with `torch.save(net.state_dict(), file)`"
                .to_owned(),
        ),
        [b'N', b'R', b'U', b'B', ..] => burnpack::tensors(bytes),
        [_, _, _, _, _, _, _, _, b'{', ..] => safetensors::tensors(&bytes),
        _ => return Err(WeightFileError::Unknown(path.to_owned())),
    };
    let mut tensors = tensors.map_err(|reason| WeightFileError::Refused {
        path: path.to_owned(),
        reason,
    })?;
    unwrap_names(&mut tensors);
    Ok(tensors)
}

/// Takes off what a wrapper of PyTorch put before the names of all tensors.
fn unwrap_names(tensors: &mut [NamedTensor]) {
    while let Some(wrapper) = WRAPPERS.into_iter().find(|wrapper| {
        !tensors.is_empty() && tensors.iter().all(|one| one.name.starts_with(wrapper))
    }) {
        for tensor in &mut *tensors {
            tensor.name.drain(..wrapper.len());
        }
    }
}
