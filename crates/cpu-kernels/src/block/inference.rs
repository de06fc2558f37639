//! Convolutions whose normalisation is folded into weights and biases.

use super::conv_norm::{Images, Input, check_images, normalized_len, out_grid};
use crate::activation::Activation;
use crate::context::Context;
use crate::conv::{Forward, images_from};
use crate::divide::Chunked;
use crate::image::{AddBias, Grid, MaxPool, WINDOW};
use crate::shape::{ConvShape, ShapeError, check_len};

/// A convolution whose weights are packed once, for any number of batches.
pub struct Prepared<'c> {
    context: &'c Context,
    shape: ConvShape,
    forward: Forward<'c>,
}

impl std::fmt::Debug for Prepared<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Prepared")
            .field("shape", &self.shape)
            .finish_non_exhaustive()
    }
}

impl<'c> Prepared<'c> {
    /// Packs `weight`, `[out_channels, in_channels, kernel_height, kernel_width]`, for images of
    /// `shape`, whose batch does not matter.
    ///
    /// # Errors
    ///
    /// `weight` does not have the length that `shape` asks for.
    pub fn new(
        context: &'c Context,
        shape: &ConvShape,
        weight: &[f32],
    ) -> Result<Self, ShapeError> {
        check_len("weight", weight, shape.weight_len())?;
        Ok(Self {
            context,
            shape: *shape,
            forward: Forward::new(context, shape, weight),
        })
    }

    pub(super) fn context(&self) -> &'c Context {
        self.context
    }

    pub(super) fn forward(&self) -> &Forward<'c> {
        &self.forward
    }

    /// The shape for `batch` images.
    pub(super) fn shape(&self, batch: usize) -> ConvShape {
        ConvShape {
            batch,
            ..self.shape
        }
    }

    /// Whether it was packed for images of `shape`, in a batch of any size.
    #[must_use]
    pub fn fits(&self, shape: &ConvShape) -> bool {
        *shape == self.shape(shape.batch)
    }

    /// `y = activation(x * weight + bias + around)` for `batch` images. `around` and `y` are
    /// `[batch, out_height, out_width, out_channels]`.
    ///
    /// # Errors
    ///
    /// A slice does not have the length that the shape asks for.
    pub fn run(
        &self,
        batch: usize,
        x: Images,
        bias: &[f32],
        around: Option<&[f32]>,
        activation: Activation,
        y: &mut [f32],
    ) -> Result<(), ShapeError> {
        let (context, shape) = (self.context, self.shape(batch));
        check_images("x", &x, shape.input_len())?;
        check_len("bias", bias, shape.bias_len())?;
        check_len("y", y, shape.output_len())?;
        if let Some(around) = around {
            check_len("around", around, shape.output_len())?;
        }
        let (frame, most) = (self.forward.frame(), self.forward.images_at_a_time());
        let len = shape.out_image_len();
        let groups = batch.div_ceil(most);
        context.divide(groups, Chunked::new(y, most * len), |worker, group, y| {
            let (first, images) = (group * most, y.data.len() / len);
            let mut framed = worker.floats(most * frame.len());
            Input::Plain(x).load(worker, &frame, first, images, &mut framed);
            self.forward.run(worker, images, &framed, y.data);
            for (image, out) in (first..).zip(y.data.chunks_exact_mut(len)) {
                worker.compute(AddBias {
                    grid: out_grid(&shape),
                    bias,
                    around: around.map(|around| images_from(around, image, len)),
                    activation,
                    out,
                });
            }
        });
        Ok(())
    }

    /// `y = activation(max_pool(x * weight) + bias)` for `batch` images, with windows of 2 by 2
    /// pixels. `y` is `[batch, out_height / 2, out_width / 2, out_channels]`.
    ///
    /// # Errors
    ///
    /// A slice does not have the length that the shape asks for.
    pub fn run_pooled(
        &self,
        batch: usize,
        x: Images,
        bias: &[f32],
        activation: Activation,
        y: &mut [f32],
    ) -> Result<(), ShapeError> {
        let (context, shape) = (self.context, self.shape(batch));
        let len = normalized_len(&shape, true);
        check_images("x", &x, shape.input_len())?;
        check_len("bias", bias, shape.bias_len())?;
        check_len("y", y, batch * len)?;
        let (frame, most) = (self.forward.frame(), self.forward.images_at_a_time());
        let (height, width) = (shape.out_height / WINDOW, shape.out_width / WINDOW);
        let groups = if len == 0 { 0 } else { batch.div_ceil(most) };
        context.divide(groups, Chunked::new(y, most * len), |worker, group, y| {
            let images = y.data.len() / len;
            let mut framed = worker.floats(most * frame.len());
            let mut unpooled = worker.floats(most * shape.out_image_len());
            let mut places = worker.bytes(len);
            Input::Plain(x).load(worker, &frame, group * most, images, &mut framed);
            self.forward.run(worker, images, &framed, &mut unpooled);
            let unpooled = unpooled.chunks_exact(shape.out_image_len());
            for (x, out) in unpooled.zip(y.data.chunks_exact_mut(len)) {
                worker.compute(MaxPool {
                    height: shape.out_height,
                    width: shape.out_width,
                    channels: shape.out_channels,
                    x,
                    maxima: out,
                    places: &mut places,
                });
                worker.compute(AddBias {
                    grid: Grid::dense(height, width, shape.out_channels),
                    bias,
                    around: None,
                    activation,
                    out,
                });
            }
        });
        Ok(())
    }
}
