//! Every network by name.

use burn::backend::{Backend, DispatchDevice};
use burn::module::Module;
use burn::tensor::{Device, Tensor};

use crate::airbench::{
    AIRBENCH_NARROW, AIRBENCH94, AIRBENCH95, AIRBENCH96, Airbench, FoldedAirbench,
};
use crate::backend::CnnBackend;
use crate::inference::Graph;
use crate::random::WeightSource;
use crate::resnet::{FoldedResNet, ResNet};
use crate::resnet9::{FoldedResNet9, ResNet9};
use crate::simple_cnn::SimpleCnn;
use crate::wide_resnet::{FoldedWideResNet, WideResNet};
use crate::{IMAGE_CHANNELS, IMAGE_SIZE};

/// The networks that can be built.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NetworkKind {
    /// [`SimpleCnn`].
    SimpleCnn,
    /// [`ResNet`] of widths 16, 32, 64 with three blocks each.
    ResNet20,
    /// [`ResNet`] of widths 64, 128, 256, 512 with two blocks each.
    ResNet18,
    /// [`ResNet9`].
    ResNet9,
    /// [`WideResNet`] of depth 16 with four times the channels.
    Wrn16x4,
    /// [`Airbench`] of widths 32, 96, 96, for a few minutes on a CPU.
    AirbenchNarrow,
    /// [`Airbench`] of widths 64, 256, 256, for 94%.
    Airbench94,
    /// [`Airbench`] of widths 128, 384, 384, for 95%.
    Airbench95,
    /// [`Airbench`] of widths 128, 384, 512 with three convolutions a group, for 96%.
    Airbench96,
}

/// A network cannot be built, or cannot take an input.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NetworkError {
    /// No network has this name.
    #[error("there is no network `{name}`; there are {}", NetworkKind::NAMES.join(", "))]
    Unknown {
        /// The name asked for.
        name: String,
    },
    /// A classifier needs two classes at least.
    #[error("a network needs at least 2 classes, {classes} were asked for")]
    Classes {
        /// The number asked for.
        classes: usize,
    },
    /// An input has another shape than the network takes.
    #[error("a network takes images of [batch, 3, 32, 32], the input is {shape:?}")]
    Shape {
        /// The input's shape.
        shape: [usize; 4],
    },
}

impl NetworkKind {
    /// Every network, in the order in which they are listed.
    pub const ALL: [Self; 9] = [
        Self::SimpleCnn,
        Self::ResNet20,
        Self::ResNet18,
        Self::ResNet9,
        Self::Wrn16x4,
        Self::AirbenchNarrow,
        Self::Airbench94,
        Self::Airbench95,
        Self::Airbench96,
    ];
    /// Their names.
    pub const NAMES: [&'static str; 9] = [
        "simple_cnn",
        "resnet20",
        "resnet18",
        "resnet9",
        "wrn16_4",
        "airbench_narrow",
        "airbench94",
        "airbench95",
        "airbench96",
    ];

    /// The name in recipes and records.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::SimpleCnn => "simple_cnn",
            Self::ResNet20 => "resnet20",
            Self::ResNet18 => "resnet18",
            Self::ResNet9 => "resnet9",
            Self::Wrn16x4 => "wrn16_4",
            Self::AirbenchNarrow => "airbench_narrow",
            Self::Airbench94 => "airbench94",
            Self::Airbench95 => "airbench95",
            Self::Airbench96 => "airbench96",
        }
    }

    /// The network called `name`.
    ///
    /// # Errors
    /// [`NetworkError::Unknown`] with the names there are.
    pub fn from_name(name: &str) -> Result<Self, NetworkError> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.name() == name)
            .ok_or_else(|| NetworkError::Unknown {
                name: name.to_owned(),
            })
    }

    /// Number of trainable parameters with ten classes.
    #[must_use]
    pub fn parameters(self) -> usize {
        match self {
            Self::SimpleCnn => 62_006,
            Self::ResNet20 => 272_474,
            Self::ResNet18 => 11_173_962,
            Self::ResNet9 => 6_573_120,
            Self::Wrn16x4 => 2_748_890,
            Self::AirbenchNarrow => 294_040,
            Self::Airbench94 => 1_971_352,
            Self::Airbench95 => 4_604_440,
            Self::Airbench96 => 9_915_416,
        }
    }
}

/// A network of the zoo.
// A program holds one network, or a few: a box would cost every forward a hop to save nothing.
#[allow(clippy::large_enum_variant)]
#[derive(Module, Debug)]
pub enum Network {
    /// See [`SimpleCnn`].
    SimpleCnn(SimpleCnn),
    /// See [`ResNet`].
    ResNet(ResNet),
    /// See [`ResNet9`].
    ResNet9(ResNet9),
    /// See [`WideResNet`].
    WideResNet(WideResNet),
    /// See [`Airbench`].
    Airbench(Airbench),
}

impl Network {
    /// The network `kind` for `classes` classes on `device`, with the initial weights of `seed`:
    /// PyTorch's default for [`SimpleCnn`] and [`ResNet9`], Kaiming's for [`ResNet`] and [`WideResNet`], and filters that pass their
    /// input through for [`Airbench`], whose first layer waits for [`Network::whitened`].
    ///
    /// # Errors
    /// [`NetworkError::Classes`] for fewer than two classes, before any tensor is made.
    pub fn init(
        kind: NetworkKind,
        classes: usize,
        seed: u64,
        device: &Device,
    ) -> Result<Self, NetworkError> {
        if classes < 2 {
            return Err(NetworkError::Classes { classes });
        }
        let source = &mut WeightSource::new(seed, device);
        Ok(match kind {
            NetworkKind::SimpleCnn => Self::SimpleCnn(SimpleCnn::new(source, classes)),
            NetworkKind::ResNet20 => Self::ResNet(ResNet::new(source, &[16, 32, 64], 3, classes)),
            NetworkKind::ResNet18 => {
                Self::ResNet(ResNet::new(source, &[64, 128, 256, 512], 2, classes))
            }
            NetworkKind::ResNet9 => Self::ResNet9(ResNet9::new(source, classes)),
            NetworkKind::Wrn16x4 => Self::WideResNet(WideResNet::new(source, 16, 4, classes)),
            NetworkKind::AirbenchNarrow => {
                Self::Airbench(Airbench::new(source, AIRBENCH_NARROW, classes))
            }
            NetworkKind::Airbench94 => Self::Airbench(Airbench::new(source, AIRBENCH94, classes)),
            NetworkKind::Airbench95 => Self::Airbench(Airbench::new(source, AIRBENCH95, classes)),
            NetworkKind::Airbench96 => Self::Airbench(Airbench::new(source, AIRBENCH96, classes)),
        })
    }

    /// [`Network::init`] on a device of the backend `B`: a backend without [`CnnBackend`] does not
    /// compile here, where it would stop at run time elsewhere.
    ///
    /// # Errors
    /// As [`Network::init`].
    pub fn init_on<B: CnnBackend + Backend<Device: Into<DispatchDevice>>>(
        kind: NetworkKind,
        classes: usize,
        seed: u64,
        device: &B::Device,
    ) -> Result<Self, NetworkError> {
        Self::init(kind, classes, seed, &Device::from(device.clone()))
    }

    /// Images of `[batch, 3, 32, 32]` to logits of `[batch, classes]`.
    ///
    /// # Errors
    /// [`NetworkError::Shape`] for another shape, before any tensor is made.
    pub fn forward(&self, images: Tensor<4>) -> Result<Tensor<2>, NetworkError> {
        check_shape(&images)?;
        Ok(match self {
            Self::SimpleCnn(network) => network.forward(images),
            Self::ResNet(network) => network.forward(images),
            Self::ResNet9(network) => network.forward(images),
            Self::WideResNet(network) => network.forward(images),
            Self::Airbench(network) => network.forward(images),
        })
    }

    /// The network with a first layer computed from `images`, normalised and of `[count, 3, 32, 32]`
    /// row by row, where it has such a layer: see [`whitening`](crate::whitening). Others are as they
    /// were.
    #[must_use]
    pub fn whitened(self, images: &[f32]) -> Self {
        match self {
            Self::Airbench(network) => Self::Airbench(network.whitened(images)),
            other => other,
        }
    }

    /// Whether [`Network::whitened`] changes the network.
    #[must_use]
    pub fn whitens(&self) -> bool {
        matches!(self, Self::Airbench(_))
    }

    /// The network whose whitening layer's bias trains, or does not; others are as they were. It
    /// trains at first. Once it does not, a step is cheaper.
    #[must_use]
    pub fn train_whitening_bias(self, trains: bool) -> Self {
        match self {
            Self::Airbench(network) => Self::Airbench(network.train_whitening_bias(trains)),
            other => other,
        }
    }

    /// The network for inference: normalisations by the running statistics, folded into
    /// convolutions once. Call it on a network without autodiff.
    #[must_use]
    pub fn folded(&self) -> FoldedNetwork {
        match self {
            Self::SimpleCnn(network) => FoldedNetwork::SimpleCnn(network.clone()),
            Self::ResNet(network) => FoldedNetwork::ResNet(network.folded()),
            Self::ResNet9(network) => FoldedNetwork::ResNet9(network.folded()),
            Self::WideResNet(network) => FoldedNetwork::WideResNet(network.folded()),
            Self::Airbench(network) => FoldedNetwork::Airbench(network.folded()),
        }
    }
}

/// A network of the zoo for inference.
#[allow(clippy::large_enum_variant)]
#[derive(Debug, Clone)]
pub enum FoldedNetwork {
    /// See [`SimpleCnn`], which has no normalisation.
    SimpleCnn(SimpleCnn),
    /// See [`FoldedResNet`].
    ResNet(FoldedResNet),
    /// See [`FoldedResNet9`].
    ResNet9(FoldedResNet9),
    /// See [`FoldedWideResNet`].
    WideResNet(FoldedWideResNet),
    /// See [`FoldedAirbench`].
    Airbench(FoldedAirbench),
}

impl FoldedNetwork {
    /// Images of `[batch, 3, 32, 32]` to logits of `[batch, classes]`.
    ///
    /// # Errors
    /// [`NetworkError::Shape`] for another shape, before any tensor is made.
    pub fn forward(&self, images: Tensor<4>) -> Result<Tensor<2>, NetworkError> {
        check_shape(&images)?;
        Ok(match self {
            Self::SimpleCnn(network) => network.forward(images),
            Self::ResNet(network) => network.forward(images),
            Self::ResNet9(network) => network.forward(images),
            Self::WideResNet(network) => network.forward(images),
            Self::Airbench(network) => network.forward(images),
        })
    }

    /// The operations from images to logits, for other programs.
    #[must_use]
    pub fn graph(&self) -> Graph {
        Graph::of(|graph, images| match self {
            Self::SimpleCnn(network) => network.run(graph, images),
            Self::ResNet(network) => network.run(graph, images),
            Self::ResNet9(network) => network.run(graph, images),
            Self::WideResNet(network) => network.run(graph, images),
            Self::Airbench(network) => network.run(graph, images),
        })
    }
}

fn check_shape(images: &Tensor<4>) -> Result<(), NetworkError> {
    let shape = images.dims();
    let [batch, channels, height, width] = shape;
    if batch == 0 || [channels, height, width] != [IMAGE_CHANNELS, IMAGE_SIZE, IMAGE_SIZE] {
        return Err(NetworkError::Shape { shape });
    }
    Ok(())
}
