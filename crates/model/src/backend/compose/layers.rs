//! Layers without normalisation, the loss and the optimiser's step of Burn's own operations.

use burn::backend::ops::{ActivationOps, ModuleOps};
use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Backend, TensorMetadata};
use burn::tensor::{FloatDType, IndexingUpdateOp, Shape};

use super::{
    conv_options, dim, input_backward, max_pool, max_pool_backward, narrow, relu, relu_backward,
    wide,
};
use crate::backend::types::{
    AdamWStep, AdamWStepped, Affine, AffineGradients, CrossEntropy, Means, Pooled, SgdStep, Stepped,
};

pub(in crate::backend) fn convolve<B: Backend>(
    x: FloatTensor<B>,
    weight: FloatTensor<B>,
    stride: usize,
    padding: usize,
) -> FloatTensor<B> {
    <B as ModuleOps<B>>::conv2d(x, weight, None, conv_options(stride, padding))
}

pub(in crate::backend) fn convolve_backward<B: Backend>(
    x: FloatTensor<B>,
    weight: FloatTensor<B>,
    dy: FloatTensor<B>,
    stride: usize,
    padding: usize,
) -> (FloatTensor<B>, FloatTensor<B>) {
    let options = conv_options(stride, padding);
    let by_weight =
        <B as ModuleOps<B>>::conv2d_weight_backward(x.clone(), weight.clone(), dy.clone(), options);
    let by_input = input_backward::<B>(x, weight, dy, stride, padding);
    (by_input, by_weight)
}

pub(in crate::backend) fn conv_bias<B: Backend>(
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

pub(in crate::backend) fn conv_bias_add_relu<B: Backend>(
    x: FloatTensor<B>,
    parameters: Affine<B>,
    around: FloatTensor<B>,
) -> FloatTensor<B> {
    let y = conv_bias(x, parameters, 1, 1, false);
    relu::<B>(B::float_add(y, around))
}

pub(in crate::backend) fn conv_relu_pool<B: Backend>(
    x: FloatTensor<B>,
    parameters: Affine<B>,
    pool: usize,
) -> Pooled<B> {
    let convolved = <B as ModuleOps<B>>::conv2d(x, parameters.weight, None, conv_options(1, 0));
    let convolved = B::float_add(convolved, wide::<B>(parameters.bias));
    max_pool::<B>(relu::<B>(convolved), [pool; 2])
}

/// The gradient before the rectifier of [`conv_relu_pool`].
fn pool_backward<B: Backend>(
    x: &FloatTensor<B>,
    weight: &FloatTensor<B>,
    forward: Pooled<B>,
    dy: FloatTensor<B>,
    pool: usize,
) -> FloatTensor<B> {
    // The rectifier is open exactly where a maximum is above zero.
    let dy = relu_backward::<B>(forward.y, dy);
    let (height, width) = (
        dim(x, 2) + 1 - dim(weight, 2),
        dim(x, 3) + 1 - dim(weight, 3),
    );
    let shape = [dim(x, 0), dim(weight, 0), height, width];
    max_pool_backward::<B>(shape, [pool; 2], dy, forward.indices)
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

pub(in crate::backend) fn conv_relu_pool_backward<B: Backend>(
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

pub(in crate::backend) fn conv_relu_pool_backward_parameters<B: Backend>(
    x: FloatTensor<B>,
    weight: FloatTensor<B>,
    forward: Pooled<B>,
    dy: FloatTensor<B>,
    pool: usize,
) -> Affine<B> {
    let dy = pool_backward(&x, &weight, forward, dy, pool);
    convolution_parameters_backward(x, weight, dy)
}

pub(in crate::backend) fn linear<B: Backend>(
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

pub(in crate::backend) fn linear_backward<B: Backend>(
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

pub(in crate::backend) fn global_avg_pool<B: Backend>(x: FloatTensor<B>) -> FloatTensor<B> {
    let shape = Shape::new([dim(&x, 0), dim(&x, 1)]);
    B::float_reshape(B::float_mean_dim(B::float_mean_dim(x, 3), 2), shape)
}

pub(in crate::backend) fn global_avg_pool_backward<B: Backend>(
    dy: FloatTensor<B>,
    height: usize,
    width: usize,
) -> FloatTensor<B> {
    let (batch, channels) = (dim(&dy, 0), dim(&dy, 1));
    let share = B::float_div_scalar(dy, ((height * width) as f32).into());
    let share = B::float_reshape(share, Shape::new([batch, channels, 1, 1]));
    B::float_expand(share, Shape::new([batch, channels, height, width]))
}

pub(in crate::backend) fn cross_entropy<B: Backend>(
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

pub(in crate::backend) fn scale_gradient<B: Backend>(
    gradient: FloatTensor<B>,
    factor: FloatTensor<B>,
) -> FloatTensor<B> {
    B::float_mul(gradient, B::float_reshape(factor, Shape::new([1, 1])))
}

pub(in crate::backend) fn adamw_step<B: Backend>(
    weight: FloatTensor<B>,
    gradient: FloatTensor<B>,
    means: Means<B>,
    settings: AdamWStep,
) -> AdamWStepped<B> {
    let scaled = |t, by: f32| B::float_mul_scalar(t, by.into());
    let follow = |mean, beta: f32, value| {
        let taken = scaled(value, 1.0 - beta);
        B::float_add(scaled(mean, beta), taken)
    };
    let square = B::float_mul(gradient.clone(), gradient.clone());
    let first = follow(means.first, settings.beta1, gradient);
    let second = follow(means.second, settings.beta2, square);
    let [share1, share2] = settings.shares;
    let root = B::float_sqrt(B::float_div_scalar(second.clone(), share2.into()));
    let divisor = B::float_add_scalar(root, settings.epsilon.into());
    let step = scaled(B::float_div(first.clone(), divisor), settings.lr / share1);
    let kept = scaled(weight, 1.0 - settings.lr * settings.weight_decay);
    AdamWStepped {
        weight: B::float_sub(kept, step),
        means: Means { first, second },
    }
}

pub(in crate::backend) fn sgd_step<B: Backend>(
    weight: FloatTensor<B>,
    gradient: FloatTensor<B>,
    velocity: FloatTensor<B>,
    settings: SgdStep,
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
