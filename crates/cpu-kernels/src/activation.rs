//! The rectifier, `max(x, 0)`.

use crate::context::Context;
use crate::shape::{ShapeError, check_len};

/// Elements that one task computes.
const ELEMENTS_PER_TASK: usize = 1 << 15;

/// `y = max(x, 0)`, element by element. NaN stays NaN.
///
/// # Errors
///
/// `y` is not as long as `x`.
pub fn relu(context: &Context, x: &[f32], y: &mut [f32]) -> Result<(), ShapeError> {
    check_len("y", y, x.len())?;
    context.for_each_chunk(y, ELEMENTS_PER_TASK, |task, y| {
        let x = &x[task * ELEMENTS_PER_TASK..];
        for (y, &x) in y.iter_mut().zip(x) {
            *y = if x < 0.0 { 0.0 } else { x };
        }
    });
    Ok(())
}

/// The gradient of [`relu`], from its output `y`: `dx = dy` where `y > 0`, and 0 elsewhere.
///
/// # Errors
///
/// `dy` or `dx` is not as long as `y`.
pub fn relu_backward(
    context: &Context,
    y: &[f32],
    dy: &[f32],
    dx: &mut [f32],
) -> Result<(), ShapeError> {
    check_len("dy", dy, y.len())?;
    check_len("dx", dx, y.len())?;
    context.for_each_chunk(dx, ELEMENTS_PER_TASK, |task, dx| {
        let y = &y[task * ELEMENTS_PER_TASK..];
        let dy = &dy[task * ELEMENTS_PER_TASK..];
        for ((dx, &y), &dy) in dx.iter_mut().zip(y).zip(dy) {
            *dx = if y > 0.0 { dy } else { 0.0 };
        }
    });
    Ok(())
}
