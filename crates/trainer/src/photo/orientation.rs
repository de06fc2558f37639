//! Which way up the camera was held.

use std::io::Cursor;

use cifar10::record::IMAGE_BYTES;
use exif::{In, Reader, Tag};
use resize::px::RGB;

/// Height and width of what a network sees.
const SIDE: usize = model::IMAGE_SIZE;

/// How a stored picture becomes the one that was seen, by EXIF's number from 1 to 8.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Orientation(u32);

impl Orientation {
    /// What the file says; as stored where it says nothing, as most files do.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        let number = Reader::new()
            .read_from_container(&mut Cursor::new(bytes))
            .ok()
            .and_then(|exif| {
                exif.get_field(Tag::Orientation, In::PRIMARY)?
                    .value
                    .get_uint(0)
            });
        Self(
            number
                .filter(|number| (1..=8).contains(number))
                .unwrap_or(1),
        )
    }

    /// A square as it was seen, one plane a colour.
    pub(super) fn planes(self, square: &[RGB<u8>; SIDE * SIDE]) -> Box<[u8; IMAGE_BYTES]> {
        let mut planes = Box::new([0; IMAGE_BYTES]);
        let end = SIDE - 1;
        for row in 0..SIDE {
            for column in 0..SIDE {
                // From where in the stored picture a pixel of the seen one comes (EXIF 2.32, 4.6.4).
                let (y, x) = match self.0 {
                    2 => (row, end - column),
                    3 => (end - row, end - column),
                    4 => (end - row, column),
                    5 => (column, row),
                    6 => (end - column, row),
                    7 => (end - column, end - row),
                    8 => (column, end - row),
                    _ => (row, column),
                };
                let pixel = square[y * SIDE + x];
                let place = row * SIDE + column;
                for (channel, value) in [pixel.r, pixel.g, pixel.b].into_iter().enumerate() {
                    planes[channel * SIDE * SIDE + place] = value;
                }
            }
        }
        planes
    }
}
