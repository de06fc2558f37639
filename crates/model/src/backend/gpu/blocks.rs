//! Normalised convolutions and residual blocks.

use burn::backend::TensorMetadata;
use burn_cubecl::CubeBackend;
use burn_cubecl::tensor::CubeTensor;
use gpu_kernels::Buffer;
use gpu_kernels::activation::Activation;
use gpu_kernels::conv::{self, After, Around, Input};
use gpu_kernels::moments::{self, Follow, Moments};
use gpu_kernels::norm::{self, Gate};

use super::tensors::{Images, like, row};
use super::together;
use crate::backend::EPSILON;
use crate::backend::types::{
    Affine, AffineGradients, ConvNorm, ConvNormGradients, ConvNormRelu, Convolved,
    ProjectedResidual, ProjectedResidualGradients, Residual, ResidualGradients, Statistics,
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
}

/// What a normalisation takes, with its statistics and what they make of scale and shift.
pub(super) struct Normed {
    pub kept: Kept,
    affine: Buffer,
}

impl Normed {
    fn with(output: Images, moments: Moments) -> Self {
        let Moments {
            mean,
            variance,
            affine,
        } = moments;
        let kept = Kept {
            output,
            mean,
            variance,
        };
        Self { kept, affine }
    }

    /// What was normalised.
    pub fn output(&self) -> &Images {
        &self.kept.output
    }

    /// The statistics of `output`, taken here.
    pub fn take(output: Images, parameters: &Parameters, epsilon: f32) -> Self {
        let (gamma, beta) = (&parameters.gamma, &parameters.beta);
        let (client, channels) = (&output.client, output.channels);
        let moments = moments::moments(client, &output.buffer, channels, gamma, beta, epsilon);
        Self::with(output, moments)
    }

    /// A convolution with the statistics of its output.
    pub fn convolve(
        x: &Images,
        affine: Option<&Buffer>,
        parameters: &Parameters,
        [stride, padding]: [usize; 2],
        epsilon: f32,
    ) -> Self {
        let shape = x.convolution(parameters.shape, stride, padding);
        let input = Input {
            images: &x.buffer,
            affine,
        };
        let (gamma, beta) = (&parameters.gamma, &parameters.beta);
        let weight = &parameters.weight;
        let (y, moments) =
            conv::convolve_moments(&x.client, input, weight, &shape, gamma, beta, epsilon);
        let size = [shape.out_height(), shape.out_width(), shape.out_channels];
        Self::with(x.others(y, size), moments)
    }

    pub fn keep(self) -> Convolved<Cube> {
        let Kept {
            output,
            mean,
            variance,
        } = self.kept;
        let channels = output.channels;
        Convolved {
            mean: output.beside(mean, [channels]),
            variance: output.beside(variance, [channels]),
            output: output.tensor(),
        }
    }

    /// Its scale and shift.
    pub fn affine(&self) -> &Buffer {
        &self.affine
    }

    /// Normalised, and activated.
    pub fn activated(&self, activation: Activation) -> Images {
        self.plus(None, activation)
    }

    /// Normalised, with a second summand, which may have a normalisation of its own, and activated.
    pub fn plus(&self, around: Option<(&Images, Option<&Self>)>, activation: Activation) -> Images {
        let around =
            around.map(|(images, normed)| (&images.buffer, normed.map(|normed| &normed.affine)));
        let x = self.output();
        let y = norm::normalize(&x.client, &x.buffer, &self.affine, around, activation);
        x.others(y, x.size())
    }
}

/// What a forward pass kept of a normalisation.
pub(super) struct Kept {
    output: Images,
    mean: Buffer,
    variance: Buffer,
}

impl Kept {
    pub fn new(convolved: Convolved<Cube>) -> Self {
        Self {
            output: Images::new(convolved.output),
            mean: row(convolved.mean),
            variance: row(convolved.variance),
        }
    }

    /// With its scale and shift, which are computed again.
    pub fn normed(self, parameters: &Parameters, epsilon: f32) -> Normed {
        let (gamma, beta) = (&parameters.gamma, &parameters.beta);
        let client = &self.output.client;
        let affine = moments::affine(client, &self.mean, &self.variance, gamma, beta, epsilon);
        Normed { kept: self, affine }
    }

    /// The gradients by `output`, by scale and by shift, where `y` is the result of the rectifier
    /// behind, or of none.
    pub fn back(
        &self,
        dy: &Images,
        parameters: &Parameters,
        y: Option<&Images>,
        epsilon: f32,
    ) -> (Images, Buffer, Buffer) {
        let gate = if y.is_some() {
            Gate::Result
        } else {
            Gate::Open
        };
        self.behind(dy, parameters, None, y, gate, epsilon)
    }

    fn behind(
        &self,
        dy: &Images,
        parameters: &Parameters,
        affine: Option<&Buffer>,
        y: Option<&Images>,
        gate: Gate,
        epsilon: f32,
    ) -> (Images, Buffer, Buffer) {
        let x = &self.output;
        let gradients = norm::normalize_back(
            &x.client,
            &dy.buffer,
            &x.buffer,
            [&self.mean, &self.variance],
            &parameters.gamma,
            affine,
            y.map(|y| &y.buffer),
            gate,
            epsilon,
            x.batch,
        );
        let by_output = x.others(gradients.x, x.size());
        (by_output, gradients.gamma, gradients.beta)
    }
}

impl Normed {
    /// The gradients by [`Normed::output`], by scale and by shift, where an activation follows at
    /// once.
    pub fn back(
        &self,
        dy: &Images,
        parameters: &Parameters,
        activation: Activation,
        epsilon: f32,
    ) -> (Images, Buffer, Buffer) {
        let (affine, own) = (Some(&self.affine), Gate::Own(activation));
        self.kept.behind(dy, parameters, affine, None, own, epsilon)
    }
}

pub(super) fn convolve(
    x: &Images,
    parameters: &Parameters,
    [stride, padding]: [usize; 2],
) -> Images {
    let shape = x.convolution(parameters.shape, stride, padding);
    let weight = &parameters.weight;
    let y = conv::convolve(&x.client, &x.buffer, weight, After::NOTHING, &shape);
    x.others(
        y,
        [shape.out_height(), shape.out_width(), shape.out_channels],
    )
}

/// The gradient of a convolution by its input, with a summand of that shape.
pub(super) fn by_input(
    x: &Images,
    dy: &Images,
    parameters: &Parameters,
    around: Option<Around<'_>>,
    [stride, padding]: [usize; 2],
) -> Images {
    let shape = x.convolution(parameters.shape, stride, padding);
    let weight = &parameters.weight;
    let dx = conv::convolve_back(&x.client, &dy.buffer, weight, around, &shape);
    x.others(dx, x.size())
}

/// The gradients by the parameters of a normalised convolution, whose input `affine` normalises
/// before a rectifier where there is one.
pub(super) fn by_parameters(
    x: &Images,
    affine: Option<&Buffer>,
    dy: &Images,
    parameters: &Parameters,
    gamma: Buffer,
    beta: Buffer,
    [stride, padding]: [usize; 2],
) -> ConvNorm<Cube> {
    let shape = x.convolution(parameters.shape, stride, padding);
    let input = Input {
        images: &x.buffer,
        affine,
    };
    let weight = conv::weight_gradient(&x.client, input, &dy.buffer, &shape);
    let channels = parameters.shape[0];
    ConvNorm {
        weight: x.sums(weight, parameters.shape),
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
    let normed = Normed::convolve(&x, None, &parameters, [stride, padding], EPSILON);
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
    let normed = Kept::new(forward.convolved).normed(&parameters, EPSILON);
    let (d_output, gamma, beta) =
        normed.back(&images.gradient(dy), &parameters, Activation::Relu, EPSILON);
    ConvNormGradients {
        x: if wants_input {
            by_input(&images, &d_output, &parameters, None, window).tensor()
        } else {
            x
        },
        parameters: by_parameters(&images, None, &d_output, &parameters, gamma, beta, window),
    }
}

pub(super) fn follow_statistics(
    running: Statistics<Cube>,
    batch: Statistics<Cube>,
    keep: f32,
    take: [f32; 2],
) -> Statistics<Cube> {
    let of = running.mean.clone();
    let channels = of.shape()[0];
    let running = [running.mean, running.variance].map(row);
    let batch = [batch.mean, batch.variance].map(row);
    let follow = Follow::new(&of.client, running, batch, keep, take);
    let [mean, variance] = follow.new.clone();
    together::follow(&of.device, &of.client, follow);
    Statistics {
        mean: like(&of, mean, [channels]),
        variance: like(&of, variance, [channels]),
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
    let normed = Kept::new(forward.convolved).normed(&parameters, EPSILON);
    let dy = normed.output().gradient(dy);
    let (x, gamma, beta) = normed.back(&dy, &parameters, Activation::Relu, EPSILON);
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
    let of_first = Normed::convolve(x, None, first, [stride, 1], EPSILON);
    let affine = Some(of_first.affine());
    let of_second = Normed::convolve(of_first.output(), affine, second, [1, 1], EPSILON);
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
    [of_first, of_second]: [Kept; 2],
    y: &Images,
    dy: &Images,
    around: Around<'_>,
    stride: usize,
) -> ResidualGradients<Cube> {
    let of_first = of_first.normed(first, EPSILON);
    let (d_second, gamma, beta) = of_second.back(dy, second, Some(y), EPSILON);
    let (middle, affine) = (of_first.output(), Some(of_first.affine()));
    let by_second = by_parameters(middle, affine, &d_second, second, gamma, beta, [1, 1]);
    let d_middle = by_input(middle, &d_second, second, None, [1, 1]);
    let (d_first, gamma, beta) = of_first.back(&d_middle, first, Activation::Relu, EPSILON);
    ResidualGradients {
        first: by_parameters(x, None, &d_first, first, gamma, beta, [stride, 1]),
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
    let (x, y) = (Images::new(x), Images::new(forward.y));
    let dy = y.gradient(dy);
    let around = Around {
        images: &dy.buffer,
        gate: Some(&y.buffer),
    };
    let (first, second) = (Parameters::new(first), Parameters::new(second));
    let kept = [Kept::new(forward.first), Kept::new(forward.second)];
    block_back(&x, [&first, &second], kept, &y, &dy, around, 1)
}

pub(super) fn projected_residual(
    x: CubeTensor,
    [first, second, projection]: [ConvNorm<Cube>; 3],
    stride: usize,
) -> ProjectedResidual<Cube> {
    let x = Images::new(x);
    let projection = Parameters::new(projection);
    let projected = Normed::convolve(&x, None, &projection, [stride, 0], EPSILON);
    let (first, second) = (Parameters::new(first), Parameters::new(second));
    let around = (projected.output(), Some(&projected));
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
    let (x, y) = (Images::new(x), Images::new(forward.main.y));
    let dy = y.gradient(dy);
    let projection = Parameters::new(projection);
    let projected = Kept::new(forward.projection);
    let (d_projected, gamma, beta) = projected.back(&dy, &projection, Some(&y), EPSILON);
    let window = [stride, 0];
    let by_projection = by_parameters(&x, None, &d_projected, &projection, gamma, beta, window);
    let shortcut = by_input(&x, &d_projected, &projection, None, window);
    let around = Around {
        images: &shortcut.buffer,
        gate: None,
    };
    let (first, second) = (Parameters::new(first), Parameters::new(second));
    let kept = [
        Kept::new(forward.main.first),
        Kept::new(forward.main.second),
    ];
    ProjectedResidualGradients {
        main: block_back(&x, [&first, &second], kept, &y, &dy, around, stride),
        projection: by_projection,
    }
}
