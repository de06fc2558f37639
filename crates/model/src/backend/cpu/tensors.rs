//! How tensors of CPU backends lie in memory.
//!
//! An image tensor is `[batch, channels, height, width]` by shape. In memory the channels of a pixel
//! lie side by side, and the strides say so: every other operation of the backend sees the right
//! values, and no network knows.

use burn::backend::flex::{FlexTensor, Layout};
use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Backend, Flex, NdArray, TensorMetadata};
use burn::tensor::{Bytes, DType, Shape};
use burn_ndarray::NdArrayTensor;
use cpu_kernels::block::Images;
use ndarray::{ArcArray, ArrayD, IxDyn};

use super::checked;

/// From `[batch, channels, height, width]` to `[batch, height, width, channels]`.
const TO_PIXELS: [usize; 4] = [0, 2, 3, 1];
/// Back again.
const FROM_PIXELS: [usize; 4] = [0, 3, 1, 2];

/// A backend whose tensors lie in host memory.
pub(super) trait HostTensors: Backend {
    /// Values that can be read as one slice.
    type Values: Values + Send + 'static;

    /// The values in the order of their axes; copied only if they lie otherwise.
    fn rows(tensor: FloatTensor<Self>) -> Self::Values;
    /// The values of images, the channels of a pixel side by side; copied only if they lie
    /// otherwise.
    fn pixels(tensor: FloatTensor<Self>) -> Self::Values;
    /// The values of images as they lie, and whether that is with the channels of a pixel side by
    /// side; in the order of their axes where they lie otherwise.
    fn images(tensor: FloatTensor<Self>) -> (Self::Values, bool);
    /// Writable values in the order of their axes, in place where nobody else holds them.
    fn into_vec(tensor: FloatTensor<Self>) -> Vec<f32>;
    /// A tensor of `shape` over values in the order of its axes.
    fn from_rows(shape: &[usize], values: Vec<f32>) -> FloatTensor<Self>;
    /// Images of `shape`, `[batch, channels, height, width]`, over values whose channels lie side
    /// by side.
    fn from_pixels(shape: [usize; 4], values: Vec<f32>) -> FloatTensor<Self>;
    /// A tensor of bytes.
    fn from_bytes(shape: &[usize], values: Vec<u8>) -> IntTensor<Self>;
    /// Calls `read` with a tensor that [`from_bytes`](HostTensors::from_bytes) made.
    fn with_bytes<T>(tensor: IntTensor<Self>, read: impl FnOnce(&[u8]) -> T) -> T;
    /// Calls `read` with whole numbers in the order of their axes. One that does not fit is -1.
    fn with_integers<T>(tensor: IntTensor<Self>, read: impl FnOnce(&[i32]) -> T) -> T;
    /// A tensor of whole numbers, `[len]`.
    fn from_integers(values: Vec<i32>) -> IntTensor<Self>;
}

/// Values that can be read as one slice.
pub(super) trait Values {
    fn as_slice(&self) -> &[f32];
    /// Whether somebody else holds them too.
    fn is_shared(&mut self) -> bool;
}

/// The shape of a tensor of `D` axes.
pub(super) fn dims<const D: usize>(tensor: &impl TensorMetadata) -> [usize; D] {
    let shape = tensor.shape();
    checked(
        <[usize; D]>::try_from(&shape[..])
            .map_err(|_| format!("a tensor of {D} axes is needed, there are {:?}", &shape[..])),
    )
}

/// Images as they lie: pixels where their channels lie side by side, planes otherwise.
pub(super) struct HostImages<B: HostTensors> {
    values: B::Values,
    pixels: bool,
}

impl<B: HostTensors> HostImages<B> {
    pub(super) fn new(tensor: FloatTensor<B>) -> Self {
        let (values, pixels) = B::images(tensor);
        Self { values, pixels }
    }

    pub(super) fn images(&self) -> Images<'_> {
        let values = self.values.as_slice();
        if self.pixels {
            Images::Pixels(values)
        } else {
            Images::Planes(values)
        }
    }
}

fn wrong_type(what: &str, dtype: DType) -> String {
    format!("the CPU kernels want {what}, a tensor holds {dtype:?}")
}

impl Values for ArcArray<f32, IxDyn> {
    fn as_slice(&self) -> &[f32] {
        checked(
            self.as_slice_memory_order()
                .ok_or("values without gaps are contiguous"),
        )
    }

    fn is_shared(&mut self) -> bool {
        !self.is_unique()
    }
}

fn array(tensor: FloatTensor<NdArray>) -> ArcArray<f32, IxDyn> {
    match tensor {
        NdArrayTensor::F32(storage) => storage.into_shared(),
        other => checked(Err(wrong_type("f32", other.dtype()))),
    }
}

/// `array` itself if it has the standard layout, and a copy that has it otherwise.
fn standard(array: ArcArray<f32, IxDyn>) -> ArcArray<f32, IxDyn> {
    if array.is_standard_layout() {
        array
    } else {
        array.as_standard_layout().into_owned().into_shared()
    }
}

impl HostTensors for NdArray {
    type Values = ArcArray<f32, IxDyn>;

    fn rows(tensor: FloatTensor<Self>) -> Self::Values {
        standard(array(tensor))
    }

    fn pixels(tensor: FloatTensor<Self>) -> Self::Values {
        standard(array(tensor).permuted_axes(IxDyn(&TO_PIXELS)))
    }

    fn images(tensor: FloatTensor<Self>) -> (Self::Values, bool) {
        let array = array(tensor);
        let pixels = array.clone().permuted_axes(IxDyn(&TO_PIXELS));
        if pixels.is_standard_layout() {
            (pixels, true)
        } else {
            (standard(array), false)
        }
    }

    fn into_vec(tensor: FloatTensor<Self>) -> Vec<f32> {
        let array = standard(array(tensor));
        let len = array.len();
        let (mut values, offset) = array.into_owned().into_raw_vec_and_offset();
        if offset.unwrap_or(0) > 0 {
            values.drain(..offset.unwrap_or(0));
        }
        values.truncate(len);
        values
    }

    fn from_rows(shape: &[usize], values: Vec<f32>) -> FloatTensor<Self> {
        let array = checked(ArrayD::from_shape_vec(IxDyn(shape), values));
        NdArrayTensor::from(array.into_shared())
    }

    fn from_pixels(
        [batch, channels, height, width]: [usize; 4],
        values: Vec<f32>,
    ) -> FloatTensor<Self> {
        let shape = IxDyn(&[batch, height, width, channels]);
        let array = checked(ArrayD::from_shape_vec(shape, values));
        NdArrayTensor::from(array.permuted_axes(IxDyn(&FROM_PIXELS)).into_shared())
    }

    fn from_bytes(shape: &[usize], values: Vec<u8>) -> IntTensor<Self> {
        let array = checked(ArrayD::from_shape_vec(IxDyn(shape), values));
        NdArrayTensor::from(array.into_shared())
    }

    fn with_bytes<T>(tensor: IntTensor<Self>, read: impl FnOnce(&[u8]) -> T) -> T {
        match tensor {
            NdArrayTensor::U8(storage) => {
                let array = storage.into_shared();
                read(checked(array.as_slice().ok_or("bytes lie in order")))
            }
            other => checked(Err(wrong_type("bytes", other.dtype()))),
        }
    }

    fn with_integers<T>(tensor: IntTensor<Self>, read: impl FnOnce(&[i32]) -> T) -> T {
        match tensor {
            // A view, since the storage may lie in bytes that it shares, which would be copied.
            NdArrayTensor::I32(storage) => {
                let values = storage.view();
                let values = values.as_standard_layout();
                read(checked(values.as_slice().ok_or("integers lie in order")))
            }
            NdArrayTensor::I64(storage) => {
                let values: Vec<i32> = storage.view().iter().map(|&value| narrow(value)).collect();
                read(&values)
            }
            other => checked(Err(wrong_type("integers of i32 or i64", other.dtype()))),
        }
    }

    fn from_integers(values: Vec<i32>) -> IntTensor<Self> {
        let array = checked(ArrayD::from_shape_vec(IxDyn(&[values.len()]), values));
        NdArrayTensor::from(array.into_shared())
    }
}

/// An integer that does not fit is -1, which is no class either.
fn narrow(value: i64) -> i32 {
    i32::try_from(value).unwrap_or(-1)
}

impl Values for FlexTensor {
    fn as_slice(&self) -> &[f32] {
        let len = self.layout().num_elements();
        &self.storage::<f32>()[..len]
    }

    fn is_shared(&mut self) -> bool {
        !self.is_unique()
    }
}

/// `tensor` itself if its values lie in the order of its axes, and a copy otherwise.
fn contiguous(tensor: FlexTensor) -> FlexTensor {
    if tensor.dtype() != DType::F32 {
        return checked(Err(wrong_type("f32", tensor.dtype())));
    }
    if tensor.layout().is_contiguous() && tensor.layout().start_offset() == 0 {
        tensor
    } else {
        tensor.to_contiguous()
    }
}

impl HostTensors for Flex {
    type Values = FlexTensor;

    fn rows(tensor: FloatTensor<Self>) -> Self::Values {
        contiguous(tensor)
    }

    fn pixels(tensor: FloatTensor<Self>) -> Self::Values {
        contiguous(tensor.permute(&TO_PIXELS))
    }

    fn images(tensor: FloatTensor<Self>) -> (Self::Values, bool) {
        let pixels = tensor.permute(&TO_PIXELS);
        if pixels.is_contiguous() && pixels.layout().start_offset() == 0 {
            (contiguous(pixels), true)
        } else {
            (contiguous(tensor), false)
        }
    }

    fn into_vec(tensor: FloatTensor<Self>) -> Vec<f32> {
        contiguous(tensor)
            .as_slice::<f32>()
            .unwrap_or_default()
            .to_vec()
    }

    fn from_rows(shape: &[usize], values: Vec<f32>) -> FloatTensor<Self> {
        let layout = Layout::contiguous(Shape::from(shape.to_vec()));
        FlexTensor::new(Bytes::from_elems(values), layout, DType::F32)
    }

    fn from_pixels(
        [batch, channels, height, width]: [usize; 4],
        values: Vec<f32>,
    ) -> FloatTensor<Self> {
        Self::from_rows(&[batch, height, width, channels], values).permute(&FROM_PIXELS)
    }

    fn from_bytes(shape: &[usize], values: Vec<u8>) -> IntTensor<Self> {
        let layout = Layout::contiguous(Shape::from(shape.to_vec()));
        FlexTensor::new(Bytes::from_elems(values), layout, DType::U8)
    }

    fn with_bytes<T>(tensor: IntTensor<Self>, read: impl FnOnce(&[u8]) -> T) -> T {
        read(checked(tensor.as_slice::<u8>().ok_or("bytes lie in order")))
    }

    fn with_integers<T>(tensor: IntTensor<Self>, read: impl FnOnce(&[i32]) -> T) -> T {
        let tensor = tensor.to_contiguous();
        match tensor.dtype() {
            DType::I32 => read(checked(
                tensor.as_slice::<i32>().ok_or("integers lie in order"),
            )),
            DType::I64 => {
                let values = checked(tensor.as_slice::<i64>().ok_or("integers lie in order"));
                let values: Vec<i32> = values.iter().map(|&value| narrow(value)).collect();
                read(&values)
            }
            other => checked(Err(wrong_type("integers of i32 or i64", other))),
        }
    }

    fn from_integers(values: Vec<i32>) -> IntTensor<Self> {
        let layout = Layout::contiguous(Shape::from([values.len()]));
        FlexTensor::new(Bytes::from_elems(values), layout, DType::I32)
    }
}
