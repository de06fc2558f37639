//! Whole parts of a network, forward and backward, on images whose channels lie side by side.
//!
//! Inside a block normalisation is not a pass of its own: sums are taken from a convolution's
//! output while the cache holds it, and the output is normalised while the next convolution loads
//! it. Between blocks there are ordinary images.
//!
//! | module | what it computes |
//! | --- | --- |
//! | [`mod@stem`] | convolution, normalisation, rectifier |
//! | [`inference`] | convolutions with a folded normalisation |
//! | [`conv_group`] | convolution, maximum pooling, normalisation, GELU, and one or two convolutions more |
//! | [`whiten`] | the gradient of a convolution with fixed weights, bias and GELU |
//! | [`mod@conv_pool`] | convolution, bias, rectifier, maximum pooling |
//! | [`residual`] | the basic block of a residual network, with a projection or without |

pub mod conv_group;
mod conv_norm;
pub mod conv_pool;
pub mod inference;
mod normalization;
pub mod residual;
pub mod stem;
pub mod whiten;

pub use conv_norm::Images;
pub use normalization::{Convolved, NormGradients, Parameters, SavedConvolution, Statistics};
