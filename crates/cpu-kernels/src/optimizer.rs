//! Steps of optimizers.

#![allow(unsafe_code)]

use crate::context::Context;
use crate::divide::Chunked;
use crate::shape::{ShapeError, check_len};
use crate::simd::{Kernel, Simd};

/// Elements that one task updates.
const ELEMENTS_PER_TASK: usize = 1 << 16;

/// Stochastic gradient descent with momentum and weight decay, as PyTorch's `torch.optim.SGD`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SgdStep {
    /// The learning rate.
    pub lr: f32,
    /// How much of the velocity stays.
    pub momentum: f32,
    /// Whether the step looks ahead by one more velocity (Nesterov).
    pub nesterov: bool,
    /// The factor of the weights that is added to the gradient.
    pub weight_decay: f32,
}

/// Updates `weights` and `velocity` by one step: with `g = gradient + weight_decay * weights`,
/// `velocity` becomes `g` where this is the `first` step and `momentum * velocity + g` else, and
/// `weights` fall by `lr` times `velocity`, or times `g + momentum * velocity` with Nesterov.
///
/// # Errors
///
/// `gradient` or `velocity` is not as long as `weights`.
pub fn sgd_step(
    context: &Context,
    step: &SgdStep,
    weights: &mut [f32],
    gradient: &[f32],
    velocity: &mut [f32],
    first: bool,
) -> Result<(), ShapeError> {
    check_len("gradient", gradient, weights.len())?;
    check_len("velocity", velocity, weights.len())?;
    let tasks = weights.len().div_ceil(ELEMENTS_PER_TASK);
    let parts = (
        Chunked::new(weights, ELEMENTS_PER_TASK),
        Chunked::new(velocity, ELEMENTS_PER_TASK),
    );
    context.divide(tasks, parts, |worker, task, (weights, velocity)| {
        worker.compute(Sgd {
            step: *step,
            weights: weights.data,
            gradient: &gradient[task * ELEMENTS_PER_TASK..],
            velocity: velocity.data,
            first,
        });
    });
    Ok(())
}

struct Sgd<'a> {
    step: SgdStep,
    weights: &'a mut [f32],
    gradient: &'a [f32],
    velocity: &'a mut [f32],
    first: bool,
}

impl Kernel for Sgd<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let vectors = (self.weights.chunks_mut(S::LANES))
            .zip(self.gradient.chunks(S::LANES))
            .zip(self.velocity.chunks_mut(S::LANES));
        for ((weights, gradient), velocity) in vectors {
            let len = weights.len().min(gradient.len()).min(velocity.len());
            if len == S::LANES {
                update(simd, &self.step, self.first, weights, gradient, velocity);
            } else {
                // The last elements take a whole vector's way through copies, so that each is
                // rounded as all others are.
                let mut copies = [[0.0_f32; 16]; 3];
                let [w, g, v] = &mut copies;
                w[..len].copy_from_slice(&weights[..len]);
                g[..len].copy_from_slice(&gradient[..len]);
                v[..len].copy_from_slice(&velocity[..len]);
                update(simd, &self.step, self.first, w, g, v);
                weights[..len].copy_from_slice(&w[..len]);
                velocity[..len].copy_from_slice(&v[..len]);
            }
        }
    }
}

/// Updates the first vector of each slice.
#[inline(always)]
fn update<S: Simd>(
    simd: S,
    step: &SgdStep,
    first: bool,
    weights: &mut [f32],
    gradient: &[f32],
    velocity: &mut [f32],
) {
    let (weights, gradient) = (&mut weights[..S::LANES], &gradient[..S::LANES]);
    let velocity = &mut velocity[..S::LANES];
    let momentum = simd.splat(step.momentum);
    // SAFETY: each slice is one vector long.
    unsafe {
        let w = simd.load(weights.as_ptr());
        let decay = simd.splat(step.weight_decay);
        let g = simd.mul_add(decay, w, simd.load(gradient.as_ptr()));
        let v = if first {
            g
        } else {
            simd.mul_add(momentum, simd.load(velocity.as_ptr()), g)
        };
        simd.store(velocity.as_mut_ptr(), v);
        let direction = if step.nesterov {
            simd.mul_add(momentum, v, g)
        } else {
            v
        };
        let moved = simd.neg_mul_add(simd.splat(step.lr), direction, w);
        simd.store(weights.as_mut_ptr(), moved);
    }
}

/// Adam with decoupled weight decay (Loshchilov and Hutter, 2019, arXiv:1711.05101), as PyTorch's
/// `torch.optim.AdamW`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamWStep {
    /// The learning rate.
    pub lr: f32,
    /// How much of the gradients' mean stays.
    pub beta1: f32,
    /// How much of the mean of their squares stays.
    pub beta2: f32,
    /// What keeps a divisor above zero.
    pub epsilon: f32,
    /// The part of the weights that a learning rate of 1 would take.
    pub weight_decay: f32,
    /// What the means have of gradients after so many steps, the rest being the zeros that they began
    /// with: `1 - beta1^t` and `1 - beta2^t` at the step `t`, counted from 1.
    pub shares: [f32; 2],
}

impl AdamWStep {
    /// What means that keep so much have of gradients at the step `time`, counted from 1.
    #[must_use]
    pub fn shares(betas: [f32; 2], time: usize) -> [f32; 2] {
        betas.map(|beta| (1.0 - f64::from(beta).powf(time as f64)) as f32)
    }
}

/// Muon (Jordan, 2024, <https://kellerjordan.github.io/posts/muon>): momentum whose direction is made orthogonal.
/// There is no kernel of it here, since it is made of products of matrices. The numbers have double precision because
/// what kernels take of them, such as `1 - lr * weight_decay`, is rounded once.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MuonStep {
    /// The learning rate. With 0 the weights stay as they are, and the momentum follows all the same.
    pub lr: f64,
    /// How much of the momentum stays.
    pub momentum: f64,
    /// Whether the step looks ahead by one more momentum (Nesterov).
    pub nesterov: bool,
    /// The part of the weights that a learning rate of 1 would take.
    pub weight_decay: f64,
    /// Iterations of Newton and Schulz.
    pub newton_schulz_steps: usize,
    /// Whether the weights first get the norm `sqrt(rows)`.
    pub rescale: bool,
}

impl MuonStep {
    /// The coefficients `a`, `b` and `c` of an iteration of Newton and Schulz, `x = a x + (b x x' + c (x x')^2) x`,
    /// which bring every singular value near 1 soonest.
    pub const COEFFICIENTS: [f64; 3] = [3.4445, -4.7750, 2.0315];
    /// What is added to the norm of a direction before it is divided by that.
    pub const EPSILON: f64 = 1e-7;
}

/// Updates `weights` and the means of the gradients, `first`, and of their squares, `second`, by one step:
/// each mean keeps its `beta` and takes the rest of `gradient`, and `weights`, after their decay, fall by
/// `lr` times the first mean over the root of the second.
///
/// # Errors
///
/// `gradient` or a mean is not as long as `weights`.
pub fn adamw_step(
    context: &Context,
    step: &AdamWStep,
    weights: &mut [f32],
    gradient: &[f32],
    first: &mut [f32],
    second: &mut [f32],
) -> Result<(), ShapeError> {
    check_len("gradient", gradient, weights.len())?;
    check_len("first", first, weights.len())?;
    check_len("second", second, weights.len())?;
    let tasks = weights.len().div_ceil(ELEMENTS_PER_TASK);
    let parts = (
        Chunked::new(weights, ELEMENTS_PER_TASK),
        Chunked::new(first, ELEMENTS_PER_TASK),
        Chunked::new(second, ELEMENTS_PER_TASK),
    );
    context.divide(tasks, parts, |worker, task, (weights, first, second)| {
        worker.compute(AdamW {
            step: *step,
            weights: weights.data,
            gradient: &gradient[task * ELEMENTS_PER_TASK..],
            first: first.data,
            second: second.data,
        });
    });
    Ok(())
}

struct AdamW<'a> {
    step: AdamWStep,
    weights: &'a mut [f32],
    gradient: &'a [f32],
    first: &'a mut [f32],
    second: &'a mut [f32],
}

impl Kernel for AdamW<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let vectors = (self.weights.chunks_mut(S::LANES))
            .zip(self.gradient.chunks(S::LANES))
            .zip(self.first.chunks_mut(S::LANES))
            .zip(self.second.chunks_mut(S::LANES));
        for (((weights, gradient), first), second) in vectors {
            let len = weights.len();
            if len == S::LANES {
                update_by_means(simd, &self.step, weights, gradient, first, second);
            } else {
                // As in SGD: the last elements take a whole vector's way through copies.
                let mut copies = [[0.0_f32; 16]; 4];
                let [w, g, m, v] = &mut copies;
                w[..len].copy_from_slice(weights);
                g[..len].copy_from_slice(&gradient[..len]);
                m[..len].copy_from_slice(first);
                v[..len].copy_from_slice(second);
                update_by_means(simd, &self.step, w, g, m, v);
                weights.copy_from_slice(&w[..len]);
                first.copy_from_slice(&m[..len]);
                second.copy_from_slice(&v[..len]);
            }
        }
    }
}

/// Updates the first vector of each slice.
#[inline(always)]
fn update_by_means<S: Simd>(
    simd: S,
    step: &AdamWStep,
    weights: &mut [f32],
    gradient: &[f32],
    first: &mut [f32],
    second: &mut [f32],
) {
    let (weights, gradient) = (&mut weights[..S::LANES], &gradient[..S::LANES]);
    let (first, second) = (&mut first[..S::LANES], &mut second[..S::LANES]);
    // SAFETY: each slice is one vector long.
    unsafe {
        let g = simd.load(gradient.as_ptr());
        let follow = |mean: &mut [f32], beta: f32, value: S::V| {
            let taken = simd.mul(simd.splat(1.0 - beta), value);
            let mean_now = simd.mul_add(simd.splat(beta), simd.load(mean.as_ptr()), taken);
            simd.store(mean.as_mut_ptr(), mean_now);
            mean_now
        };
        let mean = follow(first, step.beta1, g);
        let square = follow(second, step.beta2, simd.mul(g, g));
        let root = simd.sqrt(simd.div(square, simd.splat(step.shares[1])));
        let direction = simd.div(mean, simd.add(root, simd.splat(step.epsilon)));
        let kept = simd.splat(1.0 - step.lr * step.weight_decay);
        let w = simd.mul(simd.load(weights.as_ptr()), kept);
        let by = simd.splat(step.lr / step.shares[0]);
        simd.store(weights.as_mut_ptr(), simd.neg_mul_add(by, direction, w));
    }
}
