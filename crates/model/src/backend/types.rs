//! What the operations of [`CnnBackend`](super::CnnBackend) take and give, where that is more than
//! one tensor.

use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Backend, ExtensionType};
use burn::tensor::DType;

pub use cpu_kernels::{AdamWStep, MuonStep, SgdStep};

/// A convolution's weights, `[out_channels, in_channels, height, width]`, and scale and shift of
/// the normalisation after it, each `[out_channels]`; or the gradients by them.
#[derive(ExtensionType, Debug, Clone)]
pub struct ConvNorm<B: Backend> {
    /// The weights of the convolution.
    pub weight: FloatTensor<B>,
    /// The scale of the normalisation.
    pub gamma: FloatTensor<B>,
    /// The shift of the normalisation.
    pub beta: FloatTensor<B>,
}

/// Weights and biases of a convolution or a linear layer; or the gradients by them.
#[derive(ExtensionType, Debug, Clone)]
pub struct Affine<B: Backend> {
    /// The weights.
    pub weight: FloatTensor<B>,
    /// One bias for each output channel or feature.
    pub bias: FloatTensor<B>,
}

/// What a convolution before a normalisation gives.
#[derive(ExtensionType, Debug, Clone)]
pub struct Convolved<B: Backend> {
    /// The convolution's output, `[batch, out_channels, height, width]`.
    pub output: FloatTensor<B>,
    /// Its mean by channel over batch and pixels.
    pub mean: FloatTensor<B>,
    /// Its biased variance by channel over batch and pixels.
    pub variance: FloatTensor<B>,
}

/// Means and variances by channel, each `[channels]`.
#[derive(ExtensionType, Debug, Clone)]
pub struct Statistics<B: Backend> {
    /// The means.
    pub mean: FloatTensor<B>,
    /// The variances.
    pub variance: FloatTensor<B>,
}

/// What [`conv_norm_relu`](super::CnnBackend::conv_norm_relu) gives.
#[derive(ExtensionType, Debug, Clone)]
pub struct ConvNormRelu<B: Backend> {
    /// The result.
    pub y: FloatTensor<B>,
    /// The convolution on the way.
    #[extension_type]
    pub convolved: Convolved<B>,
}

/// What [`residual`](super::CnnBackend::residual) gives.
#[derive(ExtensionType, Debug, Clone)]
pub struct Residual<B: Backend> {
    /// The result.
    pub y: FloatTensor<B>,
    /// The first convolution on the way.
    #[extension_type]
    pub first: Convolved<B>,
    /// The second convolution on the way.
    #[extension_type]
    pub second: Convolved<B>,
}

/// What [`projected_residual`](super::CnnBackend::projected_residual) gives.
#[derive(ExtensionType, Debug, Clone)]
pub struct ProjectedResidual<B: Backend> {
    /// The result, and the two convolutions on the way.
    #[extension_type]
    pub main: Residual<B>,
    /// The convolution of the input around them.
    #[extension_type]
    pub projection: Convolved<B>,
}

/// The gradients by the input and the parameters of a normalised convolution.
#[derive(ExtensionType, Debug, Clone)]
pub struct ConvNormGradients<B: Backend> {
    /// By the input.
    pub x: FloatTensor<B>,
    /// By the parameters.
    #[extension_type]
    pub parameters: ConvNorm<B>,
}

/// The gradients by the input and the parameters of a residual block.
#[derive(ExtensionType, Debug, Clone)]
pub struct ResidualGradients<B: Backend> {
    /// By the input.
    pub x: FloatTensor<B>,
    /// By the parameters of the first convolution.
    #[extension_type]
    pub first: ConvNorm<B>,
    /// By the parameters of the second convolution.
    #[extension_type]
    pub second: ConvNorm<B>,
}

/// The gradients by the input and the parameters of a residual block with a projection.
#[derive(ExtensionType, Debug, Clone)]
pub struct ProjectedResidualGradients<B: Backend> {
    /// By the input, and by the parameters of the two convolutions.
    #[extension_type]
    pub main: ResidualGradients<B>,
    /// By the parameters of the projection.
    #[extension_type]
    pub projection: ConvNorm<B>,
}

/// What [`conv_group`](super::CnnBackend::conv_group) gives.
#[derive(ExtensionType, Debug, Clone)]
pub struct ConvGroup<B: Backend> {
    /// The result, `[batch, out_channels, height / 2, width / 2]`.
    pub y: FloatTensor<B>,
    /// Where the maxima of the first convolution were. What an index means is the backend's own
    /// affair.
    pub places: IntTensor<B>,
    /// The maxima of the first convolution's output.
    #[extension_type]
    pub first: Convolved<B>,
    /// The second convolution.
    #[extension_type]
    pub second: Convolved<B>,
}

/// What [`residual_conv_group`](super::CnnBackend::residual_conv_group) gives.
#[derive(ExtensionType, Debug, Clone)]
pub struct ResidualConvGroup<B: Backend> {
    /// The result, and the first two convolutions on the way.
    #[extension_type]
    pub group: ConvGroup<B>,
    /// The third convolution.
    #[extension_type]
    pub third: Convolved<B>,
}

/// The gradients by the input and the parameters of a group with a third convolution.
#[derive(ExtensionType, Debug, Clone)]
pub struct ResidualConvGroupGradients<B: Backend> {
    /// By the input, and by the parameters of the first two convolutions.
    #[extension_type]
    pub group: ResidualGradients<B>,
    /// By the parameters of the third convolution.
    #[extension_type]
    pub third: ConvNorm<B>,
}

/// What [`conv_relu_pool`](super::CnnBackend::conv_relu_pool) gives.
#[derive(ExtensionType, Debug, Clone)]
pub struct Pooled<B: Backend> {
    /// The maxima, `[batch, out_channels, height / pool, width / pool]`.
    pub y: FloatTensor<B>,
    /// Where they were. What an index means is the backend's own affair.
    pub indices: IntTensor<B>,
}

/// The gradients by the input and the parameters of a layer with weights and biases.
#[derive(ExtensionType, Debug, Clone)]
pub struct AffineGradients<B: Backend> {
    /// By the input.
    pub x: FloatTensor<B>,
    /// By the parameters.
    #[extension_type]
    pub parameters: Affine<B>,
}

/// What [`cross_entropy`](super::CnnBackend::cross_entropy) gives.
#[derive(ExtensionType, Debug, Clone)]
pub struct CrossEntropy<B: Backend> {
    /// The mean loss, `[1]`.
    pub loss: FloatTensor<B>,
    /// Its gradient by the logits, `[batch, classes]`.
    pub gradient: FloatTensor<B>,
}

/// How the numbers of images are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Storage {
    /// In single precision, four bytes a number.
    Single,
    /// In half precision, two bytes a number.
    Half,
}

impl Storage {
    /// How a tensor's numbers are stored.
    pub(crate) fn of(dtype: DType) -> Self {
        match dtype {
            DType::F16 => Self::Half,
            _ => Self::Single,
        }
    }
}

/// The means of gradients and of their squares, which AdamW keeps for each parameter.
#[derive(ExtensionType, Debug, Clone)]
pub struct Means<B: Backend> {
    /// The mean of gradients.
    pub first: FloatTensor<B>,
    /// The mean of their squares.
    pub second: FloatTensor<B>,
}

/// Weights and the means after a step of AdamW.
#[derive(ExtensionType, Debug, Clone)]
pub struct AdamWStepped<B: Backend> {
    /// The weights.
    pub weight: FloatTensor<B>,
    /// The means.
    #[extension_type]
    pub means: Means<B>,
}

/// Images that a device holds as words of four bytes, as [`cpu_kernels::stored`] describes them.
#[derive(ExtensionType, Debug, Clone)]
pub struct Stored<B: Backend> {
    /// The first images.
    pub first: IntTensor<B>,
    /// The rest; the first again where there is none.
    pub rest: IntTensor<B>,
    /// The value of each byte by channel, `[channels * 256]`.
    pub tables: FloatTensor<B>,
}

/// What [`stored_batch`](super::CnnBackend::stored_batch) gives.
#[derive(ExtensionType, Debug, Clone)]
pub struct StoredBatch<B: Backend> {
    /// Images, `[batch, channels, height, width]`.
    pub images: FloatTensor<B>,
    /// Their classes, `[batch]`.
    pub classes: IntTensor<B>,
}

/// Weights and their velocity, or momentum, after a step.
#[derive(ExtensionType, Debug, Clone)]
pub struct Stepped<B: Backend> {
    /// The weights.
    pub weight: FloatTensor<B>,
    /// The velocity, which Muon calls momentum.
    pub velocity: FloatTensor<B>,
}
