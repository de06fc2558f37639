//! Normalised convolutions and residual blocks of Burn's own operations.

use burn::backend::Backend;
use burn::backend::ops::ModuleOps;
use burn::backend::tensor::FloatTensor;

use super::{conv_options, dim, input_backward, narrow, relu, relu_backward, wide};
use crate::backend::EPSILON;
use crate::backend::types::{
    ConvNorm, ConvNormGradients, ConvNormRelu, Convolved, ProjectedResidual,
    ProjectedResidualGradients, Residual, ResidualGradients,
};

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

pub(in crate::backend) fn conv_norm_relu<B: Backend>(
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
        stride,
        padding,
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
    normalize_backward(x, &forward.convolved, &parameters, dy, stride, padding).1
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
    let middle = relu::<B>(normalize(&of_first, &first));
    let of_second = convolve(middle, second.weight.clone(), 1, 1);
    let sum = B::float_add(normalize(&of_second, &second), around);
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

pub(in crate::backend) fn projected_residual<B: Backend>(
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
