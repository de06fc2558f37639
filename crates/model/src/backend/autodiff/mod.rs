//! Each operation tied to its backward operation, for every backend at once.
//!
//! | file | what it holds |
//! | --- | --- |
//! | here | the operations, which note their backward operations |
//! | `backward` | those of residual blocks, of layers without normalisation, and of the loss |
//! | `groups` | those of groups of convolutions |

use burn::backend::autodiff::NodeId;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, OpsKind};
use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Autodiff, AutodiffBackend, Backend, TensorMetadata};

use super::CnnBackend;
use super::types::{
    AdamWStep, AdamWStepped, Affine, ConvGroup, ConvNorm, ConvNormRelu, Convolved, CrossEntropy,
    Means, MuonStep, Pooled, ProjectedResidual, Residual, ResidualConvGroup, SgdStep, Statistics,
    Stepped, Storage, Stored, StoredBatch,
};
use backward::{
    ConvNormReluBackward, ConvReluPoolBackward, ConvolveBackward, CrossEntropyBackward,
    GlobalAvgPoolBackward, LinearBackward, NormReluBackward, ProjectedResidualBackward,
    ResidualBackward, StoredAsBackward,
};
use groups::{
    ConvGeluBackward, ConvGroupBackward, GlobalMaxPoolBackward, ResidualConvGroupBackward,
};

/// The parents of an operation that ask for a gradient.
macro_rules! ids {
    ($ops:expr) => {
        $ops.parents.map(|parent| parent.map(|node| node.id))
    };
}

mod backward;
mod groups;

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

/// The parents of an operation on an input and two normalised convolutions, or their gradients, in
/// the order in which the graph knows them.
fn of_two<B: Backend>(
    x: FloatTensor<B>,
    first: ConvNorm<B>,
    second: ConvNorm<B>,
) -> [FloatTensor<B>; 7] {
    let (a, b) = (first, second);
    [x, a.weight, a.gamma, a.beta, b.weight, b.gamma, b.beta]
}

/// As [`of_two`], for three convolutions.
fn of_three<B: Backend>(
    x: FloatTensor<B>,
    first: ConvNorm<B>,
    second: ConvNorm<B>,
    third: ConvNorm<B>,
) -> [FloatTensor<B>; 10] {
    let [x, a, b, c, d, e, f] = of_two::<B>(x, first, second);
    let ConvNorm {
        weight,
        gamma,
        beta,
    } = third;
    [x, a, b, c, d, e, f, weight, gamma, beta]
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

    fn norm_relu(x: FloatTensor<Self>, parameters: Affine<Self>) -> ConvNormRelu<Self> {
        let nodes = [x.node(), parameters.weight.node(), parameters.bias.node()];
        let kind = NormReluBackward
            .prepare::<C>(nodes)
            .compute_bound()
            .stateful();
        let parameters = Affine {
            weight: parameters.weight.into_primitive(),
            bias: parameters.bias.into_primitive(),
        };
        let forward = B::norm_relu(x.into_primitive(), parameters.clone());
        let y = forward.y.clone();
        let convolved = constants(forward.convolved.clone());
        let y = finish(kind, (parameters, forward), y);
        ConvNormRelu { y, convolved }
    }

    fn convolve(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        stride: usize,
        padding: usize,
    ) -> FloatTensor<Self> {
        let kind = ConvolveBackward
            .prepare::<C>([x.node(), weight.node()])
            .compute_bound()
            .stateful();
        let (x, weight) = (x.into_primitive(), weight.into_primitive());
        let y = B::convolve(x.clone(), weight.clone(), stride, padding);
        finish(kind, (x, weight, [stride, padding]), y)
    }

    fn residual(
        x: FloatTensor<Self>,
        first: ConvNorm<Self>,
        second: ConvNorm<Self>,
    ) -> Residual<Self> {
        let parents = of_two::<Self>(x.clone(), first.clone(), second.clone());
        let nodes = parents.map(|parent| parent.node());
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
        let parents =
            of_three::<Self>(x.clone(), first.clone(), second.clone(), projection.clone());
        let nodes = parents.map(|parent| parent.node());
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

    fn stored_as(images: FloatTensor<Self>, storage: Storage) -> FloatTensor<Self> {
        let kind = StoredAsBackward
            .prepare::<C>([images.node()])
            .compute_bound()
            .stateful();
        let images = images.into_primitive();
        let before = Storage::of(images.dtype());
        finish(kind, before, B::stored_as(images, storage))
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

    fn conv_group(
        x: FloatTensor<Self>,
        first: ConvNorm<Self>,
        second: ConvNorm<Self>,
        epsilon: f32,
    ) -> ConvGroup<Self> {
        let parents = of_two::<Self>(x.clone(), first.clone(), second.clone());
        let nodes = parents.map(|parent| parent.node());
        let kind = ConvGroupBackward
            .prepare::<C>(nodes)
            .compute_bound()
            .stateful();
        let x = x.into_primitive();
        let (first, second) = (inner(first), inner(second));
        let forward = B::conv_group(x.clone(), first.clone(), second.clone(), epsilon);
        let ConvGroup { y, places, .. } = forward.clone();
        let of_first = constants(forward.first.clone());
        let of_second = constants(forward.second.clone());
        let y = finish(kind, (x, [first, second], forward, epsilon), y);
        ConvGroup {
            y,
            places,
            first: of_first,
            second: of_second,
        }
    }

    fn residual_conv_group(
        x: FloatTensor<Self>,
        first: ConvNorm<Self>,
        second: ConvNorm<Self>,
        third: ConvNorm<Self>,
        epsilon: f32,
    ) -> ResidualConvGroup<Self> {
        let parents = of_three::<Self>(x.clone(), first.clone(), second.clone(), third.clone());
        let nodes = parents.map(|parent| parent.node());
        let kind = ResidualConvGroupBackward
            .prepare::<C>(nodes)
            .compute_bound()
            .stateful();
        let x = x.into_primitive();
        let all = [inner(first), inner(second), inner(third)];
        let [first, second, third] = all.clone();
        let forward = B::residual_conv_group(x.clone(), first, second, third, epsilon);
        let ConvGroup { y, places, .. } = forward.group.clone();
        let of_first = constants(forward.group.first.clone());
        let of_second = constants(forward.group.second.clone());
        let of_third = constants(forward.third.clone());
        let y = finish(kind, (x, all, forward, epsilon), y);
        ResidualConvGroup {
            group: ConvGroup {
                y,
                places,
                first: of_first,
                second: of_second,
            },
            third: of_third,
        }
    }

    fn conv_gelu(
        x: FloatTensor<Self>,
        parameters: Affine<Self>,
        padding: usize,
    ) -> FloatTensor<Self> {
        let kind = ConvGeluBackward
            .prepare::<C>([parameters.bias.node()])
            .compute_bound()
            .stateful();
        let x = x.into_primitive();
        let parameters = Affine {
            weight: parameters.weight.into_primitive(),
            bias: parameters.bias.into_primitive(),
        };
        let y = B::conv_gelu(x.clone(), parameters.clone(), padding);
        finish(kind, (x, parameters, padding), y)
    }

    fn global_max_pool(x: FloatTensor<Self>) -> Pooled<Self> {
        let kind = GlobalMaxPoolBackward
            .prepare::<C>([x.node()])
            .compute_bound()
            .stateful();
        let x = x.into_primitive();
        let size = [x.shape()[2], x.shape()[3]];
        let forward = B::global_max_pool(x);
        let places = forward.indices.clone();
        let y = finish(kind, (forward.indices, size), forward.y);
        Pooled { y, indices: places }
    }

    fn follow_statistics(
        running: Statistics<Self>,
        batch: Statistics<Self>,
        keep: f32,
        take: [f32; 2],
    ) -> Statistics<Self> {
        // Statistics are no part of a graph.
        let inner = |statistics: Statistics<Self>| Statistics {
            mean: statistics.mean.into_primitive(),
            variance: statistics.variance.into_primitive(),
        };
        let new = B::follow_statistics(inner(running), inner(batch), keep, take);
        Statistics {
            mean: constant::<B, C>(new.mean),
            variance: constant::<B, C>(new.variance),
        }
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

    fn adamw_step(
        weight: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        means: Means<Self>,
        settings: AdamWStep,
    ) -> AdamWStepped<Self> {
        // A step is no part of a graph.
        let means = Means {
            first: means.first.into_primitive(),
            second: means.second.into_primitive(),
        };
        let (weight, gradient) = (weight.into_primitive(), gradient.into_primitive());
        let stepped = B::adamw_step(weight, gradient, means, settings);
        AdamWStepped {
            weight: constant::<B, C>(stepped.weight),
            means: Means {
                first: constant::<B, C>(stepped.means.first),
                second: constant::<B, C>(stepped.means.second),
            },
        }
    }

    fn muon_step(
        weight: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        momentum: FloatTensor<Self>,
        settings: MuonStep,
    ) -> Stepped<Self> {
        // A step is no part of a graph.
        let (weight, gradient) = (weight.into_primitive(), gradient.into_primitive());
        let stepped = B::muon_step(weight, gradient, momentum.into_primitive(), settings);
        Stepped {
            weight: constant::<B, C>(stepped.weight),
            velocity: constant::<B, C>(stepped.velocity),
        }
    }

    fn stored_batch(
        stored: Stored<Self>,
        views: IntTensor<Self>,
        first: usize,
        count: usize,
    ) -> StoredBatch<Self> {
        // Images are no part of a graph.
        let stored = Stored {
            first: stored.first,
            rest: stored.rest,
            tables: stored.tables.into_primitive(),
        };
        let batch = B::stored_batch(stored, views, first, count);
        StoredBatch {
            images: constant::<B, C>(batch.images),
            classes: batch.classes,
        }
    }
}
