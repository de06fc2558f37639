//! The optimiser's step for many tensors at once, and the gradient before a rectifier.

use cpu_kernels::{AdamWStep, SgdStep};
use cubecl::prelude::*;

use crate::rows::elementwise;
use crate::{Buffer, many};

/// A tensor's step of stochastic gradient descent: what it reads, and room for what it writes.
#[derive(Clone, Debug)]
pub struct Step {
    weight: Buffer,
    gradient: Buffer,
    velocity: Buffer,
    settings: SgdStep,
    /// The weight after the step, once [`sgd`] has made it.
    pub new_weight: Buffer,
    /// The velocity after the step, once [`sgd`] has made it.
    pub new_velocity: Buffer,
}

impl Step {
    /// A step whose results are still to be made. All three buffers are equally long.
    #[must_use]
    pub fn new(
        client: &Client,
        [weight, gradient, velocity]: [Buffer; 3],
        settings: SgdStep,
    ) -> Self {
        let [new_weight, new_velocity] = Buffer::several(client, [weight.length; 2]);
        Self {
            weight,
            gradient,
            velocity,
            settings,
            new_weight,
            new_velocity,
        }
    }
}

#[cube(launch_unchecked)]
fn sgd_kernel(
    weight: &Sequence<Box<[f32]>>,
    gradient: &Sequence<Box<[f32]>>,
    velocity: &Sequence<Box<[f32]>>,
    new_weight: &mut Sequence<Box<[f32]>>,
    new_velocity: &mut Sequence<Box<[f32]>>,
    lr: &Sequence<f32>,
    momentum: &Sequence<f32>,
    weight_decay: &Sequence<f32>,
    #[comptime] nesterov: bool,
    #[comptime] tensors: usize,
) {
    #[unroll]
    for i in 0..tensors {
        if CUBE_POS_Y == i as u32 {
            let weight = weight.index(i);
            let gradient = gradient.index(i);
            let velocity = velocity.index(i);
            let new_weight = new_weight.index_mut(i);
            let new_velocity = new_velocity.index_mut(i);
            let stride = (CUBE_COUNT_X * CUBE_DIM_X) as usize;
            let mut at = (CUBE_POS_X * CUBE_DIM_X + UNIT_POS_X) as usize;
            while at < new_weight.len() {
                let w = weight[at];
                let g = fma(weight_decay[i], w, gradient[at]);
                let v = fma(momentum[i], velocity[at], g);
                let mut direction = v;
                if comptime!(nesterov) {
                    direction = fma(momentum[i], v, g);
                }
                new_velocity[at] = v;
                new_weight[at] = fma(-lr[i], direction, w);
                at += stride;
            }
        }
    }
}

/// Weights and velocities after a step of stochastic gradient descent, for several tensors with one kernel.
pub fn sgd(client: &Client, steps: &[Step]) {
    for alike in steps.chunk_by(|a, b| a.settings.nesterov == b.settings.nesterov) {
        for steps in alike.chunks(many::at_once(client, 5)) {
            let of = |buffer: fn(&Step) -> &Buffer| {
                steps.iter().map(|step| buffer(step).argument(1)).collect()
            };
            let scalars = |scalar: fn(&SgdStep) -> f32| {
                steps.iter().map(|step| scalar(&step.settings)).collect()
            };
            let longest = steps.iter().map(|step| step.weight.length).max();
            let (count, dim) = many::shape(longest.unwrap_or(0), steps.len());
            // SAFETY: for each tensor the kernel stays below the length that its five buffers have.
            unsafe {
                sgd_kernel::launch_unchecked(
                    client,
                    count,
                    dim,
                    of(|step| &step.weight),
                    of(|step| &step.gradient),
                    of(|step| &step.velocity),
                    of(|step| &step.new_weight),
                    of(|step| &step.new_velocity),
                    scalars(|settings| settings.lr),
                    scalars(|settings| settings.momentum),
                    scalars(|settings| settings.weight_decay),
                    steps[0].settings.nesterov,
                    steps.len(),
                );
            }
        }
    }
}

/// A tensor's step of AdamW: what it reads, and room for what it writes.
#[derive(Clone, Debug)]
pub struct ByMeans {
    /// The weight, its gradient, and the means of gradients and of their squares.
    numbers: [Buffer; 4],
    settings: AdamWStep,
    /// The weight and both means after the step, once [`adamw`] has made it.
    pub results: [Buffer; 3],
}

impl ByMeans {
    /// A step whose results are still to be made. All four buffers, the weight, its gradient and the means of
    /// gradients and of their squares, are equally long.
    #[must_use]
    pub fn new(client: &Client, numbers: [Buffer; 4], settings: AdamWStep) -> Self {
        let results = Buffer::several(client, [numbers[0].length; 3]);
        Self {
            numbers,
            settings,
            results,
        }
    }
}

#[cube(launch_unchecked)]
fn adamw_kernel(
    weight: &Sequence<Box<[f32]>>,
    gradient: &Sequence<Box<[f32]>>,
    first: &Sequence<Box<[f32]>>,
    second: &Sequence<Box<[f32]>>,
    new_weight: &mut Sequence<Box<[f32]>>,
    new_first: &mut Sequence<Box<[f32]>>,
    new_second: &mut Sequence<Box<[f32]>>,
    beta1: &Sequence<f32>,
    beta2: &Sequence<f32>,
    epsilon: &Sequence<f32>,
    kept: &Sequence<f32>,
    by: &Sequence<f32>,
    share: &Sequence<f32>,
    #[comptime] tensors: usize,
) {
    #[unroll]
    for i in 0..tensors {
        if CUBE_POS_Y == i as u32 {
            let weight = weight.index(i);
            let gradient = gradient.index(i);
            let first = first.index(i);
            let second = second.index(i);
            let new_weight = new_weight.index_mut(i);
            let new_first = new_first.index_mut(i);
            let new_second = new_second.index_mut(i);
            let stride = (CUBE_COUNT_X * CUBE_DIM_X) as usize;
            let mut at = (CUBE_POS_X * CUBE_DIM_X + UNIT_POS_X) as usize;
            while at < new_weight.len() {
                let g = gradient[at];
                let m = fma(beta1[i], first[at], (1.0 - beta1[i]) * g);
                let v = fma(beta2[i], second[at], (1.0 - beta2[i]) * (g * g));
                let direction = m / ((v / share[i]).sqrt() + epsilon[i]);
                new_first[at] = m;
                new_second[at] = v;
                new_weight[at] = fma(-by[i], direction, weight[at] * kept[i]);
                at += stride;
            }
        }
    }
}

/// Weights and means after a step of AdamW, for several tensors with one kernel.
pub fn adamw(client: &Client, steps: &[ByMeans]) {
    for steps in steps.chunks(many::at_once(client, 7)) {
        let of = |nth: usize| (steps.iter().map(|s| s.numbers[nth].argument(1))).collect();
        let to = |nth: usize| (steps.iter().map(|s| s.results[nth].argument(1))).collect();
        let scalars = |scalar: fn(&AdamWStep) -> f32| {
            steps.iter().map(|step| scalar(&step.settings)).collect()
        };
        let longest = steps.iter().map(|step| step.numbers[0].length).max();
        let (count, dim) = many::shape(longest.unwrap_or(0), steps.len());
        // SAFETY: for each tensor the kernel stays below the length that its seven buffers have.
        unsafe {
            adamw_kernel::launch_unchecked(
                client,
                count,
                dim,
                of(0),
                of(1),
                of(2),
                of(3),
                to(0),
                to(1),
                to(2),
                scalars(|settings| settings.beta1),
                scalars(|settings| settings.beta2),
                scalars(|settings| settings.epsilon),
                scalars(|settings| 1.0 - settings.lr * settings.weight_decay),
                scalars(|settings| settings.lr / settings.shares[0]),
                scalars(|settings| settings.shares[1]),
                steps.len(),
            );
        }
    }
}

#[cube(launch_unchecked)]
fn gate_kernel(dy: &[f32], y: &[f32], dx: &mut [f32]) {
    let at = ABSOLUTE_POS;
    if at < dx.len() {
        let mut value = 0.0f32;
        if y[at] > 0.0 {
            value = dy[at];
        }
        dx[at] = value;
    }
}

/// The gradient before a rectifier whose result was `y`.
pub fn gate(client: &Client, dy: &Buffer, y: &Buffer) -> Buffer {
    let dx = Buffer::new(client, dy.length);
    let (count, dim) = elementwise(dy.length);
    // SAFETY: the kernel stays below the length that all three have.
    unsafe {
        gate_kernel::launch_unchecked(
            client,
            count,
            dim,
            dy.argument(1),
            y.argument(1),
            dx.argument(1),
        );
    }
    dx
}
