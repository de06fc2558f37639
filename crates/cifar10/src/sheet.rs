//! A picture of what a network sees: images as they are, and as augmentation shows them.

use crate::error::Error;
use crate::loader::{HostBatch, Loader};
use crate::record::{CHANNELS, IMAGE_BYTES, PLANE_BYTES, SIZE};

/// Pixels of the picture that a pixel of an image becomes, in width and height.
const SCALE: usize = 2;
/// Pixels between images.
const GAP: usize = 4;
/// Width and height of an image with the gap after it.
const CELL: usize = SIZE * SCALE + GAP;

/// The first `images` images of `loader` as a PNG: a row each, first as it is, then as it is shown in
/// each of the first `epochs` epochs. Values beyond the range of a byte are shown as the nearest.
///
/// # Errors
/// [`Error::Loader`] where there is no image, or the picture cannot be made.
pub fn png(loader: &Loader, images: usize, epochs: u64) -> Result<Vec<u8>, Error> {
    let rows = images.min(loader.len());
    if rows == 0 {
        return Err(Error::Loader("there is no image to show".to_owned()));
    }
    let columns = 1 + epochs as usize;
    let (width, height) = (columns * CELL + GAP, rows * CELL + GAP);
    let mut picture = vec![255; width * height * CHANNELS];
    let mut batch = HostBatch::default();
    for column in 0..columns {
        let shown = loader.in_order(rows, column > 0);
        let epoch = (column as u64).saturating_sub(1);
        shown.epoch(epoch).batch(0, &mut batch)?;
        let (cells, _) = batch.images.as_chunks::<IMAGE_BYTES>();
        for (row, image) in cells.iter().enumerate() {
            let corner = [GAP + column * CELL, GAP + row * CELL];
            draw(loader, image, corner, width, &mut picture);
        }
    }
    encode(&picture, width, height).map_err(|error| Error::Loader(error.to_string()))
}

/// Draws a normalised image, its top left pixel at `corner`.
fn draw(
    loader: &Loader,
    image: &[f32; IMAGE_BYTES],
    corner: [usize; 2],
    width: usize,
    picture: &mut [u8],
) {
    let normalization = loader.config().normalization;
    let [left, top] = corner;
    for y in 0..SIZE * SCALE {
        for x in 0..SIZE * SCALE {
            let to = ((top + y) * width + left + x) * CHANNELS;
            for channel in 0..CHANNELS {
                let from = channel * PLANE_BYTES + y / SCALE * SIZE + x / SCALE;
                let pixel = image[from] * normalization.std[channel] + normalization.mean[channel];
                picture[to + channel] = (255.0 * pixel).round() as u8;
            }
        }
    }
}

fn encode(picture: &[u8], width: usize, height: usize) -> Result<Vec<u8>, png::EncodingError> {
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, width as u32, height as u32);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(picture)?;
    writer.finish()?;
    Ok(file)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::io::Cursor;

    use super::*;
    use crate::loader::LoaderConfig;
    use crate::synthetic::{Part, generate};

    #[test]
    fn a_sheet_shows_images_as_they_are_and_as_each_epoch_shows_them() {
        let images = generate(Part::Train, 5, 0);
        let loader = Loader::all(images.clone(), LoaderConfig::training(2, 0)).unwrap();
        let file = png(&loader, 9, 3).unwrap();
        let mut reader = png::Decoder::new(Cursor::new(file)).read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut pixels).unwrap();
        assert_eq!((info.width, info.height), (4 * 68 + 4, 5 * 68 + 4));
        let at = |column: usize, row: usize, x: usize, y: usize| {
            let (x, y) = (GAP + column * CELL + x, GAP + row * CELL + y);
            pixels[(y * info.width as usize + x) * CHANNELS]
        };
        let cell = |column: usize, row: usize| -> Vec<u8> {
            let places = (0..SIZE).flat_map(|y| (0..SIZE).map(move |x| (2 * x, 2 * y)));
            places.map(|(x, y)| at(column, row, x, y)).collect()
        };
        for row in 0..5 {
            assert_eq!(cell(0, row), images.get(row).unwrap().0[..PLANE_BYTES]);
            assert!((1..4).any(|column| cell(column, row) != cell(0, row)));
        }
        assert_eq!(at(0, 0, 64, 0), 255, "the gap is white");
        let none = Loader::all(generate(Part::Train, 0, 0), LoaderConfig::training(2, 0)).unwrap();
        assert!(png(&none, 9, 3).is_err());
    }
}
