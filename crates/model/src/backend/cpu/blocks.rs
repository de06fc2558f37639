//! Normalised convolutions and residual blocks by the kernels of `cpu-kernels`.

use burn::backend::tensor::FloatTensor;
use cpu_kernels::block::{NormGradients, Parameters, Statistics, residual, stem};
use cpu_kernels::{ConvShape, buffer};

use super::tensors::{HostImages, HostTensors, Values, dims};
use super::{checked, context};
use crate::backend::EPSILON;
use crate::backend::types::{
    ConvNorm, ConvNormGradients, ConvNormRelu, Convolved, ProjectedResidual,
    ProjectedResidualGradients, Residual, ResidualGradients,
};

/// Parameters of a normalised convolution as they lie in memory.
pub(super) struct HostConvNorm<B: HostTensors> {
    weight: B::Values,
    gamma: B::Values,
    beta: B::Values,
    pub(super) dims: [usize; 4],
}

impl<B: HostTensors> HostConvNorm<B> {
    pub(super) fn new(parameters: ConvNorm<B>) -> Self {
        Self {
            dims: dims(&parameters.weight),
            weight: B::rows(parameters.weight),
            gamma: B::rows(parameters.gamma),
            beta: B::rows(parameters.beta),
        }
    }

    pub(super) fn parameters(&self) -> Parameters<'_> {
        Parameters {
            weight: self.weight.as_slice(),
            gamma: self.gamma.as_slice(),
            beta: self.beta.as_slice(),
        }
    }
}

/// Room for the gradients by the parameters of a normalised convolution.
pub(super) struct Gradients {
    weight: Vec<f32>,
    gamma: Vec<f32>,
    beta: Vec<f32>,
    dims: [usize; 4],
}

impl Gradients {
    pub(super) fn new(dims: [usize; 4]) -> Self {
        Self {
            weight: buffer(dims.iter().product()),
            gamma: buffer(dims[0]),
            beta: buffer(dims[0]),
            dims,
        }
    }

    pub(super) fn room(&mut self) -> NormGradients<'_> {
        NormGradients {
            weight: &mut self.weight,
            gamma: &mut self.gamma,
            beta: &mut self.beta,
        }
    }

    pub(super) fn into_tensors<B: HostTensors>(self) -> ConvNorm<B> {
        let channels = self.dims[0];
        ConvNorm {
            weight: B::from_rows(&self.dims, self.weight),
            gamma: B::from_rows(&[channels], self.gamma),
            beta: B::from_rows(&[channels], self.beta),
        }
    }
}

/// Room for a convolution's output and its statistics.
pub(super) struct Room {
    output: Vec<f32>,
    mean: Vec<f32>,
    variance: Vec<f32>,
    dims: [usize; 4],
}

impl Room {
    pub(super) fn new(dims: [usize; 4]) -> Self {
        Self {
            output: buffer(dims.iter().product()),
            mean: buffer(dims[1]),
            variance: buffer(dims[1]),
            dims,
        }
    }

    pub(super) fn convolved(&mut self) -> residual::Convolved<'_> {
        residual::Convolved {
            c: &mut self.output,
            mean: &mut self.mean,
            variance: &mut self.variance,
        }
    }

    pub(super) fn into_tensors<B: HostTensors>(self) -> Convolved<B> {
        let channels = self.dims[1];
        Convolved {
            output: B::from_pixels(self.dims, self.output),
            mean: B::from_rows(&[channels], self.mean),
            variance: B::from_rows(&[channels], self.variance),
        }
    }
}

/// A convolution's output and its statistics as they lie in memory.
pub(super) struct HostConvolved<B: HostTensors> {
    output: B::Values,
    mean: B::Values,
    variance: B::Values,
}

impl<B: HostTensors> HostConvolved<B> {
    pub(super) fn new(convolved: Convolved<B>) -> Self {
        Self {
            output: B::pixels(convolved.output),
            mean: B::rows(convolved.mean),
            variance: B::rows(convolved.variance),
        }
    }

    fn statistics(&self) -> Statistics<'_> {
        Statistics {
            mean: self.mean.as_slice(),
            variance: self.variance.as_slice(),
        }
    }

    pub(super) fn saved(&self) -> residual::SavedConvolution<'_> {
        residual::SavedConvolution {
            c: self.output.as_slice(),
            statistics: self.statistics(),
        }
    }
}

pub(super) fn conv_norm_relu<B: HostTensors>(
    x: FloatTensor<B>,
    parameters: ConvNorm<B>,
    stride: usize,
    padding: usize,
) -> ConvNormRelu<B> {
    let parameters = HostConvNorm::new(parameters);
    let shape = checked(ConvShape::new(dims(&x), parameters.dims, stride, padding));
    let x = HostImages::<B>::new(x);
    let mut room = Room::new(shape.output());
    let mut y = buffer(shape.output_len());
    let out = stem::Outputs {
        c: &mut room.output,
        y: &mut y,
        mean: &mut room.mean,
        variance: &mut room.variance,
    };
    let p = parameters.parameters();
    checked(stem::forward(
        context(),
        &shape,
        x.images(),
        &p,
        EPSILON,
        out,
    ));
    ConvNormRelu {
        y: B::from_pixels(shape.output(), y),
        convolved: room.into_tensors(),
    }
}

/// The gradients by the parameters, and by the input where `by_input` asks for it.
fn conv_norm_relu_gradients<B: HostTensors>(
    (x, parameters, forward, dy): (FloatTensor<B>, ConvNorm<B>, ConvNormRelu<B>, FloatTensor<B>),
    stride: usize,
    padding: usize,
    by_input: bool,
) -> (Vec<f32>, [usize; 4], ConvNorm<B>) {
    let parameters = HostConvNorm::new(parameters);
    let input = dims(&x);
    let shape = checked(ConvShape::new(input, parameters.dims, stride, padding));
    let x = HostImages::<B>::new(x);
    let convolved = HostConvolved::new(forward.convolved);
    let (y, dy) = (B::pixels(forward.y), B::pixels(dy));
    let saved = stem::Saved {
        x: x.images(),
        c: convolved.output.as_slice(),
        y: y.as_slice(),
        statistics: convolved.statistics(),
    };
    let mut gradients = Gradients::new(parameters.dims);
    let mut dx = buffer(if by_input { shape.input_len() } else { 0 });
    checked(stem::backward(
        context(),
        &shape,
        &saved,
        &parameters.parameters(),
        EPSILON,
        dy.as_slice(),
        gradients.room(),
        &mut dx,
    ));
    (dx, input, gradients.into_tensors())
}

pub(super) fn conv_norm_relu_backward<B: HostTensors>(
    x: FloatTensor<B>,
    parameters: ConvNorm<B>,
    forward: ConvNormRelu<B>,
    dy: FloatTensor<B>,
    stride: usize,
    padding: usize,
) -> ConvNormGradients<B> {
    let parts = (x, parameters, forward, dy);
    let (dx, input, parameters) = conv_norm_relu_gradients(parts, stride, padding, true);
    ConvNormGradients {
        x: B::from_pixels(input, dx),
        parameters,
    }
}

pub(super) fn conv_norm_relu_backward_parameters<B: HostTensors>(
    parts: (FloatTensor<B>, ConvNorm<B>, ConvNormRelu<B>, FloatTensor<B>),
    stride: usize,
    padding: usize,
) -> ConvNorm<B> {
    conv_norm_relu_gradients(parts, stride, padding, false).2
}

fn block_shape(x: [usize; 4], weight: [usize; 4], stride: usize) -> residual::ResidualShape {
    checked(residual::ResidualShape::new(x, weight[0], stride))
}

pub(super) fn residual<B: HostTensors>(
    x: FloatTensor<B>,
    first: ConvNorm<B>,
    second: ConvNorm<B>,
) -> Residual<B> {
    let (first, second) = (HostConvNorm::new(first), HostConvNorm::new(second));
    block(x, [&first, &second], None, 1).0
}

pub(super) fn projected_residual<B: HostTensors>(
    x: FloatTensor<B>,
    parameters: [ConvNorm<B>; 3],
    stride: usize,
) -> ProjectedResidual<B> {
    let [first, second, projection] = parameters.map(HostConvNorm::new);
    let (main, projected) = block(x, [&first, &second], Some(&projection), stride);
    ProjectedResidual {
        main,
        projection: checked(projected.ok_or("a block that projects gives a projection")),
    }
}

fn block<B: HostTensors>(
    x: FloatTensor<B>,
    [first, second]: [&HostConvNorm<B>; 2],
    projection: Option<&HostConvNorm<B>>,
    stride: usize,
) -> (Residual<B>, Option<Convolved<B>>) {
    let shape = block_shape(dims(&x), first.dims, stride);
    let output = shape.output();
    let x = B::pixels(x);
    let (mut of_first, mut of_second) = (Room::new(output), Room::new(output));
    let mut of_projection = projection.map(|_| Room::new(output));
    let mut y = buffer(shape.output_len());
    let parameters = residual::BlockParameters {
        first: first.parameters(),
        second: second.parameters(),
        projection: projection.map(HostConvNorm::parameters),
    };
    let out = residual::Outputs {
        first: of_first.convolved(),
        second: of_second.convolved(),
        projection: of_projection.as_mut().map(Room::convolved),
        y: &mut y,
    };
    let x = x.as_slice();
    checked(residual::forward(
        context(),
        &shape,
        x,
        &parameters,
        EPSILON,
        out,
    ));
    let main = Residual {
        y: B::from_pixels(output, y),
        first: of_first.into_tensors(),
        second: of_second.into_tensors(),
    };
    (main, of_projection.map(Room::into_tensors))
}

pub(super) fn residual_backward<B: HostTensors>(
    x: FloatTensor<B>,
    first: ConvNorm<B>,
    second: ConvNorm<B>,
    forward: Residual<B>,
    dy: FloatTensor<B>,
) -> ResidualGradients<B> {
    let (first, second) = (HostConvNorm::new(first), HostConvNorm::new(second));
    block_backward(x, [&first, &second], forward, None, dy, 1).0
}

pub(super) fn projected_residual_backward<B: HostTensors>(
    x: FloatTensor<B>,
    parameters: [ConvNorm<B>; 3],
    forward: ProjectedResidual<B>,
    dy: FloatTensor<B>,
    stride: usize,
) -> ProjectedResidualGradients<B> {
    let [first, second, projection] = parameters.map(HostConvNorm::new);
    let projected = HostConvolved::new(forward.projection);
    let around = Some((&projection, &projected));
    let (main, projection) = block_backward(x, [&first, &second], forward.main, around, dy, stride);
    ProjectedResidualGradients {
        main,
        projection: checked(projection.ok_or("a block that projects gives a projection")),
    }
}

fn block_backward<B: HostTensors>(
    x: FloatTensor<B>,
    [first, second]: [&HostConvNorm<B>; 2],
    forward: Residual<B>,
    projection: Option<(&HostConvNorm<B>, &HostConvolved<B>)>,
    dy: FloatTensor<B>,
    stride: usize,
) -> (ResidualGradients<B>, Option<ConvNorm<B>>) {
    let input = dims(&x);
    let shape = block_shape(input, first.dims, stride);
    let (x, y, dy) = (B::pixels(x), B::pixels(forward.y), B::pixels(dy));
    let of_first = HostConvolved::new(forward.first);
    let of_second = HostConvolved::new(forward.second);
    let saved = residual::Saved {
        x: x.as_slice(),
        first: of_first.saved(),
        second: of_second.saved(),
        projection: projection.map(|(_, projected)| projected.saved()),
        y: y.as_slice(),
    };
    let parameters = residual::BlockParameters {
        first: first.parameters(),
        second: second.parameters(),
        projection: projection.map(|(parameters, _)| parameters.parameters()),
    };
    let mut by_first = Gradients::new(first.dims);
    let mut by_second = Gradients::new(second.dims);
    let mut by_projection = projection.map(|(parameters, _)| Gradients::new(parameters.dims));
    let gradients = residual::BlockGradients {
        first: by_first.room(),
        second: by_second.room(),
        projection: by_projection.as_mut().map(Gradients::room),
    };
    let mut dx = buffer(shape.input_len());
    checked(residual::backward(
        context(),
        &shape,
        &saved,
        &parameters,
        EPSILON,
        dy.as_slice(),
        gradients,
        &mut dx,
    ));
    let main = ResidualGradients {
        x: B::from_pixels(input, dx),
        first: by_first.into_tensors(),
        second: by_second.into_tensors(),
    };
    (main, by_projection.map(Gradients::into_tensors))
}
