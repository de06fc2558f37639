//! The backward operations of groups of convolutions, and of what stands before and after them.

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops};
use burn::backend::tensor::{FloatTensor, IntTensor};

use super::{of_three, of_two, register};
use crate::backend::CnnBackend;
use crate::backend::types::{Affine, ConvGroup, ConvNorm, ResidualConvGroup};

#[derive(Debug)]
pub(super) struct ConvGroupBackward;

impl<B: CnnBackend> Backward<B, 7> for ConvGroupBackward {
    type State = (FloatTensor<B>, [ConvNorm<B>; 2], ConvGroup<B>, f32);

    fn backward(
        self,
        ops: Ops<Self::State, 7>,
        grads: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let dy = grads.consume::<B>(&ops.node);
        let (x, [first, second], forward, epsilon) = ops.state;
        let parents = ids!(ops);
        let by_input = parents[0].is_some();
        let g = B::conv_group_backward(x, first, second, forward, dy, epsilon, by_input);
        register::<B, 7>(grads, parents, of_two::<B>(g.x, g.first, g.second));
    }
}

#[derive(Debug)]
pub(super) struct ResidualConvGroupBackward;

impl<B: CnnBackend> Backward<B, 10> for ResidualConvGroupBackward {
    type State = (FloatTensor<B>, [ConvNorm<B>; 3], ResidualConvGroup<B>, f32);

    fn backward(
        self,
        ops: Ops<Self::State, 10>,
        grads: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let dy = grads.consume::<B>(&ops.node);
        let (x, [first, second, third], forward, epsilon) = ops.state;
        let parents = ids!(ops);
        let by_input = parents[0].is_some();
        let g = B::residual_conv_group_backward(
            x, first, second, third, forward, dy, epsilon, by_input,
        );
        let gradients = of_three::<B>(g.group.x, g.group.first, g.group.second, g.third);
        register::<B, 10>(grads, parents, gradients);
    }
}

#[derive(Debug)]
pub(super) struct ConvGeluBackward;

impl<B: CnnBackend> Backward<B, 1> for ConvGeluBackward {
    type State = (FloatTensor<B>, Affine<B>, usize);

    fn backward(
        self,
        ops: Ops<Self::State, 1>,
        grads: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let dy = grads.consume::<B>(&ops.node);
        let (x, parameters, padding) = ops.state;
        let bias = B::conv_gelu_backward_bias(x, parameters, dy, padding);
        register::<B, 1>(grads, ids!(ops), [bias]);
    }
}

#[derive(Debug)]
pub(super) struct GlobalMaxPoolBackward;

impl<B: CnnBackend> Backward<B, 1> for GlobalMaxPoolBackward {
    type State = (IntTensor<B>, [usize; 2]);

    fn backward(
        self,
        ops: Ops<Self::State, 1>,
        grads: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let dy = grads.consume::<B>(&ops.node);
        let (indices, [height, width]) = ops.state;
        let dx = B::global_max_pool_backward(dy, indices, height, width);
        register::<B, 1>(grads, ids!(ops), [dx]);
    }
}
