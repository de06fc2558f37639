//! Who is measured.

/// A program on one side of the comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Contender {
    /// This project: Burn's ndarray backend with the kernels of `cpu-kernels`.
    Ours,
    /// PyTorch as it comes: eager, `[batch, channels, height, width]`.
    TorchNchw,
    /// PyTorch, eager, with channels last in memory.
    TorchChannelsLast,
    /// PyTorch with `torch.compile`.
    TorchCompiled,
    /// PyTorch with `torch.compile` and channels last in memory.
    TorchCompiledChannelsLast,
    /// ONNX Runtime on PyTorch's export.
    OnnxRuntime,
    /// OpenVINO on PyTorch's network, held to float32.
    OpenVino,
    /// Burn's own operations on its ndarray backend.
    BurnNdarray,
    /// Burn's own operations on its Flex backend.
    BurnFlex,
    /// The tutorial with PyTorch and its `DataLoader`, as the tutorial's readers run it.
    TutorialDataLoader,
    /// The tutorial with PyTorch and the whole set as one tensor, its fastest loading.
    TutorialTensor,
    /// This project's training step on one batch, without what is around it in a training.
    OurSteps,
}

use Contender::*;

/// Every contender, in the order of the report's columns.
pub const CONTENDERS: &[Contender] = &[
    Ours,
    TorchNchw,
    TorchChannelsLast,
    TorchCompiled,
    TorchCompiledChannelsLast,
    OnnxRuntime,
    OpenVino,
    BurnNdarray,
    BurnFlex,
    TutorialTensor,
    TutorialDataLoader,
    OurSteps,
];

impl Contender {
    /// The heading of its column.
    pub fn label(self) -> &'static str {
        match self {
            Ours => "ours",
            TorchNchw => "PyTorch",
            TorchChannelsLast => "PyTorch channels last",
            TorchCompiled => "PyTorch compiled",
            TorchCompiledChannelsLast => "PyTorch compiled, channels last",
            OnnxRuntime => "ONNX Runtime",
            OpenVino => "OpenVINO",
            BurnNdarray => "Burn ndarray",
            BurnFlex => "Burn Flex",
            TutorialDataLoader => "PyTorch tutorial, DataLoader",
            TutorialTensor => "PyTorch tutorial, one tensor",
            OurSteps => "our bench",
        }
    }

    /// Whether it is a Python program.
    pub fn needs_python(self) -> bool {
        !matches!(self, Ours | OurSteps | BurnNdarray | BurnFlex)
    }
}
