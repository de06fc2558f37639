//! Pixels to a PNG file, and to a data URI.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use cifar10::record::IMAGE_BYTES;
use png::{BitDepth, ColorType, EncodingError};

/// Side of a CIFAR-10 image in pixels.
pub const SIDE: u32 = 32;

/// Encodes rows of pixels, from the top.
///
/// # Errors
/// [`EncodingError`] where the bytes are not `width` times `height` pixels.
pub fn png(
    (width, height): (u32, u32),
    color: ColorType,
    pixels: &[u8],
) -> Result<Vec<u8>, EncodingError> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(color);
    encoder.set_depth(BitDepth::Eight);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(pixels)?;
    writer.finish()?;
    Ok(bytes)
}

/// Encodes a CIFAR-10 image: a plane of red, one of green and one of blue.
///
/// # Errors
/// [`EncodingError`] where it cannot be written.
pub fn of_planes(planes: &[u8; IMAGE_BYTES]) -> Result<Vec<u8>, EncodingError> {
    let (red, rest) = planes.split_at(IMAGE_BYTES / 3);
    let (green, blue) = rest.split_at(IMAGE_BYTES / 3);
    let pixels: Vec<u8> = red
        .iter()
        .zip(green)
        .zip(blue)
        .flat_map(|((r, g), b)| [*r, *g, *b])
        .collect();
    png((SIDE, SIDE), ColorType::Rgb, &pixels)
}

/// A PNG file inside of a page.
pub fn data_uri(png: &[u8]) -> String {
    format!("data:image/png;base64,{}", STANDARD.encode(png))
}
