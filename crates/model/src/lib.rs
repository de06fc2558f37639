//! Image classifiers for CIFAR-10: one definition each, on any of Burn's backends.
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`zoo`] | [`Network`]: every network by name, with its random initial weights |
//! | [`simple_cnn`], [`resnet`], [`resnet9`], [`wide_resnet`], [`airbench`] | the networks |
//! | [`roles`] | what each parameter is for |
//! | [`whitening`] | filters of a first layer that are computed from images |
//! | [`layers`] | convolution, normalisation and linear layers |
//! | [`inference`] | a network's inference, computed or written down as a graph |
//! | [`exported`] | [`ExportedNetwork`]: a trained network from an exported file, for other programs |
//! | [`picture`] | a picture of any size to what a network sees |
//! | [`backend`] | [`CnnBackend`]: the operations that a backend may replace by kernels of its own |
//! | [`check`] | whether a device computes what it should |
//! | [`random`] | initial weights, drawn on the host from a seed |
//!
//! Networks hold no backend parameter, since Burn's tensors carry their backend in their device.
//! What is generic is [`CnnBackend`], and [`Network::init_on`] is the door that asks for it at
//! compile time.
//!
//! The crate reads no file, no clock and no global random state.

#![warn(missing_docs)]

pub mod airbench;
pub mod backend;
pub mod check;
pub mod exported;
pub mod inference;
pub mod layers;
pub mod picture;
pub mod random;
pub mod resnet;
pub mod resnet9;
pub mod roles;
pub mod simple_cnn;
pub mod whitening;
pub mod wide_resnet;
pub mod zoo;

pub use backend::CnnBackend;
pub use exported::{ExportedError, ExportedNetwork};
pub use picture::{Picture, PictureError};
pub use roles::{ParameterRole, Role};
pub use zoo::{FoldedNetwork, Network, NetworkError, NetworkKind};

/// Height and width of an input image in pixels.
pub const IMAGE_SIZE: usize = 32;
/// Channels of an input image: red, green, blue.
pub const IMAGE_CHANNELS: usize = 3;
