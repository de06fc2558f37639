//! How a device's tensors lie in memory, and how they are made.

use burn::backend::TensorMetadata;
use burn::tensor::{DType, Shape as Sizes};
use burn_cubecl::CubeDevice;
use burn_cubecl::cubecl::client::Client;
use burn_cubecl::kernel::{cast, into_contiguous};
use burn_cubecl::ops::permute_nchw_to_nhwc;
use burn_cubecl::tensor::CubeTensor;
use gpu_kernels::conv::Shape;
use gpu_kernels::{Buffer, Element, Parts, gradient_of};

use super::together;

/// Images whose channels lie side by side.
#[derive(Clone)]
pub(super) struct Images {
    pub client: Client,
    device: CubeDevice,
    pub buffer: Buffer,
    pub batch: usize,
    pub height: usize,
    pub width: usize,
    pub channels: usize,
}

impl Images {
    /// Images of a tensor of `[batch, channels, height, width]`. They are copied only where their
    /// channels do not lie side by side.
    pub fn new(tensor: CubeTensor) -> Self {
        let tensor = if element(&tensor) == Element::Half {
            tensor
        } else {
            single(tensor)
        };
        let tensor = into_contiguous(permute_nchw_to_nhwc(tensor));
        let shape = tensor.shape();
        let (batch, height, width, channels) = (shape[0], shape[1], shape[2], shape[3]);
        let buffer = Buffer {
            length: batch * height * width * channels,
            element: element(&tensor),
            handle: tensor.handle,
        };
        Self {
            client: tensor.client,
            device: tensor.device,
            buffer,
            batch,
            height,
            width,
            channels,
        }
    }

    /// Images of one pixel, of a tensor of `[batch, channels]`.
    pub fn of_one_pixel(tensor: CubeTensor) -> Self {
        let tensor = into_contiguous(tensor);
        let shape = tensor.shape();
        let shape = Sizes::from([shape[0], shape[1], 1, 1]);
        let (client, device) = (tensor.client, tensor.device);
        let (handle, dtype) = (tensor.handle, tensor.dtype);
        Self::new(CubeTensor::new_contiguous(
            client, device, shape, handle, dtype,
        ))
    }

    /// The gradient by images that are stored as these are, from a tensor of `[batch, channels, height, width]`.
    pub fn gradient(&self, dy: CubeTensor) -> Self {
        let dy = Self::new(dy);
        let stored = gradient_of(&dy.client, dy.buffer.clone(), dy.batch, self.buffer.element);
        dy.others(stored, dy.size())
    }

    /// The height, width and channels of an image.
    pub fn size(&self) -> [usize; 3] {
        [self.height, self.width, self.channels]
    }

    pub fn pixels(&self) -> usize {
        self.height * self.width
    }

    /// Other images of the same batch.
    pub fn others(&self, buffer: Buffer, [height, width, channels]: [usize; 3]) -> Self {
        Self {
            buffer,
            height,
            width,
            channels,
            ..self.clone()
        }
    }

    /// A convolution of these images with weights of `[out_channels, in_channels, height, width]`.
    pub fn convolution(&self, weight: [usize; 4], stride: usize, padding: usize) -> Shape {
        Shape {
            batch: self.batch,
            height: self.height,
            width: self.width,
            in_channels: self.channels,
            out_channels: weight[0],
            size: weight[2],
            stride,
            padding,
        }
    }

    /// As a tensor of `[batch, channels, height, width]`.
    pub fn tensor(self) -> CubeTensor {
        let dtype = dtype(self.buffer.element);
        self.typed(dtype)
    }

    /// As a tensor of integers of `[batch, channels, height, width]`.
    pub fn places(self) -> CubeTensor {
        self.typed(DType::I32)
    }

    fn typed(self, dtype: DType) -> CubeTensor {
        let shape = [self.batch, self.height, self.width, self.channels];
        burn_cubecl::ops::permute_nhwc_to_nchw(CubeTensor::new_contiguous(
            self.client,
            self.device,
            shape.into(),
            self.buffer.handle,
            dtype,
        ))
    }

    /// A tensor of `shape` beside these images.
    pub fn beside<const D: usize>(&self, buffer: Buffer, shape: [usize; D]) -> CubeTensor {
        placed(self.client.clone(), self.device.clone(), buffer, shape)
    }

    /// Sums of `shape` beside these images, whose parts may be added with those of other tensors.
    pub fn sums<const D: usize>(&self, parts: Parts, shape: [usize; D]) -> CubeTensor {
        let total = together::sums(&self.device, &self.client, parts);
        self.beside(total, shape)
    }
}

/// How the numbers of a tensor are stored: as images may be, or else to be cast to single precision.
pub(super) fn element(tensor: &CubeTensor) -> Element {
    if tensor.dtype == DType::F16 {
        Element::Half
    } else {
        Element::Single
    }
}

fn dtype(element: Element) -> DType {
    match element {
        Element::Single => DType::F32,
        Element::Half => DType::F16,
    }
}

/// As numbers of single precision.
fn single(tensor: CubeTensor) -> CubeTensor {
    if tensor.dtype == DType::F32 {
        tensor
    } else {
        cast(tensor, DType::F32)
    }
}

/// The numbers of a tensor in the order of its axes.
pub(super) fn row(tensor: CubeTensor) -> Buffer {
    let tensor = into_contiguous(single(tensor));
    words(tensor)
}

/// The integers of a tensor in the order of its axes.
pub(super) fn integers(tensor: CubeTensor) -> Buffer {
    let tensor = if tensor.dtype == DType::I32 {
        tensor
    } else {
        cast(tensor, DType::I32)
    };
    let tensor = into_contiguous(tensor);
    words(tensor)
}

/// Places of maxima as they were made by [`Images::places`].
pub(super) fn places(tensor: CubeTensor) -> Buffer {
    words(tensor)
}

/// The words of four bytes of a tensor as they lie there.
pub(super) fn words(tensor: CubeTensor) -> Buffer {
    Buffer {
        length: tensor.shape().num_elements(),
        handle: tensor.handle,
        element: Element::Single,
    }
}

/// The sizes of a tensor of four axes.
pub(super) fn sizes(tensor: &CubeTensor) -> [usize; 4] {
    let shape = tensor.shape();
    [shape[0], shape[1], shape[2], shape[3]]
}

/// A tensor of `shape` on the device of `other`.
pub(super) fn like(other: &CubeTensor, buffer: Buffer, shape: impl Into<Sizes>) -> CubeTensor {
    placed(other.client.clone(), other.device.clone(), buffer, shape)
}

/// As [`Images::sums`], on the device of `other`.
pub(super) fn sums_like(other: &CubeTensor, parts: Parts, shape: impl Into<Sizes>) -> CubeTensor {
    let total = together::sums(&other.device, &other.client, parts);
    like(other, total, shape)
}

fn placed(
    client: Client,
    device: CubeDevice,
    buffer: Buffer,
    shape: impl Into<Sizes>,
) -> CubeTensor {
    let dtype = dtype(buffer.element);
    CubeTensor::new_contiguous(client, device, shape.into(), buffer.handle, dtype)
}
