//! How images and weights lie in memory inside the kernels.
//!
//! Images are channels last, `[height, width, channels]`, in a frame of zeros that is as wide as
//! the padding. Weights are a matrix with a row for each input of an output value and a column for
//! each output channel, packed in blocks of columns.

use crate::product::padded_columns;

/// An image in a frame of zeros.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) height: usize,
    pub(crate) width: usize,
    pub(crate) channels: usize,
    /// Zeros above and to the left.
    pub(crate) before: usize,
    /// Zeros below and to the right.
    pub(crate) after: usize,
}

impl Frame {
    /// A frame of `padding` zeros on all sides.
    pub(crate) fn new(height: usize, width: usize, channels: usize, padding: usize) -> Self {
        Self {
            height,
            width,
            channels,
            before: padding,
            after: padding,
        }
    }

    /// Elements from a row to the next.
    pub(crate) fn row(&self) -> usize {
        (self.before + self.width + self.after) * self.channels
    }

    /// Elements of the image and its frame.
    pub(crate) fn len(&self) -> usize {
        (self.before + self.height + self.after) * self.row()
    }

    /// Where the image begins.
    pub(crate) fn origin(&self) -> usize {
        self.before * self.row() + self.before * self.channels
    }

    /// Elements of the image alone.
    pub(crate) fn image_len(&self) -> usize {
        self.height * self.width * self.channels
    }

    /// The first `images` framed images of `framed`, which lie one after the other, each with a frame
    /// of zeros around what is to be loaded.
    pub(crate) fn cleared<'a>(
        &self,
        images: usize,
        framed: &'a mut [f32],
    ) -> impl Iterator<Item = &'a mut [f32]> {
        for framed in framed.chunks_exact_mut(self.len()).take(images) {
            self.clear_border(framed);
        }
        framed.chunks_exact_mut(self.len()).take(images)
    }

    /// Makes the frame zero and leaves the image.
    fn clear_border(&self, framed: &mut [f32]) {
        let row = self.row();
        let inner = self.width * self.channels;
        let (above, rest) = framed.split_at_mut(self.before * row);
        let (rows, below) = rest.split_at_mut(self.height * row);
        above.fill(0.0);
        below.fill(0.0);
        for row in rows.chunks_exact_mut(row) {
            let (left, rest) = row.split_at_mut(self.before * self.channels);
            left.fill(0.0);
            if let Some(right) = rest.get_mut(inner..) {
                right.fill(0.0);
            }
        }
    }

    /// Copies an image of planes, `[channels, height, width]`, into the frame.
    pub(crate) fn load_planes(&self, planes: &[f32], framed: &mut [f32]) {
        let pixels = self.height * self.width;
        let rows = framed.chunks_exact_mut(self.row()).skip(self.before);
        for (y, to) in (0..self.height).zip(rows) {
            let (planes, to) = (&planes[y * self.width..], self.pixels_of_row(to));
            match self.channels {
                1 => interleave::<1>(planes, pixels, to),
                3 => interleave::<3>(planes, pixels, to),
                6 => interleave::<6>(planes, pixels, to),
                _ => {
                    for (channel, from) in planes.chunks(pixels).take(self.channels).enumerate() {
                        let to = to.iter_mut().skip(channel).step_by(self.channels);
                        for (to, from) in to.zip(from) {
                            *to = *from;
                        }
                    }
                }
            }
        }
    }

    /// The pixels of a row of the frame that belong to the image.
    fn pixels_of_row<'a>(&self, row: &'a mut [f32]) -> &'a mut [f32] {
        &mut row[self.before * self.channels..][..self.width * self.channels]
    }
}

/// Copies rows of `C` planes, which begin `plane` elements after one another, to pixels.
fn interleave<const C: usize>(planes: &[f32], plane: usize, pixels: &mut [f32]) {
    let len = pixels.len() / C;
    let rows: [&[f32]; C] = std::array::from_fn(|channel| &planes[channel * plane..][..len]);
    for (index, pixel) in pixels.chunks_exact_mut(C).enumerate() {
        for (to, row) in pixel.iter_mut().zip(rows) {
            *to = row[index];
        }
    }
}

/// Copies pixels to planes, `[channels, pixels]`.
pub(crate) fn to_planes(channels: usize, pixels: &[f32], planes: &mut [f32]) {
    let plane = planes.len() / channels;
    match channels {
        1 => planes.copy_from_slice(&pixels[..plane]),
        3 => separate::<3>(pixels, plane, planes),
        6 => separate::<6>(pixels, plane, planes),
        _ => {
            for (channel, plane) in planes.chunks_exact_mut(plane).enumerate() {
                let from = pixels[channel..].iter().step_by(channels);
                for (to, from) in plane.iter_mut().zip(from) {
                    *to = *from;
                }
            }
        }
    }
}

/// Copies pixels to `C` planes of `plane` elements.
fn separate<const C: usize>(pixels: &[f32], plane: usize, planes: &mut [f32]) {
    let pixels = &pixels[..plane * C];
    for (channel, plane) in planes.chunks_exact_mut(plane).enumerate().take(C) {
        for (to, pixel) in plane.iter_mut().zip(pixels.chunks_exact(C)) {
            *to = pixel[channel];
        }
    }
}

/// Elements of `rows` by `columns` packed weights.
pub(crate) fn packed_len(rows: usize, columns: usize, lanes: usize) -> usize {
    rows * padded_columns(columns, lanes)
}

/// Columns that lie side by side in packed weights: two vectors, or one where one is left.
pub(crate) fn block_width(first: usize, columns: usize, lanes: usize) -> usize {
    (padded_columns(columns, lanes) - first).min(2 * lanes)
}

/// Packs the matrix whose rows are `rows` and whose elements are `at(row, column)`, in blocks of
/// columns, each with all its rows. Columns beyond the last are zero. `rows` may come in any
/// order, which is best the one in which `at` reads memory.
pub(crate) fn pack(
    rows: usize,
    columns: usize,
    lanes: usize,
    packed: &mut [f32],
    order: impl Fn(usize) -> usize,
    at: impl Fn(usize, usize) -> f32,
) {
    let mut rest = packed;
    let mut first = 0;
    while first < columns {
        let width = block_width(first, columns, lanes);
        let (block, after) = std::mem::take(&mut rest).split_at_mut(rows * width);
        for row in (0..rows).map(&order) {
            let values = &mut block[row * width..][..width];
            for (column, value) in (first..).zip(values) {
                *value = if column < columns {
                    at(row, column)
                } else {
                    0.0
                };
            }
        }
        rest = after;
        first += width;
    }
}
