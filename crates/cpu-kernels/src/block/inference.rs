//! Convolutions whose normalisation is folded into weights and biases.

use super::conv_norm::{Images, Input, check_images};
use super::stem::out_grid;
use crate::context::Context;
use crate::conv::{Forward, images_from};
use crate::divide::Chunked;
use crate::image::AddBias;
use crate::shape::{ConvShape, ShapeError, check_len};

/// `y = x * weight + bias + around`, and its positive part where `rectify` asks for it. `around`
/// and `y` are `[batch, out_height, out_width, out_channels]`.
///
/// # Errors
///
/// A slice does not have the length that `shape` asks for.
#[allow(clippy::too_many_arguments)]
pub fn conv_bias(
    context: &Context,
    shape: &ConvShape,
    x: Images,
    weight: &[f32],
    bias: &[f32],
    around: Option<&[f32]>,
    rectify: bool,
    y: &mut [f32],
) -> Result<(), ShapeError> {
    check_images("x", &x, shape.input_len())?;
    check_len("weight", weight, shape.weight_len())?;
    check_len("bias", bias, shape.bias_len())?;
    check_len("y", y, shape.output_len())?;
    if let Some(around) = around {
        check_len("around", around, shape.output_len())?;
    }
    let forward = Forward::new(context, shape, weight);
    let (frame, most) = (forward.frame(), forward.images_at_a_time());
    let len = shape.out_image_len();
    let groups = shape.batch.div_ceil(most);
    context.divide(groups, Chunked::new(y, most * len), |group, y| {
        let (first, images) = (group * most, y.data.len() / len);
        let mut framed = context.floats(most * frame.len());
        Input::Plain(x).load(context, &frame, first, images, &mut framed);
        forward.run(context, images, &framed, y.data);
        for (image, out) in (first..).zip(y.data.chunks_exact_mut(len)) {
            context.compute(AddBias {
                grid: out_grid(shape),
                bias,
                around: around.map(|around| images_from(around, image, len)),
                rectify,
                out,
            });
        }
    });
    Ok(())
}
