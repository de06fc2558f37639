//! Batches that a device makes of images that it holds.

use burn::backend::tensor::IntTensor;
use burn::tensor::DType;
use burn_cubecl::CubeBackend;
use burn_cubecl::ops::permute_nhwc_to_nchw;
use burn_cubecl::tensor::CubeTensor;
use cpu_kernels::stored::SIZE;
use gpu_kernels::images::Images;

use super::tensors::{integers, like, row};
use crate::IMAGE_CHANNELS;
use crate::backend::types::{Stored, StoredBatch};

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
