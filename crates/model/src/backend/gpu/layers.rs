//! Convolutions and layers without normalisation, the loss and the optimiser's step.

use burn::backend::TensorMetadata;
use burn_cubecl::CubeBackend;
use burn_cubecl::tensor::CubeTensor;
use gpu_kernels::activation::Activation;
use gpu_kernels::conv::{self, After, Around, Shape};
use gpu_kernels::muon;
use gpu_kernels::update::{self, ByMeans, Step};
use gpu_kernels::{gradient_of, loss, pool, sums};

use super::tensors::{Images, element, integers, like, places, row, sizes, sums_like};
use super::together;
use crate::backend::types::{
    AdamWStep, AdamWStepped, Affine, AffineGradients, CrossEntropy, Means, MuonStep, Pooled,
    SgdStep, Stepped,
};

type Cube = CubeBackend;

pub(super) fn convolve(
    x: CubeTensor,
    weight: CubeTensor,
    stride: usize,
    padding: usize,
) -> CubeTensor {
    let x = Images::new(x);
    let shape = x.convolution(sizes(&weight), stride, padding);
    let y = conv::convolve(&x.client, &x.buffer, &row(weight), After::NOTHING, &shape);
    x.others(
        y,
        [shape.out_height(), shape.out_width(), shape.out_channels],
    )
    .tensor()
}

pub(super) fn convolve_back(
    x: CubeTensor,
    weight: CubeTensor,
    dy: CubeTensor,
    [stride, padding]: [usize; 2],
    wants_input: bool,
) -> (CubeTensor, CubeTensor) {
    let images = Images::new(x.clone());
    let shape = images.convolution(sizes(&weight), stride, padding);
    let (of, dy) = (sizes(&weight), images.gradient(dy));
    let client = &images.client;
    let by_weight = conv::weight_gradient(client, &images.buffer, &dy.buffer, &shape);
    let by_weight = images.sums(by_weight, of);
    if !wants_input {
        return (x, by_weight);
    }
    let dx = conv::convolve_back(client, &dy.buffer, &row(weight), None, &shape);
    (images.others(dx, images.size()).tensor(), by_weight)
}

pub(super) fn conv_bias(
    x: CubeTensor,
    parameters: Affine<Cube>,
    around: Option<CubeTensor>,
    [stride, padding]: [usize; 2],
    activation: Activation,
) -> CubeTensor {
    let x = Images::new(x);
    let shape = x.convolution(sizes(&parameters.weight), stride, padding);
    let (weight, bias) = (row(parameters.weight), row(parameters.bias));
    let around = around.map(Images::new);
    let after = After {
        bias: Some(&bias),
        around: around.as_ref().map(|around| Around {
            images: &around.buffer,
            gate: None,
        }),
        activation,
    };
    let y = conv::convolve(&x.client, &x.buffer, &weight, after, &shape);
    x.others(
        y,
        [shape.out_height(), shape.out_width(), shape.out_channels],
    )
    .tensor()
}

pub(super) fn conv_relu_pool(
    x: CubeTensor,
    parameters: Affine<Cube>,
    window: usize,
) -> Pooled<Cube> {
    let x = Images::new(x);
    let shape = x.convolution(sizes(&parameters.weight), 1, 0);
    let (weight, bias) = (row(parameters.weight), row(parameters.bias));
    let y = conv::convolve(&x.client, &x.buffer, &weight, After::NOTHING, &shape);
    let [height, width] = [shape.out_height(), shape.out_width()];
    let size = [height, width, shape.out_channels];
    // The largest of rectified values is the largest value, rectified.
    let (y, places) = pool::max_pool(&x.client, &y, size, window, Some(&bias), Activation::Relu);
    let size = [height / window, width / window, shape.out_channels];
    Pooled {
        y: x.others(y, size).tensor(),
        indices: x.others(places, size).places(),
    }
}

pub(super) fn conv_relu_pool_back(
    x: CubeTensor,
    weight: CubeTensor,
    forward: Pooled<Cube>,
    dy: CubeTensor,
    window: usize,
    wants_input: bool,
) -> AffineGradients<Cube> {
    let images = Images::new(x.clone());
    let shape = images.convolution(sizes(&weight), 1, 0);
    let (of, channels) = (sizes(&weight), shape.out_channels);
    let (y, dy) = (Images::new(forward.y), images.gradient(dy));
    let places = places(forward.indices);
    let client = &images.client;
    let bias = sums(client, &dy.buffer, Some(&y.buffer), channels, images.batch);
    let size = [shape.out_height(), shape.out_width(), channels];
    let d = pool::max_pool_back(client, &dy.buffer, Some(&y.buffer), &places, size, window);
    let by_weight = conv::weight_gradient(client, &images.buffer, &d, &shape);
    AffineGradients {
        parameters: Affine {
            weight: images.sums(by_weight, of),
            bias: images.sums(bias, [channels]),
        },
        x: if wants_input {
            let dx = conv::convolve_back(client, &d, &row(weight), None, &shape);
            images.others(dx, images.size()).tensor()
        } else {
            x
        },
    }
}

/// A linear layer is a convolution of images of one pixel. It computes in single precision, and so does what follows;
/// its gradient by its input is stored as that is.
fn linear_shape(x: &CubeTensor, weight: &CubeTensor) -> Shape {
    Shape {
        batch: x.shape()[0],
        height: 1,
        width: 1,
        in_channels: weight.shape()[1],
        out_channels: weight.shape()[0],
        size: 1,
        stride: 1,
        padding: 0,
    }
}

pub(super) fn linear(x: CubeTensor, parameters: Affine<Cube>, rectify: bool) -> CubeTensor {
    let shape = linear_shape(&x, &parameters.weight);
    let bias = row(parameters.bias);
    let after = After {
        bias: Some(&bias),
        around: None,
        activation: if rectify {
            Activation::Relu
        } else {
            Activation::None
        },
    };
    let client = x.client.clone();
    let y = conv::convolve(
        &client,
        &row(x.clone()),
        &row(parameters.weight),
        after,
        &shape,
    );
    like(&x, y, [shape.batch, shape.out_channels])
}

pub(super) fn linear_back(
    x: CubeTensor,
    weight: CubeTensor,
    y: CubeTensor,
    dy: CubeTensor,
    rectify: bool,
) -> AffineGradients<Cube> {
    let shape = linear_shape(&x, &weight);
    let client = x.client.clone();
    let mut d = row(dy);
    if rectify {
        d = update::gate(&client, &d, &row(y));
    }
    let by_weight = conv::weight_gradient(&client, &row(x.clone()), &d, &shape);
    let bias = sums(&client, &d, None, shape.out_channels, shape.batch);
    let dx = conv::convolve_back(&client, &d, &row(weight), None, &shape);
    let dx = gradient_of(&client, dx, shape.batch, element(&x));
    AffineGradients {
        x: like(&x, dx, [shape.batch, shape.in_channels]),
        parameters: Affine {
            weight: sums_like(&x, by_weight, [shape.out_channels, shape.in_channels]),
            bias: sums_like(&x, bias, [shape.out_channels]),
        },
    }
}

pub(super) fn global_avg_pool(x: CubeTensor) -> CubeTensor {
    let x = Images::new(x);
    let y = pool::mean(&x.client, &x.buffer, x.pixels(), x.channels);
    x.beside(y, [x.batch, x.channels])
}

pub(super) fn global_avg_pool_back(dy: CubeTensor, height: usize, width: usize) -> CubeTensor {
    let dy = Images::of_one_pixel(dy);
    let channels = dy.channels;
    let dx = pool::mean_back(&dy.client, &dy.buffer, height * width, channels);
    dy.others(dx, [height, width, channels]).tensor()
}

pub(super) fn cross_entropy(
    logits: CubeTensor,
    targets: CubeTensor,
    smoothing: f32,
) -> CrossEntropy<Cube> {
    let shape = logits.shape();
    let (client, targets) = (logits.client.clone(), integers(targets));
    let (loss, gradient) = loss::cross_entropy(&client, &row(logits.clone()), &targets, smoothing);
    CrossEntropy {
        loss: like(&logits, loss, [1]),
        gradient: like(&logits, gradient, [shape[0], shape[1]]),
    }
}

pub(super) fn adamw_step(
    weight: CubeTensor,
    gradient: CubeTensor,
    means: Means<Cube>,
    settings: AdamWStep,
) -> AdamWStepped<Cube> {
    let shape = weight.shape();
    let numbers = [weight.clone(), gradient, means.first, means.second].map(row);
    let step = ByMeans::new(&weight.client, numbers, settings);
    let [new_weight, first, second] =
        (step.results.clone()).map(|result| like(&weight, result, shape.clone()));
    together::by_means(&weight.device, &weight.client, step);
    AdamWStepped {
        weight: new_weight,
        means: Means { first, second },
    }
}

pub(super) fn sgd_step(
    weight: CubeTensor,
    gradient: CubeTensor,
    velocity: CubeTensor,
    settings: SgdStep,
) -> Stepped<Cube> {
    let shape = weight.shape();
    let numbers = [weight.clone(), gradient, velocity].map(row);
    let step = Step::new(&weight.client, numbers, settings);
    let stepped = Stepped {
        weight: like(&weight, step.new_weight.clone(), shape.clone()),
        velocity: like(&weight, step.new_velocity.clone(), shape),
    };
    together::step(&weight.device, &weight.client, step);
    stepped
}

pub(super) fn muon_step(
    weight: CubeTensor,
    gradient: CubeTensor,
    momentum: CubeTensor,
    settings: MuonStep,
) -> Stepped<Cube> {
    let shape = weight.shape();
    let rows = shape.first().copied().unwrap_or(1);
    let numbers = [weight.clone(), gradient, momentum].map(row);
    let step = muon::Step::new(&weight.client, numbers, rows, settings);
    let stepped = Stepped {
        weight: like(&weight, step.new_weight.clone(), shape.clone()),
        velocity: like(&weight, step.new_momentum.clone(), shape),
    };
    together::muon(&weight.device, &weight.client, step);
    stepped
}
