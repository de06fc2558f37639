//! Ties each operation of [`CnnBackend`] to its backward, for every backend at once.

use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Autodiff, AutodiffBackend, Backend};

use super::CnnBackend;

/// Backward of a convolution; the state is input, weights, stride and padding.
#[derive(Debug)]
struct Conv2d;

impl<B: CnnBackend> Backward<B, 2> for Conv2d {
    type State = (FloatTensor<B>, FloatTensor<B>, usize, usize);

    fn backward(
        self,
        ops: Ops<Self::State, 2>,
        grads: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let [x_node, weight_node] = ops.parents;
        let (x, weight, stride, padding) = ops.state;
        let dy = grads.consume::<B>(&ops.node);
        if let Some(node) = x_node {
            let dx = B::convolution_backward_input(
                x.clone(),
                weight.clone(),
                dy.clone(),
                stride,
                padding,
            );
            grads.register::<B>(node.id, dx);
        }
        if let Some(node) = weight_node {
            let dw = B::convolution_backward_weight(x, weight, dy, stride, padding);
            grads.register::<B>(node.id, dw);
        }
    }
}

/// Backward of a bias.
#[derive(Debug)]
struct AddBias;

impl<B: CnnBackend> Backward<B, 2> for AddBias {
    type State = ();

    fn backward(
        self,
        ops: Ops<Self::State, 2>,
        grads: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let [x_node, bias_node] = ops.parents;
        let dy = grads.consume::<B>(&ops.node);
        if let Some(node) = bias_node {
            grads.register::<B>(node.id, B::add_bias_backward(dy.clone()));
        }
        if let Some(node) = x_node {
            grads.register::<B>(node.id, dy);
        }
    }
}

/// Backward of a linear layer; the state is input and weights.
#[derive(Debug)]
struct Linear;

impl<B: CnnBackend> Backward<B, 3> for Linear {
    type State = (FloatTensor<B>, FloatTensor<B>);

    fn backward(
        self,
        ops: Ops<Self::State, 3>,
        grads: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let [x_node, weight_node, bias_node] = ops.parents;
        let (x, weight) = ops.state;
        let dy = grads.consume::<B>(&ops.node);
        if let Some(node) = x_node {
            grads.register::<B>(
                node.id,
                B::fully_connected_backward_input(weight, dy.clone()),
            );
        }
        if let Some(node) = weight_node {
            grads.register::<B>(node.id, B::fully_connected_backward_weight(x, dy.clone()));
        }
        if let Some(node) = bias_node {
            grads.register::<B>(node.id, B::fully_connected_backward_bias(dy));
        }
    }
}

/// Backward of maximum pooling; the state is input, indices and the window's side.
#[derive(Debug)]
struct MaxPool2d;

impl<B: CnnBackend> Backward<B, 1> for MaxPool2d {
    type State = (FloatTensor<B>, IntTensor<B>, usize);

    fn backward(
        self,
        ops: Ops<Self::State, 1>,
        grads: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let [x_node] = ops.parents;
        let (x, indices, kernel) = ops.state;
        let dy = grads.consume::<B>(&ops.node);
        if let Some(node) = x_node {
            grads.register::<B>(node.id, B::max_pool_backward(x, indices, dy, kernel));
        }
    }
}

/// Backward of batch normalisation; the state is input, gamma, mean, variance and epsilon.
#[derive(Debug)]
struct BatchNorm;

impl<B: CnnBackend> Backward<B, 3> for BatchNorm {
    type State = (
        FloatTensor<B>,
        FloatTensor<B>,
        FloatTensor<B>,
        FloatTensor<B>,
        f32,
    );

    fn backward(
        self,
        ops: Ops<Self::State, 3>,
        grads: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let (x, gamma, mean, variance, eps) = ops.state;
        let dy = grads.consume::<B>(&ops.node);
        let (dx, dgamma, dbeta) = B::normalize_batch_backward(x, gamma, mean, variance, dy, eps);
        for (node, gradient) in ops.parents.into_iter().zip([dx, dgamma, dbeta]) {
            if let Some(node) = node {
                grads.register::<B>(node.id, gradient);
            }
        }
    }
}

impl<B: Backend + CnnBackend, C: CheckpointStrategy> CnnBackend for Autodiff<B, C> {
    fn convolution(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        stride: usize,
        padding: usize,
    ) -> FloatTensor<Self> {
        match Conv2d
            .prepare::<C>([x.node(), weight.node()])
            .compute_bound()
            .stateful()
        {
            OpsKind::Tracked(prepared) => {
                let (x, weight) = (x.into_primitive(), weight.into_primitive());
                let y = B::convolution(x.clone(), weight.clone(), stride, padding);
                prepared.finish((x, weight, stride, padding), y)
            }
            OpsKind::UnTracked(prepared) => prepared.finish(B::convolution(
                x.into_primitive(),
                weight.into_primitive(),
                stride,
                padding,
            )),
        }
    }

    fn add_bias(x: FloatTensor<Self>, bias: FloatTensor<Self>) -> FloatTensor<Self> {
        match AddBias
            .prepare::<C>([x.node(), bias.node()])
            .compute_bound()
            .stateful()
        {
            OpsKind::Tracked(prepared) => {
                prepared.finish((), B::add_bias(x.into_primitive(), bias.into_primitive()))
            }
            OpsKind::UnTracked(prepared) => {
                prepared.finish(B::add_bias(x.into_primitive(), bias.into_primitive()))
            }
        }
    }

    fn fully_connected(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        match Linear
            .prepare::<C>([x.node(), weight.node(), bias.node()])
            .compute_bound()
            .stateful()
        {
            OpsKind::Tracked(prepared) => {
                let (x, weight) = (x.into_primitive(), weight.into_primitive());
                let y = B::fully_connected(x.clone(), weight.clone(), bias.into_primitive());
                prepared.finish((x, weight), y)
            }
            OpsKind::UnTracked(prepared) => prepared.finish(B::fully_connected(
                x.into_primitive(),
                weight.into_primitive(),
                bias.into_primitive(),
            )),
        }
    }

    fn max_pool(x: FloatTensor<Self>, kernel: usize) -> (FloatTensor<Self>, IntTensor<Self>) {
        match MaxPool2d
            .prepare::<C>([x.node()])
            .compute_bound()
            .stateful()
        {
            OpsKind::Tracked(prepared) => {
                let x = x.into_primitive();
                let (y, indices) = B::max_pool(x.clone(), kernel);
                (prepared.finish((x, indices.clone(), kernel), y), indices)
            }
            OpsKind::UnTracked(prepared) => {
                let (y, indices) = B::max_pool(x.into_primitive(), kernel);
                (prepared.finish(y), indices)
            }
        }
    }

    fn normalize_batch(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        eps: f32,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let kind = BatchNorm
            .prepare::<C>([x.node(), gamma.node(), beta.node()])
            .compute_bound()
            .stateful();
        let (x, gamma) = (x.into_primitive(), gamma.into_primitive());
        let (y, mean, variance) =
            B::normalize_batch(x.clone(), gamma.clone(), beta.into_primitive(), eps);
        let y = match kind {
            OpsKind::Tracked(prepared) => {
                prepared.finish((x, gamma, mean.clone(), variance.clone(), eps), y)
            }
            OpsKind::UnTracked(prepared) => prepared.finish(y),
        };
        (
            y,
            <Self as AutodiffBackend>::from_inner(mean),
            <Self as AutodiffBackend>::from_inner(variance),
        )
    }
}
