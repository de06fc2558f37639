//! PNG, JPEG and WebP to pixels, within limits.

use std::io::Cursor;

use image_webp::WebPDecoder;
use model::Picture;
use png::Transformations;
use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use super::{LONGEST, MOST_PIXELS, PhotoError};

/// Bytes that a decoder may hold beside its result.
const MOST_MEMORY: usize = 4 * MOST_PIXELS;
/// Bytes that one byte of a PNG can become at most, which is a bound of its compression (zlib's documentation
/// names 1032). A header that says more says so of a file that was cut off, or to have memory taken.
const MOST_INFLATION: usize = 1032;
/// Parts of a progressive JPEG; cameras and browsers write about ten.
const MOST_SCANS: usize = 64;

/// The picture in `bytes`.
pub fn decode(bytes: &[u8]) -> Result<Picture, PhotoError> {
    match bytes {
        [] => Err(PhotoError::Empty),
        long if long.len() > LONGEST => Err(PhotoError::TooLong),
        [0x89, b'P', b'N', b'G', ..] => decode_png(bytes),
        [0xff, 0xd8, ..] => decode_jpeg(bytes),
        [
            b'R',
            b'I',
            b'F',
            b'F',
            _,
            _,
            _,
            _,
            b'W',
            b'E',
            b'B',
            b'P',
            ..,
        ] => decode_webp(bytes),
        _ => Err(PhotoError::Unknown),
    }
}

fn damaged<E: std::fmt::Display>(format: &'static str) -> impl Fn(E) -> PhotoError {
    move |error| PhotoError::Damaged {
        format,
        reason: error.to_string().lines().collect::<Vec<_>>().join(" "),
    }
}

/// Refuses a picture before anything of its size is held.
fn check(width: usize, height: usize) -> Result<(), PhotoError> {
    match width.checked_mul(height) {
        Some(1..=MOST_PIXELS) => Ok(()),
        _ => Err(PhotoError::TooLarge { width, height }),
    }
}

fn decode_png(bytes: &[u8]) -> Result<Picture, PhotoError> {
    let failed = damaged("PNG");
    let limits = png::Limits { bytes: MOST_MEMORY };
    let mut decoder = png::Decoder::new_with_limits(Cursor::new(bytes), limits);
    decoder.set_transformations(Transformations::normalize_to_color8());
    // A colour profile and texts are of no use here, and a small file may hold ones that inflate to hundreds of
    // megabytes.
    decoder.set_ignore_iccp_chunk(true);
    decoder.set_ignore_text_chunk(true);
    let header = decoder.read_header_info().map_err(&failed)?;
    let (width, height) = (header.width as usize, header.height as usize);
    check(width, height)?;
    if header.raw_bytes() / MOST_INFLATION > bytes.len() {
        return Err(damaged("PNG")("it ends before its picture does"));
    }
    let mut reader = decoder.read_info().map_err(&failed)?;
    let length = reader
        .output_buffer_size()
        .ok_or(PhotoError::TooLarge { width, height })?;
    let mut buffer = vec![0; length];
    let frame = reader.next_frame(&mut buffer).map_err(&failed)?;
    // The end of the file says whether it was cut off.
    reader.finish().map_err(&failed)?;
    buffer.truncate(frame.buffer_size());
    Ok(Picture::new(width, height, &buffer)?)
}

fn decode_jpeg(bytes: &[u8]) -> Result<Picture, PhotoError> {
    let failed = damaged("JPEG");
    // A file that was cut off is an error, and not a picture with a grey part.
    let options = DecoderOptions::default()
        .set_strict_mode(true)
        .set_max_width(usize::from(u16::MAX))
        .set_max_height(usize::from(u16::MAX))
        .jpeg_set_max_scans(MOST_SCANS)
        .jpeg_set_out_colorspace(ColorSpace::RGB);
    let mut decoder = JpegDecoder::new_with_options(Cursor::new(bytes), options);
    decoder.decode_headers().map_err(&failed)?;
    let (width, height) = decoder.dimensions().unwrap_or_default();
    check(width, height)?;
    let buffer = decoder.decode().map_err(&failed)?;
    Ok(Picture::new(width, height, &buffer)?)
}

fn decode_webp(bytes: &[u8]) -> Result<Picture, PhotoError> {
    let failed = damaged("WebP");
    let mut decoder = WebPDecoder::new(Cursor::new(bytes)).map_err(&failed)?;
    decoder.set_memory_limit(MOST_MEMORY);
    let (width, height) = decoder.dimensions();
    let (width, height) = (width as usize, height as usize);
    check(width, height)?;
    let length = decoder
        .output_buffer_size()
        .ok_or(PhotoError::TooLarge { width, height })?;
    let mut buffer = vec![0; length];
    decoder.read_image(&mut buffer).map_err(&failed)?;
    Ok(Picture::new(width, height, &buffer)?)
}
