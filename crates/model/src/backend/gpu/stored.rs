//! Images that live on a device, and batches that it makes of them.

use burn::tensor::{DType, Device, Int, Tensor};
use burn_cubecl::CubeBackend;
use burn_cubecl::ops::permute_nhwc_to_nchw;
use burn_cubecl::tensor::CubeTensor;
use gpu_kernels::images::{Images, SIZE, View, Views};

use super::tensors::like;
use crate::IMAGE_CHANNELS;

/// Images that live on a device as bytes, with what the bytes become.
#[derive(Debug, Clone)]
pub struct StoredImages {
    images: Images,
    /// A tensor of the device, by which others are made.
    beside: CubeTensor,
}

/// How images are seen, on the device of [`StoredImages`].
#[derive(Debug, Clone)]
pub struct StoredViews(Views);

impl StoredImages {
    /// Brings images onto `device`: `pixels` are `[image, channel, height, width]`, `tables` the value of each
    /// byte by channel. Nothing where the device is none of CubeCL's, in which case nobody asks for `pixels`, or
    /// does not hold so many.
    #[must_use]
    pub fn new(
        pixels: impl FnOnce() -> Option<Vec<u8>>,
        tables: &[[f32; 256]; IMAGE_CHANNELS],
        device: &Device,
    ) -> Option<Self> {
        let beside = Tensor::<1>::empty([1], &device.clone().inner());
        let beside = beside.try_into_primitive::<CubeBackend>().ok()?;
        let images = Images::new(&beside.client, &pixels()?, tables)?;
        Some(Self { images, beside })
    }

    /// Brings views onto the device. Each must be of one of these images.
    #[must_use]
    pub fn views(&self, views: &[View]) -> StoredViews {
        StoredViews(Views::new(&self.beside.client, views))
    }

    /// What `count` views from `first` on show, or as many as there are: `[count, 3, 32, 32]`, and the classes,
    /// `[count]`. The device is not waited for.
    #[must_use]
    pub fn batch(
        &self,
        views: &StoredViews,
        first: usize,
        count: usize,
    ) -> (Tensor<4>, Tensor<1, Int>) {
        let client = &self.beside.client;
        let [images, labels] = self.images.batch(client, &views.0, first, count);
        let count = labels.length;
        let images = like(&self.beside, images, [count, SIZE, SIZE, IMAGE_CHANNELS]);
        let labels = CubeTensor {
            dtype: DType::I32,
            ..like(&self.beside, labels, [count])
        };
        (
            Tensor::from_primitive::<CubeBackend>(permute_nhwc_to_nchw(images)),
            Tensor::from_primitive::<CubeBackend>(labels),
        )
    }
}
