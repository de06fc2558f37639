//! The backward pass.

use super::window::GatedSum;
use super::{image_room, load};
use crate::block::Images;
use crate::block::conv_norm::check_images;
use crate::context::{Context, Worker};
use crate::conv::images_from;
use crate::divide::Chunked;
use crate::layout::to_planes;
use crate::partition::images_per_chunk;
use crate::product::{Group, Sparse, Term};
use crate::scratch::Scratch;
use crate::shape::{ConvPoolShape, ConvShape, ShapeError, check_len};

/// The gradients of [`forward`](fn@super::forward) by the weights, by the bias, and by the input where
/// `dx`, `[batch, in_channels, height, width]`, is not empty. `y` and `indices` are what the forward
/// pass wrote. A gradient goes to the place of its maximum where `y` is above zero.
///
/// # Errors
///
/// A slice does not have the length that `shape` asks for, or an index does not lie in its window.
#[allow(clippy::too_many_arguments)]
pub fn backward(
    context: &Context,
    shape: &ConvPoolShape,
    x: Images,
    weight: &[f32],
    y: &[f32],
    indices: &[u8],
    dy: &[f32],
    dw: &mut [f32],
    db: &mut [f32],
    dx: &mut [f32],
) -> Result<(), ShapeError> {
    check_images("x", &x, shape.input_len())?;
    for (name, slice) in [("weight", weight), ("dw", &*dw)] {
        check_len(name, slice, shape.weight_len())?;
    }
    for (name, slice) in [("y", y), ("dy", dy)] {
        check_len(name, slice, shape.output_len())?;
    }
    check_len("indices", indices, shape.output_len())?;
    check_len("db", db, shape.bias_len())?;
    if !dx.is_empty() {
        check_len("dx", dx, shape.input_len())?;
    }
    let places = shape.pool * shape.pool;
    let greatest = indices.iter().copied().max().unwrap_or(0);
    if usize::from(greatest) >= places {
        return Err(ShapeError::PoolIndex {
            index: greatest,
            places,
        });
    }
    let conv = &shape.conv;
    let kernels = Kernels::new(context, shape);
    let by_input = (!dx.is_empty()).then(|| ByInput::new(context, kernels, shape, weight));
    let offsets = offsets(shape);
    let len = shape.out_image_len();
    // The gradients by the weights, then those by the bias.
    let partial_len = kernels.len() + conv.out_channels;
    let per_chunk = images_per_chunk(conv.batch, partial_len);
    let chunks = conv.batch.div_ceil(per_chunk);
    let mut partials = context.floats(chunks * partial_len);
    let parts = (
        Chunked::new(dx, per_chunk * conv.image_len()),
        Chunked::new(&mut partials, partial_len),
    );
    context.divide(chunks, parts, |worker, chunk, (dx, partial)| {
        partial.data.fill(0.0);
        let (by_weight, by_bias) = partial.data.split_at_mut(kernels.len());
        let mut pixels = image_room(worker, shape);
        let mut room = Room::new(worker, shape);
        let mut dx = dx.data.chunks_exact_mut(conv.image_len());
        let first = chunk * per_chunk;
        for image in first..(first + per_chunk).min(conv.batch) {
            let maxima = Maxima {
                shape,
                offsets: &offsets,
                y: &images_from(y, image, len)[..len],
                indices: &indices[image * len..][..len],
                dy: &images_from(dy, image, len)[..len],
            };
            load(shape, &x, image, &mut pixels);
            maxima.collect_by_channel(kernels.channel_len(), &mut room);
            worker.compute(Sparse {
                groups: &room.groups[..conv.out_channels],
                terms: &room.terms,
                source: &pixels,
                source_row: conv.width * conv.in_channels,
                rows: conv.kernel_height,
                len: conv.kernel_width * conv.in_channels,
                out: by_weight,
                out_row: kernels.row,
            });
            maxima.add_sums(worker, by_bias);
            if let (Some(by_input), Some(dx)) = (&by_input, dx.next()) {
                by_input.run(worker, &maxima, &mut room, dx);
            }
        }
    });
    total(context, &partials, kernels, shape, dw, db);
    Ok(())
}

/// Kernels as the sparse products see them: `[out_channels, kernel_height, row]`, where a row has
/// `kernel_width * in_channels` elements and zeros up to whole vectors.
#[derive(Clone, Copy)]
struct Kernels {
    channels: usize,
    height: usize,
    row: usize,
}

impl Kernels {
    fn new(context: &Context, shape: &ConvPoolShape) -> Self {
        let conv = &shape.conv;
        let row = conv.kernel_width * conv.in_channels;
        Self {
            channels: conv.out_channels,
            height: conv.kernel_height,
            row: row.next_multiple_of(context.lanes()),
        }
    }

    /// Elements of the kernels of one output channel.
    fn channel_len(&self) -> usize {
        self.height * self.row
    }

    fn len(&self) -> usize {
        self.channels * self.channel_len()
    }

    /// Calls `visit(here, there)` for every weight, with its place in these kernels and in
    /// `[out_channels, in_channels, kernel_height, kernel_width]`.
    fn for_each(&self, conv: &ConvShape, mut visit: impl FnMut(usize, usize)) {
        let mut there = 0;
        for output in 0..self.channels {
            for input in 0..conv.in_channels {
                for down in 0..self.height {
                    let mut here = output * self.channel_len() + down * self.row + input;
                    for _ in 0..conv.kernel_width {
                        visit(here, there);
                        here += conv.in_channels;
                        there += 1;
                    }
                }
            }
        }
    }
}

/// Where each place of a window lies in the input image in pixels, from the window's first pixel:
/// a division for every gradient would take longer than the rest.
fn offsets(shape: &ConvPoolShape) -> [u32; 256] {
    let conv = &shape.conv;
    std::array::from_fn(|place| {
        let (row, column) = (place / shape.pool, place % shape.pool);
        let pixel = if row < shape.pool {
            row * conv.width + column
        } else {
            0
        };
        // The shape admits no image whose places need more than 32 bits.
        (pixel * conv.in_channels) as u32
    })
}

/// Room for the terms of one image.
struct Room<'c> {
    terms: Scratch<'c, Term>,
    groups: Scratch<'c, Group>,
}

impl<'c> Room<'c> {
    fn new(worker: &Worker<'c>, shape: &ConvPoolShape) -> Self {
        let channels = shape.conv.out_channels;
        let places = shape.out_width * shape.pool * shape.pool;
        Self {
            terms: worker.terms(channels * places.max(shape.out_plane_len())),
            groups: worker.groups(places.max(channels)),
        }
    }
}

/// The maxima of one image and their gradients, in planes.
struct Maxima<'a> {
    shape: &'a ConvPoolShape,
    offsets: &'a [u32; 256],
    y: &'a [f32],
    indices: &'a [u8],
    dy: &'a [f32],
}

impl Maxima<'_> {
    /// A group for each channel, with a term for each gradient: the patch of the input that its
    /// maximum saw. What it adds to are the kernels of the channel, `channel_len` elements.
    fn collect_by_channel(&self, channel_len: usize, room: &mut Room) {
        let shape = self.shape;
        let window = shape.pool * shape.conv.in_channels;
        let plane = shape.out_plane_len();
        let planes = (self.y.chunks_exact(plane))
            .zip(self.indices.chunks_exact(plane))
            .zip(self.dy.chunks_exact(plane))
            .zip(room.terms.chunks_exact_mut(plane))
            .zip(room.groups.iter_mut());
        for (channel, ((((y, indices), dy), terms), group)) in planes.enumerate() {
            let mut count = 0;
            let rows = (y.chunks_exact(shape.out_width))
                .zip(indices.chunks_exact(shape.out_width))
                .zip(dy.chunks_exact(shape.out_width));
            for (row, ((y, indices), dy)) in rows.enumerate() {
                let mut first = (row * shape.conv.width * window) as u32;
                for ((&y, &index), &factor) in y.iter().zip(indices).zip(dy) {
                    // Which gradients count cannot be predicted: every term is written, and the
                    // next one takes the place of one that does not count.
                    terms[count] = Term {
                        from: first + self.offsets[usize::from(index)],
                        factor,
                    };
                    count += usize::from(y > 0.0);
                    first += window as u32;
                }
            }
            *group = Group {
                first: (channel * plane) as u32,
                count: count as u32,
                to: (channel * channel_len) as u32,
            };
        }
    }

    /// A group for each pixel of the input that row `row` of the windows covers, with a term for
    /// each gradient that the pixel has: the kernels of the gradient's channel. Gives the number of
    /// groups.
    fn collect_by_pixel(&self, row: usize, channel_len: usize, room: &mut Room) -> usize {
        let (shape, conv) = (self.shape, &self.shape.conv);
        let places = shape.pool * shape.pool;
        let window = (shape.pool * conv.in_channels) as u32;
        let groups = &mut room.groups[..shape.out_width * places];
        let mut first = (row * shape.pool * conv.width * conv.in_channels) as u32;
        let mut number = 0..;
        for groups in groups.chunks_exact_mut(places) {
            for ((group, offset), number) in groups.iter_mut().zip(self.offsets).zip(&mut number) {
                *group = Group {
                    first: number * conv.out_channels as u32,
                    count: 0,
                    to: first + offset,
                };
            }
            first += window;
        }
        for channel in 0..conv.out_channels {
            let from = (channel * channel_len) as u32;
            let start = channel * shape.out_plane_len() + row * shape.out_width;
            let values = (self.y[start..].iter())
                .zip(&self.indices[start..])
                .zip(&self.dy[start..])
                .zip(groups.chunks_exact_mut(places));
            for (((&y, &index), &factor), groups) in values {
                let group = &mut groups[usize::from(index)];
                room.terms[(group.first + group.count) as usize] = Term { from, factor };
                group.count += u32::from(y > 0.0);
            }
        }
        groups.len()
    }

    /// Adds the sum of each channel's gradients to `sums`.
    fn add_sums(&self, context: &Context, sums: &mut [f32]) {
        let plane = self.shape.out_plane_len();
        let planes = self.dy.chunks_exact(plane).zip(self.y.chunks_exact(plane));
        for (sum, (values, gate)) in sums.iter_mut().zip(planes) {
            *sum += context.compute(GatedSum { values, gate });
        }
    }
}

/// The gradient by the input, with the weights made ready.
struct ByInput<'c> {
    kernels: Kernels,
    weights: Scratch<'c, f32>,
}

impl<'c> ByInput<'c> {
    fn new(context: &'c Context, kernels: Kernels, shape: &ConvPoolShape, weight: &[f32]) -> Self {
        let mut weights = context.floats(kernels.len());
        weights.fill(0.0);
        kernels.for_each(&shape.conv, |here, there| weights[here] = weight[there]);
        Self { kernels, weights }
    }

    fn run(&self, worker: &Worker, maxima: &Maxima, room: &mut Room, dx: &mut [f32]) {
        let (shape, conv) = (maxima.shape, &maxima.shape.conv);
        let mut pixels = image_room(worker, shape);
        pixels.fill(0.0);
        for row in 0..shape.out_height {
            let groups = maxima.collect_by_pixel(row, self.kernels.channel_len(), room);
            worker.compute(Sparse {
                groups: &room.groups[..groups],
                terms: &room.terms,
                source: &self.weights,
                source_row: self.kernels.row,
                rows: conv.kernel_height,
                len: conv.kernel_width * conv.in_channels,
                out: &mut pixels,
                out_row: conv.width * conv.in_channels,
            });
        }
        to_planes(conv.in_channels, &pixels, dx);
    }
}

/// Adds the partial gradients of all chunks, in their order.
fn total(
    context: &Context,
    partials: &[f32],
    kernels: Kernels,
    shape: &ConvPoolShape,
    dw: &mut [f32],
    db: &mut [f32],
) {
    let len = kernels.len() + db.len();
    let mut sums = context.floats(len);
    sums.fill(0.0);
    for partial in partials.chunks_exact(len) {
        for (sum, value) in sums.iter_mut().zip(partial) {
            *sum += value;
        }
    }
    let (by_weight, by_bias) = sums.split_at(kernels.len());
    db.copy_from_slice(by_bias);
    kernels.for_each(&shape.conv, |here, there| dw[there] = by_weight[here]);
}
