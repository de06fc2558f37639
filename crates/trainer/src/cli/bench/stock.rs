//! The networks of Burn's own layers: what they cost without this project's operations.

use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::loss::CrossEntropyLossConfig;
use burn::nn::pool::{MaxPool2d, MaxPool2dConfig};
use burn::nn::{BatchNorm, BatchNormConfig, Linear, LinearConfig, PaddingConfig2d};
use burn::optim::momentum::MomentumConfig;
use burn::optim::{GradientsParams, ModuleOptimizer, SgdConfig};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor};
use model::NetworkKind;

use crate::run::CLASSES;
use crate::training::Batch;

/// A network of Burn's layers, layer for layer as this project's.
#[derive(Module, Debug)]
enum Stock {
    SimpleCnn(SimpleCnn),
    ResNet(ResNet),
}

#[derive(Module, Debug)]
struct SimpleCnn {
    conv1: Conv2d,
    conv2: Conv2d,
    pool: MaxPool2d,
    linears: Vec<Linear>,
}

#[derive(Module, Debug)]
struct ResNet {
    stem: ConvNorm,
    blocks: Vec<Block>,
    fc: Linear,
}

#[derive(Module, Debug)]
struct Block {
    first: ConvNorm,
    second: ConvNorm,
    shortcut: Option<ConvNorm>,
}

#[derive(Module, Debug)]
struct ConvNorm {
    conv: Conv2d,
    norm: BatchNorm,
}

impl ConvNorm {
    fn new([input, output, kernel, stride]: [usize; 4], device: &Device) -> Self {
        let padding = kernel / 2;
        Self {
            conv: Conv2dConfig::new([input, output], [kernel; 2])
                .with_stride([stride; 2])
                .with_padding(PaddingConfig2d::Explicit(
                    padding, padding, padding, padding,
                ))
                .with_bias(false)
                .init(device),
            norm: BatchNormConfig::new(output).init(device),
        }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        self.norm.forward(self.conv.forward(x))
    }
}

impl Block {
    fn new(input: usize, output: usize, stride: usize, device: &Device) -> Self {
        Self {
            first: ConvNorm::new([input, output, 3, stride], device),
            second: ConvNorm::new([output, output, 3, 1], device),
            shortcut: (stride != 1 || input != output)
                .then(|| ConvNorm::new([input, output, 1, stride], device)),
        }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let y = self.second.forward(relu(self.first.forward(x.clone())));
        let around = match &self.shortcut {
            Some(shortcut) => shortcut.forward(x),
            None => x,
        };
        relu(y + around)
    }
}

impl ResNet {
    fn new(widths: &[usize], blocks: usize, device: &Device) -> Self {
        let mut channels = widths.first().copied().unwrap_or(1);
        let stem = ConvNorm::new([3, channels, 3, 1], device);
        let mut all = Vec::new();
        for (stage, &width) in widths.iter().enumerate() {
            for block in 0..blocks {
                let stride = if stage > 0 && block == 0 { 2 } else { 1 };
                all.push(Block::new(channels, width, stride, device));
                channels = width;
            }
        }
        Self {
            stem,
            blocks: all,
            fc: LinearConfig::new(channels, CLASSES).init(device),
        }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<2> {
        let x = relu(self.stem.forward(x));
        let x = self.blocks.iter().fold(x, |x, block| block.forward(x));
        let [batch, channels, ..] = x.dims();
        let x = x.mean_dim(3).mean_dim(2).reshape([batch, channels]);
        self.fc.forward(x)
    }
}

impl SimpleCnn {
    fn new(device: &Device) -> Self {
        let conv = |channels: [usize; 2]| Conv2dConfig::new(channels, [5, 5]).init(device);
        Self {
            conv1: conv([3, 6]),
            conv2: conv([6, 16]),
            pool: MaxPool2dConfig::new([2, 2]).with_strides([2, 2]).init(),
            linears: [(400, 120), (120, 84), (84, CLASSES)]
                .map(|(input, output)| LinearConfig::new(input, output).init(device))
                .to_vec(),
        }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<2> {
        let x = self.pool.forward(relu(self.conv1.forward(x)));
        let x = self.pool.forward(relu(self.conv2.forward(x)));
        let x: Tensor<2> = x.flatten(1, 3);
        let last = self.linears.len() - 1;
        let layers = self.linears.iter().enumerate();
        layers.fold(x, |x, (index, layer)| {
            let x = layer.forward(x);
            if index < last { relu(x) } else { x }
        })
    }
}

/// A training step of a network of Burn's own layers, with Burn's own optimiser.
pub(super) struct StockStep {
    network: Option<Stock>,
    optimizer: ModuleOptimizer,
    batch: Batch,
}

impl StockStep {
    /// Whether there is such a network of Burn's own layers.
    pub(super) fn exists(kind: NetworkKind) -> bool {
        matches!(
            kind,
            NetworkKind::SimpleCnn | NetworkKind::ResNet20 | NetworkKind::ResNet18
        )
    }

    /// A step does nothing where there is no such network.
    pub(super) fn new(kind: NetworkKind, batch: Batch, device: &Device) -> Self {
        let network = match kind {
            NetworkKind::SimpleCnn => Some(Stock::SimpleCnn(SimpleCnn::new(device))),
            NetworkKind::ResNet20 => Some(Stock::ResNet(ResNet::new(&[16, 32, 64], 3, device))),
            NetworkKind::ResNet18 => {
                Some(Stock::ResNet(ResNet::new(&[64, 128, 256, 512], 2, device)))
            }
            NetworkKind::ResNet9
            | NetworkKind::Wrn16x4
            | NetworkKind::AirbenchNarrow
            | NetworkKind::Airbench94
            | NetworkKind::Airbench95
            | NetworkKind::Airbench96 => None,
        };
        let momentum = MomentumConfig::new().with_momentum(0.9).with_dampening(0.0);
        Self {
            network,
            optimizer: SgdConfig::new().with_momentum(Some(momentum)).init(),
            batch,
        }
    }

    /// One step, and its loss.
    pub(super) fn step(&mut self) -> Option<Tensor<1>> {
        let network = self.network.take()?;
        let images = self.batch.images.clone();
        let logits = match &network {
            Stock::SimpleCnn(network) => network.forward(images),
            Stock::ResNet(network) => network.forward(images),
        };
        let loss = CrossEntropyLossConfig::new()
            .init(&logits.device())
            .forward(logits, self.batch.targets.clone());
        let gradients = GradientsParams::from_grads(loss.backward(), &network);
        self.network = Some(self.optimizer.step(0.01, network, gradients));
        Some(loss)
    }
}
