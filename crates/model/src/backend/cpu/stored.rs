//! Batches that the processor makes of images that it holds for another machine, which trains here.

use burn::backend::tensor::IntTensor;
use cpu_kernels::buffer;
use cpu_kernels::stored::{CHANNELS, PIXELS, SIZE, StoredImages, VIEW_WORDS};

use super::tensors::{HostTensors, Values};
use super::{checked, context};
use crate::backend::types::{Stored, StoredBatch};

pub(super) fn stored_batch<B: HostTensors>(
    stored: Stored<B>,
    views: IntTensor<B>,
    first: usize,
    count: usize,
) -> StoredBatch<B> {
    let tables = B::rows(stored.tables);
    let mut images = buffer(count * PIXELS * CHANNELS);
    let mut classes = vec![0; count];
    let (from, to) = (first * VIEW_WORDS, (first + count) * VIEW_WORDS);
    B::with_integers(stored.first, |first| {
        B::with_integers(stored.rest, |rest| {
            B::with_integers(views, |views| {
                let views = checked(views.get(from..to).ok_or("there are fewer views"));
                let stored = StoredImages {
                    parts: [first, rest],
                    tables: tables.as_slice(),
                };
                let (images, classes) = (&mut images, &mut classes);
                checked(cpu_kernels::stored::stored_batch(
                    context(),
                    &stored,
                    views,
                    images,
                    classes,
                ));
            });
        });
    });
    StoredBatch {
        images: B::from_rows(&[count, CHANNELS, SIZE, SIZE], images),
        classes: B::from_integers(classes),
    }
}
