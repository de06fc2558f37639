//! Wide residual networks (Zagoruyko and Komodakis, 2016, arXiv:1605.07146), whose blocks normalise and
//! rectify before they convolve (He et al., 2016, arXiv:1603.05027). Without dropout.

use burn::module::Module;
use burn::tensor::Tensor;

use crate::IMAGE_CHANNELS;
use crate::inference::{Compute, Interpreter};
use crate::layers::{
    BatchNorm, Conv2d, FoldedConv, FoldedNorm, FoldedPreactBlock, Linear, PreactBlock,
    global_avg_pool,
};
use crate::random::WeightSource;

/// Channels of the stem.
const STEM: usize = 16;
/// Channels of the three groups of a network that is not widened.
const WIDTHS: [usize; 3] = [16, 32, 64];

/// A convolution, three groups of blocks, a normalisation and a rectifier, global average pooling and a
/// linear layer.
#[derive(Module, Debug)]
pub struct WideResNet {
    conv1: Conv2d,
    groups: Vec<Vec<PreactBlock>>,
    bn: BatchNorm,
    fc: Linear,
}

impl WideResNet {
    /// A network of `depth` convolutions, four more than a multiple of six, and `widen` times the
    /// channels. Each group but the first halves height and width.
    pub(crate) fn new(
        source: &mut WeightSource,
        depth: usize,
        widen: usize,
        classes: usize,
    ) -> Self {
        let blocks = depth.saturating_sub(4) / 6;
        let conv1 = Conv2d::kaiming(source, [STEM, IMAGE_CHANNELS, 3], 1);
        let mut channels = STEM;
        let mut groups = Vec::with_capacity(WIDTHS.len());
        for (group, width) in WIDTHS.into_iter().enumerate() {
            let mut layers = Vec::with_capacity(blocks);
            for block in 0..blocks {
                let stride = if group > 0 && block == 0 { 2 } else { 1 };
                layers.push(PreactBlock::new(source, channels, widen * width, stride));
                channels = widen * width;
            }
            groups.push(layers);
        }
        Self {
            conv1,
            groups,
            bn: BatchNorm::new(source, channels),
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
        let x = self.conv1.forward(x);
        let blocks = self.groups.iter().flatten();
        let x = blocks.fold(x, |x, block| block.forward(x));
        let x = self.bn.forward_relu(x);
        self.fc.forward(global_avg_pool(x))
    }

    /// The network by the running statistics.
    #[must_use]
    pub fn folded(&self) -> FoldedWideResNet {
        FoldedWideResNet {
            stem: self.conv1.plain(),
            blocks: (self.groups.iter().flatten())
                .map(PreactBlock::folded)
                .collect(),
            norm: self.bn.scale_and_shift(),
            fc: self.fc.clone(),
        }
    }
}

/// A wide residual network by its running statistics, for inference.
#[derive(Debug, Clone)]
pub struct FoldedWideResNet {
    stem: FoldedConv,
    blocks: Vec<FoldedPreactBlock>,
    norm: FoldedNorm,
    fc: Linear,
}

impl FoldedWideResNet {
    /// `[batch, 3, 32, 32]` to logits of `[batch, classes]`.
    #[must_use]
    pub fn forward(&self, x: Tensor<4>) -> Tensor<2> {
        self.run(&mut Compute, x)
    }

    /// The layers, one after the other: images to logits.
    pub fn run<I: Interpreter>(&self, with: &mut I, x: I::Maps) -> I::Features {
        let x = with.conv(&self.stem, x);
        let x = (self.blocks.iter()).fold(x, |x, block| block.run(with, x));
        let x = with.norm_relu(&self.norm, x);
        let x = with.global_avg_pool(x);
        with.linear(&self.fc, x)
    }
}
