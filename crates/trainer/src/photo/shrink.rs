//! The middle of a picture, 32 by 32.

use model::IMAGE_SIZE;
use resize::px::RGB;
use resize::{Pixel, Type};

use super::PhotoError;
use super::decode::Raster;

/// Height and width of what a network sees.
pub const SIDE: usize = IMAGE_SIZE;

/// The largest square in the middle, by a triangle filter as wide as what a pixel stands for, so that
/// fine patterns average out.
pub fn middle(raster: &Raster) -> Result<[RGB<u8>; SIDE * SIDE], PhotoError> {
    let failed = |reason: String| PhotoError::Damaged {
        format: "image",
        reason,
    };
    let side = raster.width.min(raster.height);
    let (left, top) = ((raster.width - side) / 2, (raster.height - side) / 2);
    let square = (raster.pixels.get(top * raster.width + left..))
        .ok_or_else(|| failed("it has fewer pixels than it says".to_owned()))?;
    let mut small = [RGB::new(0, 0, 0); SIDE * SIDE];
    resize::new(side, side, SIDE, SIDE, Pixel::RGB8, Type::Triangle)
        .and_then(|mut resizer| resizer.resize_stride(square, raster.width, &mut small))
        .map_err(|error| failed(error.to_string()))?;
    Ok(small)
}
