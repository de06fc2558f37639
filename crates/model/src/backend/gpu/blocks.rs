//! Normalised convolutions and residual blocks.

use burn::backend::TensorMetadata;
use burn_cubecl::CubeBackend;
use burn_cubecl::tensor::CubeTensor;
use gpu_kernels::Buffer;
use gpu_kernels::conv::{self, After};
use gpu_kernels::norm::{self, Activation, Gate, Moments};
use gpu_kernels::update::gate;

use super::tensors::{Images, row};
use crate::backend::EPSILON;
use crate::backend::types::{
    Affine, AffineGradients, ConvNorm, ConvNormGradients, ConvNormRelu, Convolved,
    ProjectedResidual, ProjectedResidualGradients, Residual, ResidualGradients,
};

type Cube = CubeBackend;

/// A convolution with its normalisation, as the kernels take it.
pub(super) struct Parameters {
    pub weight: Buffer,
    pub shape: [usize; 4],
    pub gamma: Buffer,
    pub beta: Buffer,
}

impl Parameters {
    pub fn new(parameters: ConvNorm<Cube>) -> Self {
        let of = parameters.weight.shape();
        Self {
            shape: [of[0], of[1], of[2], of[3]],
            weight: row(parameters.weight),
            gamma: row(parameters.gamma),
            beta: row(parameters.beta),
        }
    }

    fn convolution(&self, x: &Images, stride: usize, padding: usize) -> conv::Shape {
        conv::Shape {
            batch: x.batch,
            height: x.height,
            width: x.width,
            in_channels: x.channels,
            out_channels: self.shape[0],
            size: self.shape[2],
            stride,
            padding,
        }
    }
}

/// What a normalisation takes, with its statistics and what they make of scale and shift.
#[derive(Clone)]
pub(super) struct Normed {
    pub output: Images,
    pub moments: Moments,
}

impl Normed {
    /// The statistics of `output`, taken here.
    pub fn take(output: Images, parameters: &Parameters, epsilon: f32) -> Self {
        let moments = norm::moments(
            &output.client,
            &output.buffer,
            output.channels,
            &parameters.gamma,
            &parameters.beta,
            epsilon,
        );
        Self { output, moments }
    }

    /// What a forward pass kept.
    pub fn recall(convolved: Convolved<Cube>, parameters: &Parameters, epsilon: f32) -> Self {
        let output = Images::new(convolved.output);
        let (mean, variance) = (row(convolved.mean), row(convolved.variance));
        let affine = norm::affine(
            &output.client,
            &mean,
            &variance,
            &parameters.gamma,
            &parameters.beta,
            epsilon,
        );
        Self {
            output,
            moments: Moments {
                mean,
                variance,
                affine,
            },
        }
    }

    pub fn keep(self) -> Convolved<Cube> {
        let channels = self.output.channels;
        Convolved {
            mean: self.output.beside(self.moments.mean, [channels]),
            variance: self.output.beside(self.moments.variance, [channels]),
            output: self.output.tensor(),
        }
    }

    /// Normalised, and activated.
    pub fn activated(&self, activation: Activation) -> Images {
        self.plus(None, activation)
    }

    /// Normalised, with a second summand, which may have a normalisation of its own, and activated.
    pub fn plus(
        &self,
        around: Option<(&Images, Option<&Self>)>,
        activation: Activation,
    ) -> Images {
        let around = around.map(|(images, normed)| {
            (&images.buffer, normed.map(|normed| &normed.moments.affine))
        });
        let x = &self.output;
        let y = norm::normalize(&x.client, &x.buffer, &self.moments.affine, around, activation);
        x.others(y, x.size())
    }

    /// The gradients by `output`, by scale and by shift.
    pub fn back(
        &self,
        dy: &Images,
        parameters: &Parameters,
        other: Option<&Images>,
        gate: Gate,
        epsilon: f32,
    ) -> (Images, Buffer, Buffer) {
        let x = &self.output;
        let gradients = norm::normalize_back(
            &x.client,
            &dy.buffer,
            &x.buffer,
            [&self.moments.mean, &self.moments.variance],
            &parameters.gamma,
            &self.moments.affine,
            other.map(|other| &other.buffer),
            gate,
            epsilon,
        );
        (x.others(gradients.x, x.size()), gradients.gamma, gradients.beta)
    }
}

pub(super) fn convolve(
    x: &Images,
    parameters: &Parameters,
    stride: usize,
    padding: usize,
) -> Images {
    let shape = parameters.convolution(x, stride, padding);
    let y = conv::convolve(&x.client, &x.buffer, &parameters.weight, After::NOTHING, &shape);
    x.others(y, [shape.out_height(), shape.out_width(), shape.out_channels])
}

/// The gradient of a convolution by its input, with a summand of that shape.
pub(super) fn by_input(
    x: &Images,
    dy: &Images,
    parameters: &Parameters,
    around: Option<&Images>,
    [stride, padding]: [usize; 2],
) -> Images {
    let shape = parameters.convolution(x, stride, padding);
    let around = around.map(|around| &around.buffer);
    let dx = conv::convolve_back(&x.client, &dy.buffer, &parameters.weight, around, &shape);
    x.others(dx, x.size())
}

/// The gradients by the parameters of a normalised convolution.
pub(super) fn by_parameters(
    x: &Images,
    dy: &Images,
    parameters: &Parameters,
    gamma: Buffer,
    beta: Buffer,
    [stride, padding]: [usize; 2],
) -> ConvNorm<Cube> {
    let shape = parameters.convolution(x, stride, padding);
    let weight = conv::weight_gradient(&x.client, &x.buffer, &dy.buffer, &shape);
    let channels = parameters.shape[0];
    ConvNorm {
        weight: x.beside(weight, parameters.shape),
        gamma: x.beside(gamma, [channels]),
        beta: x.beside(beta, [channels]),
    }
}

pub(super) fn conv_norm_relu(
    x: CubeTensor,
    parameters: ConvNorm<Cube>,
    stride: usize,
    padding: usize,
) -> ConvNormRelu<Cube> {
    let (x, parameters) = (Images::new(x), Parameters::new(parameters));
    let normed = Normed::take(convolve(&x, &parameters, stride, padding), &parameters, EPSILON);
    ConvNormRelu {
        y: normed.activated(Activation::Relu).tensor(),
        convolved: normed.keep(),
    }
}

pub(super) fn conv_norm_relu_back(
    x: CubeTensor,
    parameters: ConvNorm<Cube>,
    forward: ConvNormRelu<Cube>,
    dy: CubeTensor,
    window: [usize; 2],
    wants_input: bool,
) -> ConvNormGradients<Cube> {
    let (images, parameters) = (Images::new(x.clone()), Parameters::new(parameters));
    let normed = Normed::recall(forward.convolved, &parameters, EPSILON);
    let own = Gate::Own(Activation::Relu);
    let (d_output, gamma, beta) = normed.back(&Images::new(dy), &parameters, None, own, EPSILON);
    ConvNormGradients {
        x: if wants_input {
            by_input(&images, &d_output, &parameters, None, window).tensor()
        } else {
            x
        },
        parameters: by_parameters(&images, &d_output, &parameters, gamma, beta, window),
    }
}

/// Scale and shift of a normalisation that stands alone.
fn alone(parameters: Affine<Cube>) -> Parameters {
    let (gamma, beta) = (row(parameters.weight), row(parameters.bias));
    Parameters {
        // Nothing reads the weights of a convolution that there is not.
        weight: gamma.clone(),
        shape: [0; 4],
        gamma,
        beta,
    }
}

pub(super) fn norm_relu(x: CubeTensor, parameters: Affine<Cube>) -> ConvNormRelu<Cube> {
    let normed = Normed::take(Images::new(x), &alone(parameters), EPSILON);
    ConvNormRelu {
        y: normed.activated(Activation::Relu).tensor(),
        convolved: normed.keep(),
    }
}

pub(super) fn norm_relu_back(
    parameters: Affine<Cube>,
    forward: ConvNormRelu<Cube>,
    dy: CubeTensor,
) -> AffineGradients<Cube> {
    let parameters = alone(parameters);
    let normed = Normed::recall(forward.convolved, &parameters, EPSILON);
    let own = Gate::Own(Activation::Relu);
    let (x, gamma, beta) = normed.back(&Images::new(dy), &parameters, None, own, EPSILON);
    let channels = x.channels;
    AffineGradients {
        parameters: Affine {
            weight: x.beside(gamma, [channels]),
            bias: x.beside(beta, [channels]),
        },
        x: x.tensor(),
    }
}

/// A residual block whose shortcut gave `around`, which may be still to be normalised.
fn block(
    x: &Images,
    first: &Parameters,
    second: &Parameters,
    stride: usize,
    around: (&Images, Option<&Normed>),
) -> Residual<Cube> {
    let of_first = Normed::take(convolve(x, first, stride, 1), first, EPSILON);
    let middle = of_first.activated(Activation::Relu);
    let of_second = Normed::take(convolve(&middle, second, 1, 1), second, EPSILON);
    Residual {
        y: of_second.plus(Some(around), Activation::Relu).tensor(),
        first: of_first.keep(),
        second: of_second.keep(),
    }
}

pub(super) fn residual(
    x: CubeTensor,
    first: ConvNorm<Cube>,
    second: ConvNorm<Cube>,
) -> Residual<Cube> {
    let x = Images::new(x);
    let (first, second) = (Parameters::new(first), Parameters::new(second));
    block(&x, &first, &second, 1, (&x, None))
}

/// The gradients of a residual block, with `around` that of its shortcut by the input.
fn block_back(
    x: &Images,
    [first, second]: [&Parameters; 2],
    forward: Residual<Cube>,
    dy: &Images,
    around: &Images,
    stride: usize,
) -> ResidualGradients<Cube> {
    let y = Images::new(forward.y);
    let of_first = Normed::recall(forward.first, first, EPSILON);
    let of_second = Normed::recall(forward.second, second, EPSILON);
    let (d_second, gamma, beta) = of_second.back(dy, second, Some(&y), Gate::Result, EPSILON);
    let middle = of_first.activated(Activation::Relu);
    let by_second = by_parameters(&middle, &d_second, second, gamma, beta, [1, 1]);
    let d_middle = by_input(&middle, &d_second, second, None, [1, 1]);
    let own = Gate::Own(Activation::Relu);
    let (d_first, gamma, beta) = of_first.back(&d_middle, first, None, own, EPSILON);
    ResidualGradients {
        first: by_parameters(x, &d_first, first, gamma, beta, [stride, 1]),
        x: by_input(x, &d_first, first, Some(around), [stride, 1]).tensor(),
        second: by_second,
    }
}

pub(super) fn residual_back(
    x: CubeTensor,
    first: ConvNorm<Cube>,
    second: ConvNorm<Cube>,
    forward: Residual<Cube>,
    dy: CubeTensor,
) -> ResidualGradients<Cube> {
    let (x, dy, y) = (Images::new(x), Images::new(dy), Images::new(forward.y.clone()));
    let around = dy.others(gate(&dy.client, &dy.buffer, &y.buffer), dy.size());
    let (first, second) = (Parameters::new(first), Parameters::new(second));
    block_back(&x, [&first, &second], forward, &dy, &around, 1)
}

pub(super) fn projected_residual(
    x: CubeTensor,
    [first, second, projection]: [ConvNorm<Cube>; 3],
    stride: usize,
) -> ProjectedResidual<Cube> {
    let x = Images::new(x);
    let projection = Parameters::new(projection);
    let projected = Normed::take(convolve(&x, &projection, stride, 0), &projection, EPSILON);
    let (first, second) = (Parameters::new(first), Parameters::new(second));
    let around = (&projected.output, Some(&projected));
    ProjectedResidual {
        main: block(&x, &first, &second, stride, around),
        projection: projected.keep(),
    }
}

pub(super) fn projected_residual_back(
    x: CubeTensor,
    [first, second, projection]: [ConvNorm<Cube>; 3],
    forward: ProjectedResidual<Cube>,
    dy: CubeTensor,
    stride: usize,
) -> ProjectedResidualGradients<Cube> {
    let (x, dy) = (Images::new(x), Images::new(dy));
    let y = Images::new(forward.main.y.clone());
    let projection = Parameters::new(projection);
    let projected = Normed::recall(forward.projection, &projection, EPSILON);
    let (d_projected, gamma, beta) =
        projected.back(&dy, &projection, Some(&y), Gate::Result, EPSILON);
    let by_projection = by_parameters(&x, &d_projected, &projection, gamma, beta, [stride, 0]);
    let around = by_input(&x, &d_projected, &projection, None, [stride, 0]);
    let (first, second) = (Parameters::new(first), Parameters::new(second));
    ProjectedResidualGradients {
        main: block_back(&x, [&first, &second], forward.main, &dy, &around, stride),
        projection: by_projection,
    }
}
