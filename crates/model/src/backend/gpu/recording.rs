//! Recorded work, and tensors whose numbers are replaced where they are.

use burn::backend::{BackendTensor, DispatchTensor, DispatchTensorKind, TensorMetadata};
use burn::tensor::{Int, Tensor};
use burn_cubecl::tensor::CubeTensor;
use gpu_kernels::Buffer;

/// A GPU's tensor of numbers of four bytes, of any number of axes and without a graph.
#[derive(Debug, Clone)]
pub struct Numbers(CubeTensor);

impl Numbers {
    /// The numbers of a tensor; none where it is not on a GPU, has other numbers, or is but a part of a tensor.
    #[must_use]
    pub fn of_float<const D: usize>(tensor: Tensor<D>) -> Option<Self> {
        Self::of(tensor.without_autodiff().into_dispatch())
    }

    /// As [`Numbers::of_float`].
    #[must_use]
    pub fn of_int<const D: usize>(tensor: Tensor<D, Int>) -> Option<Self> {
        Self::of(tensor.without_autodiff().into_dispatch())
    }

    fn of(tensor: DispatchTensor) -> Option<Self> {
        let DispatchTensorKind::Cube(BackendTensor::Float(tensor) | BackendTensor::Int(tensor)) =
            tensor.kind
        else {
            return None;
        };
        (tensor.dtype.size() == 4 && is_whole(&tensor)).then_some(Self(tensor))
    }

    /// Room for as many numbers that lie alike.
    #[must_use]
    pub fn room(&self) -> Self {
        let buffer = Buffer::new(&self.0.client, self.length());
        Self(CubeTensor {
            handle: buffer.handle,
            ..self.0.clone()
        })
    }

    /// The tensor, of numbers with a point.
    #[must_use]
    pub fn float<const D: usize>(&self) -> Tensor<D> {
        self.tensor(BackendTensor::Float, Tensor::from_dispatch)
    }

    /// The tensor, of integers.
    #[must_use]
    pub fn int<const D: usize>(&self) -> Tensor<D, Int> {
        self.tensor(BackendTensor::Int, Tensor::from_dispatch)
    }

    fn tensor<T>(
        &self,
        kind: impl Fn(CubeTensor) -> BackendTensor<burn_cubecl::Cube>,
        tensor: impl Fn(DispatchTensor) -> T,
    ) -> T {
        tensor(DispatchTensor {
            kind: DispatchTensorKind::Cube(kind(self.0.clone())),
            autodiff: Default::default(),
        })
    }

    fn length(&self) -> usize {
        self.0.shape().num_elements()
    }

    fn lies_as(&self, other: &Self) -> bool {
        let (a, b) = (&self.0, &other.0);
        a.dtype == b.dtype
            && a.meta.shape() == b.meta.shape()
            && a.meta.strides() == b.meta.strides()
    }

    fn buffer(&self) -> Buffer {
        super::tensors::words(self.0.clone())
    }
}

/// Whether a tensor has every number of its buffer, in whichever order.
fn is_whole(tensor: &CubeTensor) -> bool {
    let mut axes: Vec<(usize, usize)> = (tensor.meta.strides().iter().copied())
        .zip(tensor.meta.shape().iter().copied())
        .filter(|(_, length)| *length > 1)
        .collect();
    axes.sort_unstable();
    let mut next = 1;
    axes.into_iter().all(|(stride, length)| {
        let follows = stride == next;
        next *= length;
        follows
    })
}

/// Copies the numbers of each first to where the second are. Says whether all lie alike; otherwise it copies none.
#[must_use]
pub fn copy(pairs: &[(Numbers, &Numbers)]) -> bool {
    let Some((first, _)) = pairs.first() else {
        return true;
    };
    if !pairs.iter().all(|(from, to)| from.lies_as(to)) {
        return false;
    }
    let buffers: Vec<[Buffer; 2]> = (pairs.iter())
        .map(|(from, to)| [from.buffer(), to.buffer()])
        .collect();
    gpu_kernels::copy(&first.0.client, &buffers);
    true
}

/// Work of a GPU that was recorded once.
#[derive(Debug)]
pub struct Recording<I, R>(gpu_kernels::Recording<I, R>);

impl<I, R> Recording<I, R> {
    /// Records what `work` asks of the device of `beside`, from this thread. `work` asks for the same each time, reads
    /// no tensor that is let go of but `inputs`, and neither sends anything to the device nor reads from it. It is
    /// done several times.
    ///
    /// # Errors
    /// What the device says where it refuses. It computes as before then.
    pub fn of(beside: &Numbers, inputs: I, work: impl FnMut(&I) -> R) -> Result<Self, String> {
        let recording = gpu_kernels::Recording::of(&beside.0.client, inputs, work);
        recording.map(Self).map_err(|error| error.to_string())
    }

    /// What the work reads.
    pub fn inputs(&self) -> &I {
        self.0.inputs()
    }

    /// What the work makes, with the numbers of the last time that it was asked for.
    pub fn result(&self) -> &R {
        self.0.result()
    }

    /// Asks for the work, from the thread that recorded it.
    ///
    /// # Errors
    /// What the device says where it refuses.
    pub fn again(&self) -> Result<(), String> {
        self.0.again().map_err(|error| error.to_string())
    }
}
