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
