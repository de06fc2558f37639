//! The shapes of an operation's results, in the order in which they travel.
//!
//! A tensor has its shape as soon as it is asked for, long before the worker has computed it.

use burn::backend::tensor::FloatTensor;
use burn::backend::{Remote, TensorMetadata};
use burn::tensor::{DType, Shape};
use cpu_kernels::stored::{CHANNELS, SIZE};

use crate::backend::types::{Affine, ConvNorm};

type Tensor = FloatTensor<Remote>;

/// A result to come.
#[derive(Debug, Clone)]
pub struct Slot {
    /// Its shape.
    pub shape: Shape,
    /// Its type. That of indices stands for whatever the worker's backend takes, since only the
    /// worker looks at them.
    pub dtype: DType,
}

/// What results may be shaped like.
pub trait Like {
    /// Adds the shape of each of its tensors.
    fn slots(&self, slots: &mut Vec<Slot>);
}

impl Like for Slot {
    fn slots(&self, slots: &mut Vec<Slot>) {
        slots.push(self.clone());
    }
}

/// A result that is shaped like one tensor.
pub fn slot(tensor: &Tensor) -> Slot {
    Slot {
        shape: tensor.shape(),
        dtype: tensor.dtype(),
    }
}

/// Results that are shaped like tensors that there are: gradients above all.
pub fn like(tensors: &[&dyn Like]) -> Vec<Slot> {
    let mut slots = Vec::new();
    tensors.iter().for_each(|tensor| tensor.slots(&mut slots));
    slots
}

/// A float tensor of this shape.
fn float<const D: usize>(shape: [usize; D]) -> Slot {
    Slot {
        shape: Shape::from(shape),
        dtype: DType::F32,
    }
}

/// One axis of a tensor; 0 where there is no such axis, which the worker then refuses.
fn dim(tensor: &Tensor, axis: usize) -> usize {
    tensor.shape().get(axis).copied().unwrap_or_default()
}

/// A result that is one tensor.
pub fn one<const D: usize>(shape: [usize; D]) -> Vec<Slot> {
    vec![float(shape)]
}

/// The images that a convolution of `x` with square strides and zero padding gives.
pub fn convolution(x: &Tensor, weight: &Tensor, stride: usize, padding: usize) -> [usize; 4] {
    let along =
        |axis| (dim(x, axis) + 2 * padding).saturating_sub(dim(weight, axis)) / stride.max(1) + 1;
    [dim(x, 0), dim(weight, 0), along(2), along(3)]
}

/// The images of a tensor itself.
pub fn images_of(x: &Tensor) -> [usize; 4] {
    [0, 1, 2, 3].map(|axis| dim(x, axis))
}

/// Images as convolved, and their means and variances.
fn convolved(images: [usize; 4]) -> [Slot; 3] {
    let [_, channels, ..] = images;
    [float(images), float([channels]), float([channels])]
}

/// A normalised convolution: the result, and the convolution.
pub fn block(images: [usize; 4]) -> Vec<Slot> {
    [&[float(images)][..], &convolved(images)].concat()
}

/// A residual block: the result, and two convolutions.
pub fn residual(x: &Tensor, first: &ConvNorm<Remote>, stride: usize) -> Vec<Slot> {
    let images = convolution(x, &first.weight, stride, 1);
    [&[float(images)][..], &convolved(images), &convolved(images)].concat()
}

/// A residual block with a projection: the same, and the projection.
pub fn projected_residual(x: &Tensor, first: &ConvNorm<Remote>, stride: usize) -> Vec<Slot> {
    let images = convolution(x, &first.weight, stride, 1);
    [residual(x, first, stride), convolved(images).to_vec()].concat()
}

/// Images after windows of `pool` by `pool` pixels.
pub fn pooled([batch, channels, height, width]: [usize; 4], pool: usize) -> [usize; 4] {
    [batch, channels, height / pool.max(1), width / pool.max(1)]
}

/// Where maxima were, or classes.
fn indices<const D: usize>(shape: [usize; D]) -> Slot {
    Slot {
        dtype: DType::I32,
        ..float(shape)
    }
}

/// Maxima, and where they were.
pub fn with_indices<const D: usize>(shape: [usize; D]) -> Vec<Slot> {
    vec![float(shape), indices(shape)]
}

/// A group of two convolutions: the result, the places of maxima, and both convolutions.
pub fn group(x: &Tensor, first: &ConvNorm<Remote>, second: &ConvNorm<Remote>) -> Vec<Slot> {
    let of_first = pooled(convolution(x, &first.weight, 1, 1), 2);
    let [batch, _, height, width] = of_first;
    let of_second = [batch, dim(&second.weight, 0), height, width];
    let places = indices(of_first);
    [
        &[float(of_second), places][..],
        &convolved(of_first),
        &convolved(of_second),
    ]
    .concat()
}

/// A group with a third convolution: the same, and the third convolution.
pub fn residual_group(x: &Tensor, [first, second, third]: [&ConvNorm<Remote>; 3]) -> Vec<Slot> {
    let [batch, _, height, width] = pooled(convolution(x, &first.weight, 1, 1), 2);
    let of_third = [batch, dim(&third.weight, 0), height, width];
    [group(x, first, second), convolved(of_third).to_vec()].concat()
}

/// Weights of a layer with one bias for each output, or the gradients by them.
pub fn affine(weight: &Tensor) -> Vec<Slot> {
    [like(&[&slot(weight)]), one([dim(weight, 0)])].concat()
}

/// What a linear layer gives.
pub fn linear(x: &Tensor, parameters: &Affine<Remote>) -> Vec<Slot> {
    one([dim(x, 0), dim(&parameters.weight, 0)])
}

/// `[batch, channels]` of images.
pub fn channels(x: &Tensor) -> [usize; 2] {
    [dim(x, 0), dim(x, 1)]
}

/// Images of `height` by `width` for `[batch, channels]`.
pub fn images(x: &Tensor, height: usize, width: usize) -> Vec<Slot> {
    one([dim(x, 0), dim(x, 1), height, width])
}

/// A loss, and its gradient by the logits.
pub fn cross_entropy(logits: &Tensor) -> Vec<Slot> {
    [one([1]), like(&[&slot(logits)])].concat()
}

/// Images that a worker makes, and their classes.
pub fn stored_batch(count: usize) -> Vec<Slot> {
    vec![float([count, CHANNELS, SIZE, SIZE]), indices([count])]
}
