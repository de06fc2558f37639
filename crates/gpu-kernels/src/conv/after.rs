//! What follows the sums of a convolution.

use cubecl::prelude::*;

use crate::activation::{Activation, activate};
use crate::{Buffer, Quad, read};

/// A second summand.
#[derive(Clone, Copy, Debug)]
pub struct Around<'a> {
    /// Of the result's shape.
    pub images: &'a Buffer,
    /// The summand counts only where this is above zero.
    pub gate: Option<&'a Buffer>,
}

/// What follows a convolution.
#[derive(Clone, Copy, Debug)]
pub struct After<'a> {
    /// One number for each output channel.
    pub bias: Option<&'a Buffer>,
    /// A second summand, of the result's shape.
    pub around: Option<Around<'a>>,
    /// What comes last.
    pub activation: Activation,
}

impl After<'_> {
    /// Nothing.
    pub const NOTHING: Self = Self {
        bias: None,
        around: None,
        activation: Activation::None,
    };
}

/// What follows the sum of four channels of a pixel, the first of which is `channel`, of those from `at` on.
#[cube]
pub(crate) fn finish<E: Float, N: Size>(
    value: Quad,
    bias: ComptimeOption<&[f32]>,
    around: ComptimeOption<&[Vector<E, N>]>,
    around_gate: ComptimeOption<&[Vector<E, N>]>,
    at: usize,
    channel: usize,
    channels: usize,
    #[comptime] activation: Activation,
) -> Quad {
    let mut value = value;
    #[comptime]
    if let ComptimeOption::Some(bias) = bias {
        #[unroll]
        for k in 0..4usize {
            if channel + k < channels {
                value.insert(k, value.extract(k) + bias[channel + k]);
            }
        }
    }
    #[comptime]
    if let ComptimeOption::Some(around) = around {
        let mut other = read::<E, N>(around, at + channel, channel, channels);
        #[comptime]
        if let ComptimeOption::Some(gate) = around_gate {
            let gate = read::<E, N>(gate, at + channel, channel, channels);
            #[unroll]
            for k in 0..4usize {
                if gate.extract(k) <= 0.0 {
                    other.insert(k, 0.0);
                }
            }
        }
        value += other;
    }
    activate::<Const<4>>(value, activation)
}
