//! Batches of images that live on the device as bytes: gathered, moved, normalised and cut.

use cubecl::prelude::*;

use cpu_kernels::stored::{
    BYTES, CHANNELS, CLASS, COLUMNS, IMAGE_WORDS, PIXELS, ROWS, SIZE, SQUARE, VIEW_WORDS,
};

use crate::Buffer;
use crate::rows::elementwise;

/// Images on the device, with what their bytes become. All are words as `cpu_kernels::stored` describes them.
#[derive(Clone, Debug)]
pub struct Images {
    /// The first images and the rest: a kernel sees so much of a buffer and no more.
    pub parts: [Buffer; 2],
    /// The value of each byte by channel.
    pub tables: Buffer,
}

impl Images {
    /// The images that the views from `first` on show, `count` of them: `[count, height, width, channels]`, and
    /// their classes as integers.
    #[must_use]
    pub fn batch(
        &self,
        client: &Client,
        views: &Buffer,
        first: usize,
        count: usize,
    ) -> [Buffer; 2] {
        let pixels = count * PIXELS;
        let [images, classes] = Buffer::several(client, [pixels * CHANNELS, count]);
        let (cubes, dim) = elementwise(pixels);
        let in_first = self.parts[0].length / IMAGE_WORDS;
        let all = in_first + self.parts[1].length / IMAGE_WORDS;
        // SAFETY: the kernel writes below `count` images, and reads the views of those, which are held below
        // what there is, and the images that they name, likewise.
        unsafe {
            batch_kernel::launch_unchecked(
                client,
                cubes,
                dim,
                self.parts[0].argument(1),
                self.parts[1].argument(1),
                self.tables.argument(1),
                views.argument(1),
                images.argument(1),
                classes.argument(1),
                first as u32,
                count as u32,
                in_first as u32,
                all as u32,
                (views.length / VIEW_WORDS) as u32,
            );
        }
        [images, classes]
    }
}

/// The byte number `place` of the words from `start` on.
#[cube]
fn byte(words: &[u32], start: usize, place: usize) -> u32 {
    (words[start + place / 4] >> ((place % 4) as u32 * 8)) & 255
}

#[cube(launch_unchecked)]
fn batch_kernel(
    part: &[u32],
    rest: &[u32],
    tables: &[f32],
    views: &[u32],
    images: &mut [f32],
    classes: &mut [i32],
    first: u32,
    count: u32,
    in_first: u32,
    images_of: u32,
    views_of: u32,
) {
    let at = ABSOLUTE_POS;
    let nth = at / PIXELS;
    if nth < count as usize {
        let view = min(first + nth as u32, views_of - 1) as usize * VIEW_WORDS;
        let pixel = at % PIXELS;
        let x = pixel % SIZE;
        let y = pixel / SIZE;
        if pixel == 0 {
            classes[nth] = views[view + CLASS] as i32;
        }
        let image = min(views[view], images_of - 1);
        let column = byte(views, view + COLUMNS, x) as usize;
        let row = byte(views, view + ROWS, y) as usize;
        let left = byte(views, view + SQUARE, 0) as usize;
        let top = byte(views, view + SQUARE, 1) as usize;
        let side = byte(views, view + SQUARE, 2) as usize;
        let is_cut = x >= left && x < left + side && y >= top && y < top + side;
        let is_black = column >= SIZE || row >= SIZE;
        #[unroll]
        for channel in 0..CHANNELS {
            let mut value = 0u32;
            if !is_black {
                let place = channel * PIXELS + row * SIZE + column;
                if image < in_first {
                    value = byte(part, image as usize * IMAGE_WORDS, place);
                } else {
                    value = byte(rest, (image - in_first) as usize * IMAGE_WORDS, place);
                }
            }
            let mut number = tables[channel * BYTES + value as usize];
            if is_cut {
                number = 0.0;
            }
            images[at * CHANNELS + channel] = number;
        }
    }
}
