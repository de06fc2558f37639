//! [`CnnBackend`] on NdArray through `cpu-kernels`, and the one process-wide kernel context.

use std::sync::{Mutex, OnceLock, PoisonError};

use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{NdArray, TensorMetadata};
use burn_ndarray::NdArrayTensor;
use cpu_kernels::{ChannelShape, Context, ContextError, ConvShape, LinearShape, PoolShape};
use ndarray::{ArcArray, ArrayD, IxDyn};

use super::CnnBackend;

static CONTEXT: OnceLock<Context> = OnceLock::new();
static SETTING: Mutex<()> = Mutex::new(());

/// The number of threads could not be set.
#[derive(Debug, thiserror::Error)]
pub enum ThreadsError {
    /// The kernels refused the number, or the system gave no threads.
    #[error(transparent)]
    Context(#[from] ContextError),
    /// Tensors exist already, and their kernels run with another number of threads.
    #[error("the CPU kernels already run with {running} threads and cannot change to {asked}")]
    AlreadySet {
        /// Threads in use.
        running: usize,
        /// Threads asked for.
        asked: usize,
    },
}

/// Sets how many threads the CPU kernels use. Call it before the first tensor is made; without it
/// they use every core. The number never changes a result.
///
/// # Errors
/// [`ThreadsError`] for no threads at all, and for another number than is in use already.
pub fn set_threads(threads: usize) -> Result<(), ThreadsError> {
    let _guard = SETTING.lock().unwrap_or_else(PoisonError::into_inner);
    let context = match CONTEXT.get() {
        Some(context) => context,
        None => {
            let context = Context::new(threads)?;
            CONTEXT.get_or_init(|| context)
        }
    };
    if context.threads() == threads {
        Ok(())
    } else {
        Err(ThreadsError::AlreadySet {
            running: context.threads(),
            asked: threads,
        })
    }
}

/// The kernels' context, with a thread a core unless [`set_threads`] said otherwise.
fn context() -> &'static Context {
    CONTEXT.get_or_init(|| {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        checked(Context::new(cores).or_else(|_| Context::new(1)))
    })
}

/// What an operation gives. Burn's operations have no way to return an error, and layers check
/// shapes before they get here, so that an error is a defect of this crate: it ends as every
/// wrong shape ends in Burn.
#[allow(clippy::panic)]
fn checked<T, E: std::fmt::Display>(result: Result<T, E>) -> T {
    match result {
        Ok(value) => value,
        Err(error) => panic!("{error}"),
    }
}

/// The values of a tensor of `f32`, contiguous in row-major order; copied only if they are not.
fn values(tensor: FloatTensor<NdArray>) -> ArcArray<f32, IxDyn> {
    match tensor {
        NdArrayTensor::F32(storage) => {
            let array = storage.into_shared();
            if array.is_standard_layout() {
                array
            } else {
                array.as_standard_layout().into_owned().into_shared()
            }
        }
        other => checked(Err(format!(
            "the CPU kernels compute in f32, a tensor holds {:?}",
            other.dtype()
        ))),
    }
}

/// The slice behind [`values`].
fn slice(array: &ArcArray<f32, IxDyn>) -> &[f32] {
    checked(array.as_slice().ok_or("a standard layout is contiguous"))
}

/// A tensor of `shape` over `values`.
fn tensor(shape: &[usize], values: Vec<f32>) -> FloatTensor<NdArray> {
    let array = checked(ArrayD::from_shape_vec(IxDyn(shape), values));
    NdArrayTensor::from(array.into_shared())
}

fn dims<const D: usize>(array: &ArcArray<f32, IxDyn>) -> [usize; D] {
    checked(<[usize; D]>::try_from(array.shape()).map_err(|_| {
        format!(
            "a tensor of {D} axes is needed, there are {:?}",
            array.shape()
        )
    }))
}

fn conv_shape(
    x: &ArcArray<f32, IxDyn>,
    weight: &ArcArray<f32, IxDyn>,
    stride: usize,
    padding: usize,
) -> ConvShape {
    checked(ConvShape::new(dims(x), dims(weight), stride, padding))
}

fn linear_shape(batch: usize, weight: &ArcArray<f32, IxDyn>) -> LinearShape {
    let [out_features, in_features] = dims(weight);
    checked(LinearShape::new(batch, in_features, out_features))
}

fn channel_shape(x: &ArcArray<f32, IxDyn>) -> ChannelShape {
    let [batch, channels, height, width] = dims(x);
    checked(ChannelShape::new(batch, channels, height * width))
}

impl CnnBackend for NdArray {
    fn convolution(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        stride: usize,
        padding: usize,
    ) -> FloatTensor<Self> {
        let (x, weight) = (values(x), values(weight));
        let shape = conv_shape(&x, &weight, stride, padding);
        let mut y = vec![0.0; shape.output_len()];
        checked(cpu_kernels::conv2d(
            context(),
            &shape,
            slice(&x),
            slice(&weight),
            &mut y,
        ));
        tensor(&shape.output(), y)
    }

    fn convolution_backward_input(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        dy: FloatTensor<Self>,
        stride: usize,
        padding: usize,
    ) -> FloatTensor<Self> {
        let (x, weight, dy) = (values(x), values(weight), values(dy));
        let shape = conv_shape(&x, &weight, stride, padding);
        let mut dx = vec![0.0; shape.input_len()];
        checked(cpu_kernels::conv2d_backward_input(
            context(),
            &shape,
            slice(&weight),
            slice(&dy),
            &mut dx,
        ));
        tensor(x.shape(), dx)
    }

    fn convolution_backward_weight(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        dy: FloatTensor<Self>,
        stride: usize,
        padding: usize,
    ) -> FloatTensor<Self> {
        let (x, weight, dy) = (values(x), values(weight), values(dy));
        let shape = conv_shape(&x, &weight, stride, padding);
        let mut dw = vec![0.0; shape.weight_len()];
        checked(cpu_kernels::conv2d_backward_weight(
            context(),
            &shape,
            slice(&x),
            slice(&dy),
            &mut dw,
        ));
        tensor(weight.shape(), dw)
    }

    fn fully_connected(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        let (x, weight, bias) = (values(x), values(weight), values(bias));
        let [batch, _] = dims(&x);
        let shape = linear_shape(batch, &weight);
        let mut y = vec![0.0; shape.output_len()];
        checked(cpu_kernels::linear(
            context(),
            &shape,
            slice(&x),
            slice(&weight),
            slice(&bias),
            &mut y,
        ));
        tensor(&[batch, bias.len()], y)
    }

    fn fully_connected_backward_input(
        weight: FloatTensor<Self>,
        dy: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        let (weight, dy) = (values(weight), values(dy));
        let [batch, _] = dims(&dy);
        let [_, in_features] = dims(&weight);
        let shape = linear_shape(batch, &weight);
        let mut dx = vec![0.0; shape.input_len()];
        checked(cpu_kernels::linear_backward_input(
            context(),
            &shape,
            slice(&weight),
            slice(&dy),
            &mut dx,
        ));
        tensor(&[batch, in_features], dx)
    }

    fn fully_connected_backward_weight(
        x: FloatTensor<Self>,
        dy: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        let (x, dy) = (values(x), values(dy));
        let [batch, in_features] = dims(&x);
        let [_, out_features] = dims(&dy);
        let shape = checked(LinearShape::new(batch, in_features, out_features));
        let mut dw = vec![0.0; shape.weight_len()];
        checked(cpu_kernels::linear_backward_weight(
            context(),
            &shape,
            slice(&x),
            slice(&dy),
            &mut dw,
        ));
        tensor(&[out_features, in_features], dw)
    }

    fn max_pool(x: FloatTensor<Self>, kernel: usize) -> (FloatTensor<Self>, IntTensor<Self>) {
        let x = values(x);
        let shape = checked(PoolShape::new(dims(&x), kernel, kernel));
        let mut y = vec![0.0; shape.output_len()];
        let mut indices = vec![0u8; shape.output_len()];
        checked(cpu_kernels::max_pool2d(
            context(),
            &shape,
            slice(&x),
            &mut y,
            &mut indices,
        ));
        let indices = checked(ArrayD::from_shape_vec(IxDyn(&shape.output()), indices));
        (
            tensor(&shape.output(), y),
            NdArrayTensor::from(indices.into_shared()),
        )
    }

    fn max_pool_backward(
        x: FloatTensor<Self>,
        indices: IntTensor<Self>,
        dy: FloatTensor<Self>,
        kernel: usize,
    ) -> FloatTensor<Self> {
        let (x, dy) = (values(x), values(dy));
        let shape = checked(PoolShape::new(dims(&x), kernel, kernel));
        let indices = match indices {
            NdArrayTensor::U8(storage) => storage.into_shared(),
            other => checked(Err(format!(
                "pooling indices are bytes here, a tensor holds {:?}",
                other.dtype()
            ))),
        };
        let indices = checked(indices.as_slice().ok_or("pooling indices are contiguous"));
        let mut dx = vec![0.0; shape.input_len()];
        checked(cpu_kernels::max_pool2d_backward(
            context(),
            &shape,
            slice(&dy),
            indices,
            &mut dx,
        ));
        tensor(x.shape(), dx)
    }

    fn normalize_batch(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        eps: f32,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let (x, gamma, beta) = (values(x), values(gamma), values(beta));
        let shape = channel_shape(&x);
        let channels = gamma.len();
        let mut y = vec![0.0; x.len()];
        let (mut mean, mut variance) = (vec![0.0; channels], vec![0.0; channels]);
        checked(cpu_kernels::batch_norm_train(
            context(),
            &shape,
            slice(&x),
            slice(&gamma),
            slice(&beta),
            eps,
            &mut y,
            &mut mean,
            &mut variance,
        ));
        (
            tensor(x.shape(), y),
            tensor(&[channels], mean),
            tensor(&[channels], variance),
        )
    }

    fn normalize_batch_backward(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        mean: FloatTensor<Self>,
        variance: FloatTensor<Self>,
        dy: FloatTensor<Self>,
        eps: f32,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let (x, gamma, dy) = (values(x), values(gamma), values(dy));
        let (mean, variance) = (values(mean), values(variance));
        let shape = channel_shape(&x);
        let channels = gamma.len();
        let mut dx = vec![0.0; x.len()];
        let (mut dgamma, mut dbeta) = (vec![0.0; channels], vec![0.0; channels]);
        checked(cpu_kernels::batch_norm_backward(
            context(),
            &shape,
            slice(&x),
            slice(&gamma),
            slice(&mean),
            slice(&variance),
            eps,
            slice(&dy),
            &mut dx,
            &mut dgamma,
            &mut dbeta,
        ));
        (
            tensor(x.shape(), dx),
            tensor(&[channels], dgamma),
            tensor(&[channels], dbeta),
        )
    }
}
