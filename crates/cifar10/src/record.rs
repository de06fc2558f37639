//! The binary format of CIFAR-10: a record is one label byte and 3,072 pixel bytes.
//!
//! The pixel bytes are three planes, red, green, blue, each of 32 rows of 32 pixels: an image is
//! `[channel, height, width]`.

use crate::checksum::{FILES, FileSpec};

/// Height and width of an image, in pixels.
pub const SIZE: usize = 32;
/// Channels of an image: red, green, blue.
pub const CHANNELS: usize = 3;
/// Bytes of one channel's plane.
pub const PLANE_BYTES: usize = SIZE * SIZE;
/// Bytes of an image: three planes.
pub const IMAGE_BYTES: usize = CHANNELS * PLANE_BYTES;
/// Bytes of a record: a label and an image.
pub const RECORD_BYTES: usize = 1 + IMAGE_BYTES;
/// Records in each of the six files.
pub const RECORDS_PER_FILE: usize = 10_000;
/// Bytes of each of the six files.
pub const FILE_BYTES: usize = RECORDS_PER_FILE * RECORD_BYTES;
/// Number of classes.
pub const CLASSES: usize = 10;
/// The classes' names, in the order of their labels.
pub const CLASS_NAMES: [&str; CLASSES] = [
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
];

/// The five files of the training set, in order.
pub fn training_files() -> impl Iterator<Item = &'static FileSpec> {
    FILES.iter().filter(|file| file.training)
}

/// Appends the records in `file` to `pixels` and `labels`. A partial record at the end is left
/// out; callers have checked the file's length.
pub fn decode(file: &[u8], pixels: &mut Vec<u8>, labels: &mut Vec<u8>) {
    let (records, _) = file.as_chunks::<RECORD_BYTES>();
    for [label, image @ ..] in records {
        labels.push(*label);
        pixels.extend_from_slice(image);
    }
}

/// Writes `labels` and their images (`pixels`, `[image, channel, height, width]`) as records.
#[must_use]
pub fn encode(pixels: &[u8], labels: &[u8]) -> Vec<u8> {
    let mut file = Vec::with_capacity(labels.len() * RECORD_BYTES);
    for (label, image) in labels.iter().zip(pixels.chunks_exact(IMAGE_BYTES)) {
        file.push(*label);
        file.extend_from_slice(image);
    }
    file
}
