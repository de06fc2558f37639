//! A convolution before a normalisation: the sums that the normalisation needs are taken on the
//! way, forward and backward.

use super::normalization::{
    Convolved, NormGradients, Parameters, SavedConvolution, ScaleAndShift, Statistics,
    gradient_factors, statistics,
};
use crate::context::Context;
use crate::conv::{BackwardInput, BackwardWeight, Forward, images_from};
use crate::divide::Chunked;
use crate::image::{
    Activate, ActivateGelu, AddGated, Affine, GeluInput, GradientSums, Grid, MaxPool, NormGradient,
    NormPoolGradient, Shortcut, SquareSums, WINDOW,
};
use crate::layout::Frame;
use crate::partition::images_per_chunk;
use crate::scratch::Scratch;
use crate::shape::{ConvShape, ShapeError, check_len};

/// Images of a batch.
#[derive(Debug, Clone, Copy)]
pub enum Images<'a> {
    /// `[batch, channels, height, width]`.
    Planes(&'a [f32]),
    /// `[batch, height, width, channels]`.
    Pixels(&'a [f32]),
}

/// Refuses images of another length.
pub(super) fn check_images(
    name: &'static str,
    images: &Images,
    len: usize,
) -> Result<(), ShapeError> {
    match images {
        Images::Planes(data) | Images::Pixels(data) => check_len(name, data, len),
    }
}

/// What a convolution reads.
#[derive(Clone, Copy)]
pub(super) enum Input<'a> {
    /// Images as they are.
    Plain(Images<'a>),
    /// `relu(x * scale + shift)` of images whose channels lie side by side.
    Activated(&'a [f32], Affine<'a>),
    /// `gelu(x * scale + shift)` of such images.
    Gelu(&'a [f32], Affine<'a>),
}

impl Input<'_> {
    /// Loads `images` images from image `first` on into frames, one after the other.
    pub(super) fn load(
        &self,
        context: &Context,
        frame: &Frame,
        first: usize,
        images: usize,
        framed: &mut [f32],
    ) {
        let (grid, len) = (Grid::inside(frame), frame.image_len());
        for (image, out) in (first..).zip(frame.cleared(images, framed)) {
            let (x, affine) = match *self {
                Self::Plain(Images::Planes(x)) => {
                    frame.load_planes(&images_from(x, image, len)[..len], out);
                    continue;
                }
                Self::Plain(Images::Pixels(x)) => (x, None),
                Self::Activated(x, affine) => (x, Some(affine)),
                Self::Gelu(x, affine) => {
                    let x = images_from(x, image, len);
                    let around = None;
                    let input = GeluInput { x, affine, around };
                    context.compute(ActivateGelu { grid, input, out });
                    continue;
                }
            };
            context.compute(Activate {
                grid,
                x: images_from(x, image, len),
                affine,
                shortcut: Shortcut::None,
                out,
            });
        }
    }
}

/// Elements of an image that a normalisation after a convolution takes: the convolution's output,
/// or the maxima of its windows of 2 by 2 pixels.
pub(super) fn normalized_len(shape: &ConvShape, pooled: bool) -> usize {
    if pooled {
        (shape.out_height / WINDOW) * (shape.out_width / WINDOW) * shape.out_channels
    } else {
        shape.out_image_len()
    }
}

/// Convolves the batch into `c` and gives the sums of its values and of their squares by channel,
/// `[2, out_channels]`. With `places`, `c` takes the maxima of windows of 2 by 2 pixels, and
/// `places` where they were.
fn forward<'c>(
    context: &'c Context,
    shape: &ConvShape,
    input: Input<'_>,
    weight: &[f32],
    c: &mut [f32],
    places: Option<&mut [u8]>,
) -> Scratch<'c, f64> {
    let forward = Forward::new(context, shape, weight);
    let (frame, most) = (forward.frame(), forward.images_at_a_time());
    let pooled = places.is_some();
    let len = normalized_len(shape, pooled);
    let places = places.unwrap_or_default();
    let unpooled_len = if pooled { shape.out_image_len() } else { 0 };
    let sums_len = 2 * shape.out_channels;
    let per_chunk = images_per_chunk(shape.batch, sums_len)
        .max(most)
        .min(shape.batch.div_ceil(2));
    let chunks = shape.batch.div_ceil(per_chunk);
    let mut partials = context.doubles(chunks * sums_len);
    let parts = (
        Chunked::new(c, per_chunk * len),
        Chunked::new(&mut partials, sums_len),
        Chunked::new(places, if pooled { per_chunk * len } else { 0 }),
    );
    context.divide(chunks, parts, |worker, chunk, (c, sums, places)| {
        sums.data.fill(0.0);
        let mut framed = worker.floats(most * frame.len());
        let mut unpooled = worker.floats(most * unpooled_len);
        let mut places = places.data.chunks_mut(len);
        for (group, c) in c.data.chunks_mut(most * len).enumerate() {
            let images = c.len() / len;
            let first = chunk * per_chunk + group * most;
            input.load(worker, &frame, first, images, &mut framed);
            if pooled {
                forward.run(worker, images, &framed, &mut unpooled);
                let unpooled = unpooled.chunks_exact(unpooled_len);
                for ((x, maxima), places) in
                    unpooled.zip(c.chunks_exact_mut(len)).zip(places.by_ref())
                {
                    worker.compute(MaxPool {
                        height: shape.out_height,
                        width: shape.out_width,
                        channels: shape.out_channels,
                        x,
                        maxima,
                        places,
                    });
                }
            } else {
                forward.run(worker, images, &framed, c);
            }
            for x in c.chunks_exact(len) {
                worker.compute(SquareSums {
                    x,
                    channels: shape.out_channels,
                    sums: sums.data,
                });
            }
        }
    });
    total(context, &partials, sums_len)
}

/// Convolves, takes maxima of windows where there are `places` for them, writes the batch's
/// statistics, and gives what normalises by them.
pub(super) fn convolve<'c>(
    context: &'c Context,
    shape: &ConvShape,
    input: Input,
    parameters: &Parameters,
    eps: f32,
    out: &mut Convolved,
    places: Option<&mut [u8]>,
) -> Result<ScaleAndShift<'c>, ShapeError> {
    let len = shape.batch * normalized_len(shape, places.is_some());
    parameters.check(shape)?;
    out.check(shape, len)?;
    if let Some(places) = &places {
        check_len("places", places, len)?;
    }
    let sums = forward(context, shape, input, parameters.weight, out.c, places);
    let count = (len / shape.out_channels) as f64;
    statistics(&sums, count, out.mean, out.variance);
    let of_batch = Statistics {
        mean: out.mean,
        variance: out.variance,
    };
    Ok(ScaleAndShift::new(context, parameters, &of_batch, eps))
}

/// An output image.
pub(super) fn out_grid(shape: &ConvShape) -> Grid {
    Grid::dense(shape.out_height, shape.out_width, shape.out_channels)
}

/// The sums of a block's gradient `dy`, where its output `y` is above zero, of its products with
/// the convolution's output `c`, and of those with the shortcut's if there is one,
/// `[2 or 3, channels]`.
pub(super) fn gradient_sums<'c>(
    context: &'c Context,
    shape: &ConvShape,
    dy: &[f32],
    y: &[f32],
    c: &[f32],
    shortcut: Option<&[f32]>,
) -> Scratch<'c, f64> {
    let (len, channels) = (shape.out_image_len(), shape.out_channels);
    let sums_len = channels * if shortcut.is_some() { 3 } else { 2 };
    let per_chunk = images_per_chunk(shape.batch, sums_len);
    let chunks = shape.batch.div_ceil(per_chunk);
    let mut partials = context.doubles(chunks * sums_len);
    let parts = Chunked::new(&mut partials, sums_len);
    context.divide(chunks, parts, |worker, chunk, sums| {
        sums.data.fill(0.0);
        let begin = chunk * per_chunk;
        for image in begin..(begin + per_chunk).min(shape.batch) {
            let of_image = |data| &images_from(data, image, len)[..len];
            worker.compute(GradientSums {
                gradient: of_image(dy),
                gate: of_image(y),
                x: of_image(c),
                shortcut: shortcut.map(of_image),
                channels,
                sums: sums.data,
            });
        }
    });
    total(context, &partials, sums_len)
}

/// The sums of all chunks, added in their order.
pub(super) fn total<'c>(
    context: &'c Context,
    partials: &[f64],
    sums_len: usize,
) -> Scratch<'c, f64> {
    let mut total = context.doubles(sums_len);
    total.fill(0.0);
    for partial in partials.chunks_exact(sums_len.max(1)) {
        for (total, partial) in total.iter_mut().zip(partial) {
            *total += partial;
        }
    }
    total
}

/// The gradient of a normalised convolution's output.
#[derive(Clone, Copy)]
struct OutputGradient<'a> {
    gradient: &'a [f32],
    gate: Option<&'a [f32]>,
    c: &'a [f32],
    /// Where maxima of windows were taken before the normalisation, their places.
    places: Option<&'a [u8]>,
    /// `[3, out_channels]`, see [`NormGradient`].
    factors: &'a [f32],
}

impl OutputGradient<'_> {
    fn load(
        &self,
        context: &Context,
        frame: &Frame,
        first: usize,
        images: usize,
        framed: &mut [f32],
    ) {
        let grid = Grid::inside(frame);
        if let Some(places) = self.places {
            let len = (frame.height / WINDOW) * (frame.width / WINDOW) * frame.channels;
            for (image, out) in (first..).zip(frame.cleared(images, framed)) {
                context.compute(NormPoolGradient {
                    grid,
                    gradient: images_from(self.gradient, image, len),
                    x: images_from(self.c, image, len),
                    places: places.get(image * len..).unwrap_or_default(),
                    factors: self.factors,
                    out,
                });
            }
            return;
        }
        let len = frame.image_len();
        for (image, out) in (first..).zip(frame.cleared(images, framed)) {
            context.compute(NormGradient {
                grid,
                gradient: images_from(self.gradient, image, len),
                gate: self.gate.map(|gate| images_from(gate, image, len)),
                x: images_from(self.c, image, len),
                factors: self.factors,
                out,
            });
        }
    }
}

/// What becomes of the gradient by the input, `[batch, height, width, in_channels]`.
pub(super) enum InputGradient<'a> {
    /// Nobody asks for it.
    None,
    /// It is written.
    Write(&'a mut [f32]),
    /// It is added to what is there.
    Add(&'a mut [f32]),
}

/// A batch's backward pass through a convolution and the normalisation after it.
pub(super) struct Backward<'a> {
    pub(super) shape: &'a ConvShape,
    pub(super) input: Input<'a>,
    pub(super) parameters: &'a Parameters<'a>,
    pub(super) saved: SavedConvolution<'a>,
    pub(super) eps: f32,
    /// The gradient of the normalised output, `[batch, out_height, out_width, out_channels]`.
    pub(super) gradient: &'a [f32],
    /// It counts only where this is above zero.
    pub(super) gate: Option<&'a [f32]>,
    /// Where maxima of windows of 2 by 2 pixels were taken before the normalisation, their places;
    /// what is saved and the gradient are then of these maxima, and there is no gate.
    pub(super) places: Option<&'a [u8]>,
    /// The sums by channel of what counts of it, and of its products with the convolution's output.
    pub(super) sums: (&'a [f64], &'a [f64]),
}

impl Backward<'_> {
    /// Writes the gradients by the parameters, and the gradient by the input to `dx`. Calls
    /// `then(image, dx, sums)` with what `dx` holds for some images, the first of which is `image`,
    /// and with `sums_len` sums; it may change both. Gives the sums over the batch.
    pub(super) fn run<'c>(
        &self,
        context: &'c Context,
        gradients: NormGradients,
        dx: InputGradient,
        sums_len: usize,
        then: impl Fn(usize, &mut [f32], &mut [f64]) + Send + Sync,
    ) -> Scratch<'c, f64> {
        let shape = self.shape;
        let factors = gradient_factors(
            context,
            self.sums,
            (self.saved.c.len() / shape.out_channels) as f64,
            self.parameters.gamma,
            &self.saved.statistics,
            self.eps,
            (gradients.gamma, gradients.beta),
        );
        let output = OutputGradient {
            gradient: self.gradient,
            gate: self.gate,
            c: self.saved.c,
            places: self.places,
            factors: &factors,
        };
        let by_weight = BackwardWeight::new(context, shape);
        let wanted = !matches!(dx, InputGradient::None);
        let by_input = wanted.then(|| BackwardInput::new(context, shape, self.parameters.weight));
        let (add, dx) = match dx {
            InputGradient::None => (false, Default::default()),
            InputGradient::Write(dx) => (false, dx),
            InputGradient::Add(dx) => (true, dx),
        };
        let x_frame = by_weight.x_frame();
        let dy_frame = match &by_input {
            Some(by_input) => by_input.frame(),
            None => Frame::new(shape.out_height, shape.out_width, shape.out_channels, 0),
        };
        let of_input = by_input.as_ref().map_or(1, BackwardInput::images_at_a_time);
        let most = by_weight.images_at_a_time().max(of_input);
        let len = shape.image_len();
        let per_chunk = by_weight.images_per_chunk();
        let chunks = shape.batch.div_ceil(per_chunk);
        let mut partials = context.floats(chunks * shape.weight_len());
        let mut partial_sums = context.doubles(chunks * sums_len);
        let parts = (
            Chunked::new(dx, per_chunk * len),
            Chunked::new(&mut partials, shape.weight_len()),
            Chunked::new(&mut partial_sums, sums_len),
        );
        context.divide(chunks, parts, |worker, chunk, (dx, partial, chunk_sums)| {
            chunk_sums.data.fill(0.0);
            let mut sums = by_weight.begin(worker);
            let mut x_framed = worker.floats(most * x_frame.len());
            let mut dy_framed = worker.floats(most * dy_frame.len());
            let mut fresh = worker.floats(if add { most * len } else { 0 });
            let begin = chunk * per_chunk;
            let end = (begin + per_chunk).min(shape.batch);
            let mut groups = dx.data.chunks_mut(most * len);
            for first in (begin..end).step_by(most) {
                let images = most.min(end - first);
                let dx = groups.next().unwrap_or_default();
                output.load(worker, &dy_frame, first, images, &mut dy_framed);
                self.input
                    .load(worker, &x_frame, first, images, &mut x_framed);
                match &by_input {
                    Some(by_input) if add => {
                        by_input.run(worker, images, &dy_framed, &mut fresh);
                        worker.compute(AddGated {
                            gradient: &fresh[..dx.len()],
                            gate: None,
                            out: dx,
                        });
                    }
                    Some(by_input) => by_input.run(worker, images, &dy_framed, dx),
                    None => {}
                }
                then(first, dx, chunk_sums.data);
                let (x, dy) = ((&x_frame, &*x_framed), (&dy_frame, &*dy_framed));
                by_weight.add(worker, images, x, dy, &mut sums);
            }
            by_weight.end(worker, &sums, partial.data);
        });
        by_weight.total(context, &partials, gradients.weight);
        total(context, &partial_sums, sums_len)
    }
}
