//! The group of convolutions of the airbench networks.

use burn::backend::Dispatch;
use burn::module::Module;
use burn::tensor::Tensor;

use super::{BatchNorm, Conv2d, FoldedConv};
use crate::backend::CnnBackend;
use crate::inference::Interpreter;
use crate::random::WeightSource;

/// What is added to a variance before its root is taken.
const EPSILON: f32 = 1e-12;

/// A 3x3 convolution, maxima of windows of 2 by 2 pixels, normalisation, GELU, and a second
/// convolution with normalisation and GELU (Jordan, 2024, arXiv:2404.00498). A residual group has a
/// third convolution with normalisation, to which the first GELU's output is added before the last
/// GELU.
#[derive(Module, Debug)]
pub struct ConvGroup {
    conv1: Conv2d,
    norm1: BatchNorm,
    conv2: Conv2d,
    norm2: BatchNorm,
    conv3: Option<Conv2d>,
    norm3: Option<BatchNorm>,
}

impl ConvGroup {
    /// A group of `input` to `output` channels, whose first filters pass their channel through. A
    /// batch has weight `momentum` in the running statistics.
    #[must_use]
    pub fn new(
        source: &mut WeightSource,
        [input, output]: [usize; 2],
        residual: bool,
        momentum: f64,
    ) -> Self {
        let conv = |source: &mut WeightSource, input| Conv2d::identity(source, [output, input, 3]);
        let norm =
            |source: &mut WeightSource| BatchNorm::shift_only(source, output, momentum, EPSILON);
        Self {
            conv1: conv(source, input),
            norm1: norm(source),
            conv2: conv(source, output),
            norm2: norm(source),
            conv3: residual.then(|| conv(source, output)),
            norm3: residual.then(|| norm(source)),
        }
    }

    /// `[batch, input, height, width]` to `[batch, output, height / 2, width / 2]`, by the batch's
    /// own statistics; the running ones follow.
    #[must_use]
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let x = x.into_dispatch();
        let first = self.norm1.with_convolution(&self.conv1.weight);
        let second = self.norm2.with_convolution(&self.conv2.weight);
        let group = match (&self.conv3, &self.norm3) {
            (Some(conv), Some(norm)) => {
                let third = norm.with_convolution(&conv.weight);
                let forward =
                    <Dispatch as CnnBackend>::residual_conv_group(x, first, second, third, EPSILON);
                norm.follow(forward.third);
                forward.group
            }
            _ => <Dispatch as CnnBackend>::conv_group(x, first, second, EPSILON),
        };
        self.norm1.follow(group.first);
        self.norm2.follow(group.second);
        Tensor::from_dispatch(group.y)
    }

    /// The group by the running statistics. The scale of its normalisations is positive, so that
    /// they may be folded into the convolution before the maxima.
    #[must_use]
    pub fn folded(&self) -> FoldedGroup {
        let third = self.conv3.as_ref().zip(self.norm3.as_ref());
        FoldedGroup {
            first: self.conv1.folded(&self.norm1),
            second: self.conv2.folded(&self.norm2),
            third: third.map(|(conv, norm)| conv.folded(norm)),
        }
    }
}

/// A group whose normalisations are folded into its convolutions.
#[derive(Debug, Clone)]
pub struct FoldedGroup {
    first: FoldedConv,
    second: FoldedConv,
    third: Option<FoldedConv>,
}

impl FoldedGroup {
    /// As [`ConvGroup::forward`], by the running statistics.
    pub fn run<I: Interpreter>(&self, with: &mut I, x: I::Maps) -> I::Maps {
        let around = with.conv_pool_gelu(&self.first, x);
        match &self.third {
            None => with.conv_gelu(&self.second, around),
            Some(third) => {
                let x = with.conv_gelu(&self.second, around.clone());
                with.conv_add_gelu(third, x, around)
            }
        }
    }
}
