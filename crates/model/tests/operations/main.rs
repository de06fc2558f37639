//! Every operation of `CnnBackend`: values against Burn's own operations, gradients against
//! Burn's own and against finite differences. One body, for every backend.
#![allow(deprecated, clippy::unwrap_used)]

mod alone;
mod groups;

use burn::backend::{Backend, Dispatch, DispatchDevice, Flex, NdArray};
use burn::tensor::activation::{log_softmax, relu};
use burn::tensor::module;
use burn::tensor::ops::{ConvOptions, MaxPoolOptions, PaddedConvOptions};
use burn::tensor::{Device, Int, Tensor};
use model::CnnBackend;
use model::backend::types::{Affine, ConvNorm, SgdStep};
use model::layers::{cross_entropy, global_avg_pool};

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
/// made of Burn's own operations, and along itself against a central difference.
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

    // Along the gradient itself the difference is largest, and rounding smallest beside it.
    let size = (ours.clone() * ours.clone()).mean().sqrt();
    let direction = Tensor::from_inner(ours.clone().inner() / size.inner().unsqueeze());
    let at = |t: f64| {
        let y = f(x.clone() + direction.clone().mul_scalar(t));
        let weights = random(99, y.dims(), &y.device()).inner().into_data();
        let (y, weights) = (y.inner().into_data(), weights);
        let pairs = y.iter::<f64>().zip(weights.iter::<f64>());
        // In double precision, since the difference of two sums is small beside them.
        pairs.map(|(y, weight)| y * weight).sum::<f64>()
    };
    let difference = ((at(step) - at(-step)) / (2.0 * step)) as f32;
    let product = (ours * direction).sum().into_scalar::<f32>();
    let scale = product.abs().max(difference.abs()).max(1.0);
    assert!(
        (difference - product).abs() < bound * scale,
        "{what}: finite difference {difference}, gradient {product}"
    );
}

fn burn_convolution(x: Tensor<4>, w: Tensor<4>, stride: usize, padding: usize) -> Tensor<4> {
    let options = ConvOptions::new([stride; 2], [padding; 2], [1; 2], 1);
    module::conv2d(x, w, None, PaddedConvOptions::from(options))
}

/// A normalised convolution of Burn's own operations.
fn burn_conv_norm(x: Tensor<4>, p: &Parameters, stride: usize, padding: usize) -> Tensor<4> {
    let c = burn_convolution(x, p.weight.clone(), stride, padding);
    module::batch_norm_train(c, p.gamma.clone(), p.beta.clone(), 1e-5).output
}

/// Parameters of a normalised convolution.
#[derive(Clone)]
struct Parameters {
    weight: Tensor<4>,
    gamma: Tensor<1>,
    beta: Tensor<1>,
}

impl Parameters {
    fn random(seed: u64, weight: [usize; 4], device: &Device) -> Self {
        let channels = [weight[0]];
        Self {
            weight: random(seed, weight, device),
            gamma: random(seed + 1, channels, device).add_scalar(1.5),
            beta: random(seed + 2, channels, device),
        }
    }

    fn dispatch(&self) -> ConvNorm<Dispatch> {
        ConvNorm {
            weight: self.weight.clone().into_dispatch(),
            gamma: self.gamma.clone().into_dispatch(),
            beta: self.beta.clone().into_dispatch(),
        }
    }
}

/// Steps so small that few rectifiers open or close on the way, and a bound for those that do.
const KINKED: (f64, f32) = (1e-3, 2e-2);
/// For functions without kinks.
const SMOOTH: (f64, f32) = (0.1, 1e-3);

/// Checks a block by its input and by the parameters of each of its convolutions.
fn check_block(
    what: &str,
    x: &Tensor<4>,
    parameters: &[Parameters],
    ours: impl Fn(Tensor<4>, &[Parameters]) -> Tensor<4>,
    burns: impl Fn(Tensor<4>, &[Parameters]) -> Tensor<4>,
) {
    let (step, bound) = KINKED;
    let name = format!("{what}, by its input");
    let (f, reference) = (|x| ours(x, parameters), |x| burns(x, parameters));
    check(&name, x, step, bound, f, reference);
    for index in 0..parameters.len() {
        let with = |change: &dyn Fn(&mut Parameters)| {
            let mut changed = parameters.to_vec();
            change(&mut changed[index]);
            changed
        };
        let weights = |weight: Tensor<4>| with(&|p| p.weight = weight.clone());
        let name = format!("{what}, by weights {index}");
        let f = |t| ours(x.clone(), &weights(t));
        check(&name, &parameters[index].weight, step, bound, f, |t| {
            burns(x.clone(), &weights(t))
        });
        let gammas = |gamma: Tensor<1>| with(&|p| p.gamma = gamma.clone());
        let name = format!("{what}, by gamma {index}");
        let f = |t| ours(x.clone(), &gammas(t));
        check(&name, &parameters[index].gamma, step, bound, f, |t| {
            burns(x.clone(), &gammas(t))
        });
        let betas = |beta: Tensor<1>| with(&|p| p.beta = beta.clone());
        let name = format!("{what}, by beta {index}");
        let f = |t| ours(x.clone(), &betas(t));
        check(&name, &parameters[index].beta, step, bound, f, |t| {
            burns(x.clone(), &betas(t))
        });
    }
}

fn normalised_convolutions_agree(device: &Device) {
    // Equal sizes hide swapped axes, odd ones show edges, multiples of 16 take other kernels.
    for (x, w, stride, padding) in [
        ([4, 3, 9, 7], [5, 3, 3, 3], 1, 1),
        ([4, 4, 8, 8], [6, 4, 3, 3], 2, 1),
        ([3, 16, 8, 8], [16, 16, 3, 3], 1, 1),
        ([4, 3, 12, 12], [6, 3, 5, 5], 1, 0),
    ] {
        check_block(
            &format!("convolution of {x:?} by {w:?}, stride {stride}, padding {padding}"),
            &random(1, x, device),
            &[Parameters::random(2, w, device)],
            |x, p| {
                Tensor::from_dispatch(
                    <Dispatch as CnnBackend>::conv_norm_relu(
                        x.into_dispatch(),
                        p[0].dispatch(),
                        stride,
                        padding,
                    )
                    .y,
                )
            },
            |x, p| relu(burn_conv_norm(x, &p[0], stride, padding)),
        );
    }
}

fn residual_blocks_agree(device: &Device) {
    for x in [[3, 5, 6, 7], [2, 16, 8, 8]] {
        let weight = [x[1], x[1], 3, 3];
        check_block(
            &format!("residual block of {x:?}"),
            &random(3, x, device),
            &[10, 20].map(|seed| Parameters::random(seed, weight, device)),
            |x, p| {
                let (first, second) = (p[0].dispatch(), p[1].dispatch());
                let x = x.into_dispatch();
                Tensor::from_dispatch(<Dispatch as CnnBackend>::residual(x, first, second).y)
            },
            |x, p| {
                let middle = relu(burn_conv_norm(x.clone(), &p[0], 1, 1));
                relu(burn_conv_norm(middle, &p[1], 1, 1) + x)
            },
        );
    }
    for (x, out, stride) in [([3, 5, 8, 7], 6, 2), ([2, 16, 8, 8], 32, 2)] {
        let parameters = [
            Parameters::random(30, [out, x[1], 3, 3], device),
            Parameters::random(40, [out, out, 3, 3], device),
            Parameters::random(50, [out, x[1], 1, 1], device),
        ];
        check_block(
            &format!("residual block of {x:?} to {out} channels, stride {stride}"),
            &random(4, x, device),
            &parameters,
            |x, p| {
                Tensor::from_dispatch(
                    <Dispatch as CnnBackend>::projected_residual(
                        x.into_dispatch(),
                        p[0].dispatch(),
                        p[1].dispatch(),
                        p[2].dispatch(),
                        stride,
                    )
                    .main
                    .y,
                )
            },
            |x, p| {
                let middle = relu(burn_conv_norm(x.clone(), &p[0], stride, 1));
                let around = burn_conv_norm(x, &p[2], stride, 0);
                relu(burn_conv_norm(middle, &p[1], 1, 1) + around)
            },
        );
    }
}

fn pooled_convolutions_agree(device: &Device) {
    let pooled = |x: Tensor<4>, w: Tensor<4>, b: Tensor<1>| -> Tensor<4> {
        let parameters = Affine {
            weight: w.into_dispatch(),
            bias: b.into_dispatch(),
        };
        let x = x.into_dispatch();
        Tensor::from_dispatch(<Dispatch as CnnBackend>::conv_relu_pool(x, parameters, 2).y)
    };
    let burns = |x: Tensor<4>, w: Tensor<4>, b: Tensor<1>| {
        let [channels] = b.dims();
        let c = burn_convolution(x, w, 1, 0) + b.reshape([1, channels, 1, 1]);
        module::max_pool2d(relu(c), MaxPoolOptions::new([2, 2]))
    };
    let (step, bound) = KINKED;
    for (x, w) in [
        ([3, 3, 12, 11], [6, 3, 5, 5]),
        ([2, 6, 14, 14], [16, 6, 5, 5]),
    ] {
        let what = format!("pooled convolution of {x:?} by {w:?}");
        let (x, w, b) = (
            random(5, x, device),
            random(6, w, device),
            random(7, [w[0]], device),
        );
        let f = |x| pooled(x, w.clone(), b.clone());
        check(&format!("{what}, by its input"), &x, step, bound, f, |x| {
            burns(x, w.clone(), b.clone())
        });
        let f = |w| pooled(x.clone(), w, b.clone());
        check(
            &format!("{what}, by its weights"),
            &w,
            step,
            bound,
            f,
            |w| burns(x.clone(), w, b.clone()),
        );
        let f = |b| pooled(x.clone(), w.clone(), b);
        check(&format!("{what}, by its biases"), &b, step, bound, f, |b| {
            burns(x.clone(), w.clone(), b)
        });
    }
}

fn linear_layers_agree(device: &Device) {
    let (x, w, b) = (
        random(5, [5, 11], device),
        random(6, [7, 11], device),
        random(8, [7], device),
    );
    for (rectify, (step, bound)) in [(false, SMOOTH), (true, KINKED)] {
        let ours = |x: Tensor<2>, w: Tensor<2>, b: Tensor<1>| -> Tensor<2> {
            let parameters = Affine {
                weight: w.into_dispatch(),
                bias: b.into_dispatch(),
            };
            let x = x.into_dispatch();
            let y = <Dispatch as CnnBackend>::fully_connected(x, parameters, rectify);
            Tensor::from_dispatch(y)
        };
        let burns = |x: Tensor<2>, w: Tensor<2>, b: Tensor<1>| {
            let y = x.matmul(w.transpose()) + b.unsqueeze();
            if rectify { relu(y) } else { y }
        };
        let what = format!("linear layer, rectified: {rectify}");
        let f = |x| ours(x, w.clone(), b.clone());
        check(&format!("{what}, by its input"), &x, step, bound, f, |x| {
            burns(x, w.clone(), b.clone())
        });
        let f = |w| ours(x.clone(), w, b.clone());
        check(
            &format!("{what}, by its weights"),
            &w,
            step,
            bound,
            f,
            |w| burns(x.clone(), w, b.clone()),
        );
        let f = |b| ours(x.clone(), w.clone(), b);
        check(&format!("{what}, by its biases"), &b, step, bound, f, |b| {
            burns(x.clone(), w.clone(), b)
        });
    }
}

fn pooling_and_loss_agree(device: &Device) {
    let (step, bound) = SMOOTH;
    let x = random(9, [3, 5, 4, 6], device);
    check("global pooling", &x, step, bound, global_avg_pool, |x| {
        x.mean_dim(3).mean_dim(2).reshape([3, 5])
    });

    let logits = random(10, [6, 10], device).mul_scalar(3.0);
    let classes = Tensor::<1, Int>::from_data([3, 0, 9, 9, 1, 5], device);
    for smoothing in [0.0_f32, 0.1] {
        let name = format!("cross-entropy with smoothing {smoothing}");
        let f = |logits| cross_entropy(logits, classes.clone(), smoothing);
        check(&name, &logits, 1e-2, 2e-3, f, |logits| {
            let log = log_softmax(logits, 1);
            let of_class = log.clone().gather(1, classes.clone().unsqueeze_dim(1));
            (of_class.mean().mul_scalar(1.0 - smoothing) + log.mean().mul_scalar(smoothing)).neg()
        });
    }
}

fn inference_agrees(device: &Device) {
    let device = &device.clone().inner();
    let (x, w) = (
        random(1, [3, 16, 8, 8], device),
        random(2, [32, 16, 3, 3], device),
    );
    let (b, around) = (random(3, [32], device), random(4, [3, 32, 8, 8], device));
    let parameters = || Affine {
        weight: w.clone().into_dispatch(),
        bias: b.clone().into_dispatch(),
    };
    let burns = burn_convolution(x.clone(), w.clone(), 1, 1) + b.clone().reshape([1, 32, 1, 1]);
    for rectify in [false, true] {
        let x = x.clone().into_dispatch();
        let y = <Dispatch as CnnBackend>::conv_bias(x, parameters(), 1, 1, rectify);
        let expected = if rectify {
            relu(burns.clone())
        } else {
            burns.clone()
        };
        assert!(distance(&Tensor::<4>::from_dispatch(y), &expected) < 1e-5);
    }
    let (x, to_add) = (x.into_dispatch(), around.clone().into_dispatch());
    let y = <Dispatch as CnnBackend>::conv_bias_add_relu(x, parameters(), to_add);
    assert!(distance(&Tensor::<4>::from_dispatch(y), &relu(burns + around)) < 1e-5);
}

fn steps_agree(device: &Device) {
    let device = &device.clone().inner();
    let [w, g, v] = [1, 2, 3].map(|seed| random(seed, [7, 5], device));
    for nesterov in [false, true] {
        let settings = SgdStep {
            lr: 0.1,
            momentum: 0.9,
            nesterov,
            weight_decay: 0.01,
        };
        let stepped = <Dispatch as CnnBackend>::sgd_step(
            w.clone().into_dispatch(),
            g.clone().into_dispatch(),
            v.clone().into_dispatch(),
            settings,
        );
        let decayed = g.clone() + w.clone().mul_scalar(0.01);
        let velocity = v.clone().mul_scalar(0.9) + decayed.clone();
        let direction = if nesterov {
            decayed + velocity.clone().mul_scalar(0.9)
        } else {
            velocity.clone()
        };
        let expected = w.clone() - direction.mul_scalar(0.1);
        assert!(distance(&Tensor::<2>::from_dispatch(stepped.weight), &expected) < 1e-6);
        assert!(distance(&Tensor::<2>::from_dispatch(stepped.velocity), &velocity) < 1e-6);
    }
}

/// All operations on a device of `B`.
fn operations_agree<B: CnnBackend + Backend<Device: Into<DispatchDevice>>>(device: B::Device) {
    let device = &Device::from(device).autodiff();
    normalised_convolutions_agree(device);
    residual_blocks_agree(device);
    pooled_convolutions_agree(device);
    linear_layers_agree(device);
    pooling_and_loss_agree(device);
    inference_agrees(device);
    alone::convolutions_agree(device);
    alone::normalisations_agree(device);
    groups::groups_agree(device);
    groups::convolutions_with_gelu_agree(device);
    groups::global_maxima_agree(device);
    groups::folded_groups_agree(device);
    steps_agree(device);
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
