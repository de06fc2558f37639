//! The operations of [`CnnBackend`] as functions of tensors.

use burn::backend::Dispatch;
use burn::tensor::{Int, Tensor};

use crate::backend::types::{AdamWStep, Affine, ConvNorm, Means, MuonStep, SgdStep, Statistics};
use crate::{CnnBackend, backend, layers};

/// A convolution's weights, `[out_channels, in_channels, height, width]`, and the scale and shift of the
/// normalisation after it, each `[out_channels]`.
#[derive(Debug, Clone)]
pub struct Normalised {
    /// The weights of the convolution.
    pub weight: Tensor<4>,
    /// The scale of the normalisation.
    pub gamma: Tensor<1>,
    /// The shift of the normalisation.
    pub beta: Tensor<1>,
}

impl Normalised {
    fn dispatch(&self) -> ConvNorm<Dispatch> {
        ConvNorm {
            weight: self.weight.clone().into_dispatch(),
            gamma: self.gamma.clone().into_dispatch(),
            beta: self.beta.clone().into_dispatch(),
        }
    }
}

/// Weights and biases of a convolution or a linear layer.
#[derive(Debug, Clone)]
pub struct Biased<const D: usize> {
    /// The weights, with the outputs first.
    pub weight: Tensor<D>,
    /// One bias for each output.
    pub bias: Tensor<1>,
}

impl<const D: usize> Biased<D> {
    fn dispatch(&self) -> Affine<Dispatch> {
        Affine {
            weight: self.weight.clone().into_dispatch(),
            bias: self.bias.clone().into_dispatch(),
        }
    }
}

/// The operations of [`CnnBackend`], whose documentation holds here too. As they stand they compute on
/// the device of their arguments, and their gradients are the backend's own backward operations.
///
/// [`Reference`](super::reference::Reference) replaces them all; a test replaces one by a wrong one.
pub trait Operations {
    /// Does `work`, in which the device convolves at most `images` at once, where it can be told so.
    fn in_groups_of(&self, images: usize, work: &mut dyn FnMut()) {
        backend::in_groups_of(images, work);
    }

    /// [`CnnBackend::conv_norm_relu`].
    fn conv_norm_relu(
        &self,
        x: Tensor<4>,
        p: &Normalised,
        stride: usize,
        padding: usize,
    ) -> Tensor<4> {
        let x = x.into_dispatch();
        let forward = <Dispatch as CnnBackend>::conv_norm_relu(x, p.dispatch(), stride, padding);
        Tensor::from_dispatch(forward.y)
    }

    /// [`CnnBackend::norm_relu`], with a scale as the weights and a shift as the biases.
    fn norm_relu(&self, x: Tensor<4>, p: &Biased<1>) -> Tensor<4> {
        let forward = <Dispatch as CnnBackend>::norm_relu(x.into_dispatch(), p.dispatch());
        Tensor::from_dispatch(forward.y)
    }

    /// [`CnnBackend::convolve`].
    fn convolve(
        &self,
        x: Tensor<4>,
        weight: Tensor<4>,
        stride: usize,
        padding: usize,
    ) -> Tensor<4> {
        let (x, weight) = (x.into_dispatch(), weight.into_dispatch());
        Tensor::from_dispatch(<Dispatch as CnnBackend>::convolve(
            x, weight, stride, padding,
        ))
    }

    /// [`CnnBackend::residual`].
    fn residual(&self, x: Tensor<4>, p: &[Normalised; 2]) -> Tensor<4> {
        let [first, second] = p.each_ref().map(Normalised::dispatch);
        let forward = <Dispatch as CnnBackend>::residual(x.into_dispatch(), first, second);
        Tensor::from_dispatch(forward.y)
    }

    /// [`CnnBackend::projected_residual`].
    fn projected_residual(&self, x: Tensor<4>, p: &[Normalised; 3], stride: usize) -> Tensor<4> {
        let [first, second, around] = p.each_ref().map(Normalised::dispatch);
        let x = x.into_dispatch();
        let forward =
            <Dispatch as CnnBackend>::projected_residual(x, first, second, around, stride);
        Tensor::from_dispatch(forward.main.y)
    }

    /// [`CnnBackend::conv_bias`].
    fn conv_bias(
        &self,
        x: Tensor<4>,
        p: &Biased<4>,
        stride: usize,
        padding: usize,
        rectify: bool,
    ) -> Tensor<4> {
        let (x, p) = (x.into_dispatch(), p.dispatch());
        Tensor::from_dispatch(<Dispatch as CnnBackend>::conv_bias(
            x, p, stride, padding, rectify,
        ))
    }

    /// [`CnnBackend::conv_bias_add_relu`].
    fn conv_bias_add_relu(&self, x: Tensor<4>, p: &Biased<4>, around: Tensor<4>) -> Tensor<4> {
        let (x, around) = (x.into_dispatch(), around.into_dispatch());
        Tensor::from_dispatch(<Dispatch as CnnBackend>::conv_bias_add_relu(
            x,
            p.dispatch(),
            around,
        ))
    }

    /// [`CnnBackend::conv_relu_pool`].
    fn conv_relu_pool(&self, x: Tensor<4>, p: &Biased<4>, pool: usize) -> Tensor<4> {
        let x = x.into_dispatch();
        let forward = <Dispatch as CnnBackend>::conv_relu_pool(x, p.dispatch(), pool);
        Tensor::from_dispatch(forward.y)
    }

    /// [`CnnBackend::fully_connected`].
    fn fully_connected(&self, x: Tensor<2>, p: &Biased<2>, rectify: bool) -> Tensor<2> {
        let x = x.into_dispatch();
        Tensor::from_dispatch(<Dispatch as CnnBackend>::fully_connected(
            x,
            p.dispatch(),
            rectify,
        ))
    }

    /// [`CnnBackend::global_avg_pool`].
    fn global_avg_pool(&self, x: Tensor<4>) -> Tensor<2> {
        layers::global_avg_pool(x)
    }

    /// [`CnnBackend::global_max_pool`].
    fn global_max_pool(&self, x: Tensor<4>) -> Tensor<2> {
        layers::global_max_pool(x)
    }

    /// [`CnnBackend::conv_group`].
    fn conv_group(&self, x: Tensor<4>, p: &[Normalised; 2], epsilon: f32) -> Tensor<4> {
        let [first, second] = p.each_ref().map(Normalised::dispatch);
        let x = x.into_dispatch();
        let forward = <Dispatch as CnnBackend>::conv_group(x, first, second, epsilon);
        Tensor::from_dispatch(forward.y)
    }

    /// [`CnnBackend::residual_conv_group`].
    fn residual_conv_group(&self, x: Tensor<4>, p: &[Normalised; 3], epsilon: f32) -> Tensor<4> {
        let [first, second, third] = p.each_ref().map(Normalised::dispatch);
        let x = x.into_dispatch();
        let forward =
            <Dispatch as CnnBackend>::residual_conv_group(x, first, second, third, epsilon);
        Tensor::from_dispatch(forward.group.y)
    }

    /// [`CnnBackend::conv_gelu`], whose weights have no gradient.
    fn conv_gelu(&self, x: Tensor<4>, p: &Biased<4>, padding: usize) -> Tensor<4> {
        let x = x.into_dispatch();
        Tensor::from_dispatch(<Dispatch as CnnBackend>::conv_gelu(
            x,
            p.dispatch(),
            padding,
        ))
    }

    /// [`CnnBackend::conv_pool_gelu`].
    fn conv_pool_gelu(&self, x: Tensor<4>, p: &Biased<4>) -> Tensor<4> {
        let x = x.into_dispatch();
        Tensor::from_dispatch(<Dispatch as CnnBackend>::conv_pool_gelu(x, p.dispatch()))
    }

    /// [`CnnBackend::conv_add_gelu`].
    fn conv_add_gelu(&self, x: Tensor<4>, p: &Biased<4>, around: Tensor<4>) -> Tensor<4> {
        let (x, around) = (x.into_dispatch(), around.into_dispatch());
        Tensor::from_dispatch(<Dispatch as CnnBackend>::conv_add_gelu(
            x,
            p.dispatch(),
            around,
        ))
    }

    /// [`CnnBackend::cross_entropy`].
    fn cross_entropy(
        &self,
        logits: Tensor<2>,
        targets: Tensor<1, Int>,
        smoothing: f32,
    ) -> Tensor<1> {
        layers::cross_entropy(logits, targets, smoothing)
    }

    /// [`CnnBackend::follow_statistics`] of `[mean, variance]`, running and of a batch.
    fn follow_statistics(
        &self,
        running: [Tensor<1>; 2],
        batch: [Tensor<1>; 2],
        keep: f32,
        take: [f32; 2],
    ) -> [Tensor<1>; 2] {
        let [running, batch] = [running, batch].map(|of| {
            let [mean, variance] = of.map(Tensor::into_dispatch);
            Statistics { mean, variance }
        });
        let new = <Dispatch as CnnBackend>::follow_statistics(running, batch, keep, take);
        [new.mean, new.variance].map(Tensor::from_dispatch)
    }

    /// [`CnnBackend::sgd_step`]: the weights and the velocity after it.
    fn sgd_step(
        &self,
        weight: Tensor<2>,
        gradient: Tensor<2>,
        velocity: Tensor<2>,
        settings: SgdStep,
    ) -> [Tensor<2>; 2] {
        let [weight, gradient, velocity] = [weight, gradient, velocity].map(Tensor::into_dispatch);
        let stepped = <Dispatch as CnnBackend>::sgd_step(weight, gradient, velocity, settings);
        [stepped.weight, stepped.velocity].map(Tensor::from_dispatch)
    }

    /// [`CnnBackend::adamw_step`]: the weights and the means after it.
    fn adamw_step(
        &self,
        weight: Tensor<2>,
        gradient: Tensor<2>,
        means: [Tensor<2>; 2],
        settings: AdamWStep,
    ) -> [Tensor<2>; 3] {
        let (weight, gradient) = (weight.into_dispatch(), gradient.into_dispatch());
        let [first, second] = means.map(Tensor::into_dispatch);
        let means = Means { first, second };
        let stepped = <Dispatch as CnnBackend>::adamw_step(weight, gradient, means, settings);
        let means = stepped.means;
        [stepped.weight, means.first, means.second].map(Tensor::from_dispatch)
    }

    /// [`CnnBackend::muon_step`]: the weights and the momentum after it.
    fn muon_step(
        &self,
        weight: Tensor<4>,
        gradient: Tensor<4>,
        momentum: Tensor<4>,
        settings: MuonStep,
    ) -> [Tensor<4>; 2] {
        let [weight, gradient, momentum] = [weight, gradient, momentum].map(Tensor::into_dispatch);
        let stepped = <Dispatch as CnnBackend>::muon_step(weight, gradient, momentum, settings);
        [stepped.weight, stepped.velocity].map(Tensor::from_dispatch)
    }
}

/// The operations of the device that their arguments are on.
#[derive(Debug, Clone, Copy)]
pub struct OnDevice;

impl Operations for OnDevice {}
