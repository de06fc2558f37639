//! The networks of the fastest published trainings to 94, 95 and 96% on CIFAR-10 (Jordan, 2024,
//! arXiv:2404.00498, "airbench").

use burn::module::Module;
use burn::tensor::Tensor;

use crate::inference::{Compute, Interpreter};
use crate::layers::{ConvGroup, FoldedGroup, Linear, Whitening, global_max_pool};
use crate::random::WeightSource;
use crate::whitening::CHANNELS;

/// What distinguishes the networks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Variant {
    /// Output channels of the three groups.
    pub(crate) widths: [usize; 3],
    /// Whether each group has a third convolution around which the first GELU's output goes.
    pub(crate) residual: bool,
    /// The weight of a batch in the running statistics.
    pub(crate) momentum: f64,
    /// What logits are divided by.
    pub(crate) divisor: f64,
    /// Whether the head's weights are scaled to deviation 1 at the start.
    pub(crate) standard_head: bool,
}

/// The network for 94% with half of the channels in its first group and three eighths in the others,
/// which is four times as fast.
pub(crate) const AIRBENCH_NARROW: Variant = Variant {
    widths: [32, 96, 96],
    residual: false,
    momentum: 0.4,
    divisor: 96.0,
    standard_head: true,
};
/// The network for 94%.
pub(crate) const AIRBENCH94: Variant = Variant {
    widths: [64, 256, 256],
    residual: false,
    momentum: 0.4,
    divisor: 256.0,
    standard_head: true,
};
/// The network for 95%.
pub(crate) const AIRBENCH95: Variant = Variant {
    widths: [128, 384, 384],
    residual: false,
    momentum: 0.4,
    divisor: 9.0,
    standard_head: false,
};
/// The network for 96%.
pub(crate) const AIRBENCH96: Variant = Variant {
    widths: [128, 384, 512],
    residual: true,
    momentum: 0.1,
    divisor: 9.0,
    standard_head: false,
};

/// A whitening layer, three groups of convolutions, global maximum pooling and a linear layer
/// without a bias.
#[derive(Module, Debug)]
pub struct Airbench {
    whiten: Whitening,
    groups: Vec<ConvGroup>,
    head: Linear,
    divisor: f64,
}

impl Airbench {
    pub(crate) fn new(source: &mut WeightSource, variant: Variant, classes: usize) -> Self {
        let whiten = Whitening::new(source);
        let mut channels = CHANNELS;
        let mut groups = Vec::with_capacity(variant.widths.len());
        for width in variant.widths {
            let shape = [channels, width];
            groups.push(ConvGroup::new(
                source,
                shape,
                variant.residual,
                variant.momentum,
            ));
            channels = width;
        }
        let head = if variant.standard_head {
            Linear::standard_without_bias(source, channels, classes)
        } else {
            Linear::uniform_without_bias(source, channels, classes)
        };
        Self {
            whiten,
            groups,
            head,
            divisor: variant.divisor,
        }
    }

    /// The network whose first layer whitens patches of normalised `images`,
    /// `[count, 3, 32, 32]`.
    #[must_use]
    pub fn whitened(mut self, images: &[f32]) -> Self {
        self.whiten = self.whiten.with_filters(crate::whitening::filters(images));
        self
    }

    /// The network whose whitening layer's bias trains, or does not.
    #[must_use]
    pub fn train_whitening_bias(mut self, trains: bool) -> Self {
        self.whiten = self.whiten.train_bias(trains);
        self
    }

    /// `[batch, 3, 32, 32]` to logits of `[batch, classes]`. On an autodiff device the batch's own
    /// statistics normalise, and the running ones follow; elsewhere the running ones normalise.
    #[must_use]
    pub fn forward(&self, x: Tensor<4>) -> Tensor<2> {
        if !x.device().is_autodiff() {
            return self.folded().forward(x);
        }
        let x = self.whiten.forward(x);
        let x = self.groups.iter().fold(x, |x, group| group.forward(x));
        let logits = self.head.forward(global_max_pool(x));
        logits.div_scalar(self.divisor)
    }

    /// The network by the running statistics.
    #[must_use]
    pub fn folded(&self) -> FoldedAirbench {
        FoldedAirbench {
            groups: self.groups.iter().map(ConvGroup::folded).collect(),
            whiten: self.whiten.clone(),
            head: self.head.clone().divided_by(self.divisor),
        }
    }
}

/// An airbench network whose normalisations are folded into its convolutions, for inference.
#[derive(Debug, Clone)]
pub struct FoldedAirbench {
    whiten: Whitening,
    groups: Vec<FoldedGroup>,
    head: Linear,
}

impl FoldedAirbench {
    /// `[batch, 3, 32, 32]` to logits of `[batch, classes]`.
    #[must_use]
    pub fn forward(&self, x: Tensor<4>) -> Tensor<2> {
        self.run(&mut Compute, x)
    }

    /// The layers, one after the other: images to logits.
    pub fn run<I: Interpreter>(&self, with: &mut I, x: I::Maps) -> I::Features {
        let x = with.whiten(&self.whiten, x);
        let x = (self.groups.iter()).fold(x, |x, group| group.run(with, x));
        let x = with.global_max_pool(x);
        with.linear(&self.head, x)
    }
}
