//! The block of residual networks that normalise before they convolve.

use burn::module::Module;
use burn::tensor::Tensor;

use super::{BatchNorm, Conv2d, FoldedConv, FoldedNorm};
use crate::inference::Interpreter;
use crate::random::WeightSource;

/// Normalisation, rectifier and 3x3 convolution, twice, around which the input is added (He et al., 2016,
/// arXiv:1603.05027). Where the block changes the shape, a 1x1 convolution of the normalised and rectified
/// input stands in its place (Zagoruyko and Komodakis, 2016, arXiv:1605.07146).
#[derive(Module, Debug)]
pub struct PreactBlock {
    bn1: BatchNorm,
    conv1: Conv2d,
    bn2: BatchNorm,
    conv2: Conv2d,
    shortcut: Option<Conv2d>,
}

impl PreactBlock {
    /// A block of `input` to `output` channels; the first convolution has `stride`.
    #[must_use]
    pub fn new(source: &mut WeightSource, input: usize, output: usize, stride: usize) -> Self {
        let projects = stride != 1 || input != output;
        Self {
            bn1: BatchNorm::new(source, input),
            conv1: Conv2d::kaiming(source, [output, input, 3], stride),
            bn2: BatchNorm::new(source, output),
            conv2: Conv2d::kaiming(source, [output, output, 3], 1),
            shortcut: projects.then(|| Conv2d::kaiming(source, [output, input, 1], stride)),
        }
    }

    /// `[batch, input, height, width]` to `[batch, output, height / stride, width / stride]`, by the
    /// batch's own statistics; the running ones follow.
    #[must_use]
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let rectified = self.bn1.forward_relu(x.clone());
        let around = match &self.shortcut {
            None => x,
            Some(shortcut) => shortcut.forward(rectified.clone()),
        };
        let middle = self.conv1.forward_norm_relu(&self.bn2, rectified);
        self.conv2.forward(middle) + around
    }

    /// The block by the running statistics.
    #[must_use]
    pub fn folded(&self) -> FoldedPreactBlock {
        FoldedPreactBlock {
            norm: self.bn1.scale_and_shift(),
            first: self.conv1.folded(&self.bn2),
            second: self.conv2.plain(),
            shortcut: self.shortcut.as_ref().map(Conv2d::plain),
        }
    }
}

/// A [`PreactBlock`] by the running statistics. The first normalisation stands before a rectifier and
/// cannot be folded into a convolution.
#[derive(Debug, Clone)]
pub struct FoldedPreactBlock {
    norm: FoldedNorm,
    first: FoldedConv,
    second: FoldedConv,
    shortcut: Option<FoldedConv>,
}

impl FoldedPreactBlock {
    /// As [`PreactBlock::forward`], by the running statistics.
    pub fn run<I: Interpreter>(&self, with: &mut I, x: I::Maps) -> I::Maps {
        let rectified = with.norm_relu(&self.norm, x.clone());
        let around = match &self.shortcut {
            None => x,
            Some(shortcut) => with.conv(shortcut, rectified.clone()),
        };
        let middle = with.conv_relu(&self.first, rectified);
        let inner = with.conv(&self.second, middle);
        with.add(inner, around)
    }
}
