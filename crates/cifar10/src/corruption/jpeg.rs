//! What JPEG (ITU-T T.81, 1992) loses: colours at half the resolution, and the frequencies of blocks of 8
//! by 8 pixels rounded to multiples. The coding after that loses nothing and is left out.

use std::f64::consts::PI;

use super::{Image, Severity};
use crate::record::{IMAGE_BYTES, PLANE_BYTES, SIZE};

/// Side of a block in pixels.
const BLOCK: usize = 8;
/// Side of a plane of colour differences.
const HALF: usize = SIZE / 2;

/// Steps of the frequencies of brightness at quality 50, row by row (table K.1 of the standard).
const BRIGHTNESS: [u32; BLOCK * BLOCK] = [
    16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55, 14, 13, 16, 24, 40, 57, 69, 56,
    14, 17, 22, 29, 51, 87, 80, 62, 18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113,
    92, 49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99,
];
/// Steps of the frequencies of colour differences at quality 50 (table K.2).
const COLOUR: [u32; BLOCK * BLOCK] = [
    17, 18, 24, 47, 99, 99, 99, 99, 18, 21, 26, 66, 99, 99, 99, 99, 24, 26, 56, 99, 99, 99, 99, 99,
    47, 66, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99,
    99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99,
];

/// The image after JPEG at the published qualities, with Pillow's default of halved colour differences.
pub(super) fn jpeg(image: &Image, severity: Severity) -> Image {
    compressed(image, severity.of([80, 65, 58, 50, 40]))
}

/// The image after JPEG at `quality`, from 1 to 100.
fn compressed(image: &Image, quality: u32) -> Image {
    let (planes, _) = image.as_chunks::<PLANE_BYTES>();
    let mut brightness = vec![0.0; PLANE_BYTES];
    let mut differences = [vec![0.0; PLANE_BYTES], vec![0.0; PLANE_BYTES]];
    for pixel in 0..PLANE_BYTES {
        let [red, green, blue] = [0, 1, 2].map(|channel| f64::from(planes[channel][pixel]));
        brightness[pixel] = byte(0.299 * red + 0.587 * green + 0.114 * blue);
        differences[0][pixel] = byte(128.0 - 0.168_736 * red - 0.331_264 * green + 0.5 * blue);
        differences[1][pixel] = byte(128.0 + 0.5 * red - 0.418_688 * green - 0.081_312 * blue);
    }
    quantise(&mut brightness, SIZE, &steps(&BRIGHTNESS, quality));
    let steps = steps(&COLOUR, quality);
    let [blue_difference, red_difference] = differences.map(|plane| {
        let mut small = halved(&plane);
        quantise(&mut small, HALF, &steps);
        doubled(&small)
    });
    let mut result = [0; IMAGE_BYTES];
    for pixel in 0..PLANE_BYTES {
        let (blue, red) = (
            blue_difference[pixel] - 128.0,
            red_difference[pixel] - 128.0,
        );
        let channels = [
            1.402 * red,
            -0.344_136 * blue - 0.714_136 * red,
            1.772 * blue,
        ];
        for (channel, difference) in channels.into_iter().enumerate() {
            result[channel * PLANE_BYTES + pixel] = byte(brightness[pixel] + difference) as u8;
        }
    }
    result
}

/// The nearest whole number from 0 to 255.
fn byte(value: f64) -> f64 {
    value.round().clamp(0.0, 255.0)
}

/// The steps of a table at `quality`, by the rule of the Independent JPEG Group.
fn steps(table: &[u32; BLOCK * BLOCK], quality: u32) -> [f64; BLOCK * BLOCK] {
    let quality = quality.clamp(1, 100);
    let percent = if quality < 50 {
        5000 / quality
    } else {
        200 - 2 * quality
    };
    table.map(|step| f64::from(((step * percent + 50) / 100).clamp(1, 255)))
}

/// Rounds the frequencies of each block of a square plane, of `side` by `side` bytes, to multiples of
/// `steps`.
fn quantise(plane: &mut [f64], side: usize, steps: &[f64; BLOCK * BLOCK]) {
    let waves = waves();
    for top in (0..side).step_by(BLOCK) {
        for left in (0..side).step_by(BLOCK) {
            let place = |pixel: usize| (top + pixel / BLOCK) * side + left + pixel % BLOCK;
            let block = std::array::from_fn(|pixel| plane[place(pixel)] - 128.0);
            let mut frequencies = transform(&block, &waves);
            for (frequency, step) in frequencies.iter_mut().zip(steps) {
                *frequency = (*frequency / step).round() * step;
            }
            let block = transform(&frequencies, &transposed(&waves));
            for (pixel, value) in block.into_iter().enumerate() {
                plane[place(pixel)] = byte(value + 128.0);
            }
        }
    }
}

/// The discrete cosine transformation as a matrix of unit rows, `[frequency][place]`.
fn waves() -> [[f64; BLOCK]; BLOCK] {
    std::array::from_fn(|frequency| {
        let scale = if frequency == 0 { 0.125_f64 } else { 0.25 }.sqrt();
        std::array::from_fn(|place| {
            scale * (PI * (2 * place + 1) as f64 * frequency as f64 / 16.0).cos()
        })
    })
}

fn transposed(matrix: &[[f64; BLOCK]; BLOCK]) -> [[f64; BLOCK]; BLOCK] {
    std::array::from_fn(|row| std::array::from_fn(|column| matrix[column][row]))
}

/// `matrix block matrix^T`, for a block row by row.
fn transform(block: &[f64; BLOCK * BLOCK], matrix: &[[f64; BLOCK]; BLOCK]) -> [f64; BLOCK * BLOCK] {
    let by_rows: [f64; BLOCK * BLOCK] = std::array::from_fn(|place| {
        let (row, column) = (place / BLOCK, place % BLOCK);
        (0..BLOCK)
            .map(|k| matrix[row][k] * block[k * BLOCK + column])
            .sum()
    });
    std::array::from_fn(|place| {
        let (row, column) = (place / BLOCK, place % BLOCK);
        (0..BLOCK)
            .map(|k| by_rows[row * BLOCK + k] * matrix[column][k])
            .sum()
    })
}

/// The means of each 2 by 2 pixels. Halves are rounded up and down in turn, as in libjpeg.
fn halved(plane: &[f64]) -> Vec<f64> {
    let of_pixel = |pixel: usize| {
        let (x, y) = (2 * (pixel % HALF), 2 * (pixel / HALF));
        let rows = [y, y + 1].map(|y| plane[y * SIZE + x] + plane[y * SIZE + x + 1]);
        let bias = if pixel.is_multiple_of(2) { 0.25 } else { 0.5 };
        ((rows[0] + rows[1]) / 4.0 + bias).floor()
    };
    (0..HALF * HALF).map(of_pixel).collect()
}

/// Twice the height and width: three quarters of the nearer pixel and one of the farther one in each
/// direction, as libjpeg's "fancy upsampling". The edge has no farther one.
fn doubled(plane: &[f64]) -> Vec<f64> {
    let farther = |place: usize| {
        let near = place / 2;
        if place.is_multiple_of(2) {
            near.saturating_sub(1)
        } else {
            (near + 1).min(HALF - 1)
        }
    };
    let of_pixel = |pixel: usize| {
        let (x, y) = (pixel % SIZE, pixel / SIZE);
        let row = |y: usize| 0.75 * plane[y * HALF + x / 2] + 0.25 * plane[y * HALF + farther(x)];
        (0.75 * row(y / 2) + 0.25 * row(farther(y))).round()
    };
    (0..PLANE_BYTES).map(of_pixel).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::{Purpose, Stream};

    #[test]
    fn the_transformation_keeps_lengths_and_its_transpose_undoes_it() {
        let mut stream = Stream::new(1, Purpose::Corruption, 0, 0);
        let block: [f64; 64] = std::array::from_fn(|_| stream.normal());
        let frequencies = transform(&block, &waves());
        let length = |values: &[f64; 64]| values.iter().map(|v| v * v).sum::<f64>();
        assert!((length(&block) - length(&frequencies)).abs() < 1e-9);
        let again = transform(&frequencies, &transposed(&waves()));
        let pairs = block.iter().zip(&again);
        assert!(pairs.clone().all(|(a, b)| (a - b).abs() < 1e-9));
        // A constant block has its eightfold mean as the only frequency.
        let constant = transform(&[3.0; 64], &waves());
        assert!((constant[0] - 24.0).abs() < 1e-9);
        assert!(constant[1..].iter().all(|value| value.abs() < 1e-9));
    }

    /// Steps of the Independent JPEG Group at qualities that are easily computed by hand.
    #[test]
    fn steps_follow_the_quality() {
        assert_eq!(steps(&BRIGHTNESS, 50)[..3], [16.0, 11.0, 10.0]);
        assert_eq!(steps(&BRIGHTNESS, 80)[..3], [6.0, 4.0, 4.0]);
        assert_eq!(steps(&COLOUR, 40)[..3], [21.0, 23.0, 30.0]);
        assert_eq!(steps(&BRIGHTNESS, 100), [1.0; 64]);
    }

    #[test]
    fn brightness_is_a_multiple_of_the_steps_in_every_block() {
        // Grey of a middle range: no value is cut off, and colour differences are zero.
        let mut stream = Stream::new(2, Purpose::Corruption, 0, 0);
        let grey: [u8; PLANE_BYTES] = std::array::from_fn(|_| 96 + stream.below(64) as u8);
        let mut image = [0; IMAGE_BYTES];
        for plane in image.chunks_exact_mut(PLANE_BYTES) {
            plane.copy_from_slice(&grey);
        }
        let result = compressed(&image, 50);
        let steps = steps(&BRIGHTNESS, 50);
        for (top, left) in [(0, 0), (8, 16), (24, 24)] {
            let block = std::array::from_fn(|pixel| {
                let place = (top + pixel / BLOCK) * SIZE + left + pixel % BLOCK;
                f64::from(result[place]) - 128.0
            });
            for (frequency, step) in transform(&block, &waves()).iter().zip(&steps) {
                let rest = (frequency / step).round() * step - frequency;
                // What is left is the rounding of the block's 64 bytes.
                assert!(rest.abs() < 3.0, "{frequency} of {step}");
            }
        }
        assert_eq!(result[..PLANE_BYTES], result[PLANE_BYTES..2 * PLANE_BYTES]);
    }
}
