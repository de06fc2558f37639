//! Batches of images that live on the device as bytes: gathered, moved, normalised and cut.

use cubecl::prelude::*;

use crate::Buffer;
use crate::rows::elementwise;

/// Pixels of a side of an image.
pub const SIZE: usize = 32;
/// Channels of an image.
pub const CHANNELS: usize = 3;
/// Pixels of an image.
const PIXELS: usize = SIZE * SIZE;
/// Words of an image, each of which holds four bytes of `[channel, height, width]`, the first lowest.
const IMAGE_WORDS: usize = CHANNELS * PIXELS / 4;

/// Words of a [`View`] on the device.
const VIEW_WORDS: usize = 3 + 2 * SIZE / 4;
/// The word of a view that holds its square, and those at which its columns and rows begin.
const SQUARE: usize = 2;
const COLUMNS: usize = 3;
const ROWS: usize = COLUMNS + SIZE / 4;

/// How one image of a batch is seen. The output pixel (x, y) is the image's pixel (`columns[x]`, `rows[y]`),
/// normalised; black where one of them is [`SIZE`]; and 0 inside the square.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct View {
    /// Which image, from 0.
    pub image: u32,
    /// Its class.
    pub label: u8,
    /// The image's column of each column.
    pub columns: [u8; SIZE],
    /// The image's row of each row.
    pub rows: [u8; SIZE],
    /// The left, the top and the side of the square. A side of 0 is none.
    pub square: [u8; 3],
}

/// Views on the device.
#[derive(Clone, Debug)]
pub struct Views {
    words: Buffer,
}

impl Views {
    /// Brings views onto the device.
    #[must_use]
    pub fn new(client: &Client, views: &[View]) -> Self {
        let mut words = Vec::with_capacity(views.len() * VIEW_WORDS);
        for view in views {
            let [left, top, side] = view.square;
            words.push(view.image);
            words.push(u32::from(view.label));
            words.push(u32::from_le_bytes([left, top, side, 0]));
            for places in [&view.columns, &view.rows] {
                let (places, _) = places.as_chunks();
                words.extend(places.iter().map(|places| u32::from_le_bytes(*places)));
            }
        }
        Self {
            words: Buffer {
                handle: client.create_from_slice(u32::as_bytes(&words)),
                length: words.len(),
            },
        }
    }

    /// How many they are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.words.length / VIEW_WORDS
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Images on the device, with what their bytes become.
#[derive(Clone, Debug)]
pub struct Images {
    /// The first images, and the rest where one buffer does not hold all: a kernel sees so much of a buffer
    /// and no more.
    parts: [Buffer; 2],
    /// Images of the first part.
    in_first: usize,
    images: usize,
    tables: Buffer,
}

impl Images {
    /// Brings images onto the device: `pixels` are `[image, channel, height, width]`, `tables` the value of
    /// each byte by channel. Nothing where two buffers do not hold them.
    #[must_use]
    pub fn new(client: &Client, pixels: &[u8], tables: &[[f32; 256]; CHANNELS]) -> Option<Self> {
        let bytes = IMAGE_WORDS * 4;
        let most = client.properties().memory.max_page_size / bytes as u64;
        let images = pixels.len() / bytes;
        let in_first = images.min(usize::try_from(most).unwrap_or(usize::MAX));
        let (first, rest) = pixels.split_at_checked(in_first * bytes)?;
        if first.is_empty() || rest.len() > in_first * bytes {
            return None;
        }
        let upload = |bytes: &[u8]| Buffer {
            handle: client.create_from_slice(bytes),
            length: bytes.len() / 4,
        };
        let first = upload(first);
        let rest = if rest.is_empty() {
            first.clone()
        } else {
            upload(rest)
        };
        Some(Self {
            parts: [first, rest],
            in_first,
            images,
            tables: Buffer {
                handle: client.create_from_slice(f32::as_bytes(tables.as_flattened())),
                length: CHANNELS * 256,
            },
        })
    }

    /// How many they are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.images
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.images == 0
    }

    /// The images that the views from `first` on show, `count` of them: `[count, height, width, channels]`, and
    /// their classes as integers. Views must be of these images.
    #[must_use]
    pub fn batch(&self, client: &Client, views: &Views, first: usize, count: usize) -> [Buffer; 2] {
        let count = count.min(views.len().saturating_sub(first));
        let pixels = count * PIXELS;
        let [images, labels] = Buffer::several(client, [pixels * CHANNELS, count]);
        let (cubes, dim) = elementwise(pixels);
        // SAFETY: the kernel writes below `count` images, and reads the views of those and the images that they
        // name, which are held within what there is.
        unsafe {
            batch_kernel::launch_unchecked(
                client,
                cubes,
                dim,
                self.parts[0].argument(1),
                self.parts[1].argument(1),
                self.tables.argument(1),
                views.words.argument(1),
                images.argument(1),
                labels.argument(1),
                first as u32,
                count as u32,
                self.in_first as u32,
                self.images as u32,
            );
        }
        [images, labels]
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
    labels: &mut [i32],
    first: u32,
    count: u32,
    in_first: u32,
    of: u32,
) {
    let at = ABSOLUTE_POS;
    let nth = at / PIXELS;
    if nth < count as usize {
        let view = (first as usize + nth) * VIEW_WORDS;
        let pixel = at % PIXELS;
        let x = pixel % SIZE;
        let y = pixel / SIZE;
        if pixel == 0 {
            labels[nth] = views[view + 1] as i32;
        }
        let image = min(views[view], of - 1);
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
            let mut number = tables[channel * 256 + value as usize];
            if is_cut {
                number = 0.0;
            }
            images[at * CHANNELS + channel] = number;
        }
    }
}
