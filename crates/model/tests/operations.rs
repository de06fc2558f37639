//! Every operation of `CnnBackend`: values against Burn's own operations, gradients against
//! Burn's own and against finite differences. One body, for every backend.
#![allow(deprecated, clippy::unwrap_used)]

use burn::backend::{Backend, Dispatch, DispatchDevice, Flex, NdArray};
use burn::tensor::module;
use burn::tensor::ops::{ConvOptions, MaxPoolOptions, PaddedConvOptions};
use burn::tensor::{Device, Tensor};
use model::CnnBackend;

/// A tensor of the same random values on every device.
fn random<const D: usize>(seed: u64, shape: [usize; D], device: &Device) -> Tensor<D> {
    // A generator of its own, since Burn's is one for the whole process and tests run at once.
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let values: Vec<f32> = (0..shape.iter().product())
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
        })
        .collect();
    Tensor::from_data(burn::tensor::TensorData::new(values, shape), device)
}

/// The largest difference over the largest value.
fn distance<const D: usize>(a: &Tensor<D>, b: &Tensor<D>) -> f32 {
    let (a, b) = (a.clone().inner(), b.clone().inner());
    let largest = b.clone().abs().max().into_scalar::<f32>();
    (a - b).abs().max().into_scalar::<f32>() / largest.max(1e-6)
}

/// A scalar that depends on every value of `y` in its own way.
fn weighted<const D: usize>(y: Tensor<D>) -> Tensor<1> {
    let weights = random(99, y.dims(), &y.device());
    (y * weights).sum()
}

/// Checks the gradient of `f` by its argument `x`: against `reference`, which is the same function
/// made of Burn's own operations, and along a random direction against a central difference.
fn check<const D: usize, const E: usize>(
    what: &str,
    x: &Tensor<D>,
    step: f64,
    bound: f32,
    f: impl Fn(Tensor<D>) -> Tensor<E>,
    reference: impl Fn(Tensor<D>) -> Tensor<E>,
) {
    let gradient = |f: &dyn Fn(Tensor<D>) -> Tensor<E>| {
        let x = x.clone().require_grad();
        let y = f(x.clone());
        let grads = weighted(y.clone()).backward();
        (y.detach(), Tensor::from_inner(x.grad(&grads).unwrap()))
    };
    let (y, ours) = gradient(&f);
    let (expected, theirs) = gradient(&reference);
    assert!(
        distance(&y, &expected) < 1e-5,
        "{what}: value {}",
        distance(&y, &expected)
    );
    assert!(
        distance(&ours, &theirs) < 1e-4,
        "{what}: gradient {}",
        distance(&ours, &theirs)
    );

    let direction = random(7, x.dims(), &x.device());
    let at = |t: f64| {
        let y = f(x.clone() + direction.clone().mul_scalar(t));
        weighted(y).into_scalar::<f32>()
    };
    let difference = (at(step) - at(-step)) / (2.0 * step as f32);
    let product = (ours * direction).sum().into_scalar::<f32>();
    let scale = product.abs().max(difference.abs()).max(1.0);
    assert!(
        (difference - product).abs() < bound * scale,
        "{what}: finite difference {difference}, gradient {product}"
    );
}

fn convolution(x: Tensor<4>, w: Tensor<4>, stride: usize, padding: usize) -> Tensor<4> {
    Tensor::from_dispatch(<Dispatch as CnnBackend>::convolution(
        x.into_dispatch(),
        w.into_dispatch(),
        stride,
        padding,
    ))
}

fn burn_convolution(x: Tensor<4>, w: Tensor<4>, stride: usize, padding: usize) -> Tensor<4> {
    let options = ConvOptions::new([stride; 2], [padding; 2], [1; 2], 1);
    module::conv2d(x, w, None, PaddedConvOptions::from(options))
}

fn fully_connected(x: Tensor<2>, w: Tensor<2>, b: Tensor<1>) -> Tensor<2> {
    Tensor::from_dispatch(<Dispatch as CnnBackend>::fully_connected(
        x.into_dispatch(),
        w.into_dispatch(),
        b.into_dispatch(),
    ))
}

fn burn_fully_connected(x: Tensor<2>, w: Tensor<2>, b: Tensor<1>) -> Tensor<2> {
    x.matmul(w.transpose()) + b.unsqueeze()
}

fn add_bias(x: Tensor<4>, b: Tensor<1>) -> Tensor<4> {
    Tensor::from_dispatch(<Dispatch as CnnBackend>::add_bias(
        x.into_dispatch(),
        b.into_dispatch(),
    ))
}

fn burn_add_bias(x: Tensor<4>, b: Tensor<1>) -> Tensor<4> {
    let [channels] = b.dims();
    x + b.reshape([1, channels, 1, 1])
}

fn normalize(x: Tensor<4>, gamma: Tensor<1>, beta: Tensor<1>) -> Tensor<4> {
    let (y, _, _) = <Dispatch as CnnBackend>::normalize_batch(
        x.into_dispatch(),
        gamma.into_dispatch(),
        beta.into_dispatch(),
        1e-5,
    );
    Tensor::from_dispatch(y)
}

fn burn_normalize(x: Tensor<4>, gamma: Tensor<1>, beta: Tensor<1>) -> Tensor<4> {
    module::batch_norm_train(x, gamma, beta, 1e-5).output
}

/// All operations on a device of `B`.
fn operations_agree<B: CnnBackend + Backend<Device: Into<DispatchDevice>>>(device: B::Device) {
    let device = &Device::from(device).autodiff();
    // Equal sizes hide swapped axes, odd ones show edges.
    for (x, w, stride, padding) in [
        ([2, 3, 9, 7], [5, 3, 3, 3], 1, 1),
        ([2, 4, 8, 8], [6, 4, 3, 3], 2, 1),
        ([3, 4, 8, 8], [6, 4, 1, 1], 2, 0),
        ([2, 3, 12, 12], [6, 3, 5, 5], 1, 0),
    ] {
        let what = format!("convolution of {x:?} by {w:?}, stride {stride}, padding {padding}");
        let (x, w) = (random(1, x, device), random(2, w, device));
        check(
            &format!("{what}, by its input"),
            &x,
            0.1,
            1e-3,
            |x| convolution(x, w.clone(), stride, padding),
            |x| burn_convolution(x, w.clone(), stride, padding),
        );
        check(
            &format!("{what}, by its weights"),
            &w,
            0.1,
            1e-3,
            |w| convolution(x.clone(), w, stride, padding),
            |w| burn_convolution(x.clone(), w, stride, padding),
        );
    }

    let (x, bias) = (random(3, [2, 5, 4, 3], device), random(4, [5], device));
    let biased = |x| add_bias(x, bias.clone());
    check("bias, by its input", &x, 0.1, 1e-3, biased, |x| {
        burn_add_bias(x, bias.clone())
    });
    let by_bias = |b| add_bias(x.clone(), b);
    check("bias", &bias, 0.1, 1e-3, by_bias, |b| {
        burn_add_bias(x.clone(), b)
    });

    let (x, w, b) = (
        random(5, [5, 11], device),
        random(6, [7, 11], device),
        random(8, [7], device),
    );
    check(
        "fully connected, by its input",
        &x,
        0.1,
        1e-3,
        |x| fully_connected(x, w.clone(), b.clone()),
        |x| burn_fully_connected(x, w.clone(), b.clone()),
    );
    check(
        "fully connected, by its weights",
        &w,
        0.1,
        1e-3,
        |w| fully_connected(x.clone(), w, b.clone()),
        |w| burn_fully_connected(x.clone(), w, b.clone()),
    );
    check(
        "fully connected, by its bias",
        &b,
        0.1,
        1e-3,
        |b| fully_connected(x.clone(), w.clone(), b),
        |b| burn_fully_connected(x.clone(), w.clone(), b),
    );

    let x = random(9, [2, 3, 8, 6], device);
    check(
        "maximum pooling",
        &x,
        // So small that no window changes which of its values is the largest.
        1e-4,
        2e-2,
        |x| model::layers::max_pool2d(x, 2),
        |x| module::max_pool2d(x, MaxPoolOptions::new([2, 2])),
    );

    let x = random(10, [4, 3, 5, 5], device)
        .mul_scalar(2.0)
        .add_scalar(0.3);
    let (gamma, beta) = (
        random(11, [3], device).add_scalar(1.5),
        random(12, [3], device),
    );
    check(
        "normalisation, by its input",
        &x,
        1e-2,
        1e-2,
        |x| normalize(x, gamma.clone(), beta.clone()),
        |x| burn_normalize(x, gamma.clone(), beta.clone()),
    );
    check(
        "normalisation, by its weights",
        &gamma,
        0.1,
        1e-3,
        |g| normalize(x.clone(), g, beta.clone()),
        |g| burn_normalize(x.clone(), g, beta.clone()),
    );
    check(
        "normalisation, by its biases",
        &beta,
        0.1,
        1e-3,
        |b| normalize(x.clone(), gamma.clone(), b),
        |b| burn_normalize(x.clone(), gamma.clone(), b),
    );
}

#[test]
fn operations_agree_on_ndarray() {
    operations_agree::<NdArray>(Default::default());
}

#[test]
fn operations_agree_on_flex() {
    operations_agree::<Flex>(Default::default());
}

#[cfg(feature = "wgpu")]
#[test]
fn operations_agree_on_wgpu() {
    operations_agree::<burn_wgpu::Wgpu>(Default::default());
}
