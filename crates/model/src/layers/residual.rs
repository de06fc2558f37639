//! The basic block of a residual network.

use burn::backend::Dispatch;
use burn::module::Module;
use burn::tensor::Tensor;

use super::{BatchNorm, Conv2d, FoldedConv};
use crate::backend::CnnBackend;
use crate::inference::Interpreter;
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

    /// `[batch, input, height, width]` to `[batch, output, height / stride, width / stride]`, by the
    /// batch's own statistics; the running ones follow.
    #[must_use]
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
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

    /// The block by the running statistics.
    #[must_use]
    pub fn folded(&self) -> FoldedBlock {
        FoldedBlock {
            first: self.conv1.folded(&self.bn1),
            second: self.conv2.folded(&self.bn2),
            shortcut: self.shortcut.as_ref().map(|(conv, norm)| conv.folded(norm)),
        }
    }
}

/// A basic block whose normalisations are folded into its convolutions.
#[derive(Debug, Clone)]
pub struct FoldedBlock {
    first: FoldedConv,
    second: FoldedConv,
    shortcut: Option<FoldedConv>,
}

impl FoldedBlock {
    /// As [`BasicBlock::forward`], by the running statistics.
    pub fn run<I: Interpreter>(&self, with: &mut I, x: I::Maps) -> I::Maps {
        let middle = with.conv_relu(&self.first, x.clone());
        let around = match &self.shortcut {
            None => x,
            Some(shortcut) => with.conv(shortcut, x),
        };
        with.conv_add_relu(&self.second, middle, around)
    }
}
