//! The optimiser's step, and the gradient before a rectifier.

use cubecl::prelude::*;

use crate::Buffer;
use crate::rows::elementwise;

#[cube(launch_unchecked)]
fn sgd_kernel(
    weight: &[f32],
    gradient: &[f32],
    velocity: &[f32],
    new_weight: &mut [f32],
    new_velocity: &mut [f32],
    lr: f32,
    momentum: f32,
    weight_decay: f32,
    #[comptime] nesterov: bool,
) {
    let at = ABSOLUTE_POS;
    if at < new_weight.len() {
        let w = weight[at];
        let g = fma(weight_decay, w, gradient[at]);
        let v = fma(momentum, velocity[at], g);
        let mut direction = v;
        if comptime!(nesterov) {
            direction = fma(momentum, v, g);
        }
        new_velocity[at] = v;
        new_weight[at] = fma(-lr, direction, w);
    }
}

/// Settings of [`sgd`].
#[derive(Clone, Copy, Debug)]
pub struct Sgd {
    /// The learning rate.
    pub lr: f32,
    /// What is kept of the velocity.
    pub momentum: f32,
    /// What of the weight is added to its gradient.
    pub weight_decay: f32,
    /// Looks ahead along the velocity (Sutskever et al., 2013).
    pub nesterov: bool,
}

/// Weights and velocity after a step of stochastic gradient descent.
pub fn sgd(
    client: &Client,
    weight: &Buffer,
    gradient: &Buffer,
    velocity: &Buffer,
    settings: Sgd,
) -> (Buffer, Buffer) {
    let length = weight.length;
    let [new_weight, new_velocity] = Buffer::several(client, [length; 2]);
    let (count, dim) = elementwise(length);
    // SAFETY: the kernel stays below the length that all five have.
    unsafe {
        sgd_kernel::launch_unchecked(
            client,
            count,
            dim,
            weight.argument(1),
            gradient.argument(1),
            velocity.argument(1),
            new_weight.argument(1),
            new_velocity.argument(1),
            settings.lr,
            settings.momentum,
            settings.weight_decay,
            settings.nesterov,
        );
    }
    (new_weight, new_velocity)
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
