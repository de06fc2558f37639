//! Fewer pixels.

use super::{Image, Severity};
use crate::record::{IMAGE_BYTES, PLANE_BYTES, SIZE};

/// Makes the image smaller and larger again by Pillow's box filter: means of whole pixels, rounded, first
/// along rows and then along columns.
pub(super) fn pixelate(image: &Image, severity: Severity) -> Image {
    let side = severity.of([30, 28, 27, 24, 20]);
    let mut pixelated = [0; IMAGE_BYTES];
    let planes = image.chunks_exact(PLANE_BYTES);
    for (plane, to) in planes.zip(pixelated.chunks_exact_mut(PLANE_BYTES)) {
        let small = resized(plane, SIZE, side);
        to.copy_from_slice(&resized(&small, side, SIZE));
    }
    pixelated
}

/// A square of `from` by `from` pixels with `to` by `to` of them.
fn resized(plane: &[u8], from: usize, to: usize) -> Vec<u8> {
    let rows = resized_rows(plane, from, to);
    // A square on its side has columns for rows, and lies upright again after the second time.
    let columns = resized_rows(&turned(&rows, to), from, to);
    turned(&columns, to)
}

/// Rows and columns exchanged, of rows of `width`.
fn turned(plane: &[u8], width: usize) -> Vec<u8> {
    let column = |x: usize| plane.iter().copied().skip(x).step_by(width);
    (0..width).flat_map(column).collect()
}

/// Rows of `from` pixels with `to` of them.
fn resized_rows(plane: &[u8], from: usize, to: usize) -> Vec<u8> {
    let scale = from as f64 / to as f64;
    let half = 0.5 * scale.max(1.0);
    let box_of = |pixel: usize| {
        let centre = (pixel as f64 + 0.5) * scale;
        // The pixels whose middles lie within the box; the first of two that are as near.
        let first = ((centre - half).max(0.0) + 0.5).floor() as usize;
        let end = ((centre + half + 0.5).floor() as usize).min(from);
        first..end.max(first + 1)
    };
    plane
        .chunks_exact(from)
        .flat_map(|row| {
            (0..to).map(move |pixel| {
                let taken = row.get(box_of(pixel)).unwrap_or_default();
                let sum: f64 = taken.iter().map(|byte| f64::from(*byte)).sum();
                (sum / taken.len().max(1) as f64).round() as u8
            })
        })
        .collect()
}
