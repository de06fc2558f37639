//! Groups of convolutions with GELU, and what stands before and after them.

use burn_cubecl::CubeBackend;
use burn_cubecl::tensor::CubeTensor;
use gpu_kernels::activation::{self, Activation};
use gpu_kernels::conv::{self, After, Around};
use gpu_kernels::{pool, sums};

use super::blocks::{Kept, Normed, Parameters, by_input, by_parameters, convolve};
use super::tensors::{self, Images, row, sizes};
use crate::backend::types::{
    Affine, ConvGroup, ConvNorm, Pooled, ResidualConvGroup, ResidualConvGroupGradients,
    ResidualGradients,
};

type Cube = CubeBackend;

/// The normalisations of a group on the way forward, and where the maxima were.
struct Forward {
    first: Normed,
    second: Normed,
    places: CubeTensor,
}

fn forward(x: &Images, first: &Parameters, second: &Parameters, epsilon: f32) -> Forward {
    let output = convolve(x, first, [1, 1]);
    let size = output.size();
    let (maxima, places) =
        pool::max_pool(&x.client, &output.buffer, size, 2, None, Activation::None);
    let size = [size[0] / 2, size[1] / 2, size[2]];
    let places = output.others(places, size).places();
    let of_first = Normed::take(output.others(maxima, size), first, epsilon);
    let middle = of_first.activated(Activation::Gelu);
    Forward {
        second: Normed::convolve(&middle, None, second, [1, 1], epsilon),
        first: of_first,
        places,
    }
}

impl Forward {
    fn keep(self, y: Images) -> ConvGroup<Cube> {
        ConvGroup {
            y: y.tensor(),
            places: self.places,
            first: self.first.keep(),
            second: self.second.keep(),
        }
    }
}

pub(super) fn conv_group(
    x: CubeTensor,
    first: ConvNorm<Cube>,
    second: ConvNorm<Cube>,
    epsilon: f32,
) -> ConvGroup<Cube> {
    let (first, second) = (Parameters::new(first), Parameters::new(second));
    let forward = forward(&Images::new(x), &first, &second, epsilon);
    let y = forward.second.activated(Activation::Gelu);
    forward.keep(y)
}

pub(super) fn residual_conv_group(
    x: CubeTensor,
    [first, second, third]: [ConvNorm<Cube>; 3],
    epsilon: f32,
) -> ResidualConvGroup<Cube> {
    let [first, second, third] = [first, second, third].map(Parameters::new);
    let forward = forward(&Images::new(x), &first, &second, epsilon);
    let around = forward.first.activated(Activation::Gelu);
    let inner = forward.second.activated(Activation::Gelu);
    let of_third = Normed::convolve(&inner, None, &third, [1, 1], epsilon);
    let y = of_third.plus(Some((&around, None)), Activation::Gelu);
    ResidualConvGroup {
        group: forward.keep(y),
        third: of_third.keep(),
    }
}

/// The gradients of the first convolution of a group, its pooling and its normalisation, from the
/// gradient by the output of the first GELU.
fn first_back(
    x: CubeTensor,
    first: &Parameters,
    of_first: &Normed,
    places: CubeTensor,
    dy: &Images,
    epsilon: f32,
    wants_input: bool,
) -> (CubeTensor, ConvNorm<Cube>) {
    let images = Images::new(x.clone());
    let (d_pooled, gamma, beta) = of_first.back(dy, first, Activation::Gelu, epsilon);
    let places = tensors::places(places);
    let size = [images.height, images.width, first.shape[0]];
    let d = pool::max_pool_back(&images.client, &d_pooled.buffer, None, &places, size, 2);
    let d = images.others(d, size);
    let gradients = by_parameters(&images, None, &d, first, gamma, beta, [1, 1]);
    let dx = if wants_input {
        by_input(&images, &d, first, None, [1, 1]).tensor()
    } else {
        x
    };
    (dx, gradients)
}

pub(super) fn conv_group_back(
    x: CubeTensor,
    [first, second]: [ConvNorm<Cube>; 2],
    forward: ConvGroup<Cube>,
    dy: CubeTensor,
    epsilon: f32,
    wants_input: bool,
) -> ResidualGradients<Cube> {
    let (first, second) = (Parameters::new(first), Parameters::new(second));
    let of_first = Kept::new(forward.first).normed(&first, epsilon);
    let of_second = Kept::new(forward.second).normed(&second, epsilon);
    let middle = of_first.activated(Activation::Gelu);
    let (d_second, gamma, beta) =
        of_second.back(&middle.gradient(dy), &second, Activation::Gelu, epsilon);
    let by_second = by_parameters(&middle, None, &d_second, &second, gamma, beta, [1, 1]);
    let d_middle = by_input(&middle, &d_second, &second, None, [1, 1]);
    let (x, by_first) = first_back(
        x,
        &first,
        &of_first,
        forward.places,
        &d_middle,
        epsilon,
        wants_input,
    );
    ResidualGradients {
        x,
        first: by_first,
        second: by_second,
    }
}

pub(super) fn residual_conv_group_back(
    x: CubeTensor,
    [first, second, third]: [ConvNorm<Cube>; 3],
    forward: ResidualConvGroup<Cube>,
    dy: CubeTensor,
    epsilon: f32,
    wants_input: bool,
) -> ResidualConvGroupGradients<Cube> {
    let [first, second, third] = [first, second, third].map(Parameters::new);
    let group = forward.group;
    let of_first = Kept::new(group.first).normed(&first, epsilon);
    let of_second = Kept::new(group.second).normed(&second, epsilon);
    let of_third = Kept::new(forward.third).normed(&third, epsilon);
    let around = of_first.activated(Activation::Gelu);
    let inner = of_second.activated(Activation::Gelu);
    let dy = inner.gradient(dy);
    // The gradient behind the last GELU goes both ways.
    let last = of_third.plus(Some((&around, None)), Activation::None);
    let dy = dy.others(
        activation::gelu_back(&dy.client, &dy.buffer, &last.buffer),
        dy.size(),
    );
    let (d_third, gamma, beta) = of_third.kept.back(&dy, &third, None, epsilon);
    let by_third = by_parameters(&inner, None, &d_third, &third, gamma, beta, [1, 1]);
    let d_inner = by_input(&inner, &d_third, &third, None, [1, 1]);
    let (d_second, gamma, beta) = of_second.back(&d_inner, &second, Activation::Gelu, epsilon);
    let by_second = by_parameters(&around, None, &d_second, &second, gamma, beta, [1, 1]);
    let around_gradient = Around {
        images: &dy.buffer,
        gate: None,
    };
    let d_around = by_input(&around, &d_second, &second, Some(around_gradient), [1, 1]);
    let (x, by_first) = first_back(
        x,
        &first,
        &of_first,
        group.places,
        &d_around,
        epsilon,
        wants_input,
    );
    ResidualConvGroupGradients {
        group: ResidualGradients {
            x,
            first: by_first,
            second: by_second,
        },
        third: by_third,
    }
}

pub(super) fn conv_gelu_back_bias(
    x: CubeTensor,
    parameters: Affine<Cube>,
    dy: CubeTensor,
    padding: usize,
) -> CubeTensor {
    let x = Images::new(x);
    let dy = x.gradient(dy);
    let shape = x.convolution(sizes(&parameters.weight), 1, padding);
    let channels = shape.out_channels;
    let (weight, bias) = (row(parameters.weight), row(parameters.bias));
    let after = After {
        bias: Some(&bias),
        ..After::NOTHING
    };
    let before = conv::convolve(&x.client, &x.buffer, &weight, after, &shape);
    let d = activation::gelu_back(&x.client, &dy.buffer, &before);
    let bias = sums(&x.client, &d, None, channels, x.batch);
    x.sums(bias, [channels])
}

pub(super) fn conv_pool_gelu(x: CubeTensor, parameters: Affine<Cube>) -> CubeTensor {
    let x = Images::new(x);
    let shape = x.convolution(sizes(&parameters.weight), 1, 1);
    let (weight, bias) = (row(parameters.weight), row(parameters.bias));
    let y = conv::convolve(&x.client, &x.buffer, &weight, After::NOTHING, &shape);
    let size = [x.height, x.width, shape.out_channels];
    let (y, _) = pool::max_pool(&x.client, &y, size, 2, Some(&bias), Activation::Gelu);
    x.others(y, [size[0] / 2, size[1] / 2, size[2]]).tensor()
}

pub(super) fn global_max_pool(x: CubeTensor) -> Pooled<Cube> {
    let x = Images::new(x);
    let (y, places) = pool::max(&x.client, &x.buffer, x.pixels(), x.channels);
    Pooled {
        y: x.beside(y, [x.batch, x.channels]),
        indices: x.others(places, [1, 1, x.channels]).places(),
    }
}

pub(super) fn global_max_pool_back(
    dy: CubeTensor,
    places: CubeTensor,
    [height, width]: [usize; 2],
) -> CubeTensor {
    let dy = Images::of_one_pixel(dy);
    let channels = dy.channels;
    let places = tensors::places(places);
    let dx = pool::max_back(&dy.client, &dy.buffer, &places, height * width, channels);
    dy.others(dx, [height, width, channels]).tensor()
}
