//! [`CnnBackend`] on a device of another machine, which burn-remote reaches.
//!
//! Burn sends its own operations by itself. Those of the contract go as its custom operations: an
//! operation's name, its tensors by their numbers, and its other arguments as scalars. The worker
//! calls the same operation of the same contract on its own device, and so runs its own kernels.
//! Every operation goes so, none by its default body; what a contract's operation is made of never
//! matters here, and gradients are operations like others, for autodiff stays on this side.
//!
//! | file | what it holds |
//! | --- | --- |
//! | here | the table of operations, from which both sides are made |
//! | `wire` | how arguments and results travel |
//! | `shapes` | the shapes of results, which this side has to know before there are any |
//! | `about` | what a worker says of itself before the first tensor |

mod about;
mod shapes;
mod wire;

use burn::backend::ir::{BackendIr, CustomOpIr};
use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{DispatchDevice, Flex, NdArray, Remote};
use burn::server::{CustomOpRegistry, RemoteServer};
use burn::tensor::Device;

use super::CnnBackend;
use super::types::{
    AdamWStep, AdamWStepped, Affine, AffineGradients, ConvGroup, ConvNorm, ConvNormGradients,
    ConvNormRelu, CrossEntropy, Means, MuonStep, Pooled, ProjectedResidual,
    ProjectedResidualGradients, Residual, ResidualConvGroup, ResidualConvGroupGradients,
    ResidualGradients, SgdStep, Statistics, Stepped, Stored, StoredBatch,
};
pub use about::{AboutError, about};
use shapes::{block, channels, convolution, like, one, pooled, slot, with_indices};
use wire::{Arguments, Request, Results, Source, Wire};

/// The type of an argument or a result on a backend: `float` and `int` are tensors, `floats` are two,
/// `factors` two numbers; everything else stands under its own name.
macro_rules! of {
    (float, $backend:ty) => { FloatTensor<$backend> };
    (int, $backend:ty) => { IntTensor<$backend> };
    (floats, $backend:ty) => { (FloatTensor<$backend>, FloatTensor<$backend>) };
    (factors, $backend:ty) => { [f32; 2] };
    (usize, $backend:ty) => { usize };
    (f32, $backend:ty) => { f32 };
    (bool, $backend:ty) => { bool };
    (SgdStep, $backend:ty) => { SgdStep };
    (AdamWStep, $backend:ty) => { AdamWStep };
    (MuonStep, $backend:ty) => { MuonStep };
    ($structure:ident, $backend:ty) => { $structure<$backend> };
}

/// Hands an argument or a result over to the wire.
macro_rules! put {
    (float, $sink:ident, $value:ident) => {
        wire::Sink::float(&mut $sink, $value)
    };
    (int, $sink:ident, $value:ident) => {
        wire::Sink::int(&mut $sink, $value)
    };
    (floats, $sink:ident, $value:ident) => {{
        let (first, second) = $value;
        wire::Sink::float(&mut $sink, first);
        wire::Sink::float(&mut $sink, second);
    }};
    ($other:ident, $sink:ident, $value:ident) => {
        Wire::put($value, &mut $sink)
    };
}

/// Takes an argument or a result from the wire.
macro_rules! take {
    (float, $source:ident) => {
        $source.float()
    };
    (int, $source:ident) => {
        $source.int()
    };
    (floats, $source:ident) => {
        ($source.float(), $source.float())
    };
    ($other:ident, $source:ident) => {
        Wire::take(&mut $source)
    };
}

/// Makes both sides of every operation of the contract: this side's implementation of
/// [`CnnBackend`], which asks the worker, and the worker's answers. A line holds an operation's name,
/// its arguments in their order, its result, and the shapes of the result's tensors in their order.
macro_rules! operations {
    ($($name:ident($($argument:ident: $kind:ident),*) -> $result:ident = $shapes:expr;)*) => {
        impl CnnBackend for Remote {
            $(
                #[allow(clippy::too_many_arguments)]
                fn $name($($argument: of!($kind, Self)),*) -> of!($result, Self) {
                    // Not every shape depends on every argument.
                    $(let _ = &$argument;)*
                    let shapes = $shapes;
                    let mut request = Request::default();
                    $(put!($kind, request, $argument);)*
                    let mut reply = request.send(stringify!($name), shapes);
                    take!($result, reply)
                }
            )*
        }

        /// What a worker answers to each operation.
        fn answers<B: BackendIr + CnnBackend>() -> CustomOpRegistry<B> {
            let mut answers = CustomOpRegistry::new();
            $(
                answers.register(stringify!($name), |handles, asked: &CustomOpIr, _device| {
                    let mut arguments = Arguments::<B>::new(handles, asked);
                    $(let $argument: of!($kind, B) = take!($kind, arguments);)*
                    let result = B::$name($($argument),*);
                    let mut results = Results::<B>::new(handles, asked);
                    put!($result, results, result);
                });
            )*
            answers
        }
    };
}

operations! {
    conv_norm_relu(x: float, parameters: ConvNorm, stride: usize, padding: usize) -> ConvNormRelu
        = block(convolution(&x, &parameters.weight, stride, padding));
    conv_norm_relu_backward(
        x: float, parameters: ConvNorm, forward: ConvNormRelu, dy: float, stride: usize, padding: usize
    ) -> ConvNormGradients = like(&[&slot(&x), &parameters]);
    conv_norm_relu_backward_parameters(
        x: float, parameters: ConvNorm, forward: ConvNormRelu, dy: float, stride: usize, padding: usize
    ) -> ConvNorm = like(&[&parameters]);
    norm_relu(x: float, parameters: Affine) -> ConvNormRelu = block(shapes::images_of(&x));
    norm_relu_backward(parameters: Affine, forward: ConvNormRelu, dy: float) -> AffineGradients
        = like(&[&slot(&dy), &parameters]);
    follow_statistics(running: Statistics, batch: Statistics, keep: f32, take: factors) -> Statistics
        = like(&[&running]);
    convolve(x: float, weight: float, stride: usize, padding: usize) -> float
        = one(convolution(&x, &weight, stride, padding));
    convolve_backward(
        x: float, weight: float, dy: float, stride: usize, padding: usize, by_input: bool
    ) -> floats = like(&[&slot(&x), &slot(&weight)]);
    residual(x: float, first: ConvNorm, second: ConvNorm) -> Residual
        = shapes::residual(&x, &first, 1);
    residual_backward(x: float, first: ConvNorm, second: ConvNorm, forward: Residual, dy: float)
        -> ResidualGradients = like(&[&slot(&x), &first, &second]);
    projected_residual(
        x: float, first: ConvNorm, second: ConvNorm, projection: ConvNorm, stride: usize
    ) -> ProjectedResidual = shapes::projected_residual(&x, &first, stride);
    projected_residual_backward(
        x: float, first: ConvNorm, second: ConvNorm, projection: ConvNorm,
        forward: ProjectedResidual, dy: float, stride: usize
    ) -> ProjectedResidualGradients = like(&[&slot(&x), &first, &second, &projection]);
    conv_bias(x: float, parameters: Affine, stride: usize, padding: usize, rectify: bool) -> float
        = one(convolution(&x, &parameters.weight, stride, padding));
    conv_bias_add_relu(x: float, parameters: Affine, around: float) -> float = like(&[&slot(&around)]);
    conv_relu_pool(x: float, parameters: Affine, pool: usize) -> Pooled
        = with_indices(pooled(convolution(&x, &parameters.weight, 1, 0), pool));
    conv_relu_pool_backward(x: float, weight: float, forward: Pooled, dy: float, pool: usize)
        -> AffineGradients = [like(&[&slot(&x)]), shapes::affine(&weight)].concat();
    conv_relu_pool_backward_parameters(
        x: float, weight: float, forward: Pooled, dy: float, pool: usize
    ) -> Affine = shapes::affine(&weight);
    fully_connected(x: float, parameters: Affine, rectify: bool) -> float
        = shapes::linear(&x, &parameters);
    fully_connected_backward(x: float, weight: float, y: float, dy: float, rectify: bool)
        -> AffineGradients = [like(&[&slot(&x)]), shapes::affine(&weight)].concat();
    global_avg_pool(x: float) -> float = one(channels(&x));
    global_avg_pool_backward(dy: float, height: usize, width: usize) -> float
        = shapes::images(&dy, height, width);
    conv_group(x: float, first: ConvNorm, second: ConvNorm, epsilon: f32) -> ConvGroup
        = shapes::group(&x, &first, &second);
    conv_group_backward(
        x: float, first: ConvNorm, second: ConvNorm, forward: ConvGroup, dy: float,
        epsilon: f32, by_input: bool
    ) -> ResidualGradients = like(&[&slot(&x), &first, &second]);
    residual_conv_group(
        x: float, first: ConvNorm, second: ConvNorm, third: ConvNorm, epsilon: f32
    ) -> ResidualConvGroup = shapes::residual_group(&x, [&first, &second, &third]);
    residual_conv_group_backward(
        x: float, first: ConvNorm, second: ConvNorm, third: ConvNorm, forward: ResidualConvGroup,
        dy: float, epsilon: f32, by_input: bool
    ) -> ResidualConvGroupGradients = like(&[&slot(&x), &first, &second, &third]);
    conv_gelu(x: float, parameters: Affine, padding: usize) -> float
        = one(convolution(&x, &parameters.weight, 1, padding));
    conv_gelu_backward_bias(x: float, parameters: Affine, dy: float, padding: usize) -> float
        = like(&[&slot(&parameters.bias)]);
    conv_pool_gelu(x: float, parameters: Affine) -> float
        = one(pooled(convolution(&x, &parameters.weight, 1, 1), 2));
    conv_add_gelu(x: float, parameters: Affine, around: float) -> float = like(&[&slot(&around)]);
    global_max_pool(x: float) -> Pooled = with_indices(channels(&x));
    global_max_pool_backward(dy: float, indices: int, height: usize, width: usize) -> float
        = shapes::images(&dy, height, width);
    cross_entropy(logits: float, targets: int, smoothing: f32) -> CrossEntropy
        = shapes::cross_entropy(&logits);
    scale_gradient(gradient: float, factor: float) -> float = like(&[&slot(&gradient)]);
    sgd_step(weight: float, gradient: float, velocity: float, settings: SgdStep) -> Stepped
        = like(&[&slot(&weight), &slot(&velocity)]);
    adamw_step(weight: float, gradient: float, means: Means, settings: AdamWStep) -> AdamWStepped
        = like(&[&slot(&weight), &means]);
    muon_step(weight: float, gradient: float, momentum: float, settings: MuonStep) -> Stepped
        = like(&[&slot(&weight), &slot(&momentum)]);
    stored_batch(stored: Stored, views: int, first: usize, count: usize) -> StoredBatch
        = shapes::stored_batch(count);
}

/// A server of `device`, without autodiff, that knows the operations of the contract and answers
/// [`about`] with `text`. Nothing where the device is itself one of another machine.
#[must_use]
pub fn server(device: &Device, text: &str) -> Option<RemoteServer> {
    let device = device.clone().inner();
    let server = RemoteServer::new([device.clone()]);
    match device.as_dispatch() {
        DispatchDevice::NdArray(_) => Some(server.with_custom_ops(all_answers::<NdArray>(text))),
        DispatchDevice::Flex(_) => Some(server.with_custom_ops(all_answers::<Flex>(text))),
        #[cfg(feature = "wgpu")]
        DispatchDevice::Cube(_) => {
            Some(server.with_custom_ops(all_answers::<burn_cubecl::CubeBackend>(text)))
        }
        _ => None,
    }
}

fn all_answers<B: BackendIr + CnnBackend>(text: &str) -> CustomOpRegistry<B> {
    let mut answers = answers::<B>();
    about::answer(&mut answers, text.to_owned());
    answers
}
