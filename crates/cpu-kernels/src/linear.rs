//! Fully connected layers and their gradients.

#![allow(unsafe_code)]

use crate::context::Context;
use crate::divide::Chunked;
use crate::product::{Dot, Inner, Outer, Output, Run, Weights};
use crate::shape::{LinearShape, ShapeError, check_len};
use crate::simd::{Kernel, Simd};

/// Multiplications of one task: fewer would pay more for their thread than for their work.
const PRODUCTS_PER_TASK: usize = 1 << 20;
/// The rows of a task are a multiple of this, which the tiles of all products divide.
const ROWS_OF_TILES: usize = 12;

/// Rows of a result in one task, where each costs `products` multiplications. It depends on the
/// shape alone, and a row has one owner, so that no partial sums are needed.
fn rows_per_task(rows: usize, products: usize) -> usize {
    let enough = PRODUCTS_PER_TASK.div_ceil(products.max(1));
    enough.min(rows).next_multiple_of(ROWS_OF_TILES)
}

/// `y = x w^T + b`, and `relu` of it where `rectify` says so: `x` is `[batch, in_features]`, `w` is
/// `[out_features, in_features]`, `b` is `[out_features]` and `y` is `[batch, out_features]`.
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
    rectify: bool,
    y: &mut [f32],
) -> Result<(), ShapeError> {
    check_len("x", x, shape.input_len())?;
    check_len("w", w, shape.weight_len())?;
    check_len("b", b, shape.bias_len())?;
    check_len("y", y, shape.output_len())?;
    let rows = rows_per_task(shape.batch, shape.weight_len());
    let tasks = shape.batch.div_ceil(rows);
    let y = Chunked::new(y, rows * shape.out_features);
    context.divide(tasks, y, |worker, task, y| {
        worker.compute(Inner {
            x: &x[task * rows * shape.in_features..],
            rows: y.data.len() / shape.out_features,
            weights: w,
            columns: shape.out_features,
            len: shape.in_features,
            bias: b,
            rectify,
            out: y.data,
        });
    });
    Ok(())
}

/// The gradients of [`linear`] from `dy`, `[batch, out_features]`: `dx = dy w` where `dx`,
/// `[batch, in_features]`, is not empty, `dw = dy^T x`, and `db`, the sum of `dy` over the batch.
/// Where there is a `gate`, which is the rectified output, `dy` counts only where it is above zero.
///
/// # Errors
///
/// A slice does not have the length that `shape` asks for.
#[allow(clippy::too_many_arguments)]
pub fn linear_backward(
    context: &Context,
    shape: &LinearShape,
    x: &[f32],
    w: &[f32],
    gate: Option<&[f32]>,
    dy: &[f32],
    dx: &mut [f32],
    dw: &mut [f32],
    db: &mut [f32],
) -> Result<(), ShapeError> {
    check_len("x", x, shape.input_len())?;
    check_len("w", w, shape.weight_len())?;
    if let Some(gate) = gate {
        check_len("gate", gate, shape.output_len())?;
    }
    check_len("dy", dy, shape.output_len())?;
    if !dx.is_empty() {
        check_len("dx", dx, shape.input_len())?;
    }
    check_len("dw", dw, shape.weight_len())?;
    check_len("db", db, shape.bias_len())?;
    let mut gated = context.floats(if gate.is_some() { dy.len() } else { 0 });
    context.compute(BiasGradient {
        dy,
        gate: gate.map(|gate| (gate, &mut *gated)),
        db,
    });
    let dy = if gate.is_some() { &*gated } else { dy };
    by_weight(context, shape, x, dy, dw);
    if !dx.is_empty() {
        by_input(context, shape, w, dy, dx);
    }
    Ok(())
}

fn by_weight(context: &Context, shape: &LinearShape, x: &[f32], dy: &[f32], dw: &mut [f32]) {
    let rows = rows_per_task(shape.out_features, shape.input_len());
    let tasks = shape.out_features.div_ceil(rows);
    let dw = Chunked::new(dw, rows * shape.in_features);
    context.divide(tasks, dw, |worker, task, dw| {
        worker.compute(Outer {
            x: &dy[task * rows..],
            x_row: 0,
            x_pixel: shape.out_features,
            inputs: dw.data.len() / shape.in_features,
            dy: x,
            dy_row: 0,
            dy_pixel: shape.in_features,
            columns: shape.in_features,
            height: 1,
            width: shape.batch,
            out: dw.data,
            out_step: shape.in_features,
            keep: false,
        });
    });
}

fn by_input(context: &Context, shape: &LinearShape, w: &[f32], dy: &[f32], dx: &mut [f32]) {
    let rows = rows_per_task(shape.batch, shape.weight_len());
    let tasks = shape.batch.div_ceil(rows);
    let runs = [Run {
        input: 0,
        weight: 0,
        len: shape.out_features,
    }];
    let dx = Chunked::new(dx, rows * shape.in_features);
    context.divide(tasks, dx, |worker, task, dx| {
        worker.compute(Dot {
            runs: &runs,
            input: &dy[task * rows * shape.out_features..],
            row: 0,
            pixel: shape.out_features,
            weights: Weights::Rows(w, shape.in_features),
            weight_rows: shape.out_features,
            columns: shape.in_features,
            height: 1,
            width: dx.data.len() / shape.in_features,
            bias: None,
            rectify: false,
            out: Output {
                data: dx.data,
                row: 0,
                pixel: shape.in_features,
            },
        });
    });
}

/// Makes `dy` zero where the gate is not above zero, and sums what is left over the batch.
struct BiasGradient<'a> {
    dy: &'a [f32],
    /// The gate, and where the gated gradient goes.
    gate: Option<(&'a [f32], &'a mut [f32])>,
    db: &'a mut [f32],
}

impl Kernel for BiasGradient<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let features = self.db.len();
        let dy = if let Some((gate, gated)) = self.gate {
            for ((gated, dy), gate) in (gated.chunks_mut(S::LANES))
                .zip(self.dy.chunks(S::LANES))
                .zip(gate.chunks(S::LANES))
            {
                if gated.len() == S::LANES && dy.len() == S::LANES && gate.len() == S::LANES {
                    // SAFETY: the three chunks are whole vectors.
                    unsafe {
                        let (gate, dy) = (simd.load(gate.as_ptr()), simd.load(dy.as_ptr()));
                        simd.store(gated.as_mut_ptr(), simd.where_positive(gate, dy));
                    }
                } else {
                    for ((gated, dy), gate) in gated.iter_mut().zip(dy).zip(gate) {
                        *gated = if *gate > 0.0 { *dy } else { 0.0 };
                    }
                }
            }
            &*gated
        } else {
            self.dy
        };
        self.db.fill(0.0);
        for row in dy.chunks_exact(features) {
            for (db, dy) in self.db.iter_mut().zip(row) {
                *db += dy;
            }
        }
    }
}
