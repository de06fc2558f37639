//! Pixels to a PNG file, and to a data URI.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use png::{BitDepth, ColorType, EncodingError};

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

/// A PNG file inside of a page.
pub fn data_uri(png: &[u8]) -> String {
    format!("data:image/png;base64,{}", STANDARD.encode(png))
}
