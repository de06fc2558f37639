//! Groups of convolutions with GELU, and what stands before and after them, of Burn's own
//! operations.

use burn::backend::Backend;
use burn::backend::ops::ModuleOps;
use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::tensor::Shape;

use super::blocks::{normalize, normalize_backward, output_backward, statistics};
use super::{conv_options, dim, input_backward, max_pool, max_pool_backward, narrow, wide};
use crate::backend::types::{
    Affine, ConvGroup, ConvNorm, Convolved, Pooled, ResidualConvGroup, ResidualConvGroupGradients,
    ResidualGradients,
};

/// `(1 + erf(x / sqrt(2))) / 2`.
fn normal_cdf<B: Backend>(x: FloatTensor<B>) -> FloatTensor<B> {
    let scaled = B::float_mul_scalar(x, std::f32::consts::FRAC_1_SQRT_2.into());
    B::float_mul_scalar(
        B::float_add_scalar(B::float_erf(scaled), 1.0_f32.into()),
        0.5_f32.into(),
    )
}

fn gelu<B: Backend>(x: FloatTensor<B>) -> FloatTensor<B> {
    B::float_mul(x.clone(), normal_cdf::<B>(x))
}

/// The gradient of the exact unit, where Burn's own is that of its approximation.
fn gelu_backward<B: Backend>(x: FloatTensor<B>, dy: FloatTensor<B>) -> FloatTensor<B> {
    let square = B::float_mul(x.clone(), x.clone());
    let density = B::float_exp(B::float_mul_scalar(square, (-0.5_f32).into()));
    let density = B::float_mul_scalar(density, (1.0 / std::f32::consts::TAU.sqrt()).into());
    let derivative = B::float_add(normal_cdf::<B>(x.clone()), B::float_mul(x, density));
    B::float_mul(dy, derivative)
}

fn convolve<B: Backend>(x: FloatTensor<B>, weight: FloatTensor<B>) -> FloatTensor<B> {
    <B as ModuleOps<B>>::conv2d(x, weight, None, conv_options(1, 1))
}

pub(in crate::backend) fn conv_group<B: Backend>(
    x: FloatTensor<B>,
    first: ConvNorm<B>,
    second: ConvNorm<B>,
    epsilon: f32,
) -> ConvGroup<B> {
    let pooled = max_pool::<B>(convolve::<B>(x, first.weight.clone()), [2, 2]);
    let of_first = statistics(pooled.y);
    let middle = gelu::<B>(normalize(&of_first, &first, epsilon));
    let of_second = statistics(convolve::<B>(middle, second.weight.clone()));
    ConvGroup {
        y: gelu::<B>(normalize(&of_second, &second, epsilon)),
        places: pooled.indices,
        first: of_first,
        second: of_second,
    }
}

pub(in crate::backend) fn residual_conv_group<B: Backend>(
    x: FloatTensor<B>,
    [first, second, third]: [ConvNorm<B>; 3],
    epsilon: f32,
) -> ResidualConvGroup<B> {
    let mut group = conv_group(x, first.clone(), second, epsilon);
    let around = gelu::<B>(normalize(&group.first, &first, epsilon));
    let of_third = statistics(convolve::<B>(group.y, third.weight.clone()));
    group.y = gelu::<B>(B::float_add(normalize(&of_third, &third, epsilon), around));
    ResidualConvGroup {
        group,
        third: of_third,
    }
}

/// The gradients by a normalised convolution's input and parameters.
fn conv_norm_backward<B: Backend>(
    x: FloatTensor<B>,
    convolved: &Convolved<B>,
    parameters: ConvNorm<B>,
    dy: FloatTensor<B>,
    epsilon: f32,
) -> (FloatTensor<B>, ConvNorm<B>) {
    let weight = parameters.weight.clone();
    let options = (1, 1, epsilon);
    let (d_output, gradients) = normalize_backward(x.clone(), convolved, &parameters, dy, options);
    (input_backward::<B>(x, weight, d_output, 1, 1), gradients)
}

/// The gradients of the first convolution of a group, its pooling and its normalisation, from the
/// gradient by the output of the first GELU.
fn first_backward<B: Backend>(
    x: FloatTensor<B>,
    first: ConvNorm<B>,
    forward: &ConvGroup<B>,
    dy: FloatTensor<B>,
    epsilon: f32,
) -> (FloatTensor<B>, ConvNorm<B>) {
    let dy = gelu_backward::<B>(normalize(&forward.first, &first, epsilon), dy);
    let (d_pooled, gamma, beta) = output_backward(&forward.first, &first, dy, epsilon);
    let shape = [dim(&x, 0), dim(&first.weight, 0), dim(&x, 2), dim(&x, 3)];
    let dc = max_pool_backward::<B>(shape, [2, 2], d_pooled, forward.places.clone());
    let weight = <B as ModuleOps<B>>::conv2d_weight_backward(
        x.clone(),
        first.weight.clone(),
        dc.clone(),
        conv_options(1, 1),
    );
    let gradients = ConvNorm {
        weight,
        gamma,
        beta,
    };
    (input_backward::<B>(x, first.weight, dc, 1, 1), gradients)
}

pub(in crate::backend) fn conv_group_backward<B: Backend>(
    x: FloatTensor<B>,
    [first, second]: [ConvNorm<B>; 2],
    forward: ConvGroup<B>,
    dy: FloatTensor<B>,
    epsilon: f32,
) -> ResidualGradients<B> {
    let middle = gelu::<B>(normalize(&forward.first, &first, epsilon));
    let dy = gelu_backward::<B>(normalize(&forward.second, &second, epsilon), dy);
    let (d_middle, of_second) = conv_norm_backward(middle, &forward.second, second, dy, epsilon);
    let (x, of_first) = first_backward(x, first, &forward, d_middle, epsilon);
    ResidualGradients {
        x,
        first: of_first,
        second: of_second,
    }
}

pub(in crate::backend) fn residual_conv_group_backward<B: Backend>(
    x: FloatTensor<B>,
    [first, second, third]: [ConvNorm<B>; 3],
    forward: ResidualConvGroup<B>,
    dy: FloatTensor<B>,
    epsilon: f32,
) -> ResidualConvGroupGradients<B> {
    let group = forward.group;
    let around = gelu::<B>(normalize(&group.first, &first, epsilon));
    let of_second = normalize(&group.second, &second, epsilon);
    let last = B::float_add(normalize(&forward.third, &third, epsilon), around.clone());
    let dy = gelu_backward::<B>(last, dy);
    let inner = gelu::<B>(of_second.clone());
    let (d_inner, by_third) = conv_norm_backward(inner, &forward.third, third, dy.clone(), epsilon);
    let d_inner = gelu_backward::<B>(of_second, d_inner);
    let (d_around, by_second) = conv_norm_backward(around, &group.second, second, d_inner, epsilon);
    let d_around = B::float_add(d_around, dy);
    let (x, by_first) = first_backward(x, first, &group, d_around, epsilon);
    ResidualConvGroupGradients {
        group: ResidualGradients {
            x,
            first: by_first,
            second: by_second,
        },
        third: by_third,
    }
}

/// `x * weight + bias`.
fn conv_bias<B: Backend>(
    x: FloatTensor<B>,
    parameters: Affine<B>,
    padding: usize,
) -> FloatTensor<B> {
    let options = conv_options(1, padding);
    <B as ModuleOps<B>>::conv2d(x, parameters.weight, Some(parameters.bias), options)
}

pub(in crate::backend) fn conv_gelu<B: Backend>(
    x: FloatTensor<B>,
    parameters: Affine<B>,
    padding: usize,
) -> FloatTensor<B> {
    gelu::<B>(conv_bias(x, parameters, padding))
}

pub(in crate::backend) fn conv_gelu_backward_bias<B: Backend>(
    x: FloatTensor<B>,
    parameters: Affine<B>,
    dy: FloatTensor<B>,
    padding: usize,
) -> FloatTensor<B> {
    let dy = gelu_backward::<B>(conv_bias(x, parameters, padding), dy);
    let sum = B::float_sum_dim(B::float_sum_dim(B::float_sum_dim(dy, 0), 2), 3);
    narrow::<B>(sum)
}

pub(in crate::backend) fn conv_pool_gelu<B: Backend>(
    x: FloatTensor<B>,
    parameters: Affine<B>,
) -> FloatTensor<B> {
    let pooled = max_pool::<B>(convolve::<B>(x, parameters.weight), [2, 2]);
    gelu::<B>(B::float_add(pooled.y, wide::<B>(parameters.bias)))
}

pub(in crate::backend) fn conv_add_gelu<B: Backend>(
    x: FloatTensor<B>,
    parameters: Affine<B>,
    around: FloatTensor<B>,
) -> FloatTensor<B> {
    gelu::<B>(B::float_add(conv_bias(x, parameters, 1), around))
}

pub(in crate::backend) fn global_max_pool<B: Backend>(x: FloatTensor<B>) -> Pooled<B> {
    let [batch, channels] = [dim(&x, 0), dim(&x, 1)];
    let size = [dim(&x, 2), dim(&x, 3)];
    let pooled = max_pool::<B>(x, size);
    Pooled {
        y: B::float_reshape(pooled.y, Shape::new([batch, channels])),
        indices: pooled.indices,
    }
}

pub(in crate::backend) fn global_max_pool_backward<B: Backend>(
    dy: FloatTensor<B>,
    indices: IntTensor<B>,
    height: usize,
    width: usize,
) -> FloatTensor<B> {
    let [batch, channels] = [dim(&dy, 0), dim(&dy, 1)];
    let dy = B::float_reshape(dy, Shape::new([batch, channels, 1, 1]));
    let shape = [batch, channels, height, width];
    max_pool_backward::<B>(shape, [height, width], dy, indices)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    //! Default bodies against the kernels. Values and gradients of the kernels are compared with
    //! Burn's own operations under `tests`.

    use burn::backend::Flex;
    use burn::tensor::{Device, Tensor, TensorData};

    use super::*;
    use crate::backend::CnnBackend;

    const EPSILON: f32 = 1e-3;

    /// Values of a tensor of Flex that have no pattern.
    fn random<const D: usize>(seed: usize, shape: [usize; D]) -> FloatTensor<Flex> {
        let mut state = (seed as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let values: Vec<f32> = (0..shape.iter().product())
            .map(|_| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                (state >> 40) as f32 / (1_u64 << 23) as f32 - 1.0
            })
            .collect();
        let tensor = Tensor::<D>::from_data(TensorData::new(values, shape), &Device::flex());
        tensor.try_into_primitive::<Flex>().unwrap()
    }

    fn conv_norm(seed: usize, [output, input]: [usize; 2]) -> ConvNorm<Flex> {
        ConvNorm {
            weight: random(seed, [output, input, 3, 3]),
            gamma: random(seed + 1, [output]),
            beta: random(seed + 2, [output]),
        }
    }

    #[track_caller]
    fn assert_close<const D: usize>(a: FloatTensor<Flex>, b: FloatTensor<Flex>) {
        let [a, b] = [a, b].map(Tensor::<D>::from_primitive::<Flex>);
        let scale = b.clone().abs().max().into_scalar::<f32>();
        let difference = (a - b).abs().max().into_scalar::<f32>();
        assert!(difference < 1e-4 * scale, "{difference} of {scale}");
    }

    #[track_caller]
    fn assert_parameters_close(a: ConvNorm<Flex>, b: ConvNorm<Flex>) {
        assert_close::<4>(a.weight, b.weight);
        assert_close::<1>(a.gamma, b.gamma);
        assert_close::<1>(a.beta, b.beta);
    }

    #[test]
    fn groups_agree_with_the_kernels() {
        for (input, channels) in [([3, 5, 9, 8], 6), ([2, 16, 8, 8], 32)] {
            let x = random(0, input);
            let all = [0, 1, 2].map(|index| {
                let from = if index == 0 { input[1] } else { channels };
                conv_norm(10 * (index + 1), [channels, from])
            });
            let [first, second, third] = all.clone();
            let ours = conv_group::<Flex>(x.clone(), first.clone(), second.clone(), EPSILON);
            let theirs =
                <Flex as CnnBackend>::conv_group(x.clone(), first.clone(), second.clone(), EPSILON);
            assert_close::<4>(ours.y.clone(), theirs.y.clone());
            let dy = random(1, [input[0], channels, input[2] / 2, input[3] / 2]);
            let pair = [first.clone(), second.clone()];
            let ours = conv_group_backward(x.clone(), pair, ours, dy.clone(), EPSILON);
            let theirs = <Flex as CnnBackend>::conv_group_backward(
                x.clone(),
                first.clone(),
                second.clone(),
                theirs,
                dy.clone(),
                EPSILON,
                true,
            );
            assert_close::<4>(ours.x, theirs.x);
            assert_parameters_close(ours.first, theirs.first);
            assert_parameters_close(ours.second, theirs.second);

            let ours = residual_conv_group::<Flex>(x.clone(), all.clone(), EPSILON);
            let theirs = <Flex as CnnBackend>::residual_conv_group(
                x.clone(),
                first.clone(),
                second.clone(),
                third.clone(),
                EPSILON,
            );
            assert_close::<4>(ours.group.y.clone(), theirs.group.y.clone());
            let ours = residual_conv_group_backward(x.clone(), all, ours, dy.clone(), EPSILON);
            let theirs = <Flex as CnnBackend>::residual_conv_group_backward(
                x, first, second, third, theirs, dy, EPSILON, true,
            );
            assert_close::<4>(ours.group.x, theirs.group.x);
            assert_parameters_close(ours.group.first, theirs.group.first);
            assert_parameters_close(ours.group.second, theirs.group.second);
            assert_parameters_close(ours.third, theirs.third);
        }
    }

    #[test]
    fn whitening_and_global_maxima_agree_with_the_kernels() {
        let (x, dy) = (random(3, [3, 3, 9, 8]), random(4, [3, 24, 8, 7]));
        let parameters = Affine {
            weight: random(5, [24, 3, 2, 2]),
            bias: random(6, [24]),
        };
        let ours = conv_gelu_backward_bias(x.clone(), parameters.clone(), dy.clone(), 0);
        let theirs = <Flex as CnnBackend>::conv_gelu_backward_bias(x, parameters, dy, 0);
        assert_close::<1>(ours, theirs);

        let (x, dy) = (random::<4>(7, [4, 5, 3, 3]), random(8, [4, 5]));
        let ours = global_max_pool::<Flex>(x.clone());
        let theirs = <Flex as CnnBackend>::global_max_pool(x);
        assert_close::<2>(ours.y, theirs.y);
        let ours = global_max_pool_backward::<Flex>(dy.clone(), ours.indices, 3, 3);
        let theirs = <Flex as CnnBackend>::global_max_pool_backward(dy, theirs.indices, 3, 3);
        assert_close::<4>(ours, theirs);
    }
}
