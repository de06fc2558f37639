//! Groups of convolutions with GELU, and what stands before and after them, by the kernels of
//! `cpu-kernels`.

use burn::backend::tensor::{FloatTensor, IntTensor};
use cpu_kernels::block::conv_group::{self, GroupGradients, GroupParameters, GroupShape};
use cpu_kernels::block::whiten;
use cpu_kernels::{Activation, ChannelShape, ConvShape, buffer};

use super::blocks::{Gradients, HostConvNorm, HostConvolved, Room};
use super::packed;
use super::tensors::{HostImages, HostTensors, Values, dims};
use super::{checked, context};
use crate::backend::types::{
    Affine, ConvGroup, ConvNorm, Convolved, Pooled, ResidualConvGroup, ResidualConvGroupGradients,
    ResidualGradients,
};

/// No third convolution where a group has none.
const THIRD: &str = "a group with a third convolution gives what belongs to it";

pub(super) fn conv_group<B: HostTensors>(
    x: FloatTensor<B>,
    first: ConvNorm<B>,
    second: ConvNorm<B>,
    epsilon: f32,
) -> ConvGroup<B> {
    let (first, second) = (HostConvNorm::new(first), HostConvNorm::new(second));
    group(x, [&first, &second], None, epsilon).0
}

pub(super) fn residual_conv_group<B: HostTensors>(
    x: FloatTensor<B>,
    parameters: [ConvNorm<B>; 3],
    epsilon: f32,
) -> ResidualConvGroup<B> {
    let [first, second, third] = parameters.map(HostConvNorm::new);
    let (group, third) = group(x, [&first, &second], Some(&third), epsilon);
    ResidualConvGroup {
        group,
        third: checked(third.ok_or(THIRD)),
    }
}

fn group<B: HostTensors>(
    x: FloatTensor<B>,
    [first, second]: [&HostConvNorm<B>; 2],
    third: Option<&HostConvNorm<B>>,
    epsilon: f32,
) -> (ConvGroup<B>, Option<Convolved<B>>) {
    let shape = checked(GroupShape::new(dims(&x), first.dims[0], third.is_some()));
    let output = shape.output();
    let x = B::pixels(x);
    let (mut of_first, mut of_second) = (Room::new(output), Room::new(output));
    let mut of_third = third.map(|_| Room::new(output));
    let mut places = vec![0; shape.output_len()];
    let mut y = buffer(shape.output_len());
    let parameters = GroupParameters {
        first: first.parameters(),
        second: second.parameters(),
        third: third.map(HostConvNorm::parameters),
    };
    let out = conv_group::Outputs {
        first: of_first.convolved(),
        places: &mut places,
        second: of_second.convolved(),
        third: of_third.as_mut().map(Room::convolved),
        y: &mut y,
    };
    let x = x.as_slice();
    checked(conv_group::forward(
        context(),
        &shape,
        x,
        &parameters,
        epsilon,
        out,
    ));
    let group = ConvGroup {
        y: B::from_pixels(output, y),
        places: B::from_bytes(&output, places),
        first: of_first.into_tensors(),
        second: of_second.into_tensors(),
    };
    (group, of_third.map(Room::into_tensors))
}

pub(super) fn conv_group_backward<B: HostTensors>(
    x: FloatTensor<B>,
    parameters: [ConvNorm<B>; 2],
    forward: ConvGroup<B>,
    dy: FloatTensor<B>,
    epsilon: f32,
    by_input: bool,
) -> ResidualGradients<B> {
    let [first, second] = parameters.map(HostConvNorm::new);
    let parameters = [&first, &second];
    group_backward(x, parameters, forward, None, dy, (epsilon, by_input)).0
}

pub(super) fn residual_conv_group_backward<B: HostTensors>(
    x: FloatTensor<B>,
    parameters: [ConvNorm<B>; 3],
    forward: ResidualConvGroup<B>,
    dy: FloatTensor<B>,
    epsilon: f32,
    by_input: bool,
) -> ResidualConvGroupGradients<B> {
    let [first, second, third] = parameters.map(HostConvNorm::new);
    let convolved = HostConvolved::new(forward.third);
    let third = Some((&third, &convolved));
    let (parameters, options) = ([&first, &second], (epsilon, by_input));
    let (group, third) = group_backward(x, parameters, forward.group, third, dy, options);
    ResidualConvGroupGradients {
        group,
        third: checked(third.ok_or(THIRD)),
    }
}

fn group_backward<B: HostTensors>(
    x: FloatTensor<B>,
    [first, second]: [&HostConvNorm<B>; 2],
    forward: ConvGroup<B>,
    third: Option<(&HostConvNorm<B>, &HostConvolved<B>)>,
    dy: FloatTensor<B>,
    (epsilon, by_input): (f32, bool),
) -> (ResidualGradients<B>, Option<ConvNorm<B>>) {
    let input = dims(&x);
    let shape = checked(GroupShape::new(input, first.dims[0], third.is_some()));
    let (pixels, dy) = (B::pixels(x.clone()), B::pixels(dy));
    let of_first = HostConvolved::<B>::new(forward.first);
    let of_second = HostConvolved::<B>::new(forward.second);
    let parameters = GroupParameters {
        first: first.parameters(),
        second: second.parameters(),
        third: third.map(|(parameters, _)| parameters.parameters()),
    };
    let mut by_first = Gradients::new(first.dims);
    let mut by_second = Gradients::new(second.dims);
    let mut by_third = third.map(|(parameters, _)| Gradients::new(parameters.dims));
    let gradients = GroupGradients {
        first: by_first.room(),
        second: by_second.room(),
        third: by_third.as_mut().map(Gradients::room),
    };
    let mut dx = buffer(if by_input { shape.input_len() } else { 0 });
    B::with_bytes(forward.places, |places| {
        let saved = conv_group::Saved {
            x: pixels.as_slice(),
            first: of_first.saved(),
            places,
            second: of_second.saved(),
            third: third.map(|(_, convolved)| convolved.saved()),
        };
        checked(conv_group::backward(
            context(),
            &shape,
            &saved,
            &parameters,
            epsilon,
            dy.as_slice(),
            gradients,
            &mut dx,
        ));
    });
    let group = ResidualGradients {
        x: if by_input {
            B::from_pixels(input, dx)
        } else {
            x
        },
        first: by_first.into_tensors(),
        second: by_second.into_tensors(),
    };
    (group, by_third.map(Gradients::into_tensors))
}

pub(super) fn conv_gelu_backward_bias<B: HostTensors>(
    x: FloatTensor<B>,
    parameters: Affine<B>,
    dy: FloatTensor<B>,
    padding: usize,
) -> FloatTensor<B> {
    let input = dims(&x);
    let weight = dims(&parameters.weight);
    let shape = checked(ConvShape::new(input, weight, 1, padding));
    let x = HostImages::<B>::new(x);
    let (weight, bias) = (B::rows(parameters.weight), B::rows(parameters.bias));
    let dy = B::pixels(dy);
    let mut db = buffer(shape.bias_len());
    checked(whiten::backward_bias(
        &packed::prepared(&shape, weight),
        input[0],
        x.images(),
        bias.as_slice(),
        dy.as_slice(),
        &mut db,
    ));
    B::from_rows(&[shape.bias_len()], db)
}

pub(super) fn conv_pool_gelu<B: HostTensors>(
    x: FloatTensor<B>,
    parameters: Affine<B>,
) -> FloatTensor<B> {
    let shape = checked(ConvShape::new(dims(&x), dims(&parameters.weight), 1, 1));
    let [batch, channels, height, width] = shape.output();
    let output = [batch, channels, height / 2, width / 2];
    let x = HostImages::<B>::new(x);
    let (weight, bias) = (B::rows(parameters.weight), B::rows(parameters.bias));
    let mut y = buffer(output.iter().product());
    checked(packed::prepared(&shape, weight).run_pooled(
        batch,
        x.images(),
        bias.as_slice(),
        Activation::Gelu,
        &mut y,
    ));
    B::from_pixels(output, y)
}

pub(super) fn global_max_pool<B: HostTensors>(x: FloatTensor<B>) -> Pooled<B> {
    let [batch, channels, height, width] = dims(&x);
    let shape = checked(ChannelShape::new(batch, channels, height * width));
    let x = B::pixels(x);
    let mut y = buffer(batch * channels);
    let mut places = vec![0; batch * channels];
    checked(cpu_kernels::global_max_pool(
        context(),
        &shape,
        x.as_slice(),
        &mut y,
        &mut places,
    ));
    Pooled {
        y: B::from_rows(&[batch, channels], y),
        indices: B::from_bytes(&[batch, channels], places),
    }
}

pub(super) fn global_max_pool_backward<B: HostTensors>(
    dy: FloatTensor<B>,
    indices: IntTensor<B>,
    height: usize,
    width: usize,
) -> FloatTensor<B> {
    let [batch, channels] = dims(&dy);
    let shape = checked(ChannelShape::new(batch, channels, height * width));
    let dy = B::rows(dy);
    let mut dx = buffer(shape.input_len());
    B::with_bytes(indices, |places| {
        checked(cpu_kernels::global_max_pool_backward(
            context(),
            &shape,
            dy.as_slice(),
            places,
            &mut dx,
        ));
    });
    B::from_pixels([batch, channels, height, width], dx)
}
