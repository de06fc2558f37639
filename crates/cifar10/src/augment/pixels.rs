//! Changes to an image's bytes, `[channel, height, width]`.
//!
//! Arithmetic is torchvision's on tensors of bytes: in single precision, held within 0 to 255, and cut
//! off to a whole number.

use super::Border;
use crate::record::{CHANNELS, IMAGE_BYTES, PLANE_BYTES, SIZE};

/// An image's bytes.
pub(super) type Image = [u8; IMAGE_BYTES];

/// Where the pixel at `place` of a moved row or column comes from; `None` for black.
pub(super) fn source(place: usize, by: isize, border: Border) -> Option<usize> {
    let last = SIZE as isize - 1;
    let place = place as isize + by;
    let inside = match border {
        Border::Reflect if place < 0 => -place,
        Border::Reflect if place > last => 2 * last - place,
        _ => place,
    };
    usize::try_from(inside).ok().filter(|place| *place < SIZE)
}

/// Takes the window that lies `right` of and `down` below the image.
pub(super) fn shift(image: &mut Image, [right, down]: [isize; 2], border: Border) {
    let columns: [Option<usize>; SIZE] = std::array::from_fn(|x| source(x, right, border));
    let rows: [Option<usize>; SIZE] = std::array::from_fn(|y| source(y, down, border));
    resample(image, |x, y| Some((columns[x]?, rows[y]?)));
}

/// Takes each pixel (x, y) from where `source` says, or makes it black.
pub(super) fn resample(image: &mut Image, source: impl Fn(usize, usize) -> Option<(usize, usize)>) {
    let from = *image;
    for y in 0..SIZE {
        for x in 0..SIZE {
            let taken = source(x, y).map(|(x, y)| y * SIZE + x);
            for channel in 0..CHANNELS {
                let plane = channel * PLANE_BYTES;
                image[plane + y * SIZE + x] = taken.map_or(0, |taken| from[plane + taken]);
            }
        }
    }
}

/// Mirrors left to right.
pub(super) fn mirror(image: &mut Image) {
    let (rows, _) = image.as_chunks_mut::<SIZE>();
    rows.iter_mut().for_each(|row| row.reverse());
}

/// `factor * one + (1 - factor) * other`, as a byte.
pub(super) fn blend(one: u8, other: f32, factor: f32) -> u8 {
    (factor * f32::from(one) + (1.0 - factor) * other).clamp(0.0, 255.0) as u8
}

/// The grey value of each pixel, by the weights of ITU-R BT.601.
pub(super) fn grey(image: &Image) -> [u8; PLANE_BYTES] {
    std::array::from_fn(|pixel| {
        let [red, green, blue] =
            std::array::from_fn(|channel| f32::from(image[channel * PLANE_BYTES + pixel]));
        (0.2989 * red + 0.587 * green + 0.114 * blue) as u8
    })
}

/// Multiplies by `factor`.
pub(super) fn brightness(image: &mut Image, factor: f32) {
    for byte in image {
        *byte = blend(*byte, 0.0, factor);
    }
}

/// Moves away from the mean grey by `factor`, or towards it where that is below 1.
pub(super) fn contrast(image: &mut Image, factor: f32) {
    let sum: u32 = grey(image).into_iter().map(u32::from).sum();
    let mean = sum as f32 / PLANE_BYTES as f32;
    for byte in image {
        *byte = blend(*byte, mean, factor);
    }
}

/// Moves each pixel away from its grey by `factor`, or towards it where that is below 1.
pub(super) fn saturation(image: &mut Image, factor: f32) {
    let grey = grey(image);
    let (planes, _) = image.as_chunks_mut::<PLANE_BYTES>();
    for plane in planes {
        for (byte, grey) in plane.iter_mut().zip(&grey) {
            *byte = blend(*byte, f32::from(*grey), factor);
        }
    }
}

/// Moves away from a smoothed image by `factor`, or towards it where that is below 1. A smoothed pixel
/// is the mean of the nine around it, itself counted five times; those at the edge stay.
pub(super) fn sharpness(image: &mut Image, factor: f32) {
    let from = *image;
    for plane in 0..CHANNELS {
        let at = |x: usize, y: usize| (plane * SIZE + y) * SIZE + x;
        for y in 0..SIZE {
            for x in 0..SIZE {
                let edge = x == 0 || y == 0 || x == SIZE - 1 || y == SIZE - 1;
                let smooth = if edge {
                    f32::from(from[at(x, y)])
                } else {
                    let around = (y - 1..=y + 1).flat_map(|v| (x - 1..=x + 1).map(move |u| (u, v)));
                    let sum: u32 = around.map(|(u, v)| u32::from(from[at(u, v)])).sum();
                    let sum = sum + 4 * u32::from(from[at(x, y)]);
                    (sum as f32 / 13.0).round_ties_even()
                };
                image[at(x, y)] = blend(from[at(x, y)], smooth, factor);
            }
        }
    }
}

/// Keeps the `bits` highest bits of every byte.
pub(super) fn posterize(image: &mut Image, bits: u32) {
    let mask = 0xFF_u8.checked_shl(8_u32.saturating_sub(bits)).unwrap_or(0);
    image.iter_mut().for_each(|byte| *byte &= mask);
}

/// Turns bytes of at least `threshold` over.
pub(super) fn solarize(image: &mut Image, threshold: f32) {
    for byte in image
        .iter_mut()
        .filter(|byte| f32::from(**byte) >= threshold)
    {
        *byte = 255 - *byte;
    }
}

/// Spreads each channel over the whole range.
pub(super) fn autocontrast(image: &mut Image) {
    let (planes, _) = image.as_chunks_mut::<PLANE_BYTES>();
    for plane in planes {
        let low = plane.iter().copied().min().unwrap_or(0);
        let high = plane.iter().copied().max().unwrap_or(0);
        if low < high {
            let scale = 255.0 / f32::from(high - low);
            for byte in plane {
                *byte = (f32::from(*byte - low) * scale).clamp(0.0, 255.0) as u8;
            }
        }
    }
}

/// Makes each channel's histogram even.
pub(super) fn equalize(image: &mut Image) {
    let (planes, _) = image.as_chunks_mut::<PLANE_BYTES>();
    for plane in planes {
        let mut counts = [0_usize; 256];
        plane
            .iter()
            .for_each(|byte| counts[usize::from(*byte)] += 1);
        let last = counts.iter().rev().find(|count| **count > 0).copied();
        let step = (PLANE_BYTES - last.unwrap_or(0)) / 255;
        if step == 0 {
            continue;
        }
        let mut below = 0;
        let table = counts.map(|count| {
            let value = (below + step / 2) / step;
            below += count;
            value.min(255) as u8
        });
        plane
            .iter_mut()
            .for_each(|byte| *byte = table[usize::from(*byte)]);
    }
}
