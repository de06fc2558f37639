//! Residual networks for small images (He et al., 2015, arXiv:1512.03385), with projections where
//! a block changes the shape.

use burn::module::Module;
use burn::tensor::Tensor;

use crate::IMAGE_CHANNELS;
use crate::backend;
use crate::inference::{Compute, Interpreter};
use crate::layers::{
    BasicBlock, BatchNorm, Conv2d, FoldedBlock, FoldedConv, Linear, global_avg_pool,
};
use crate::random::WeightSource;

/// Images that go through a network at a time in inference on a CPU: so many that the cache still
/// holds a layer's output when the next layer reads it.
const IMAGES_IN_CACHE: usize = 32;
/// The most channels of a network for which that pays. The weights of wider ones do not stay in the
/// cache, and reading them again for each slice of the batch costs more.
const NARROW: usize = 64;

/// A stem, stages of basic blocks, global average pooling and a linear layer.
#[derive(Module, Debug)]
pub struct ResNet {
    conv1: Conv2d,
    bn1: BatchNorm,
    stages: Vec<Vec<BasicBlock>>,
    fc: Linear,
}

impl ResNet {
    /// A network of `widths.len()` stages with `blocks` blocks each; each stage but the first
    /// halves height and width.
    pub(crate) fn new(
        source: &mut WeightSource,
        widths: &[usize],
        blocks: usize,
        classes: usize,
    ) -> Self {
        let stem = widths.first().copied().unwrap_or(IMAGE_CHANNELS);
        let conv1 = Conv2d::kaiming(source, [stem, IMAGE_CHANNELS, 3], 1);
        let bn1 = BatchNorm::new(source, stem);
        let mut channels = stem;
        let mut stages = Vec::with_capacity(widths.len());
        for (stage, &width) in widths.iter().enumerate() {
            let mut layers = Vec::with_capacity(blocks);
            for block in 0..blocks {
                let stride = if stage > 0 && block == 0 { 2 } else { 1 };
                layers.push(BasicBlock::new(source, channels, width, stride));
                channels = width;
            }
            stages.push(layers);
        }
        Self {
            conv1,
            bn1,
            stages,
            fc: Linear::uniform(source, channels, classes),
        }
    }

    /// `[batch, 3, 32, 32]` to logits of `[batch, classes]`. On an autodiff device the batch's own
    /// statistics normalise, and the running ones follow; elsewhere the running ones normalise.
    #[must_use]
    pub fn forward(&self, x: Tensor<4>) -> Tensor<2> {
        if !x.device().is_autodiff() {
            return self.folded().forward(x);
        }
        let x = self.conv1.forward_norm_relu(&self.bn1, x);
        let x = self
            .stages
            .iter()
            .flatten()
            .fold(x, |x, block| block.forward(x));
        self.fc.forward(global_avg_pool(x))
    }

    /// The network by the running statistics.
    #[must_use]
    pub fn folded(&self) -> FoldedResNet {
        FoldedResNet {
            stem: self.conv1.folded(&self.bn1),
            blocks: (self.stages.iter().flatten())
                .map(BasicBlock::folded)
                .collect(),
            fc: self.fc.clone(),
        }
    }
}

/// A residual network whose normalisations are folded into its convolutions, for inference.
#[derive(Debug, Clone)]
pub struct FoldedResNet {
    stem: FoldedConv,
    blocks: Vec<FoldedBlock>,
    fc: Linear,
}

impl FoldedResNet {
    /// `[batch, 3, 32, 32]` to logits of `[batch, classes]`.
    #[must_use]
    pub fn forward(&self, x: Tensor<4>) -> Tensor<2> {
        let [batch, ..] = x.dims();
        let [_, widest] = self.fc.weight_shape();
        if batch <= IMAGES_IN_CACHE || widest > NARROW || !backend::computes_on_cpu(&x.device()) {
            return self.classify(x);
        }
        let slices = x.split(IMAGES_IN_CACHE, 0).into_iter();
        Tensor::cat(slices.map(|x| self.classify(x)).collect(), 0)
    }

    fn classify(&self, x: Tensor<4>) -> Tensor<2> {
        self.run(&mut Compute, x)
    }

    /// The layers, one after the other: images to logits.
    pub fn run<I: Interpreter>(&self, with: &mut I, x: I::Maps) -> I::Features {
        let x = with.conv_relu(&self.stem, x);
        let x = (self.blocks.iter()).fold(x, |x, block| block.run(with, x));
        let x = with.global_avg_pool(x);
        with.linear(&self.fc, x)
    }
}
