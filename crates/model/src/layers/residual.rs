//! The basic block of a residual network.

use burn::backend::Dispatch;
use burn::module::Module;
use burn::tensor::Tensor;

use super::{BatchNorm, Conv2d};
use crate::backend::CnnBackend;
use crate::random::WeightSource;

/// Two 3x3 convolutions around which the input is added (He et al., 2015, arXiv:1512.03385), with
/// a projection where the block changes the shape.
#[derive(Module, Debug)]
pub struct BasicBlock {
    conv1: Conv2d,
    bn1: BatchNorm,
    conv2: Conv2d,
    bn2: BatchNorm,
    shortcut: Option<(Conv2d, BatchNorm)>,
}

impl BasicBlock {
    /// A block of `input` to `output` channels; the first convolution has `stride`.
    #[must_use]
    pub fn new(source: &mut WeightSource, input: usize, output: usize, stride: usize) -> Self {
        let projects = stride != 1 || input != output;
        Self {
            conv1: Conv2d::kaiming(source, [output, input, 3], stride),
            bn1: BatchNorm::new(source, output),
            conv2: Conv2d::kaiming(source, [output, output, 3], 1),
            bn2: BatchNorm::new(source, output),
            shortcut: projects.then(|| {
                (
                    Conv2d::kaiming(source, [output, input, 1], stride),
                    BatchNorm::new(source, output),
                )
            }),
        }
    }

    /// `[batch, input, height, width]` to `[batch, output, height / stride, width / stride]`. On an
    /// autodiff device the batch's own statistics normalise, and the running ones follow;
    /// elsewhere the running ones normalise.
    #[must_use]
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        if x.device().is_autodiff() {
            self.forward_train(x)
        } else {
            self.forward_infer(x)
        }
    }

    fn forward_train(&self, x: Tensor<4>) -> Tensor<4> {
        let x = x.into_dispatch();
        let first = self.bn1.with_convolution(&self.conv1.weight);
        let second = self.bn2.with_convolution(&self.conv2.weight);
        let main = match &self.shortcut {
            None => <Dispatch as CnnBackend>::residual(x, first, second),
            Some((conv, norm)) => {
                let projection = norm.with_convolution(&conv.weight);
                let forward = <Dispatch as CnnBackend>::projected_residual(
                    x,
                    first,
                    second,
                    projection,
                    self.conv1.stride,
                );
                norm.follow(forward.projection);
                forward.main
            }
        };
        self.bn1.follow(main.first);
        self.bn2.follow(main.second);
        Tensor::from_dispatch(main.y)
    }

    fn forward_infer(&self, x: Tensor<4>) -> Tensor<4> {
        let x = x.into_dispatch();
        let (first, second) = (
            self.bn1.folded(&self.conv1.weight),
            self.bn2.folded(&self.conv2.weight),
        );
        let stride = self.conv1.stride;
        let middle = <Dispatch as CnnBackend>::conv_bias(x.clone(), first, stride, 1, true);
        let around = match &self.shortcut {
            None => x,
            Some((conv, norm)) => {
                let projection = norm.folded(&conv.weight);
                <Dispatch as CnnBackend>::conv_bias(x, projection, stride, 0, false)
            }
        };
        Tensor::from_dispatch(<Dispatch as CnnBackend>::conv_bias_add_relu(
            middle, second, around,
        ))
    }
}
