//! Layers without normalisation, the loss, and the optimiser's step, by the kernels of
//! `cpu-kernels`.

use burn::backend::tensor::{FloatTensor, IntTensor};
use cpu_kernels::block::conv_pool;
use cpu_kernels::{
    Activation, ChannelShape, ConvPoolShape, ConvShape, LinearShape, LossShape, buffer, conv2d,
    conv2d_backward_input, conv2d_backward_weight,
};

use super::packed;
use super::tensors::{HostImages, HostTensors, Values, dims};
use super::{checked, context};
use crate::backend::types::{
    AdamWStep, AdamWStepped, Affine, AffineGradients, CrossEntropy, Means, Pooled, SgdStep, Stepped,
};

pub(super) fn convolve<B: HostTensors>(
    x: FloatTensor<B>,
    weight: FloatTensor<B>,
    stride: usize,
    padding: usize,
) -> FloatTensor<B> {
    let shape = checked(ConvShape::new(dims(&x), dims(&weight), stride, padding));
    let (x, weight) = (B::pixels(x), B::rows(weight));
    let mut y = buffer(shape.output_len());
    let (x, weight) = (x.as_slice(), weight.as_slice());
    checked(conv2d(context(), &shape, x, weight, &mut y));
    B::from_pixels(shape.output(), y)
}

pub(super) fn convolve_backward<B: HostTensors>(
    x: FloatTensor<B>,
    weight: FloatTensor<B>,
    dy: FloatTensor<B>,
    [stride, padding]: [usize; 2],
    by_input: bool,
) -> (FloatTensor<B>, FloatTensor<B>) {
    let (input, weight_dims) = (dims(&x), dims::<4>(&weight));
    let shape = checked(ConvShape::new(input, weight_dims, stride, padding));
    let (values, weight_values, dy) = (B::pixels(x.clone()), B::rows(weight), B::pixels(dy));
    let mut dw = buffer(shape.weight_len());
    checked(conv2d_backward_weight(
        context(),
        &shape,
        values.as_slice(),
        dy.as_slice(),
        &mut dw,
    ));
    let by_weight = B::from_rows(&weight_dims, dw);
    if !by_input {
        return (x, by_weight);
    }
    let mut dx = buffer(shape.input_len());
    checked(conv2d_backward_input(
        context(),
        &shape,
        weight_values.as_slice(),
        dy.as_slice(),
        &mut dx,
    ));
    (B::from_pixels(input, dx), by_weight)
}

pub(super) fn conv_bias<B: HostTensors>(
    x: FloatTensor<B>,
    parameters: Affine<B>,
    around: Option<FloatTensor<B>>,
    [stride, padding]: [usize; 2],
    activation: Activation,
) -> FloatTensor<B> {
    let shape = checked(ConvShape::new(
        dims(&x),
        dims(&parameters.weight),
        stride,
        padding,
    ));
    let [batch, _, _, _] = dims(&x);
    let x = HostImages::<B>::new(x);
    let (weight, bias) = (B::rows(parameters.weight), B::rows(parameters.bias));
    let around = around.map(B::pixels);
    let mut y = buffer(shape.output_len());
    let prepared = packed::prepared(&shape, weight);
    checked(prepared.run(
        batch,
        x.images(),
        bias.as_slice(),
        around.as_ref().map(Values::as_slice),
        activation,
        &mut y,
    ));
    B::from_pixels(shape.output(), y)
}

pub(super) fn conv_relu_pool<B: HostTensors>(
    x: FloatTensor<B>,
    parameters: Affine<B>,
    pool: usize,
) -> Pooled<B> {
    let shape = checked(ConvPoolShape::new(dims(&x), dims(&parameters.weight), pool));
    let x = HostImages::<B>::new(x);
    let (weight, bias) = (B::rows(parameters.weight), B::rows(parameters.bias));
    let mut y = buffer(shape.output_len());
    let mut indices = vec![0; shape.output_len()];
    checked(conv_pool::forward(
        context(),
        &shape,
        x.images(),
        weight.as_slice(),
        bias.as_slice(),
        &mut y,
        &mut indices,
    ));
    Pooled {
        y: B::from_rows(&shape.output(), y),
        indices: B::from_bytes(&shape.output(), indices),
    }
}

/// The gradients by the parameters, and by the input where `by_input` asks for it.
fn conv_relu_pool_gradients<B: HostTensors>(
    x: FloatTensor<B>,
    weight: FloatTensor<B>,
    forward: Pooled<B>,
    dy: FloatTensor<B>,
    pool: usize,
    by_input: bool,
) -> (Vec<f32>, [usize; 4], Affine<B>) {
    let (input, weight_dims) = (dims(&x), dims(&weight));
    let shape = checked(ConvPoolShape::new(input, weight_dims, pool));
    let x = HostImages::<B>::new(x);
    let (weight, y, dy) = (B::rows(weight), B::rows(forward.y), B::rows(dy));
    let mut dw = buffer(shape.weight_len());
    let mut db = buffer(shape.bias_len());
    let mut dx = buffer(if by_input { shape.input_len() } else { 0 });
    B::with_bytes(forward.indices, |indices| {
        checked(conv_pool::backward(
            context(),
            &shape,
            x.images(),
            weight.as_slice(),
            y.as_slice(),
            indices,
            dy.as_slice(),
            &mut dw,
            &mut db,
            &mut dx,
        ));
    });
    let parameters = Affine {
        weight: B::from_rows(&weight_dims, dw),
        bias: B::from_rows(&[weight_dims[0]], db),
    };
    (dx, input, parameters)
}

pub(super) fn conv_relu_pool_backward<B: HostTensors>(
    x: FloatTensor<B>,
    weight: FloatTensor<B>,
    forward: Pooled<B>,
    dy: FloatTensor<B>,
    pool: usize,
) -> AffineGradients<B> {
    let (dx, input, parameters) = conv_relu_pool_gradients(x, weight, forward, dy, pool, true);
    AffineGradients {
        x: B::from_rows(&input, dx),
        parameters,
    }
}

pub(super) fn conv_relu_pool_backward_parameters<B: HostTensors>(
    x: FloatTensor<B>,
    weight: FloatTensor<B>,
    forward: Pooled<B>,
    dy: FloatTensor<B>,
    pool: usize,
) -> Affine<B> {
    conv_relu_pool_gradients(x, weight, forward, dy, pool, false).2
}

pub(super) fn linear<B: HostTensors>(
    x: FloatTensor<B>,
    parameters: Affine<B>,
    rectify: bool,
) -> FloatTensor<B> {
    let [batch, _] = dims(&x);
    let [out_features, in_features] = dims(&parameters.weight);
    let shape = checked(LinearShape::new(batch, in_features, out_features));
    let (x, weight) = (B::rows(x), B::rows(parameters.weight));
    let bias = B::rows(parameters.bias);
    let mut y = buffer(shape.output_len());
    checked(cpu_kernels::linear(
        context(),
        &shape,
        x.as_slice(),
        weight.as_slice(),
        bias.as_slice(),
        rectify,
        &mut y,
    ));
    B::from_rows(&[batch, out_features], y)
}

pub(super) fn linear_backward<B: HostTensors>(
    x: FloatTensor<B>,
    weight: FloatTensor<B>,
    y: FloatTensor<B>,
    dy: FloatTensor<B>,
    rectify: bool,
) -> AffineGradients<B> {
    let [batch, _] = dims(&x);
    let [out_features, in_features] = dims(&weight);
    let shape = checked(LinearShape::new(batch, in_features, out_features));
    let (x, weight, y, dy) = (B::rows(x), B::rows(weight), B::rows(y), B::rows(dy));
    let mut dx = buffer(shape.input_len());
    let mut dw = buffer(shape.weight_len());
    let mut db = buffer(shape.bias_len());
    checked(cpu_kernels::linear_backward(
        context(),
        &shape,
        x.as_slice(),
        weight.as_slice(),
        rectify.then(|| y.as_slice()),
        dy.as_slice(),
        &mut dx,
        &mut dw,
        &mut db,
    ));
    AffineGradients {
        x: B::from_rows(&[batch, in_features], dx),
        parameters: Affine {
            weight: B::from_rows(&[out_features, in_features], dw),
            bias: B::from_rows(&[out_features], db),
        },
    }
}

pub(super) fn global_avg_pool<B: HostTensors>(x: FloatTensor<B>) -> FloatTensor<B> {
    let [batch, channels, height, width] = dims(&x);
    let shape = checked(ChannelShape::new(batch, channels, height * width));
    let x = B::pixels(x);
    let mut y = buffer(batch * channels);
    checked(cpu_kernels::global_avg_pool(
        context(),
        &shape,
        x.as_slice(),
        &mut y,
    ));
    B::from_rows(&[batch, channels], y)
}

pub(super) fn global_avg_pool_backward<B: HostTensors>(
    dy: FloatTensor<B>,
    height: usize,
    width: usize,
) -> FloatTensor<B> {
    let [batch, channels] = dims(&dy);
    let shape = checked(ChannelShape::new(batch, channels, height * width));
    let dy = B::rows(dy);
    let mut dx = buffer(shape.input_len());
    checked(cpu_kernels::global_avg_pool_backward(
        context(),
        &shape,
        dy.as_slice(),
        &mut dx,
    ));
    B::from_pixels([batch, channels, height, width], dx)
}

pub(super) fn cross_entropy<B: HostTensors>(
    logits: FloatTensor<B>,
    targets: IntTensor<B>,
    smoothing: f32,
) -> CrossEntropy<B> {
    let [batch, classes] = dims(&logits);
    let shape = checked(LossShape::new(batch, classes));
    let logits = B::rows(logits);
    let mut gradient = buffer(batch * classes);
    let loss = B::with_integers(targets, |labels| {
        checked(cpu_kernels::softmax_cross_entropy(
            &shape,
            logits.as_slice(),
            labels,
            smoothing,
            &mut gradient,
        ))
    });
    CrossEntropy {
        loss: B::from_rows(&[1], vec![loss]),
        gradient: B::from_rows(&[batch, classes], gradient),
    }
}

pub(super) fn scale_gradient<B: HostTensors>(
    gradient: FloatTensor<B>,
    factor: FloatTensor<B>,
) -> FloatTensor<B> {
    let factor = B::rows(factor).as_slice().first().copied().unwrap_or(1.0);
    // A loss that is differentiated by itself, the usual case.
    if factor == 1.0 {
        return gradient;
    }
    let shape: [usize; 2] = dims(&gradient);
    let mut values = B::into_vec(gradient);
    for value in &mut values {
        *value *= factor;
    }
    B::from_rows(&shape, values)
}

pub(super) fn sgd_step<B: HostTensors>(
    weight: FloatTensor<B>,
    gradient: FloatTensor<B>,
    velocity: FloatTensor<B>,
    settings: SgdStep,
) -> Stepped<B> {
    let shape = burn::backend::TensorMetadata::shape(&weight).to_vec();
    let (mut weight, mut velocity) = (B::into_vec(weight), B::into_vec(velocity));
    let gradient = B::rows(gradient);
    checked(cpu_kernels::sgd_step(
        context(),
        &settings,
        &mut weight,
        gradient.as_slice(),
        &mut velocity,
        false,
    ));
    Stepped {
        weight: B::from_rows(&shape, weight),
        velocity: B::from_rows(&shape, velocity),
    }
}

pub(super) fn adamw_step<B: HostTensors>(
    weight: FloatTensor<B>,
    gradient: FloatTensor<B>,
    means: Means<B>,
    settings: AdamWStep,
) -> AdamWStepped<B> {
    let shape = burn::backend::TensorMetadata::shape(&weight).to_vec();
    let [mut weight, mut first, mut second] = [weight, means.first, means.second].map(B::into_vec);
    let gradient = B::rows(gradient);
    checked(cpu_kernels::adamw_step(
        context(),
        &settings,
        &mut weight,
        gradient.as_slice(),
        &mut first,
        &mut second,
    ));
    let [weight, first, second] =
        [weight, first, second].map(|values| B::from_rows(&shape, values));
    AdamWStepped {
        weight,
        means: Means { first, second },
    }
}
