//! [`CnnBackend`] on NdArray and on Flex through `cpu-kernels`, and the one process-wide kernel
//! context.
//!
//! | file | what it holds |
//! | --- | --- |
//! | `tensors` | how a backend's tensors lie in memory, and how they are made |
//! | `blocks` | normalised convolutions and residual blocks |
//! | `groups` | groups of convolutions with GELU, and what stands before and after them |
//! | `packed` | packed weights of inference |
//! | `layers` | layers without normalisation, the loss, the optimiser's step |
//! | `stored` | batches of images that another machine trains on |

mod blocks;
mod groups;
mod layers;
mod packed;
mod stored;
mod tensors;

use std::sync::{Mutex, OnceLock, PoisonError};

use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{DispatchDevice, Flex, NdArray};
use burn::tensor::Device;
use cpu_kernels::{Activation, Context, ContextError, Isa, Precision};

use super::CnnBackend;
use super::types::{
    AdamWStep, AdamWStepped, Affine, AffineGradients, ConvGroup, ConvNorm, ConvNormGradients,
    ConvNormRelu, CrossEntropy, Means, Pooled, ProjectedResidual, ProjectedResidualGradients,
    Residual, ResidualConvGroup, ResidualConvGroupGradients, ResidualGradients, SgdStep, Stepped,
    Stored, StoredBatch,
};

static CONTEXT: OnceLock<Context> = OnceLock::new();
static SETTINGS: Mutex<Settings> = Mutex::new(Settings {
    threads: None,
    precision: Precision::Fast,
});

/// What the context is made with.
#[derive(Debug, Clone, Copy)]
struct Settings {
    /// Threads; every core if absent.
    threads: Option<usize>,
    precision: Precision,
}

/// The kernels could not be set up as asked.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The kernels refused it.
    #[error(transparent)]
    Context(#[from] ContextError),
    /// The kernels run already, with other settings.
    #[error("the CPU kernels already run with {threads} threads and {precision:?} arithmetic")]
    AlreadySet {
        /// Threads in use.
        threads: usize,
        /// Precision in use.
        precision: Precision,
    },
}

/// Sets how many threads the CPU kernels use, and makes them ready. Call it before the first tensor
/// is made; without it they use every core. The number never changes a result.
///
/// # Errors
///
/// [`SettingsError`] for no threads at all, for an instruction set that this processor lacks, and
/// for another number than is in use already.
pub fn set_threads(threads: usize) -> Result<(), SettingsError> {
    // The settings are let go of before the context is made, since whoever makes it reads them.
    let mut wanted = *SETTINGS.lock().unwrap_or_else(PoisonError::into_inner);
    wanted.threads = Some(threads);
    let context = match CONTEXT.get() {
        Some(context) => context,
        None => {
            let context = wanted.context()?;
            CONTEXT.get_or_init(|| context)
        }
    };
    if context.threads() == threads {
        Ok(())
    } else {
        Err(already_set(context))
    }
}

/// Sets how exactly convolutions are computed. Call it before [`set_threads`] and before the first
/// tensor is made; without it they are fast.
///
/// # Errors
///
/// [`SettingsError::AlreadySet`] where the kernels run already with another precision.
pub fn set_precision(precision: Precision) -> Result<(), SettingsError> {
    let mut settings = SETTINGS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(context) = CONTEXT.get()
        && context.precision() != precision
    {
        return Err(already_set(context));
    }
    settings.precision = precision;
    Ok(())
}

/// Whether tensors of `device` are computed by the kernels.
pub(crate) fn computes_on_cpu(device: &Device) -> bool {
    use DispatchDevice::{Flex, NdArray};
    matches!(device.as_dispatch(), NdArray(_) | Flex(_))
}

/// The instruction set that the kernels use.
#[must_use]
pub fn isa() -> Isa {
    context().isa()
}

fn already_set(context: &Context) -> SettingsError {
    SettingsError::AlreadySet {
        threads: context.threads(),
        precision: context.precision(),
    }
}

impl Settings {
    fn context(self) -> Result<Context, ContextError> {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let isa = Isa::chosen()?;
        Context::with(self.threads.unwrap_or(cores), self.precision, isa)
    }
}

/// The kernels' context, made at its first use.
fn context() -> &'static Context {
    CONTEXT.get_or_init(|| {
        let settings = *SETTINGS.lock().unwrap_or_else(PoisonError::into_inner);
        checked(settings.context())
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

/// Hands every operation to `blocks` and `layers`.
macro_rules! on_host_memory {
    ($($backend:ty),*) => {$(
        impl CnnBackend for $backend {
            fn conv_norm_relu(
                x: FloatTensor<Self>,
                parameters: ConvNorm<Self>,
                stride: usize,
                padding: usize,
            ) -> ConvNormRelu<Self> {
                blocks::conv_norm_relu(x, parameters, stride, padding)
            }

            fn conv_norm_relu_backward(
                x: FloatTensor<Self>,
                parameters: ConvNorm<Self>,
                forward: ConvNormRelu<Self>,
                dy: FloatTensor<Self>,
                stride: usize,
                padding: usize,
            ) -> ConvNormGradients<Self> {
                blocks::conv_norm_relu_backward(x, parameters, forward, dy, stride, padding)
            }

            fn conv_norm_relu_backward_parameters(
                x: FloatTensor<Self>,
                parameters: ConvNorm<Self>,
                forward: ConvNormRelu<Self>,
                dy: FloatTensor<Self>,
                stride: usize,
                padding: usize,
            ) -> ConvNorm<Self> {
                let parts = (x, parameters, forward, dy);
                blocks::conv_norm_relu_backward_parameters(parts, stride, padding)
            }

            fn convolve(
                x: FloatTensor<Self>,
                weight: FloatTensor<Self>,
                stride: usize,
                padding: usize,
            ) -> FloatTensor<Self> {
                layers::convolve::<Self>(x, weight, stride, padding)
            }

            fn convolve_backward(
                x: FloatTensor<Self>,
                weight: FloatTensor<Self>,
                dy: FloatTensor<Self>,
                stride: usize,
                padding: usize,
                by_input: bool,
            ) -> (FloatTensor<Self>, FloatTensor<Self>) {
                layers::convolve_backward::<Self>(x, weight, dy, [stride, padding], by_input)
            }

            fn residual(
                x: FloatTensor<Self>,
                first: ConvNorm<Self>,
                second: ConvNorm<Self>,
            ) -> Residual<Self> {
                blocks::residual(x, first, second)
            }

            fn residual_backward(
                x: FloatTensor<Self>,
                first: ConvNorm<Self>,
                second: ConvNorm<Self>,
                forward: Residual<Self>,
                dy: FloatTensor<Self>,
            ) -> ResidualGradients<Self> {
                blocks::residual_backward(x, first, second, forward, dy)
            }

            fn projected_residual(
                x: FloatTensor<Self>,
                first: ConvNorm<Self>,
                second: ConvNorm<Self>,
                projection: ConvNorm<Self>,
                stride: usize,
            ) -> ProjectedResidual<Self> {
                blocks::projected_residual(x, [first, second, projection], stride)
            }

            fn projected_residual_backward(
                x: FloatTensor<Self>,
                first: ConvNorm<Self>,
                second: ConvNorm<Self>,
                projection: ConvNorm<Self>,
                forward: ProjectedResidual<Self>,
                dy: FloatTensor<Self>,
                stride: usize,
            ) -> ProjectedResidualGradients<Self> {
                let parameters = [first, second, projection];
                blocks::projected_residual_backward(x, parameters, forward, dy, stride)
            }

            fn conv_bias(
                x: FloatTensor<Self>,
                parameters: Affine<Self>,
                stride: usize,
                padding: usize,
                rectify: bool,
            ) -> FloatTensor<Self> {
                let activation = if rectify {
                    Activation::Relu
                } else {
                    Activation::None
                };
                layers::conv_bias(x, parameters, None, [stride, padding], activation)
            }

            fn conv_bias_add_relu(
                x: FloatTensor<Self>,
                parameters: Affine<Self>,
                around: FloatTensor<Self>,
            ) -> FloatTensor<Self> {
                layers::conv_bias(x, parameters, Some(around), [1, 1], Activation::Relu)
            }

            fn conv_relu_pool(
                x: FloatTensor<Self>,
                parameters: Affine<Self>,
                pool: usize,
            ) -> Pooled<Self> {
                layers::conv_relu_pool(x, parameters, pool)
            }

            fn conv_relu_pool_backward(
                x: FloatTensor<Self>,
                weight: FloatTensor<Self>,
                forward: Pooled<Self>,
                dy: FloatTensor<Self>,
                pool: usize,
            ) -> AffineGradients<Self> {
                layers::conv_relu_pool_backward(x, weight, forward, dy, pool)
            }

            fn conv_relu_pool_backward_parameters(
                x: FloatTensor<Self>,
                weight: FloatTensor<Self>,
                forward: Pooled<Self>,
                dy: FloatTensor<Self>,
                pool: usize,
            ) -> Affine<Self> {
                layers::conv_relu_pool_backward_parameters(x, weight, forward, dy, pool)
            }

            fn fully_connected(
                x: FloatTensor<Self>,
                parameters: Affine<Self>,
                rectify: bool,
            ) -> FloatTensor<Self> {
                layers::linear(x, parameters, rectify)
            }

            fn fully_connected_backward(
                x: FloatTensor<Self>,
                weight: FloatTensor<Self>,
                y: FloatTensor<Self>,
                dy: FloatTensor<Self>,
                rectify: bool,
            ) -> AffineGradients<Self> {
                layers::linear_backward(x, weight, y, dy, rectify)
            }

            fn global_avg_pool(x: FloatTensor<Self>) -> FloatTensor<Self> {
                layers::global_avg_pool::<Self>(x)
            }

            fn global_avg_pool_backward(
                dy: FloatTensor<Self>,
                height: usize,
                width: usize,
            ) -> FloatTensor<Self> {
                layers::global_avg_pool_backward::<Self>(dy, height, width)
            }

            fn conv_group(
                x: FloatTensor<Self>,
                first: ConvNorm<Self>,
                second: ConvNorm<Self>,
                epsilon: f32,
            ) -> ConvGroup<Self> {
                groups::conv_group(x, first, second, epsilon)
            }

            fn conv_group_backward(
                x: FloatTensor<Self>,
                first: ConvNorm<Self>,
                second: ConvNorm<Self>,
                forward: ConvGroup<Self>,
                dy: FloatTensor<Self>,
                epsilon: f32,
                by_input: bool,
            ) -> ResidualGradients<Self> {
                groups::conv_group_backward(x, [first, second], forward, dy, epsilon, by_input)
            }

            fn residual_conv_group(
                x: FloatTensor<Self>,
                first: ConvNorm<Self>,
                second: ConvNorm<Self>,
                third: ConvNorm<Self>,
                epsilon: f32,
            ) -> ResidualConvGroup<Self> {
                groups::residual_conv_group(x, [first, second, third], epsilon)
            }

            fn residual_conv_group_backward(
                x: FloatTensor<Self>,
                first: ConvNorm<Self>,
                second: ConvNorm<Self>,
                third: ConvNorm<Self>,
                forward: ResidualConvGroup<Self>,
                dy: FloatTensor<Self>,
                epsilon: f32,
                by_input: bool,
            ) -> ResidualConvGroupGradients<Self> {
                let all = [first, second, third];
                groups::residual_conv_group_backward(x, all, forward, dy, epsilon, by_input)
            }

            fn conv_gelu(
                x: FloatTensor<Self>,
                parameters: Affine<Self>,
                padding: usize,
            ) -> FloatTensor<Self> {
                layers::conv_bias(x, parameters, None, [1, padding], Activation::Gelu)
            }

            fn conv_gelu_backward_bias(
                x: FloatTensor<Self>,
                parameters: Affine<Self>,
                dy: FloatTensor<Self>,
                padding: usize,
            ) -> FloatTensor<Self> {
                groups::conv_gelu_backward_bias(x, parameters, dy, padding)
            }

            fn conv_pool_gelu(x: FloatTensor<Self>, parameters: Affine<Self>) -> FloatTensor<Self> {
                groups::conv_pool_gelu(x, parameters)
            }

            fn conv_add_gelu(
                x: FloatTensor<Self>,
                parameters: Affine<Self>,
                around: FloatTensor<Self>,
            ) -> FloatTensor<Self> {
                layers::conv_bias(x, parameters, Some(around), [1, 1], Activation::Gelu)
            }

            fn global_max_pool(x: FloatTensor<Self>) -> Pooled<Self> {
                groups::global_max_pool(x)
            }

            fn global_max_pool_backward(
                dy: FloatTensor<Self>,
                indices: IntTensor<Self>,
                height: usize,
                width: usize,
            ) -> FloatTensor<Self> {
                groups::global_max_pool_backward::<Self>(dy, indices, height, width)
            }

            fn cross_entropy(
                logits: FloatTensor<Self>,
                targets: IntTensor<Self>,
                smoothing: f32,
            ) -> CrossEntropy<Self> {
                layers::cross_entropy(logits, targets, smoothing)
            }

            fn scale_gradient(
                gradient: FloatTensor<Self>,
                factor: FloatTensor<Self>,
            ) -> FloatTensor<Self> {
                layers::scale_gradient::<Self>(gradient, factor)
            }

            fn sgd_step(
                weight: FloatTensor<Self>,
                gradient: FloatTensor<Self>,
                velocity: FloatTensor<Self>,
                settings: SgdStep,
            ) -> Stepped<Self> {
                layers::sgd_step(weight, gradient, velocity, settings)
            }

            fn adamw_step(
                weight: FloatTensor<Self>,
                gradient: FloatTensor<Self>,
                means: Means<Self>,
                settings: AdamWStep,
            ) -> AdamWStepped<Self> {
                layers::adamw_step(weight, gradient, means, settings)
            }

            fn stored_batch(
                stored: Stored<Self>,
                views: IntTensor<Self>,
                first: usize,
                count: usize,
            ) -> StoredBatch<Self> {
                stored::stored_batch(stored, views, first, count)
            }
        }
    )*};
}

on_host_memory!(NdArray, Flex);
