//! A convolution with fixed weights, a bias and GELU: the first layer of a network whose filters
//! are computed from the data. The forward pass is [`Prepared::run`]; of the backward pass only the
//! gradient by the bias is asked for.

use super::conv_norm::{Images, Input, check_images, total};
use super::inference::Prepared;
use crate::conv::images_from;
use crate::divide::Chunked;
use crate::image::GeluBiasGradient;
use crate::partition::images_per_chunk;
use crate::shape::{ShapeError, check_len};

/// The gradient by the bias of `y = gelu(x * weight + bias)` for `batch` images, into `db`. The
/// convolution is computed again, which costs less than to keep its output.
///
/// # Errors
///
/// A slice does not have the length that the convolution's shape asks for.
pub fn backward_bias(
    convolution: &Prepared,
    batch: usize,
    x: Images,
    bias: &[f32],
    dy: &[f32],
    db: &mut [f32],
) -> Result<(), ShapeError> {
    let (context, shape) = (convolution.context(), convolution.shape(batch));
    check_images("x", &x, shape.input_len())?;
    check_len("bias", bias, shape.bias_len())?;
    check_len("dy", dy, shape.output_len())?;
    check_len("db", db, shape.bias_len())?;
    let forward = convolution.forward();
    let (frame, most) = (forward.frame(), forward.images_at_a_time());
    let (len, channels) = (shape.out_image_len(), shape.out_channels);
    let per_chunk = images_per_chunk(batch, channels).max(most);
    let chunks = batch.div_ceil(per_chunk);
    let mut partials = context.doubles(chunks * channels);
    let parts = Chunked::new(&mut partials, channels);
    context.divide(chunks, parts, |worker, chunk, sums| {
        sums.data.fill(0.0);
        let mut framed = worker.floats(most * frame.len());
        let mut c = worker.floats(most * len);
        let begin = chunk * per_chunk;
        let end = (begin + per_chunk).min(batch);
        for first in (begin..end).step_by(most) {
            let images = most.min(end - first);
            Input::Plain(x).load(worker, &frame, first, images, &mut framed);
            forward.run(worker, images, &framed, &mut c);
            for (image, x) in (first..first + images).zip(c.chunks_exact(len)) {
                worker.compute(GeluBiasGradient {
                    x,
                    bias,
                    dy: &images_from(dy, image, len)[..len],
                    sums: sums.data,
                });
            }
        }
    });
    for (db, sum) in db
        .iter_mut()
        .zip(total(context, &partials, channels).iter())
    {
        *db = *sum as f32;
    }
    Ok(())
}
