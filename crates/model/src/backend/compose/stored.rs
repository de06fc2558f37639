//! Batches of images that the device holds.

use burn::backend::tensor::{BoolTensor, IntTensor};
use burn::backend::{Backend, TensorMetadata};
use burn::tensor::{BoolDType, IntDType, Shape, Slice};
use cpu_kernels::stored::{
    BYTES, CHANNELS, CLASS, COLUMNS, IMAGE_WORDS, PIXELS, ROWS, SIZE, SQUARE, VIEW_WORDS,
};

use super::dim;
use crate::backend::types::{Stored, StoredBatch};

pub(in crate::backend) fn stored_batch<B: Backend>(
    stored: Stored<B>,
    views: IntTensor<B>,
    first: usize,
    count: usize,
) -> StoredBatch<B> {
    let range = |from: usize, to: usize| Slice::from(from..to);
    let all = dim(&views, 0) / VIEW_WORDS;
    let views = B::int_reshape(views, Shape::new([all, VIEW_WORDS]));
    let views = B::int_slice(views, &[range(first, first + count), range(0, VIEW_WORDS)]);
    let words = |from: usize, length: usize| {
        B::int_slice(
            views.clone(),
            &[range(0, count), range(from, from + length)],
        )
    };
    // Along the axes of images.
    let images = Shape::new([count, CHANNELS, SIZE, SIZE]);
    let wide = |values, shape| B::int_reshape(values, Shape::new(shape));
    let columns = bytes::<B>(words(COLUMNS, SIZE / 4));
    let columns = wide(columns, [count, 1, 1, SIZE]);
    let rows = wide(bytes::<B>(words(ROWS, SIZE / 4)), [count, 1, SIZE, 1]);
    let image = wide(words(0, 1), [count, 1, 1, 1]);
    let device = views.device();
    let count_to = |to: usize| B::int_arange(0..to as i64, &device, IntDType::I32);
    let channel = wide(count_to(CHANNELS), [1, CHANNELS, 1, 1]);

    let times = |values, by: usize| B::int_mul_scalar(values, (by as i64).into());
    let place = B::int_add(
        B::int_add(times(channel.clone(), PIXELS), times(rows.clone(), SIZE)),
        columns.clone(),
    );
    let word = B::bitwise_right_shift_scalar(place.clone(), 2.into());
    let word = B::int_add(times(image, IMAGE_WORDS), word);
    let shift = times(B::bitwise_and_scalar(place, 3.into()), 8);
    let word = taken::<B>(stored.first, stored.rest, word);
    let byte = B::bitwise_and_scalar(B::bitwise_right_shift(word, shift), 255.into());
    let spread = |mask| B::bool_expand(mask, images.clone());
    let is_black = B::bool_or(spread(beyond::<B>(columns)), spread(beyond::<B>(rows)));
    let byte = B::int_mask_fill(byte, is_black, 0.into());
    let entry = B::int_add(byte, times(channel, BYTES));
    let values = B::float_select(stored.tables, 0, flat::<B>(entry));
    let values = B::float_reshape(values, images.clone());

    let square = bytes::<B>(words(SQUARE, 1));
    let corner = |nth: usize| {
        let value = B::int_slice(square.clone(), &[range(0, count), range(nth, nth + 1)]);
        wide(value, [count, 1, 1, 1])
    };
    let [left, top, side] = [0, 1, 2].map(corner);
    let along = wide(count_to(SIZE), [1, 1, 1, SIZE]);
    let down = wide(count_to(SIZE), [1, 1, SIZE, 1]);
    let is_cut = B::bool_and(
        spread(inside::<B>(along, left, side.clone())),
        spread(inside::<B>(down, top, side)),
    );
    StoredBatch {
        images: B::float_mask_fill(values, is_cut, 0.0.into()),
        classes: B::int_reshape(words(CLASS, 1), Shape::new([count])),
    }
}

/// The bytes of words of `[count, words]`: `[count, 4 * words]`.
fn bytes<B: Backend>(words: IntTensor<B>) -> IntTensor<B> {
    let (count, length) = (dim(&words, 0), dim(&words, 1));
    let words = B::int_reshape(words, Shape::new([count, length, 1]));
    let byte = |nth: i64| {
        let shifted = B::bitwise_right_shift_scalar(words.clone(), (8 * nth).into());
        B::bitwise_and_scalar(shifted, 255.into())
    };
    let bytes = B::int_cat((0..4).map(byte).collect(), 2);
    B::int_reshape(bytes, Shape::new([count, 4 * length]))
}

/// The numbers of `first` and `rest`, one after the other, at `places`.
fn taken<B: Backend>(
    first: IntTensor<B>,
    rest: IntTensor<B>,
    places: IntTensor<B>,
) -> IntTensor<B> {
    let shape = places.shape();
    let places = flat::<B>(places);
    let of_first = dim(&first, 0) as i64;
    let of_rest = dim(&rest, 0) as i64;
    let in_rest = B::int_greater_equal_elem(places.clone(), of_first.into(), BoolDType::Native);
    let take = |from, places, length: i64| {
        let places = B::int_clamp(places, 0.into(), (length - 1).into());
        B::int_select(from, 0, places)
    };
    let beyond = B::int_sub_scalar(places.clone(), of_first.into());
    let taken = B::int_mask_where(
        take(first, places, of_first),
        in_rest,
        take(rest, beyond, of_rest),
    );
    B::int_reshape(taken, shape)
}

fn flat<B: Backend>(tensor: IntTensor<B>) -> IntTensor<B> {
    let length = tensor.shape().num_elements();
    B::int_reshape(tensor, Shape::new([length]))
}

/// Where a row or a column is none of an image.
fn beyond<B: Backend>(places: IntTensor<B>) -> BoolTensor<B> {
    B::int_greater_equal_elem(places, (SIZE as i64).into(), BoolDType::Native)
}

/// Where `places` are among the `length` from `from` on.
fn inside<B: Backend>(
    places: IntTensor<B>,
    from: IntTensor<B>,
    length: IntTensor<B>,
) -> BoolTensor<B> {
    let nth = B::int_sub(places, from);
    B::bool_and(
        B::int_greater_equal_elem(nth.clone(), 0.into(), BoolDType::Native),
        B::int_lower_elem(B::int_sub(nth, length), 0.into(), BoolDType::Native),
    )
}
