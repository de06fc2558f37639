//! Fully connected layers and their gradients.

use crate::context::Context;
use crate::matmul::{Before, Matrix, MatrixMut, multiply};
use crate::shape::{LinearShape, ShapeError, check_len};

/// Rows of a result that one task computes. A row has one owner, so that no partial sums are
/// needed.
const ROWS_PER_TASK: usize = 64;

/// `y = x w^T + b`, where `x` is `[batch, in_features]`, `w` is `[out_features, in_features]`, `b`
/// is `[out_features]` and `y` is `[batch, out_features]`.
///
/// # Errors
///
/// A slice does not have the length that `shape` asks for.
pub fn linear(
    context: &Context,
    shape: &LinearShape,
    x: &[f32],
    w: &[f32],
    b: &[f32],
    y: &mut [f32],
) -> Result<(), ShapeError> {
    check_len("x", x, shape.input_len())?;
    check_len("w", w, shape.weight_len())?;
    check_len("b", b, shape.bias_len())?;
    check_len("y", y, shape.output_len())?;
    let weights = Matrix::new(w, shape.out_features, shape.in_features);
    let task_len = ROWS_PER_TASK * shape.out_features;
    context.for_each_chunk(y, task_len, |task, y| {
        let rows = y.len() / shape.out_features;
        let x = &x[task * ROWS_PER_TASK * shape.in_features..];
        // The transposed product is several times faster for small batches: the few rows of `x`
        // are then packed into vectors, and the weights are read once, in their order.
        let mut transposed = context.floats(y.len());
        multiply(
            MatrixMut::new(&mut transposed, shape.out_features, rows),
            Before::Replaced,
            weights,
            Matrix::new(x, rows, shape.in_features).transposed(),
        );
        for (row, y) in y.chunks_exact_mut(shape.out_features).enumerate() {
            let column = transposed.iter().skip(row).step_by(rows);
            for ((y, product), b) in y.iter_mut().zip(column).zip(b) {
                *y = product + b;
            }
        }
    });
    Ok(())
}

/// The gradient by the input, `dx = dy w`: from `dy` `[batch, out_features]` to `dx`
/// `[batch, in_features]`.
///
/// # Errors
///
/// A slice does not have the length that `shape` asks for.
pub fn linear_backward_input(
    context: &Context,
    shape: &LinearShape,
    w: &[f32],
    dy: &[f32],
    dx: &mut [f32],
) -> Result<(), ShapeError> {
    check_len("w", w, shape.weight_len())?;
    check_len("dy", dy, shape.output_len())?;
    check_len("dx", dx, shape.input_len())?;
    let weights = Matrix::new(w, shape.out_features, shape.in_features);
    let task_len = ROWS_PER_TASK * shape.in_features;
    context.for_each_chunk(dx, task_len, |task, dx| {
        let rows = dx.len() / shape.in_features;
        let dy = &dy[task * ROWS_PER_TASK * shape.out_features..];
        multiply(
            MatrixMut::new(dx, rows, shape.in_features),
            Before::Replaced,
            Matrix::new(dy, rows, shape.out_features),
            weights,
        );
    });
    Ok(())
}

/// The gradient by the weights, `dw = dy^T x`, `[out_features, in_features]`.
///
/// # Errors
///
/// A slice does not have the length that `shape` asks for.
pub fn linear_backward_weight(
    context: &Context,
    shape: &LinearShape,
    x: &[f32],
    dy: &[f32],
    dw: &mut [f32],
) -> Result<(), ShapeError> {
    check_len("x", x, shape.input_len())?;
    check_len("dy", dy, shape.output_len())?;
    check_len("dw", dw, shape.weight_len())?;
    let inputs = Matrix::new(x, shape.batch, shape.in_features);
    let task_len = ROWS_PER_TASK * shape.in_features;
    context.for_each_chunk(dw, task_len, |task, dw| {
        let rows = dw.len() / shape.in_features;
        let dy = &dy[task * ROWS_PER_TASK..];
        multiply(
            MatrixMut::new(dw, rows, shape.in_features),
            Before::Replaced,
            Matrix::with_stride(dy, shape.batch, rows, shape.out_features).transposed(),
            inputs,
        );
    });
    Ok(())
}

/// The gradient by the bias: the sum of `dy` over the batch, `[out_features]`.
///
/// # Errors
///
/// A slice does not have the length that `shape` asks for.
pub fn linear_backward_bias(
    _context: &Context,
    shape: &LinearShape,
    dy: &[f32],
    db: &mut [f32],
) -> Result<(), ShapeError> {
    check_len("dy", dy, shape.output_len())?;
    check_len("db", db, shape.bias_len())?;
    db.fill(0.0);
    for row in dy.chunks_exact(shape.out_features) {
        for (db, dy) in db.iter_mut().zip(row) {
            *db += dy;
        }
    }
    Ok(())
}
