//! Batches of images that a device holds as bytes: gathered, moved, normalised and cut.
//!
//! A device is told of images and of views by words of four bytes, the first of which is the lowest. The
//! layout stands here, for this processor and for every other device that makes batches.

use crate::Context;
use crate::divide::Chunked;
use crate::shape::{ShapeError, check_len};

/// Pixels of a side of an image.
pub const SIZE: usize = 32;
/// Channels of an image.
pub const CHANNELS: usize = 3;
/// Pixels of an image.
pub const PIXELS: usize = SIZE * SIZE;
/// Words of an image, whose bytes are `[channel, height, width]`.
pub const IMAGE_WORDS: usize = CHANNELS * PIXELS / 4;
/// Values of bytes.
pub const BYTES: usize = 256;

/// Words of a view: the image, its class, the square, the columns and the rows.
pub const VIEW_WORDS: usize = ROWS + SIZE / 4;
/// The word of a view that holds its class.
pub const CLASS: usize = 1;
/// The word of a view that holds its square: the left, the top and the side.
pub const SQUARE: usize = 2;
/// The word of a view at which its columns begin.
pub const COLUMNS: usize = 3;
/// The word of a view at which its rows begin.
pub const ROWS: usize = COLUMNS + SIZE / 4;

/// Images of a task.
const IMAGES_PER_TASK: usize = 16;

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

impl View {
    /// What a device is told of it.
    #[must_use]
    pub fn words(&self) -> [i32; VIEW_WORDS] {
        let [left, top, side] = self.square;
        let head = [
            self.image.cast_signed(),
            i32::from(self.label),
            i32::from_le_bytes([left, top, side, 0]),
        ];
        let places = [self.columns, self.rows];
        let (places, _) = places.as_flattened().as_chunks();
        let mut words = [0; VIEW_WORDS];
        let all = head
            .into_iter()
            .chain(places.iter().map(|bytes| i32::from_le_bytes(*bytes)));
        words
            .iter_mut()
            .zip(all)
            .for_each(|(word, value)| *word = value);
        words
    }
}

/// Images as words, and what their bytes become.
#[derive(Clone, Copy, Debug)]
pub struct StoredImages<'a> {
    /// The first images and the rest, since a device may hold no more than some of them side by side.
    pub parts: [&'a [i32]; 2],
    /// The value of each byte by channel, `[channels, 256]`.
    pub tables: &'a [f32],
}

impl<'a> StoredImages<'a> {
    /// The words of an image; those of the last where there are fewer.
    fn words(&self, image: usize) -> &'a [i32] {
        let [first, rest] = self.parts;
        let in_first = first.len() / IMAGE_WORDS;
        let (part, image) = if image < in_first || rest.is_empty() {
            (first, image)
        } else {
            (rest, image - in_first)
        };
        let last = (part.len() / IMAGE_WORDS).saturating_sub(1);
        &part[image.min(last) * IMAGE_WORDS..][..IMAGE_WORDS]
    }
}

/// What `views` show, each of which has [`VIEW_WORDS`] words: `images`, `[batch, channels, height, width]`, as a
/// first layer likes them, and their `classes`, `[batch]`.
///
/// # Errors
///
/// A length does not fit, or there is no image.
pub fn stored_batch(
    context: &Context,
    stored: &StoredImages<'_>,
    views: &[i32],
    images: &mut [f32],
    classes: &mut [i32],
) -> Result<(), ShapeError> {
    let batch = classes.len();
    check_len("views", views, batch * VIEW_WORDS)?;
    check_len("images", images, batch * PIXELS * CHANNELS)?;
    check_len("tables", stored.tables, CHANNELS * BYTES)?;
    if stored.parts[0].len() < IMAGE_WORDS {
        return Err(ShapeError::Zero {
            dimension: "stored images",
        });
    }
    let parts = (
        Chunked::new(images, IMAGES_PER_TASK * PIXELS * CHANNELS),
        Chunked::new(classes, IMAGES_PER_TASK),
    );
    let tasks = batch.div_ceil(IMAGES_PER_TASK);
    context.divide(tasks, parts, |_, task, (images, classes)| {
        let views = &views[task * IMAGES_PER_TASK * VIEW_WORDS..];
        let (views, _) = views.as_chunks::<VIEW_WORDS>();
        let images = images.data.chunks_exact_mut(PIXELS * CHANNELS);
        for ((view, image), class) in views.iter().zip(images).zip(classes.data) {
            *class = view[CLASS];
            show(stored, view, image);
        }
    });
    Ok(())
}

/// What one view shows, one channel after the other.
fn show(stored: &StoredImages<'_>, view: &[i32; VIEW_WORDS], image: &mut [f32]) {
    let words = stored.words(view[0].cast_unsigned() as usize);
    let [left, top, side, _] = view[SQUARE].to_le_bytes().map(usize::from);
    let columns = bytes(&view[COLUMNS..]);
    let rows = bytes(&view[ROWS..]);
    let planes = image.chunks_exact_mut(PIXELS);
    let tables = stored.tables.chunks_exact(BYTES);
    for ((plane, words), table) in planes.zip(words.chunks_exact(PIXELS / 4)).zip(tables) {
        let black = table[0];
        for (line, row) in plane.chunks_exact_mut(SIZE).zip(rows) {
            let row = usize::from(row);
            if row >= SIZE {
                line.fill(black);
                continue;
            }
            let pixels = bytes(&words[row * SIZE / 4..]);
            for (value, column) in line.iter_mut().zip(columns) {
                *value = match pixels.get(usize::from(column)) {
                    Some(byte) => table[usize::from(*byte)],
                    None => black,
                };
            }
        }
        let cut = |from: usize| from.min(SIZE)..(from + side).min(SIZE);
        for line in plane.chunks_exact_mut(SIZE).take(cut(top).end).skip(top) {
            line[cut(left)].fill(0.0);
        }
    }
}

/// The bytes of the first words.
fn bytes(words: &[i32]) -> [u8; SIZE] {
    let mut bytes = [0; SIZE];
    for (four, word) in bytes.chunks_exact_mut(4).zip(words) {
        four.copy_from_slice(&word.to_le_bytes());
    }
    bytes
}
