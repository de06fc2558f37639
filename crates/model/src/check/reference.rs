//! What the operations should give, made of Burn's own.

use burn::tensor::activation::{log_softmax, relu};
use burn::tensor::ops::{ConvOptions, MaxPoolOptions};
use burn::tensor::{Int, Tensor, module};

use super::operations::{Biased, Normalised, Operations};
use crate::backend::EPSILON;
use crate::backend::types::{AdamWStep, MuonStep, SgdStep};

/// The operations as Burn's own convolutions, normalisations and sums, and their gradients as Burn's own
/// autodiff has them, in the precision of their arguments.
#[derive(Debug, Clone, Copy)]
pub struct Reference;

/// A convolution with square strides and zero padding.
pub(super) fn convolution(
    x: Tensor<4>,
    weight: Tensor<4>,
    stride: usize,
    padding: usize,
) -> Tensor<4> {
    let options = ConvOptions::new([stride; 2], [padding; 2], [1; 2], 1);
    module::conv2d(x, weight, None, options)
}

/// `x` plus a number for each channel.
pub(super) fn add_bias(x: Tensor<4>, bias: Tensor<1>) -> Tensor<4> {
    let [channels] = bias.dims();
    x + bias.reshape([1, channels, 1, 1])
}

/// `x` normalised by its own statistics, with a scale and a shift for each channel.
pub(super) fn normalise(
    x: Tensor<4>,
    gamma: Tensor<1>,
    beta: Tensor<1>,
    epsilon: f32,
) -> Tensor<4> {
    module::batch_norm_train(x, gamma, beta, f64::from(epsilon)).output
}

/// The exact Gaussian error linear unit (Hendrycks and Gimpel, 2016, arXiv:1606.08415).
pub(super) fn gelu(x: Tensor<4>) -> Tensor<4> {
    let cdf = x.clone().mul_scalar(std::f64::consts::FRAC_1_SQRT_2).erf();
    x * (cdf + 1.0).mul_scalar(0.5)
}

/// The maxima of windows of `height` by `width` pixels that do not overlap.
pub(super) fn max_pool(x: Tensor<4>, window: [usize; 2]) -> Tensor<4> {
    module::max_pool2d(x, MaxPoolOptions::new(window))
}

fn conv_norm(
    x: Tensor<4>,
    p: &Normalised,
    stride: usize,
    padding: usize,
    epsilon: f32,
) -> Tensor<4> {
    let x = convolution(x, p.weight.clone(), stride, padding);
    normalise(x, p.gamma.clone(), p.beta.clone(), epsilon)
}

fn conv_bias(x: Tensor<4>, p: &Biased<4>, stride: usize, padding: usize) -> Tensor<4> {
    let x = convolution(x, p.weight.clone(), stride, padding);
    add_bias(x, p.bias.clone())
}

/// The first GELU of a group, and what goes into its second.
fn group(
    x: Tensor<4>,
    first: &Normalised,
    second: &Normalised,
    epsilon: f32,
) -> (Tensor<4>, Tensor<4>) {
    let maxima = max_pool(convolution(x, first.weight.clone(), 1, 1), [2, 2]);
    let normalised = normalise(maxima, first.gamma.clone(), first.beta.clone(), epsilon);
    let around = gelu(normalised);
    let second = conv_norm(around.clone(), second, 1, 1, epsilon);
    (around, second)
}

/// The matrix over its norm after some iterations of Newton and Schulz (Jordan, 2024,
/// <https://kellerjordan.github.io/posts/muon>). The formula has the rows as its square's sides whichever side is
/// longer: `x x' x` is the same product from either.
fn orthogonal(matrix: Tensor<2>, steps: usize) -> Tensor<2> {
    let norm = (matrix.clone() * matrix.clone()).sum().sqrt();
    let x = matrix / norm.add_scalar(1e-7).unsqueeze();
    (0..steps).fold(x, |x, _| {
        let square = x.clone().matmul(x.clone().transpose());
        let third = square.clone().matmul(x.clone());
        let fifth = square.matmul(third.clone());
        x.mul_scalar(3.4445) - third.mul_scalar(4.7750) + fifth.mul_scalar(2.0315)
    })
}

impl Operations for Reference {
    fn conv_norm_relu(
        &self,
        x: Tensor<4>,
        p: &Normalised,
        stride: usize,
        padding: usize,
    ) -> Tensor<4> {
        relu(conv_norm(x, p, stride, padding, EPSILON))
    }

    fn norm_relu(&self, x: Tensor<4>, p: &Biased<1>) -> Tensor<4> {
        relu(normalise(x, p.weight.clone(), p.bias.clone(), EPSILON))
    }

    fn convolve(
        &self,
        x: Tensor<4>,
        weight: Tensor<4>,
        stride: usize,
        padding: usize,
    ) -> Tensor<4> {
        convolution(x, weight, stride, padding)
    }

    fn residual(&self, x: Tensor<4>, [first, second]: &[Normalised; 2]) -> Tensor<4> {
        let middle = relu(conv_norm(x.clone(), first, 1, 1, EPSILON));
        relu(conv_norm(middle, second, 1, 1, EPSILON) + x)
    }

    fn projected_residual(
        &self,
        x: Tensor<4>,
        [first, second, projection]: &[Normalised; 3],
        stride: usize,
    ) -> Tensor<4> {
        let middle = relu(conv_norm(x.clone(), first, stride, 1, EPSILON));
        let around = conv_norm(x, projection, stride, 0, EPSILON);
        relu(conv_norm(middle, second, 1, 1, EPSILON) + around)
    }

    fn conv_bias(
        &self,
        x: Tensor<4>,
        p: &Biased<4>,
        stride: usize,
        padding: usize,
        rectify: bool,
    ) -> Tensor<4> {
        let y = conv_bias(x, p, stride, padding);
        if rectify { relu(y) } else { y }
    }

    fn conv_bias_add_relu(&self, x: Tensor<4>, p: &Biased<4>, around: Tensor<4>) -> Tensor<4> {
        relu(conv_bias(x, p, 1, 1) + around)
    }

    fn conv_relu_pool(&self, x: Tensor<4>, p: &Biased<4>, pool: usize) -> Tensor<4> {
        max_pool(relu(conv_bias(x, p, 1, 0)), [pool; 2])
    }

    fn fully_connected(&self, x: Tensor<2>, p: &Biased<2>, rectify: bool) -> Tensor<2> {
        let y = x.matmul(p.weight.clone().transpose()) + p.bias.clone().unsqueeze();
        if rectify { relu(y) } else { y }
    }

    fn global_avg_pool(&self, x: Tensor<4>) -> Tensor<2> {
        let [batch, channels, ..] = x.dims();
        x.mean_dim(3).mean_dim(2).reshape([batch, channels])
    }

    fn global_max_pool(&self, x: Tensor<4>) -> Tensor<2> {
        let [batch, channels, height, width] = x.dims();
        max_pool(x, [height, width]).reshape([batch, channels])
    }

    fn conv_group(
        &self,
        x: Tensor<4>,
        [first, second]: &[Normalised; 2],
        epsilon: f32,
    ) -> Tensor<4> {
        gelu(group(x, first, second, epsilon).1)
    }

    fn residual_conv_group(
        &self,
        x: Tensor<4>,
        [first, second, third]: &[Normalised; 3],
        epsilon: f32,
    ) -> Tensor<4> {
        let (around, second) = group(x, first, second, epsilon);
        gelu(conv_norm(gelu(second), third, 1, 1, epsilon) + around)
    }

    fn conv_gelu(&self, x: Tensor<4>, p: &Biased<4>, padding: usize) -> Tensor<4> {
        gelu(conv_bias(x, p, 1, padding))
    }

    fn conv_pool_gelu(&self, x: Tensor<4>, p: &Biased<4>) -> Tensor<4> {
        let maxima = max_pool(convolution(x, p.weight.clone(), 1, 1), [2, 2]);
        gelu(add_bias(maxima, p.bias.clone()))
    }

    fn conv_add_gelu(&self, x: Tensor<4>, p: &Biased<4>, around: Tensor<4>) -> Tensor<4> {
        gelu(conv_bias(x, p, 1, 1) + around)
    }

    fn cross_entropy(
        &self,
        logits: Tensor<2>,
        targets: Tensor<1, Int>,
        smoothing: f32,
    ) -> Tensor<1> {
        let smoothing = f64::from(smoothing);
        let logarithms = log_softmax(logits, 1);
        let of_targets = logarithms
            .clone()
            .gather(1, targets.unsqueeze_dim(1))
            .mean();
        let of_every_class = logarithms.mean();
        let mean = of_targets.mul_scalar(1.0 - smoothing) + of_every_class.mul_scalar(smoothing);
        mean.neg()
    }

    fn follow_statistics(
        &self,
        running: [Tensor<1>; 2],
        batch: [Tensor<1>; 2],
        keep: f32,
        take: [f32; 2],
    ) -> [Tensor<1>; 2] {
        let [mean, variance] = running.map(|running| running.mul_scalar(f64::from(keep)));
        let [of_mean, of_variance] = batch;
        [
            mean + of_mean.mul_scalar(f64::from(take[0])),
            variance + of_variance.mul_scalar(f64::from(take[1])),
        ]
    }

    fn sgd_step(
        &self,
        weight: Tensor<2>,
        gradient: Tensor<2>,
        velocity: Tensor<2>,
        settings: SgdStep,
    ) -> [Tensor<2>; 2] {
        let [lr, momentum, decay] =
            [settings.lr, settings.momentum, settings.weight_decay].map(f64::from);
        let gradient = gradient + weight.clone().mul_scalar(decay);
        let velocity = velocity.mul_scalar(momentum) + gradient.clone();
        let direction = if settings.nesterov {
            gradient + velocity.clone().mul_scalar(momentum)
        } else {
            velocity.clone()
        };
        [weight - direction.mul_scalar(lr), velocity]
    }

    fn adamw_step(
        &self,
        weight: Tensor<2>,
        gradient: Tensor<2>,
        means: [Tensor<2>; 2],
        settings: AdamWStep,
    ) -> [Tensor<2>; 3] {
        let [lr, beta1, beta2] = [settings.lr, settings.beta1, settings.beta2].map(f64::from);
        let [epsilon, decay] = [settings.epsilon, settings.weight_decay].map(f64::from);
        let [share1, share2] = settings.shares.map(f64::from);
        let [first, second] = means;
        let square = gradient.clone() * gradient.clone();
        let first = first.mul_scalar(beta1) + gradient.mul_scalar(1.0 - beta1);
        let second = second.mul_scalar(beta2) + square.mul_scalar(1.0 - beta2);
        let root = second.clone().div_scalar(share2).sqrt();
        let direction = first.clone().div_scalar(share1) / root.add_scalar(epsilon);
        let weight = weight.mul_scalar(1.0 - lr * decay) - direction.mul_scalar(lr);
        [weight, first, second]
    }

    fn muon_step(
        &self,
        weight: Tensor<4>,
        gradient: Tensor<4>,
        momentum: Tensor<4>,
        settings: MuonStep,
    ) -> [Tensor<4>; 2] {
        let momentum = momentum.mul_scalar(settings.momentum) + gradient.clone();
        if settings.lr == 0.0 {
            return [weight, momentum];
        }
        let direction = if settings.nesterov {
            gradient + momentum.clone().mul_scalar(settings.momentum)
        } else {
            momentum.clone()
        };
        let shape = weight.dims();
        let [rows, ..] = shape;
        let matrix = |t: Tensor<4>| -> Tensor<2> { t.flatten(1, 3) };
        let update = orthogonal(matrix(direction), settings.newton_schulz_steps);
        let mut weight = matrix(weight);
        if settings.rescale {
            let norm = (weight.clone() * weight.clone()).sum().sqrt();
            weight = weight.mul_scalar((rows as f64).sqrt()) / norm.unsqueeze();
        }
        let kept = weight.mul_scalar(1.0 - settings.lr * settings.weight_decay);
        let weight = kept - update.mul_scalar(settings.lr);
        [weight.reshape(shape), momentum]
    }
}
