//! Images that live on a device as bytes, and batches that it makes of them.

use burn::backend::Dispatch;
use burn::tensor::{DType, Device, Int, Tensor, TensorData};
use cpu_kernels::stored::{IMAGE_WORDS, View};

use super::types::Stored;
use super::{CnnBackend, computes_on_cpu};
use crate::IMAGE_CHANNELS;

/// The most images of a half, which fill the 128 MiB of a buffer that WebGPU lets a kernel see.
const MOST_OF_HALF: usize = (128 << 20) / (IMAGE_WORDS * 4);
/// Images that are sent at once.
const SENT: usize = 4_096;

/// Images that live on a device as bytes, with what the bytes become.
#[derive(Debug, Clone)]
pub struct StoredImages {
    /// Half of them and the other half, each of which has a buffer of its own.
    halves: [Tensor<1, Int>; 2],
    tables: Tensor<1>,
}

/// How images are seen, on the device of [`StoredImages`].
#[derive(Debug, Clone)]
pub struct StoredViews {
    words: Tensor<1, Int>,
    views: usize,
}

impl StoredImages {
    /// Brings images onto `device`: `pixels` are `[image, channel, height, width]`, `tables` the value of each
    /// byte by channel. Nothing where there are none or too many, 87,380, and where the processor itself
    /// computes, which makes batches of images where they are: then nobody asks for `pixels`.
    #[must_use]
    pub fn new(
        pixels: impl FnOnce() -> Option<Vec<u8>>,
        tables: &[[f32; 256]; IMAGE_CHANNELS],
        device: &Device,
    ) -> Option<Self> {
        let device = device.clone().inner();
        if computes_on_cpu(&device) {
            return None;
        }
        let pixels = pixels()?;
        let images = pixels.len() / IMAGE_WORDS / 4;
        let (first, rest) = pixels.split_at_checked(images.div_ceil(2) * IMAGE_WORDS * 4)?;
        if first.is_empty() || images.div_ceil(2) > MOST_OF_HALF {
            return None;
        }
        let first = sent(first, &device);
        let rest = if rest.is_empty() {
            first.clone()
        } else {
            sent(rest, &device)
        };
        Some(Self {
            halves: [first, rest],
            tables: Tensor::from_data(tables.as_flattened(), &device),
        })
    }

    /// Brings views onto the device. Each must be of one of these images.
    #[must_use]
    pub fn views(&self, views: &[View]) -> StoredViews {
        let words: Vec<i32> = views.iter().flat_map(View::words).collect();
        StoredViews {
            words: tensor(words, &self.tables.device()),
            views: views.len(),
        }
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
        let count = count.min(views.views.saturating_sub(first));
        let [half, rest] = self.halves.clone().map(Tensor::into_dispatch);
        let stored = Stored {
            first: half,
            rest,
            tables: self.tables.clone().into_dispatch(),
        };
        let words = views.words.clone().into_dispatch();
        let batch = <Dispatch as CnnBackend>::stored_batch(stored, words, first, count);
        (
            Tensor::from_dispatch(batch.images),
            Tensor::from_dispatch(batch.classes),
        )
    }
}

/// Bytes as words on a device. They go some at a time, so that a slow way to a worker carries signs of life
/// between them.
fn sent(bytes: &[u8], device: &Device) -> Tensor<1, Int> {
    let parts = bytes.chunks(SENT * IMAGE_WORDS * 4).map(|bytes| {
        let (words, _) = bytes.as_chunks();
        let words: Vec<i32> = words.iter().map(|word| i32::from_le_bytes(*word)).collect();
        tensor(words, device)
    });
    Tensor::cat(parts.collect(), 0)
}

fn tensor(words: Vec<i32>, device: &Device) -> Tensor<1, Int> {
    let length = words.len();
    // By itself a device may take wider integers.
    Tensor::from_data(TensorData::new(words, [length]), (device, DType::I32))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

    use cpu_kernels::stored::{BYTES, CHANNELS, PIXELS, SIZE};

    use super::*;
    use crate::backend::compose;
    use crate::backend::types::StoredBatch;

    const IMAGES: usize = 5;
    const VIEWS: usize = 21;

    fn byte(image: usize, place: usize) -> u8 {
        (image * 89 + place * 7 + place / 300) as u8
    }

    fn views() -> Vec<View> {
        let places =
            |nth: usize, by: usize| std::array::from_fn(|at| ((at * by + nth) % (SIZE + 1)) as u8);
        let view = |nth: usize| View {
            image: (nth * 3 % IMAGES) as u32,
            label: (nth % 10) as u8,
            columns: places(nth, 5),
            rows: places(nth + 1, 31),
            square: [nth as u8, 9, (nth % 4 * 3) as u8],
        };
        (0..VIEWS).map(view).collect()
    }

    /// Word by word what the documentation of [`View`] says.
    fn expected(view: &View, channel: usize, y: usize, x: usize) -> f32 {
        let [left, top, side] = view.square.map(usize::from);
        if x >= left && x < left + side && y >= top && y < top + side {
            return 0.0;
        }
        let (column, row) = (usize::from(view.columns[x]), usize::from(view.rows[y]));
        let value = if column == SIZE || row == SIZE {
            0
        } else {
            byte(view.image as usize, channel * PIXELS + row * SIZE + column)
        };
        table()[channel][usize::from(value)]
    }

    fn table() -> [[f32; BYTES]; CHANNELS] {
        [0, 1, 2].map(|channel| std::array::from_fn(|byte| (channel * 1000 + byte) as f32 + 0.5))
    }

    /// What the views from the third on show of images of which `in_first` lie in the first part.
    fn batch(device: &Device, in_first: usize, default: bool) -> (Vec<f32>, Vec<i32>) {
        let bytes = |images: std::ops::Range<usize>| -> Vec<u8> {
            images
                .flat_map(|image| (0..CHANNELS * PIXELS).map(move |place| byte(image, place)))
                .collect()
        };
        let words: Vec<i32> = views().iter().flat_map(View::words).collect();
        let stored = || {
            let first = sent(&bytes(0..in_first), device).into_dispatch();
            Stored {
                rest: if in_first < IMAGES {
                    sent(&bytes(in_first..IMAGES), device).into_dispatch()
                } else {
                    first.clone()
                },
                first,
                tables: Tensor::<1>::from_data(table().as_flattened(), device).into_dispatch(),
            }
        };
        let words = tensor(words, device).into_dispatch();
        let made: StoredBatch<Dispatch> = if default {
            compose::stored_batch::<Dispatch>(stored(), words, 3, VIEWS - 3)
        } else {
            <Dispatch as CnnBackend>::stored_batch(stored(), words, 3, VIEWS - 3)
        };
        let images = Tensor::<4>::from_dispatch(made.images).into_data();
        let classes = Tensor::<1, Int>::from_dispatch(made.classes).into_data();
        (
            images.iter::<f32>().collect(),
            classes.iter::<i32>().collect(),
        )
    }

    #[test]
    fn the_kernel_and_the_default_body_show_what_views_say() {
        let views = views();
        let shown = &views[3..];
        let mut images = Vec::new();
        for view in shown {
            for at in 0..CHANNELS * PIXELS {
                let (channel, y, x) = (at / PIXELS, at % PIXELS / SIZE, at % SIZE);
                images.push(expected(view, channel, y, x));
            }
        }
        let classes: Vec<i32> = shown.iter().map(|view| i32::from(view.label)).collect();
        for device in [Device::ndarray(), Device::flex()] {
            for in_first in [1, 3, IMAGES] {
                for default in [false, true] {
                    let found = batch(&device, in_first, default);
                    assert!(
                        found == (images.clone(), classes.clone()),
                        "{device:?}, {in_first} images in the first part, default: {default}"
                    );
                }
            }
        }
    }
}
