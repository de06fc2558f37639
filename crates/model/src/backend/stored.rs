//! Images that live on a device as bytes, and batches that it makes of them.

use std::ops::Range;

use burn::backend::Dispatch;
use burn::tensor::{DType, Device, Int, Tensor, TensorData};
use cpu_kernels::stored::{IMAGE_WORDS, View};

use super::types::Stored;
use super::{CnnBackend, computes_on_cpu};
use crate::IMAGE_CHANNELS;

/// The most images of a half, which fill the 128 MiB of a buffer that WebGPU lets a kernel see.
const MOST_OF_HALF: usize = (128 << 20) / (IMAGE_WORDS * 4);
/// Images that are sent at once, of 1.5 MB: what is freed of some serves those that follow, where larger parts took
/// memory that the system had to clear first.
const SENT: usize = 512;

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
    /// Brings `count` images onto `device`: `image` has the bytes of each, `[channel, height, width]`, and is asked
    /// for them in their order; `tables` has the value of each byte by channel. Nothing where there are none or too
    /// many, 87,380, or one is absent, and where the processor itself computes, which makes batches of images where
    /// they are: then nobody asks for one.
    #[must_use]
    pub fn new<'a>(
        count: usize,
        mut image: impl FnMut(usize) -> Option<&'a [u8]>,
        tables: &[[f32; 256]; IMAGE_CHANNELS],
        device: &Device,
    ) -> Option<Self> {
        let device = device.clone().inner();
        if computes_on_cpu(&device) {
            return None;
        }
        let half = count.div_ceil(2);
        if count == 0 || half > MOST_OF_HALF {
            return None;
        }
        let first = sent(0..half, &mut image, &device)?;
        let rest = if half == count {
            first.clone()
        } else {
            sent(half..count, &mut image, &device)?
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

/// Some images as words on a device. They go some at a time, so that a slow way to a worker carries signs of life
/// between them.
fn sent<'a>(
    images: Range<usize>,
    image: &mut impl FnMut(usize) -> Option<&'a [u8]>,
    device: &Device,
) -> Option<Tensor<1, Int>> {
    let mut parts = Vec::new();
    for start in images.clone().step_by(SENT) {
        let part = start..(start + SENT).min(images.end);
        let mut words = Vec::with_capacity(part.len() * IMAGE_WORDS);
        for index in part {
            let (bytes, _) = image(index)?.as_chunks();
            words.extend(bytes.iter().map(|word| i32::from_le_bytes(*word)));
        }
        parts.push(tensor(words, device));
    }
    Some(Tensor::cat(parts, 0))
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
        let bytes: Vec<u8> = (0..IMAGES)
            .flat_map(|image| (0..CHANNELS * PIXELS).map(move |place| byte(image, place)))
            .collect();
        let part = |images: Range<usize>| {
            let mut image = |index| bytes.chunks(CHANNELS * PIXELS).nth(index);
            sent(images, &mut image, device).unwrap().into_dispatch()
        };
        let words: Vec<i32> = views().iter().flat_map(View::words).collect();
        let stored = || {
            let first = part(0..in_first);
            Stored {
                rest: if in_first < IMAGES {
                    part(in_first..IMAGES)
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
