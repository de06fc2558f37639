//! Each operation tied to its backward operation, for every backend at once.

use burn::backend::autodiff::NodeId;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Autodiff, AutodiffBackend, Backend, TensorMetadata};

use super::CnnBackend;
use super::types::{
    Affine, ConvNorm, ConvNormRelu, Convolved, CrossEntropy, Pooled, ProjectedResidual, Residual,
    SgdStep, Stepped,
};

/// The parents of an operation that ask for a gradient.
macro_rules! ids {
    ($ops:expr) => {
        $ops.parents.map(|parent| parent.map(|node| node.id))
    };
}

/// Ends an operation whose result is `output`, with what its backward pass will need.
fn finish<BO, B, C, const N: usize>(
    kind: OpsKind<BO, B, BO::State, C, N>,
    state: BO::State,
    output: FloatTensor<B>,
) -> FloatTensor<Autodiff<B, C>>
where
    BO: Backward<B, N>,
    B: Backend,
    C: CheckpointStrategy,
{
    match kind {
        OpsKind::Tracked(prepared) => prepared.finish(state, output),
        OpsKind::UnTracked(prepared) => prepared.finish(output),
    }
}

/// Hands gradients to the parents that ask for them.
fn register<B: Backend, const N: usize>(
    grads: &mut Gradients,
    parents: [Option<NodeId>; N],
    gradients: [FloatTensor<B>; N],
) {
    for (parent, gradient) in parents.into_iter().zip(gradients) {
        if let Some(parent) = parent {
            grads.register::<B>(parent, gradient);
        }
    }
}

#[derive(Debug)]
struct ConvNormReluBackward;

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
struct ResidualBackward;

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
        let (a, b) = (g.first, g.second);
        let gradients = [g.x, a.weight, a.gamma, a.beta, b.weight, b.gamma, b.beta];
        register::<B, 7>(grads, ids!(ops), gradients);
    }
}

#[derive(Debug)]
struct ProjectedResidualBackward;

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
        let (a, b, c) = (g.main.first, g.main.second, g.projection);
        let gradients = [
            g.main.x, a.weight, a.gamma, a.beta, b.weight, b.gamma, b.beta, c.weight, c.gamma,
            c.beta,
        ];
        register::<B, 10>(grads, ids!(ops), gradients);
    }
}

#[derive(Debug)]
struct ConvReluPoolBackward;

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
struct LinearBackward;

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
struct GlobalAvgPoolBackward;

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
struct CrossEntropyBackward;

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

/// A backend's own tensor as a constant of the graph.
fn constant<B: Backend, C: CheckpointStrategy>(
    tensor: FloatTensor<B>,
) -> FloatTensor<Autodiff<B, C>> {
    <Autodiff<B, C> as AutodiffBackend>::from_inner(tensor)
}

fn constants<B: Backend, C: CheckpointStrategy>(
    convolved: Convolved<B>,
) -> Convolved<Autodiff<B, C>> {
    Convolved {
        output: constant::<B, C>(convolved.output),
        mean: constant::<B, C>(convolved.mean),
        variance: constant::<B, C>(convolved.variance),
    }
}

fn inner<B: Backend, C: CheckpointStrategy>(parameters: ConvNorm<Autodiff<B, C>>) -> ConvNorm<B> {
    ConvNorm {
        weight: parameters.weight.into_primitive(),
        gamma: parameters.gamma.into_primitive(),
        beta: parameters.beta.into_primitive(),
    }
}

impl<B: Backend + CnnBackend, C: CheckpointStrategy> CnnBackend for Autodiff<B, C> {
    fn conv_norm_relu(
        x: FloatTensor<Self>,
        parameters: ConvNorm<Self>,
        stride: usize,
        padding: usize,
    ) -> ConvNormRelu<Self> {
        let p = &parameters;
        let nodes = [x.node(), p.weight.node(), p.gamma.node(), p.beta.node()];
        let kind = ConvNormReluBackward
            .prepare::<C>(nodes)
            .compute_bound()
            .stateful();
        let (x, parameters) = (x.into_primitive(), inner(parameters));
        let forward = B::conv_norm_relu(x.clone(), parameters.clone(), stride, padding);
        let y = forward.y.clone();
        let convolved = constants(forward.convolved.clone());
        let y = finish(kind, (x, parameters, forward, [stride, padding]), y);
        ConvNormRelu { y, convolved }
    }

    fn residual(
        x: FloatTensor<Self>,
        first: ConvNorm<Self>,
        second: ConvNorm<Self>,
    ) -> Residual<Self> {
        let (a, b) = (&first, &second);
        let nodes = [
            x.node(),
            a.weight.node(),
            a.gamma.node(),
            a.beta.node(),
            b.weight.node(),
            b.gamma.node(),
            b.beta.node(),
        ];
        let kind = ResidualBackward
            .prepare::<C>(nodes)
            .compute_bound()
            .stateful();
        let x = x.into_primitive();
        let (first, second) = (inner(first), inner(second));
        let forward = B::residual(x.clone(), first.clone(), second.clone());
        let y = forward.y.clone();
        let of_first = constants(forward.first.clone());
        let of_second = constants(forward.second.clone());
        let y = finish(kind, (x, [first, second], forward), y);
        Residual {
            y,
            first: of_first,
            second: of_second,
        }
    }

    fn projected_residual(
        x: FloatTensor<Self>,
        first: ConvNorm<Self>,
        second: ConvNorm<Self>,
        projection: ConvNorm<Self>,
        stride: usize,
    ) -> ProjectedResidual<Self> {
        let (a, b, c) = (&first, &second, &projection);
        let nodes = [
            x.node(),
            a.weight.node(),
            a.gamma.node(),
            a.beta.node(),
            b.weight.node(),
            b.gamma.node(),
            b.beta.node(),
            c.weight.node(),
            c.gamma.node(),
            c.beta.node(),
        ];
        let kind = ProjectedResidualBackward
            .prepare::<C>(nodes)
            .compute_bound()
            .stateful();
        let x = x.into_primitive();
        let all = [inner(first), inner(second), inner(projection)];
        let [first, second, projection] = all.clone();
        let forward = B::projected_residual(x.clone(), first, second, projection, stride);
        let y = forward.main.y.clone();
        let of_first = constants(forward.main.first.clone());
        let of_second = constants(forward.main.second.clone());
        let of_projection = constants(forward.projection.clone());
        let y = finish(kind, (x, all, forward, stride), y);
        ProjectedResidual {
            main: Residual {
                y,
                first: of_first,
                second: of_second,
            },
            projection: of_projection,
        }
    }

    fn conv_relu_pool(x: FloatTensor<Self>, parameters: Affine<Self>, pool: usize) -> Pooled<Self> {
        let nodes = [x.node(), parameters.weight.node(), parameters.bias.node()];
        let kind = ConvReluPoolBackward
            .prepare::<C>(nodes)
            .compute_bound()
            .stateful();
        let (x, weight) = (x.into_primitive(), parameters.weight.into_primitive());
        let parameters = Affine {
            weight: weight.clone(),
            bias: parameters.bias.into_primitive(),
        };
        let forward = B::conv_relu_pool(x.clone(), parameters, pool);
        let (y, indices) = (forward.y.clone(), forward.indices.clone());
        let y = finish(kind, (x, weight, forward, pool), y);
        Pooled { y, indices }
    }

    fn fully_connected(
        x: FloatTensor<Self>,
        parameters: Affine<Self>,
        rectify: bool,
    ) -> FloatTensor<Self> {
        let nodes = [x.node(), parameters.weight.node(), parameters.bias.node()];
        let kind = LinearBackward
            .prepare::<C>(nodes)
            .compute_bound()
            .stateful();
        let (x, weight) = (x.into_primitive(), parameters.weight.into_primitive());
        let parameters = Affine {
            weight: weight.clone(),
            bias: parameters.bias.into_primitive(),
        };
        let y = B::fully_connected(x.clone(), parameters, rectify);
        finish(kind, (x, weight, y.clone(), rectify), y)
    }

    fn global_avg_pool(x: FloatTensor<Self>) -> FloatTensor<Self> {
        let kind = GlobalAvgPoolBackward
            .prepare::<C>([x.node()])
            .compute_bound()
            .stateful();
        let x = x.into_primitive();
        let size = [x.shape()[2], x.shape()[3]];
        let y = B::global_avg_pool(x);
        finish(kind, size, y)
    }

    fn cross_entropy(
        logits: FloatTensor<Self>,
        targets: IntTensor<Self>,
        smoothing: f32,
    ) -> CrossEntropy<Self> {
        let kind = CrossEntropyBackward
            .prepare::<C>([logits.node()])
            .compute_bound()
            .stateful();
        let forward = B::cross_entropy(logits.into_primitive(), targets, smoothing);
        let gradient = constant::<B, C>(forward.gradient.clone());
        let loss = finish(kind, forward.gradient, forward.loss);
        CrossEntropy { loss, gradient }
    }

    fn sgd_step(
        weight: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        velocity: FloatTensor<Self>,
        settings: SgdStep,
    ) -> Stepped<Self> {
        // A step is no part of a graph.
        let stepped = B::sgd_step(
            weight.into_primitive(),
            gradient.into_primitive(),
            velocity.into_primitive(),
            settings,
        );
        Stepped {
            weight: constant::<B, C>(stepped.weight),
            velocity: constant::<B, C>(stepped.velocity),
        }
    }
}
