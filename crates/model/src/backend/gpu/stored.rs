//! Batches that a device makes of images that it holds, and how it stores them.

use burn::backend::tensor::IntTensor;
use burn::tensor::DType;
use burn_cubecl::CubeBackend;
use burn_cubecl::ops::permute_nhwc_to_nchw;
use burn_cubecl::tensor::CubeTensor;
use cpu_kernels::stored::SIZE;
use gpu_kernels::images::Images;
use gpu_kernels::{Element, gradient_of, stored_as as store};

use super::tensors::{self, integers, like, row};
use crate::IMAGE_CHANNELS;
use crate::backend::types::{Storage, Stored, StoredBatch};

fn element(storage: Storage) -> Element {
    match storage {
        Storage::Single => Element::Single,
        Storage::Half => Element::Half,
    }
}

pub(super) fn stored_as(images: CubeTensor, storage: Storage) -> CubeTensor {
    let images = tensors::Images::new(images);
    let stored = store(&images.client, images.buffer.clone(), element(storage));
    images.others(stored, images.size()).tensor()
}

pub(super) fn stored_as_back(dy: CubeTensor, storage: Storage) -> CubeTensor {
    let dy = tensors::Images::new(dy);
    let (stored, batch) = (dy.buffer.clone(), dy.batch);
    let stored = gradient_of(&dy.client, stored, batch, element(storage));
    dy.others(stored, dy.size()).tensor()
}

pub(super) fn stored_batch(
    stored: Stored<CubeBackend>,
    views: IntTensor<CubeBackend>,
    first: usize,
    count: usize,
) -> StoredBatch<CubeBackend> {
    let beside = views.clone();
    let images = Images {
        parts: [stored.first, stored.rest].map(integers),
        tables: row(stored.tables),
    };
    let [images, classes] = images.batch(&beside.client, &integers(views), first, count);
    let images = like(&beside, images, [count, SIZE, SIZE, IMAGE_CHANNELS]);
    StoredBatch {
        images: permute_nhwc_to_nchw(images),
        classes: CubeTensor {
            dtype: DType::I32,
            ..like(&beside, classes, [count])
        },
    }
}
