//! Groups of convolutions with GELU, and what stands before and after them.

use burn::backend::Dispatch;
use burn::tensor::ops::MaxPoolOptions;
use burn::tensor::{Device, Tensor, module};
use model::CnnBackend;
use model::backend::types::Affine;
use model::layers::global_max_pool;

use super::{KINKED, Parameters, burn_convolution, check, check_block, distance, random};

const EPSILON: f32 = 1e-3;
/// A step for functions without kinks that are no straight lines, and a bound.
const CURVED: (f64, f32) = (0.02, 1e-3);

/// The exact unit of Burn's own operations, whose gradient is exact too.
fn gelu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    let cdf = x.clone().mul_scalar(std::f32::consts::FRAC_1_SQRT_2).erf();
    x * (cdf + 1.0).mul_scalar(0.5)
}

fn max_pool(x: Tensor<4>, window: [usize; 2]) -> Tensor<4> {
    module::max_pool2d(x, MaxPoolOptions::new(window))
}

/// `x` normalised by its own statistics.
fn normalize(x: Tensor<4>, p: &Parameters) -> Tensor<4> {
    let (gamma, beta) = (p.gamma.clone(), p.beta.clone());
    module::batch_norm_train(x, gamma, beta, f64::from(EPSILON)).output
}

fn burn_group(x: Tensor<4>, p: &[Parameters]) -> Tensor<4> {
    let conv = |x, p: &Parameters| burn_convolution(x, p.weight.clone(), 1, 1);
    let first = max_pool(conv(x, &p[0]), [2, 2]);
    let around = gelu(normalize(first, &p[0]));
    let second = normalize(conv(around.clone(), &p[1]), &p[1]);
    match p.get(2) {
        None => gelu(second),
        Some(third) => gelu(normalize(conv(gelu(second), third), third) + around),
    }
}

fn group(x: Tensor<4>, p: &[Parameters]) -> Tensor<4> {
    let (x, first, second) = (x.into_dispatch(), p[0].dispatch(), p[1].dispatch());
    Tensor::from_dispatch(match p.get(2) {
        None => <Dispatch as CnnBackend>::conv_group(x, first, second, EPSILON).y,
        Some(third) => {
            let third = third.dispatch();
            <Dispatch as CnnBackend>::residual_conv_group(x, first, second, third, EPSILON)
                .group
                .y
        }
    })
}

pub fn groups_agree(device: &Device) {
    for (x, out, convolutions) in [
        ([3, 5, 9, 7], 6, 2),
        ([2, 16, 8, 8], 16, 2),
        ([2, 24, 7, 9], 32, 2),
        ([3, 5, 7, 8], 6, 3),
        ([2, 16, 8, 8], 16, 3),
    ] {
        let parameters: Vec<Parameters> = (0..convolutions)
            .map(|index| {
                let input = if index == 0 { x[1] } else { out };
                Parameters::random(60 + 10 * index as u64, [out, input, 3, 3], device)
            })
            .collect();
        let what = format!("group of {x:?} to {out} channels, {convolutions} convolutions");
        check_block(&what, &random(8, x, device), &parameters, group, burn_group);
    }
}

fn affine(weight: &Tensor<4>, bias: &Tensor<1>) -> Affine<Dispatch> {
    Affine {
        weight: weight.clone().into_dispatch(),
        bias: bias.clone().into_dispatch(),
    }
}

pub fn convolutions_with_gelu_agree(device: &Device) {
    for (x, w, padding) in [
        ([3, 3, 9, 8], [24, 3, 2, 2], 0),
        ([2, 5, 6, 7], [6, 5, 3, 3], 1),
    ] {
        let what = format!("convolution of {x:?} by {w:?} with GELU");
        let (x, bias) = (random(5, x, device), random(7, [w[0]], device));
        let w = random(6, w, device);
        let (step, bound) = CURVED;
        let ours = |bias: Tensor<1>| -> Tensor<4> {
            let x = x.clone().into_dispatch();
            Tensor::from_dispatch(<Dispatch as CnnBackend>::conv_gelu(
                x,
                affine(&w, &bias),
                padding,
            ))
        };
        let burns = |bias: Tensor<1>| {
            let [channels] = bias.dims();
            let c = burn_convolution(x.clone(), w.clone(), 1, padding);
            gelu(c + bias.reshape([1, channels, 1, 1]))
        };
        check(
            &format!("{what}, by its biases"),
            &bias,
            step,
            bound,
            ours,
            burns,
        );
    }
}

pub fn global_maxima_agree(device: &Device) {
    for shape in [[3, 5, 3, 3], [2, 16, 1, 4], [4, 3, 4, 5]] {
        let x = random(9, shape, device);
        let (step, bound) = KINKED;
        let what = format!("global maxima of {shape:?}");
        check(&what, &x, step, bound, global_max_pool, |x| {
            let [batch, channels, height, width] = x.dims();
            max_pool(x, [height, width]).reshape([batch, channels])
        });
    }
}

pub fn folded_groups_agree(device: &Device) {
    let device = &device.clone().inner();
    for (x, out) in [([3, 5, 9, 7], 6), ([2, 16, 8, 8], 32)] {
        let (w, b) = (
            random(6, [out, x[1], 3, 3], device),
            random(7, [out], device),
        );
        let x = random(5, x, device);
        let c = burn_convolution(x.clone(), w.clone(), 1, 1);
        let bias = b.clone().reshape([1, out, 1, 1]);
        let pooled = Tensor::from_dispatch(<Dispatch as CnnBackend>::conv_pool_gelu(
            x.clone().into_dispatch(),
            affine(&w, &b),
        ));
        let expected = gelu(max_pool(c.clone(), [2, 2]) + bias.clone());
        assert!(distance(&pooled, &expected) < 1e-5);
        let around = random(8, c.dims(), device);
        let sum = Tensor::from_dispatch(<Dispatch as CnnBackend>::conv_add_gelu(
            x.into_dispatch(),
            affine(&w, &b),
            around.clone().into_dispatch(),
        ));
        assert!(distance(&sum, &gelu(c + bias + around)) < 1e-5);
    }
}
