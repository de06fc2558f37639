//! The residual network of DAWNBench's fastest trainings on CIFAR-10 (Page, 2018, "How to Train Your
//! ResNet", <https://myrtle.ai/learn/how-to-train-your-resnet>).

use burn::module::Module;
use burn::tensor::Tensor;

use crate::IMAGE_CHANNELS;
use crate::inference::{Compute, Interpreter};
use crate::layers::{BatchNorm, Conv2d, FoldedConv, Linear, global_max_pool, max_pool};
use crate::random::WeightSource;

/// Channels of the first convolution, and of the three layers after it.
const WIDTHS: [usize; 4] = [64, 128, 256, 512];
/// What logits are divided by.
const DIVISOR: f64 = 8.0;
/// Height and width of the windows after each layer.
const WINDOW: usize = 2;

/// A 3x3 convolution without a bias, normalisation and a rectifier.
#[derive(Module, Debug)]
struct ConvNormRelu {
    conv: Conv2d,
    bn: BatchNorm,
}

impl ConvNormRelu {
    fn new(source: &mut WeightSource, input: usize, output: usize) -> Self {
        Self {
            conv: Conv2d::uniform(source, [output, input, 3]),
            bn: BatchNorm::new(source, output),
        }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        self.conv.forward_norm_relu(&self.bn, x)
    }

    fn folded(&self) -> FoldedConv {
        self.conv.folded(&self.bn)
    }
}

/// A convolution, three layers of a convolution and maxima of windows, the first and the last of which
/// are followed by two convolutions around which their input is added, global maximum pooling and a
/// linear layer without a bias. 6,573,120 parameters for ten classes.
#[derive(Module, Debug)]
pub struct ResNet9 {
    prep: ConvNormRelu,
    layer1: ConvNormRelu,
    residual1: Vec<ConvNormRelu>,
    layer2: ConvNormRelu,
    layer3: ConvNormRelu,
    residual3: Vec<ConvNormRelu>,
    head: Linear,
}

impl ResNet9 {
    pub(crate) fn new(source: &mut WeightSource, classes: usize) -> Self {
        let [first, second, third, fourth] = WIDTHS;
        let two = |source: &mut WeightSource, width| {
            let conv = |_| ConvNormRelu::new(source, width, width);
            (0..2).map(conv).collect()
        };
        Self {
            prep: ConvNormRelu::new(source, IMAGE_CHANNELS, first),
            layer1: ConvNormRelu::new(source, first, second),
            residual1: two(source, second),
            layer2: ConvNormRelu::new(source, second, third),
            layer3: ConvNormRelu::new(source, third, fourth),
            residual3: two(source, fourth),
            head: Linear::uniform_without_bias(source, fourth, classes),
        }
    }

    /// `[batch, 3, 32, 32]` to logits of `[batch, classes]`. On an autodiff device the batch's own
    /// statistics normalise, and the running ones follow; elsewhere the running ones normalise.
    #[must_use]
    pub fn forward(&self, x: Tensor<4>) -> Tensor<2> {
        if !x.device().is_autodiff() {
            return self.folded().forward(x);
        }
        let around = |x: Tensor<4>, layers: &[ConvNormRelu]| {
            let inner = (layers.iter()).fold(x.clone(), |x, layer| layer.forward(x));
            x + inner
        };
        let x = self.prep.forward(x);
        let x = max_pool(self.layer1.forward(x), WINDOW);
        let x = around(x, &self.residual1);
        let x = max_pool(self.layer2.forward(x), WINDOW);
        let x = max_pool(self.layer3.forward(x), WINDOW);
        let x = around(x, &self.residual3);
        let logits = self.head.forward(global_max_pool(x));
        logits.div_scalar(DIVISOR)
    }

    /// The network by the running statistics.
    #[must_use]
    pub fn folded(&self) -> FoldedResNet9 {
        let all = |layers: &[ConvNormRelu]| layers.iter().map(ConvNormRelu::folded).collect();
        FoldedResNet9 {
            prep: self.prep.folded(),
            layer1: self.layer1.folded(),
            residual1: all(&self.residual1),
            layer2: self.layer2.folded(),
            layer3: self.layer3.folded(),
            residual3: all(&self.residual3),
            head: self.head.clone().divided_by(DIVISOR),
        }
    }
}

/// A [`ResNet9`] whose normalisations are folded into its convolutions, for inference.
#[derive(Debug, Clone)]
pub struct FoldedResNet9 {
    prep: FoldedConv,
    layer1: FoldedConv,
    residual1: Vec<FoldedConv>,
    layer2: FoldedConv,
    layer3: FoldedConv,
    residual3: Vec<FoldedConv>,
    head: Linear,
}

impl FoldedResNet9 {
    /// `[batch, 3, 32, 32]` to logits of `[batch, classes]`.
    #[must_use]
    pub fn forward(&self, x: Tensor<4>) -> Tensor<2> {
        self.run(&mut Compute, x)
    }

    /// The layers, one after the other: images to logits.
    pub fn run<I: Interpreter>(&self, with: &mut I, x: I::Maps) -> I::Features {
        let x = with.conv_relu(&self.prep, x);
        let x = pooled(with, &self.layer1, x);
        let x = around(with, &self.residual1, x);
        let x = pooled(with, &self.layer2, x);
        let x = pooled(with, &self.layer3, x);
        let x = around(with, &self.residual3, x);
        let x = with.global_max_pool(x);
        with.linear(&self.head, x)
    }
}

/// A convolution's positive part, and the maxima of its windows.
fn pooled<I: Interpreter>(with: &mut I, layer: &FoldedConv, x: I::Maps) -> I::Maps {
    let x = with.conv_relu(layer, x);
    with.max_pool(x, WINDOW)
}

/// `x` plus what `layers` make of it.
fn around<I: Interpreter>(with: &mut I, layers: &[FoldedConv], x: I::Maps) -> I::Maps {
    let inner = (layers.iter()).fold(x.clone(), |x, layer| with.conv_relu(layer, x));
    with.add(x, inner)
}
