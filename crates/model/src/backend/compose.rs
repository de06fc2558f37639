//! The default bodies of [`CnnBackend`](super::CnnBackend), made of Burn's own operations. They run
//! on every backend, and are the reference for kernels.

use burn::backend::ops::{ActivationOps, ConvOptions, ModuleOps};
use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Backend, TensorMetadata};
use burn::tensor::{FloatDType, IndexingUpdateOp, IntDType, Shape};

use super::EPSILON;
use super::types::{
    Affine, AffineGradients, ConvNorm, ConvNormGradients, ConvNormRelu, Convolved, CrossEntropy,
    Pooled, ProjectedResidual, ProjectedResidualGradients, Residual, ResidualGradients, Sgd,
    Stepped,
};

fn conv_options(stride: usize, padding: usize) -> ConvOptions<2> {
    ConvOptions::new([stride; 2], [padding; 2], [1; 2], 1)
}

/// Length of `tensor`'s axis `axis`.
fn dim<T: TensorMetadata>(tensor: &T, axis: usize) -> usize {
    tensor.shape()[axis]
}

/// One number a channel, `[channels]`, as `[1, channels, 1, 1]`.
fn wide<B: Backend>(t: FloatTensor<B>) -> FloatTensor<B> {
    let channels = dim(&t, 0);
    B::float_reshape(t, Shape::new([1, channels, 1, 1]))
}

/// `[1, channels, 1, 1]` as `[channels]`.
fn narrow<B: Backend>(t: FloatTensor<B>) -> FloatTensor<B> {
    let channels = dim(&t, 1);
    B::float_reshape(t, Shape::new([channels]))
}

/// Mean over batch and pixels, `[1, channels, 1, 1]`.
fn channel_mean<B: Backend>(x: FloatTensor<B>) -> FloatTensor<B> {
    B::float_mean_dim(B::float_mean_dim(B::float_mean_dim(x, 3), 2), 0)
}

/// `1 / sqrt(variance + eps)`.
fn inverse_deviation<B: Backend>(variance: FloatTensor<B>) -> FloatTensor<B> {
    B::float_recip(B::float_sqrt(B::float_add_scalar(variance, EPSILON.into())))
}

/// A convolution, and the statistics of its output.
fn convolve<B: Backend>(
    x: FloatTensor<B>,
    weight: FloatTensor<B>,
    stride: usize,
    padding: usize,
) -> Convolved<B> {
    let output = <B as ModuleOps<B>>::conv2d(x, weight, None, conv_options(stride, padding));
    let mean = channel_mean::<B>(output.clone());
    let centred = B::float_sub(output.clone(), mean.clone());
    let variance = channel_mean::<B>(B::float_mul(centred.clone(), centred));
    Convolved {
        output,
        mean: narrow::<B>(mean),
        variance: narrow::<B>(variance),
    }
}

/// The output of a convolution, normalised to mean 0 and deviation 1.
fn standardize<B: Backend>(convolved: &Convolved<B>) -> FloatTensor<B> {
    let centred = B::float_sub(convolved.output.clone(), wide::<B>(convolved.mean.clone()));
    let inverse = inverse_deviation::<B>(wide::<B>(convolved.variance.clone()));
    B::float_mul(centred, inverse)
}

/// The output of a convolution, normalised with scale and shift.
fn normalize<B: Backend>(convolved: &Convolved<B>, parameters: &ConvNorm<B>) -> FloatTensor<B> {
    let scaled = B::float_mul(standardize(convolved), wide::<B>(parameters.gamma.clone()));
    B::float_add(scaled, wide::<B>(parameters.beta.clone()))
}

fn relu<B: Backend>(x: FloatTensor<B>) -> FloatTensor<B> {
    <B as ActivationOps<B>>::relu(x)
}

/// The gradient of a rectifier by its input, from its output.
fn relu_backward<B: Backend>(y: FloatTensor<B>, dy: FloatTensor<B>) -> FloatTensor<B> {
    <B as ActivationOps<B>>::relu_backward(y, dy)
}

/// The gradients by scale and shift of a normalisation, and by the convolution's output and
/// weights before it.
fn normalize_backward<B: Backend>(
    x: FloatTensor<B>,
    convolved: &Convolved<B>,
    parameters: &ConvNorm<B>,
    dy: FloatTensor<B>,
    stride: usize,
    padding: usize,
) -> (FloatTensor<B>, ConvNorm<B>) {
    let output = &convolved.output;
    let count = (dim(output, 0) * dim(output, 2) * dim(output, 3)) as f32;
    let inverse = inverse_deviation::<B>(wide::<B>(convolved.variance.clone()));
    let standard = standardize(convolved);
    let mean_dy = channel_mean::<B>(dy.clone());
    let mean_product = channel_mean::<B>(B::float_mul(dy.clone(), standard.clone()));
    let inner = B::float_sub(
        B::float_sub(dy, mean_dy.clone()),
        B::float_mul(standard, mean_product.clone()),
    );
    let scale = B::float_mul(inverse, wide::<B>(parameters.gamma.clone()));
    let d_output = B::float_mul(inner, scale);
    let total = |t| narrow::<B>(B::float_mul_scalar(t, count.into()));
    let weight = <B as ModuleOps<B>>::conv2d_weight_backward(
        x,
        parameters.weight.clone(),
        d_output.clone(),
        conv_options(stride, padding),
    );
    let gradients = ConvNorm {
        weight,
        gamma: total(mean_product),
        beta: total(mean_dy),
    };
    (d_output, gradients)
}

fn input_backward<B: Backend>(
    x: FloatTensor<B>,
    weight: FloatTensor<B>,
    dy: FloatTensor<B>,
    stride: usize,
    padding: usize,
) -> FloatTensor<B> {
    <B as ModuleOps<B>>::conv2d_x_backward(x, weight, dy, conv_options(stride, padding))
}

pub(super) fn conv_norm_relu<B: Backend>(
    x: FloatTensor<B>,
    parameters: ConvNorm<B>,
    stride: usize,
    padding: usize,
) -> ConvNormRelu<B> {
    let convolved = convolve(x, parameters.weight.clone(), stride, padding);
    ConvNormRelu {
        y: relu::<B>(normalize(&convolved, &parameters)),
        convolved,
    }
}

pub(super) fn conv_norm_relu_backward<B: Backend>(
    x: FloatTensor<B>,
    parameters: ConvNorm<B>,
    forward: ConvNormRelu<B>,
    dy: FloatTensor<B>,
    stride: usize,
    padding: usize,
) -> ConvNormGradients<B> {
    let dy = relu_backward::<B>(forward.y, dy);
    let (d_output, gradients) = normalize_backward(
        x.clone(),
        &forward.convolved,
        &parameters,
        dy,
        stride,
        padding,
    );
    ConvNormGradients {
        x: input_backward::<B>(x, parameters.weight, d_output, stride, padding),
        parameters: gradients,
    }
}

pub(super) fn conv_norm_relu_backward_parameters<B: Backend>(
    x: FloatTensor<B>,
    parameters: ConvNorm<B>,
    forward: ConvNormRelu<B>,
    dy: FloatTensor<B>,
    stride: usize,
    padding: usize,
) -> ConvNorm<B> {
    let dy = relu_backward::<B>(forward.y, dy);
    normalize_backward(x, &forward.convolved, &parameters, dy, stride, padding).1
}

pub(super) fn residual<B: Backend>(
    x: FloatTensor<B>,
    first: ConvNorm<B>,
    second: ConvNorm<B>,
) -> Residual<B> {
    let around = x.clone();
    block(x, first, second, 1, around)
}

/// A residual block whose shortcut gave `around`.
fn block<B: Backend>(
    x: FloatTensor<B>,
    first: ConvNorm<B>,
    second: ConvNorm<B>,
    stride: usize,
    around: FloatTensor<B>,
) -> Residual<B> {
    let of_first = convolve(x, first.weight.clone(), stride, 1);
    let middle = relu::<B>(normalize(&of_first, &first));
    let of_second = convolve(middle, second.weight.clone(), 1, 1);
    let sum = B::float_add(normalize(&of_second, &second), around);
    Residual {
        y: relu::<B>(sum),
        first: of_first,
        second: of_second,
    }
}

pub(super) fn residual_backward<B: Backend>(
    x: FloatTensor<B>,
    first: ConvNorm<B>,
    second: ConvNorm<B>,
    forward: Residual<B>,
    dy: FloatTensor<B>,
) -> ResidualGradients<B> {
    let dy = relu_backward::<B>(forward.y.clone(), dy);
    let mut gradients = block_backward(x, first, second, forward, dy.clone(), 1);
    gradients.x = B::float_add(gradients.x, dy);
    gradients
}

/// The gradients of a residual block but for its shortcut, from the gradient `dy` before its last
/// rectifier.
fn block_backward<B: Backend>(
    x: FloatTensor<B>,
    first: ConvNorm<B>,
    second: ConvNorm<B>,
    forward: Residual<B>,
    dy: FloatTensor<B>,
    stride: usize,
) -> ResidualGradients<B> {
    let middle = relu::<B>(normalize(&forward.first, &first));
    let (d_second, of_second) =
        normalize_backward(middle.clone(), &forward.second, &second, dy, 1, 1);
    let d_middle = input_backward::<B>(middle.clone(), second.weight, d_second, 1, 1);
    let d_middle = relu_backward::<B>(middle, d_middle);
    let (d_first, of_first) =
        normalize_backward(x.clone(), &forward.first, &first, d_middle, stride, 1);
    ResidualGradients {
        x: input_backward::<B>(x, first.weight, d_first, stride, 1),
        first: of_first,
        second: of_second,
    }
}

pub(super) fn projected_residual<B: Backend>(
    x: FloatTensor<B>,
    first: ConvNorm<B>,
    second: ConvNorm<B>,
    projection: ConvNorm<B>,
    stride: usize,
) -> ProjectedResidual<B> {
    let projected = convolve(x.clone(), projection.weight.clone(), stride, 0);
    let around = normalize(&projected, &projection);
    ProjectedResidual {
        main: block(x, first, second, stride, around),
        projection: projected,
    }
}

pub(super) fn projected_residual_backward<B: Backend>(
    x: FloatTensor<B>,
    [first, second, projection]: [ConvNorm<B>; 3],
    forward: ProjectedResidual<B>,
    dy: FloatTensor<B>,
    stride: usize,
) -> ProjectedResidualGradients<B> {
    let dy = relu_backward::<B>(forward.main.y.clone(), dy);
    let (d_projected, of_projection) = normalize_backward(
        x.clone(),
        &forward.projection,
        &projection,
        dy.clone(),
        stride,
        0,
    );
    let around = input_backward::<B>(x.clone(), projection.weight, d_projected, stride, 0);
    let mut main = block_backward(x, first, second, forward.main, dy, stride);
    main.x = B::float_add(main.x, around);
    ProjectedResidualGradients {
        main,
        projection: of_projection,
    }
}

pub(super) fn conv_bias<B: Backend>(
    x: FloatTensor<B>,
    parameters: Affine<B>,
    stride: usize,
    padding: usize,
    rectify: bool,
) -> FloatTensor<B> {
    let options = conv_options(stride, padding);
    let y = <B as ModuleOps<B>>::conv2d(x, parameters.weight, Some(parameters.bias), options);
    if rectify { relu::<B>(y) } else { y }
}

pub(super) fn conv_bias_add_relu<B: Backend>(
    x: FloatTensor<B>,
    parameters: Affine<B>,
    around: FloatTensor<B>,
) -> FloatTensor<B> {
    let y = conv_bias(x, parameters, 1, 1, false);
    relu::<B>(B::float_add(y, around))
}

pub(super) fn conv_relu_pool<B: Backend>(
    x: FloatTensor<B>,
    parameters: Affine<B>,
    pool: usize,
) -> Pooled<B> {
    let convolved = <B as ModuleOps<B>>::conv2d(x, parameters.weight, None, conv_options(1, 0));
    let convolved = B::float_add(convolved, wide::<B>(parameters.bias));
    let pooled = <B as ModuleOps<B>>::max_pool2d_with_indices(
        relu::<B>(convolved),
        [pool; 2],
        [pool; 2],
        [0; 2],
        [1; 2],
        false,
        IntDType::I32,
    );
    Pooled {
        y: pooled.output,
        indices: pooled.indices,
    }
}

/// The gradient before the rectifier of [`conv_relu_pool`].
fn pool_backward<B: Backend>(
    x: &FloatTensor<B>,
    weight: &FloatTensor<B>,
    forward: Pooled<B>,
    dy: FloatTensor<B>,
    pool: usize,
) -> FloatTensor<B> {
    // The rectifier is open exactly where a maximum is above zero. Pooling looks at the shape of
    // its input alone.
    let dy = relu_backward::<B>(forward.y, dy);
    let (height, width) = (
        dim(x, 2) + 1 - dim(weight, 2),
        dim(x, 3) + 1 - dim(weight, 3),
    );
    let shape = Shape::new([dim(x, 0), dim(weight, 0), height, width]);
    let convolved = B::float_zeros(shape, &x.device(), FloatDType::F32);
    <B as ModuleOps<B>>::max_pool2d_with_indices_backward(
        convolved,
        [pool; 2],
        [pool; 2],
        [0; 2],
        [1; 2],
        false,
        dy,
        forward.indices,
    )
    .x_grad
}

fn convolution_parameters_backward<B: Backend>(
    x: FloatTensor<B>,
    weight: FloatTensor<B>,
    dy: FloatTensor<B>,
) -> Affine<B> {
    let sum = B::float_sum_dim(B::float_sum_dim(B::float_sum_dim(dy.clone(), 0), 2), 3);
    Affine {
        weight: <B as ModuleOps<B>>::conv2d_weight_backward(x, weight, dy, conv_options(1, 0)),
        bias: narrow::<B>(sum),
    }
}

pub(super) fn conv_relu_pool_backward<B: Backend>(
    x: FloatTensor<B>,
    weight: FloatTensor<B>,
    forward: Pooled<B>,
    dy: FloatTensor<B>,
    pool: usize,
) -> AffineGradients<B> {
    let dy = pool_backward(&x, &weight, forward, dy, pool);
    AffineGradients {
        x: input_backward::<B>(x.clone(), weight.clone(), dy.clone(), 1, 0),
        parameters: convolution_parameters_backward(x, weight, dy),
    }
}

pub(super) fn conv_relu_pool_backward_parameters<B: Backend>(
    x: FloatTensor<B>,
    weight: FloatTensor<B>,
    forward: Pooled<B>,
    dy: FloatTensor<B>,
    pool: usize,
) -> Affine<B> {
    let dy = pool_backward(&x, &weight, forward, dy, pool);
    convolution_parameters_backward(x, weight, dy)
}

pub(super) fn linear<B: Backend>(
    x: FloatTensor<B>,
    parameters: Affine<B>,
    rectify: bool,
) -> FloatTensor<B> {
    let features = dim(&parameters.bias, 0);
    let bias = B::float_reshape(parameters.bias, Shape::new([1, features]));
    let y = B::float_add(
        B::float_matmul(x, B::float_transpose(parameters.weight)),
        bias,
    );
    if rectify { relu::<B>(y) } else { y }
}

pub(super) fn linear_backward<B: Backend>(
    x: FloatTensor<B>,
    weight: FloatTensor<B>,
    y: FloatTensor<B>,
    dy: FloatTensor<B>,
    rectify: bool,
) -> AffineGradients<B> {
    let dy = if rectify {
        relu_backward::<B>(y, dy)
    } else {
        dy
    };
    let features = dim(&dy, 1);
    let bias = B::float_reshape(B::float_sum_dim(dy.clone(), 0), Shape::new([features]));
    AffineGradients {
        x: B::float_matmul(dy.clone(), weight),
        parameters: Affine {
            weight: B::float_matmul(B::float_transpose(dy), x),
            bias,
        },
    }
}

pub(super) fn global_avg_pool<B: Backend>(x: FloatTensor<B>) -> FloatTensor<B> {
    let shape = Shape::new([dim(&x, 0), dim(&x, 1)]);
    B::float_reshape(B::float_mean_dim(B::float_mean_dim(x, 3), 2), shape)
}

pub(super) fn global_avg_pool_backward<B: Backend>(
    dy: FloatTensor<B>,
    height: usize,
    width: usize,
) -> FloatTensor<B> {
    let (batch, channels) = (dim(&dy, 0), dim(&dy, 1));
    let share = B::float_div_scalar(dy, ((height * width) as f32).into());
    let share = B::float_reshape(share, Shape::new([batch, channels, 1, 1]));
    B::float_expand(share, Shape::new([batch, channels, height, width]))
}

pub(super) fn cross_entropy<B: Backend>(
    logits: FloatTensor<B>,
    targets: IntTensor<B>,
    smoothing: f32,
) -> CrossEntropy<B> {
    let (batch, classes) = (dim(&logits, 0), dim(&logits, 1));
    let log_probabilities = <B as ActivationOps<B>>::log_softmax(logits, 1);
    let targets = B::int_reshape(targets, Shape::new([batch, 1]));
    let of_target = B::float_gather(1, log_probabilities.clone(), targets.clone());
    let of_target = B::float_mul_scalar(B::float_mean(of_target), (smoothing - 1.0).into());
    let of_all = B::float_mul_scalar(B::float_mean(log_probabilities.clone()), smoothing.into());
    let loss = B::float_sub(of_target, of_all);

    let device = log_probabilities.device();
    let everywhere = smoothing / classes as f32;
    let probabilities = B::float_exp(log_probabilities);
    let excess = B::float_sub_scalar(probabilities, everywhere.into());
    let hits = B::float_ones(Shape::new([batch, 1]), &device, FloatDType::F32);
    let hits = B::float_mul_scalar(hits, (smoothing - 1.0).into());
    let gradient = B::float_scatter(1, excess, targets, hits, IndexingUpdateOp::Add);
    CrossEntropy {
        loss: B::float_reshape(loss, Shape::new([1])),
        gradient: B::float_div_scalar(gradient, (batch as f32).into()),
    }
}

pub(super) fn scale_gradient<B: Backend>(
    gradient: FloatTensor<B>,
    factor: FloatTensor<B>,
) -> FloatTensor<B> {
    B::float_mul(gradient, B::float_reshape(factor, Shape::new([1, 1])))
}

pub(super) fn sgd_step<B: Backend>(
    weight: FloatTensor<B>,
    gradient: FloatTensor<B>,
    velocity: FloatTensor<B>,
    settings: Sgd,
) -> Stepped<B> {
    let scaled = |t, by: f32| B::float_mul_scalar(t, by.into());
    let gradient = if settings.weight_decay == 0.0 {
        gradient
    } else {
        B::float_add(gradient, scaled(weight.clone(), settings.weight_decay))
    };
    let velocity = B::float_add(scaled(velocity, settings.momentum), gradient.clone());
    let direction = if settings.nesterov {
        B::float_add(gradient, scaled(velocity.clone(), settings.momentum))
    } else {
        velocity.clone()
    };
    Stepped {
        weight: B::float_sub(weight, scaled(direction, settings.lr)),
        velocity,
    }
}
