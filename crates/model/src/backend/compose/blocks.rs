//! Normalised convolutions and residual blocks of Burn's own operations.

use burn::backend::Backend;
use burn::backend::ops::ModuleOps;
use burn::backend::tensor::FloatTensor;

use super::{conv_options, dim, input_backward, narrow, relu, relu_backward, wide};
use crate::backend::EPSILON;
use crate::backend::types::{
    Affine, AffineGradients, ConvNorm, ConvNormGradients, ConvNormRelu, Convolved,
    ProjectedResidual, ProjectedResidualGradients, Residual, ResidualGradients, Statistics,
};

/// Mean over batch and pixels, `[1, channels, 1, 1]`.
fn channel_mean<B: Backend>(x: FloatTensor<B>) -> FloatTensor<B> {
    B::float_mean_dim(B::float_mean_dim(B::float_mean_dim(x, 3), 2), 0)
}

/// `1 / sqrt(variance + epsilon)`.
fn inverse_deviation<B: Backend>(variance: FloatTensor<B>, epsilon: f32) -> FloatTensor<B> {
    B::float_recip(B::float_sqrt(B::float_add_scalar(variance, epsilon.into())))
}

/// A convolution, and the statistics of its output.
fn convolve<B: Backend>(
    x: FloatTensor<B>,
    weight: FloatTensor<B>,
    stride: usize,
    padding: usize,
) -> Convolved<B> {
    let options = conv_options(stride, padding);
    statistics(<B as ModuleOps<B>>::conv2d(x, weight, None, options))
}

/// Scale and shift of a normalisation that stands alone, as those of one after a convolution.
fn alone<B: Backend>(parameters: Affine<B>) -> ConvNorm<B> {
    ConvNorm {
        // Nothing reads the weights of a convolution that there is not.
        weight: parameters.weight.clone(),
        gamma: parameters.weight,
        beta: parameters.bias,
    }
}

pub(in crate::backend) fn norm_relu<B: Backend>(
    x: FloatTensor<B>,
    parameters: Affine<B>,
) -> ConvNormRelu<B> {
    let convolved = statistics(x);
    ConvNormRelu {
        y: relu::<B>(normalize(&convolved, &alone(parameters), EPSILON)),
        convolved,
    }
}

pub(in crate::backend) fn norm_relu_backward<B: Backend>(
    parameters: Affine<B>,
    forward: ConvNormRelu<B>,
    dy: FloatTensor<B>,
) -> AffineGradients<B> {
    let dy = relu_backward::<B>(forward.y, dy);
    let (x, weight, bias) = output_backward(&forward.convolved, &alone(parameters), dy, EPSILON);
    AffineGradients {
        x,
        parameters: Affine { weight, bias },
    }
}

pub(in crate::backend) fn follow_statistics<B: Backend>(
    running: Statistics<B>,
    batch: Statistics<B>,
    keep: f32,
    take: [f32; 2],
) -> Statistics<B> {
    let follow = |running, batch, take: f32| {
        let kept = B::float_mul_scalar(running, keep.into());
        B::float_add(kept, B::float_mul_scalar(batch, take.into()))
    };
    Statistics {
        mean: follow(running.mean, batch.mean, take[0]),
        variance: follow(running.variance, batch.variance, take[1]),
    }
}

/// What a normalisation takes, and its statistics.
pub(super) fn statistics<B: Backend>(output: FloatTensor<B>) -> Convolved<B> {
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
fn standardize<B: Backend>(convolved: &Convolved<B>, epsilon: f32) -> FloatTensor<B> {
    let centred = B::float_sub(convolved.output.clone(), wide::<B>(convolved.mean.clone()));
    let inverse = inverse_deviation::<B>(wide::<B>(convolved.variance.clone()), epsilon);
    B::float_mul(centred, inverse)
}

/// The output of a convolution, normalised with scale and shift.
pub(super) fn normalize<B: Backend>(
    convolved: &Convolved<B>,
    parameters: &ConvNorm<B>,
    epsilon: f32,
) -> FloatTensor<B> {
    let gamma = wide::<B>(parameters.gamma.clone());
    let scaled = B::float_mul(standardize(convolved, epsilon), gamma);
    B::float_add(scaled, wide::<B>(parameters.beta.clone()))
}

/// The gradients of a normalisation by what it takes, by scale and by shift.
pub(super) fn output_backward<B: Backend>(
    convolved: &Convolved<B>,
    parameters: &ConvNorm<B>,
    dy: FloatTensor<B>,
    epsilon: f32,
) -> (FloatTensor<B>, FloatTensor<B>, FloatTensor<B>) {
    let output = &convolved.output;
    let count = (dim(output, 0) * dim(output, 2) * dim(output, 3)) as f32;
    let inverse = inverse_deviation::<B>(wide::<B>(convolved.variance.clone()), epsilon);
    let standard = standardize(convolved, epsilon);
    let mean_dy = channel_mean::<B>(dy.clone());
    let mean_product = channel_mean::<B>(B::float_mul(dy.clone(), standard.clone()));
    let inner = B::float_sub(
        B::float_sub(dy, mean_dy.clone()),
        B::float_mul(standard, mean_product.clone()),
    );
    let scale = B::float_mul(inverse, wide::<B>(parameters.gamma.clone()));
    let total = |t| narrow::<B>(B::float_mul_scalar(t, count.into()));
    (
        B::float_mul(inner, scale),
        total(mean_product),
        total(mean_dy),
    )
}

/// The gradients by scale and shift of a normalisation, and by the convolution's output and
/// weights before it, of stride, padding and epsilon.
pub(super) fn normalize_backward<B: Backend>(
    x: FloatTensor<B>,
    convolved: &Convolved<B>,
    parameters: &ConvNorm<B>,
    dy: FloatTensor<B>,
    (stride, padding, epsilon): (usize, usize, f32),
) -> (FloatTensor<B>, ConvNorm<B>) {
    let (d_output, gamma, beta) = output_backward(convolved, parameters, dy, epsilon);
    let weight = <B as ModuleOps<B>>::conv2d_weight_backward(
        x,
        parameters.weight.clone(),
        d_output.clone(),
        conv_options(stride, padding),
    );
    let gradients = ConvNorm {
        weight,
        gamma,
        beta,
    };
    (d_output, gradients)
}

pub(in crate::backend) fn conv_norm_relu<B: Backend>(
    x: FloatTensor<B>,
    parameters: ConvNorm<B>,
    stride: usize,
    padding: usize,
) -> ConvNormRelu<B> {
    let convolved = convolve(x, parameters.weight.clone(), stride, padding);
    ConvNormRelu {
        y: relu::<B>(normalize(&convolved, &parameters, EPSILON)),
        convolved,
    }
}

pub(in crate::backend) fn conv_norm_relu_backward<B: Backend>(
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
        (stride, padding, EPSILON),
    );
    ConvNormGradients {
        x: input_backward::<B>(x, parameters.weight, d_output, stride, padding),
        parameters: gradients,
    }
}

pub(in crate::backend) fn conv_norm_relu_backward_parameters<B: Backend>(
    x: FloatTensor<B>,
    parameters: ConvNorm<B>,
    forward: ConvNormRelu<B>,
    dy: FloatTensor<B>,
    stride: usize,
    padding: usize,
) -> ConvNorm<B> {
    let dy = relu_backward::<B>(forward.y, dy);
    normalize_backward(
        x,
        &forward.convolved,
        &parameters,
        dy,
        (stride, padding, EPSILON),
    )
    .1
}

pub(in crate::backend) fn residual<B: Backend>(
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
    let middle = relu::<B>(normalize(&of_first, &first, EPSILON));
    let of_second = convolve(middle, second.weight.clone(), 1, 1);
    let sum = B::float_add(normalize(&of_second, &second, EPSILON), around);
    Residual {
        y: relu::<B>(sum),
        first: of_first,
        second: of_second,
    }
}

pub(in crate::backend) fn residual_backward<B: Backend>(
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
    let middle = relu::<B>(normalize(&forward.first, &first, EPSILON));
    let (d_second, of_second) = normalize_backward(
        middle.clone(),
        &forward.second,
        &second,
        dy,
        (1, 1, EPSILON),
    );
    let d_middle = input_backward::<B>(middle.clone(), second.weight, d_second, 1, 1);
    let d_middle = relu_backward::<B>(middle, d_middle);
    let (d_first, of_first) = normalize_backward(
        x.clone(),
        &forward.first,
        &first,
        d_middle,
        (stride, 1, EPSILON),
    );
    ResidualGradients {
        x: input_backward::<B>(x, first.weight, d_first, stride, 1),
        first: of_first,
        second: of_second,
    }
}

pub(in crate::backend) fn projected_residual<B: Backend>(
    x: FloatTensor<B>,
    first: ConvNorm<B>,
    second: ConvNorm<B>,
    projection: ConvNorm<B>,
    stride: usize,
) -> ProjectedResidual<B> {
    let projected = convolve(x.clone(), projection.weight.clone(), stride, 0);
    let around = normalize(&projected, &projection, EPSILON);
    ProjectedResidual {
        main: block(x, first, second, stride, around),
        projection: projected,
    }
}

pub(in crate::backend) fn projected_residual_backward<B: Backend>(
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
        (stride, 0, EPSILON),
    );
    let around = input_backward::<B>(x.clone(), projection.weight, d_projected, stride, 0);
    let mut main = block_backward(x, first, second, forward.main, dy, stride);
    main.x = B::float_add(main.x, around);
    ProjectedResidualGradients {
        main,
        projection: of_projection,
    }
}
