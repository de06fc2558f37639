//! The backward operations of residual blocks, of layers without normalisation, and of the loss.

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops};
use burn::backend::tensor::FloatTensor;

use super::{of_three, of_two, register};
use crate::backend::CnnBackend;
use crate::backend::types::{
    Affine, ConvNorm, ConvNormRelu, Pooled, ProjectedResidual, Residual, Storage,
};

#[derive(Debug)]
pub(super) struct ConvNormReluBackward;

impl<B: CnnBackend> Backward<B, 4> for ConvNormReluBackward {
    type State = (FloatTensor<B>, ConvNorm<B>, ConvNormRelu<B>, [usize; 2]);

    fn backward(
        self,
        ops: Ops<Self::State, 4>,
        grads: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let dy = grads.consume::<B>(&ops.node);
        let (x, parameters, forward, [stride, padding]) = ops.state;
        let [of_x, of_weight, of_gamma, of_beta] = ids!(ops);
        let gradients = if of_x.is_some() {
            let all = B::conv_norm_relu_backward(x, parameters, forward, dy, stride, padding);
            register::<B, 1>(grads, [of_x], [all.x]);
            all.parameters
        } else {
            B::conv_norm_relu_backward_parameters(x, parameters, forward, dy, stride, padding)
        };
        let ConvNorm {
            weight,
            gamma,
            beta,
        } = gradients;
        register::<B, 3>(grads, [of_weight, of_gamma, of_beta], [weight, gamma, beta]);
    }
}

#[derive(Debug)]
pub(super) struct NormReluBackward;

impl<B: CnnBackend> Backward<B, 3> for NormReluBackward {
    type State = (Affine<B>, ConvNormRelu<B>);

    fn backward(
        self,
        ops: Ops<Self::State, 3>,
        grads: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let dy = grads.consume::<B>(&ops.node);
        let (parameters, forward) = ops.state;
        let g = B::norm_relu_backward(parameters, forward, dy);
        let gradients = [g.x, g.parameters.weight, g.parameters.bias];
        register::<B, 3>(grads, ids!(ops), gradients);
    }
}

#[derive(Debug)]
pub(super) struct ConvolveBackward;

impl<B: CnnBackend> Backward<B, 2> for ConvolveBackward {
    type State = (FloatTensor<B>, FloatTensor<B>, [usize; 2]);

    fn backward(
        self,
        ops: Ops<Self::State, 2>,
        grads: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let dy = grads.consume::<B>(&ops.node);
        let (x, weight, [stride, padding]) = ops.state;
        let parents = ids!(ops);
        let by_input = parents[0].is_some();
        let (dx, dw) = B::convolve_backward(x, weight, dy, stride, padding, by_input);
        register::<B, 2>(grads, parents, [dx, dw]);
    }
}

#[derive(Debug)]
pub(super) struct ResidualBackward;

impl<B: CnnBackend> Backward<B, 7> for ResidualBackward {
    type State = (FloatTensor<B>, [ConvNorm<B>; 2], Residual<B>);

    fn backward(
        self,
        ops: Ops<Self::State, 7>,
        grads: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let dy = grads.consume::<B>(&ops.node);
        let (x, [first, second], forward) = ops.state;
        let g = B::residual_backward(x, first, second, forward, dy);
        register::<B, 7>(grads, ids!(ops), of_two::<B>(g.x, g.first, g.second));
    }
}

#[derive(Debug)]
pub(super) struct ProjectedResidualBackward;

impl<B: CnnBackend> Backward<B, 10> for ProjectedResidualBackward {
    type State = (
        FloatTensor<B>,
        [ConvNorm<B>; 3],
        ProjectedResidual<B>,
        usize,
    );

    fn backward(
        self,
        ops: Ops<Self::State, 10>,
        grads: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let dy = grads.consume::<B>(&ops.node);
        let (x, [first, second, projection], forward, stride) = ops.state;
        let g = B::projected_residual_backward(x, first, second, projection, forward, dy, stride);
        let gradients = of_three::<B>(g.main.x, g.main.first, g.main.second, g.projection);
        register::<B, 10>(grads, ids!(ops), gradients);
    }
}

#[derive(Debug)]
pub(super) struct ConvReluPoolBackward;

impl<B: CnnBackend> Backward<B, 3> for ConvReluPoolBackward {
    type State = (FloatTensor<B>, FloatTensor<B>, Pooled<B>, usize);

    fn backward(
        self,
        ops: Ops<Self::State, 3>,
        grads: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let dy = grads.consume::<B>(&ops.node);
        let (x, weight, forward, pool) = ops.state;
        let [of_x, of_weight, of_bias] = ids!(ops);
        let Affine { weight, bias } = if of_x.is_some() {
            let all = B::conv_relu_pool_backward(x, weight, forward, dy, pool);
            register::<B, 1>(grads, [of_x], [all.x]);
            all.parameters
        } else {
            B::conv_relu_pool_backward_parameters(x, weight, forward, dy, pool)
        };
        register::<B, 2>(grads, [of_weight, of_bias], [weight, bias]);
    }
}

#[derive(Debug)]
pub(super) struct LinearBackward;

impl<B: CnnBackend> Backward<B, 3> for LinearBackward {
    type State = (FloatTensor<B>, FloatTensor<B>, FloatTensor<B>, bool);

    fn backward(
        self,
        ops: Ops<Self::State, 3>,
        grads: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let dy = grads.consume::<B>(&ops.node);
        let (x, weight, y, rectify) = ops.state;
        let g = B::fully_connected_backward(x, weight, y, dy, rectify);
        let gradients = [g.x, g.parameters.weight, g.parameters.bias];
        register::<B, 3>(grads, ids!(ops), gradients);
    }
}

#[derive(Debug)]
pub(super) struct GlobalAvgPoolBackward;

impl<B: CnnBackend> Backward<B, 1> for GlobalAvgPoolBackward {
    type State = [usize; 2];

    fn backward(
        self,
        ops: Ops<Self::State, 1>,
        grads: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let dy = grads.consume::<B>(&ops.node);
        let [height, width] = ops.state;
        let dx = B::global_avg_pool_backward(dy, height, width);
        register::<B, 1>(grads, ids!(ops), [dx]);
    }
}

#[derive(Debug)]
pub(super) struct StoredAsBackward;

impl<B: CnnBackend> Backward<B, 1> for StoredAsBackward {
    type State = Storage;

    fn backward(
        self,
        ops: Ops<Self::State, 1>,
        grads: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let dy = grads.consume::<B>(&ops.node);
        let dx = B::stored_as_backward(dy, ops.state);
        register::<B, 1>(grads, ids!(ops), [dx]);
    }
}

#[derive(Debug)]
pub(super) struct CrossEntropyBackward;

impl<B: CnnBackend> Backward<B, 1> for CrossEntropyBackward {
    type State = FloatTensor<B>;

    fn backward(
        self,
        ops: Ops<Self::State, 1>,
        grads: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let factor = grads.consume::<B>(&ops.node);
        let gradient = B::scale_gradient(ops.state, factor);
        register::<B, 1>(grads, ids!(ops), [gradient]);
    }
}
