//! The network of PyTorch's "Training a Classifier" tutorial.

use burn::module::Module;
use burn::tensor::Tensor;

use crate::IMAGE_CHANNELS;
use crate::inference::{Compute, Interpreter};
use crate::layers::{ConvBias2d, Linear};
use crate::random::WeightSource;

/// Two 5x5 convolutions and three linear layers, 62,006 parameters for ten classes.
#[derive(Module, Debug)]
pub struct SimpleCnn {
    conv1: ConvBias2d,
    conv2: ConvBias2d,
    fc1: Linear,
    fc2: Linear,
    fc3: Linear,
}

impl SimpleCnn {
    pub(crate) fn new(source: &mut WeightSource, classes: usize) -> Self {
        Self {
            conv1: ConvBias2d::uniform(source, [6, IMAGE_CHANNELS, 5]),
            conv2: ConvBias2d::uniform(source, [16, 6, 5]),
            fc1: Linear::uniform(source, 16 * 5 * 5, 120),
            fc2: Linear::uniform(source, 120, 84),
            fc3: Linear::uniform(source, 84, classes),
        }
    }

    /// `[batch, 3, 32, 32]` to logits of `[batch, classes]`.
    #[must_use]
    pub fn forward(&self, x: Tensor<4>) -> Tensor<2> {
        self.run(&mut Compute, x)
    }

    /// The layers, one after the other: images to logits.
    pub fn run<I: Interpreter>(&self, with: &mut I, x: I::Maps) -> I::Features {
        let x = with.conv_relu_pool(&self.conv1, x, 2);
        let x = with.conv_relu_pool(&self.conv2, x, 2);
        let x = with.flatten(x);
        let x = with.linear_relu(&self.fc1, x);
        let x = with.linear_relu(&self.fc2, x);
        with.linear(&self.fc3, x)
    }
}
