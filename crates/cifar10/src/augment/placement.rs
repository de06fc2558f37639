//! A shift over black and a flip, in the one pass that normalises: the fast way for the most common
//! augmentations.

use super::{Augmentation, Border, flips, shift};
use crate::record::{CHANNELS, IMAGE_BYTES, PLANE_BYTES, SIZE};

/// Where an augmented image comes from: the output pixel (x, y) is the source pixel
/// (x + right, y + down), with x counted from the right edge if the image is flipped, and black
/// where that lies outside the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Placement {
    /// Whether the output is mirrored.
    pub flip: bool,
    /// How far right of the output pixel the source pixel is.
    pub right: isize,
    /// How far below the output pixel the source pixel is.
    pub down: isize,
}

impl Placement {
    /// Whether `augmentations` come to a placement.
    pub(crate) fn covers(augmentations: &[Augmentation]) -> bool {
        augmentations.iter().all(|augmentation| {
            matches!(
                augmentation,
                Augmentation::Crop {
                    border: Border::Black,
                    ..
                } | Augmentation::Flip
                    | Augmentation::AlternatingFlip
            )
        })
    }

    /// Draws what the crops and flips among `augmentations`, applied one after the other, do to image
    /// `index` in `epoch`.
    #[must_use]
    pub fn draw(augmentations: &[Augmentation], seed: u64, epoch: u64, index: u64) -> Self {
        let mut placement = Self::default();
        for augmentation in augmentations {
            if let Some([right, down]) = shift(augmentation, seed, epoch, index) {
                // A window moved right over a mirrored image moves left over the source.
                placement.right += if placement.flip { -right } else { right };
                placement.down += down;
            }
            placement.flip ^= flips(augmentation, seed, epoch, index);
        }
        placement
    }

    /// Writes the augmented, normalised image to `output`, `[channel, height, width]`. `tables`
    /// hold the normalised value of each byte, by channel.
    pub(crate) fn apply(
        &self,
        image: &[u8; IMAGE_BYTES],
        tables: &[[f32; 256]; CHANNELS],
        output: &mut [f32; IMAGE_BYTES],
    ) {
        let (source_planes, _) = image.as_chunks::<PLANE_BYTES>();
        let (output_planes, _) = output.as_chunks_mut::<PLANE_BYTES>();
        for ((source, output), table) in source_planes.iter().zip(output_planes).zip(tables) {
            let (source_rows, _) = source.as_chunks::<SIZE>();
            let (output_rows, _) = output.as_chunks_mut::<SIZE>();
            for (y, output_row) in output_rows.iter_mut().enumerate() {
                let source_row = y
                    .checked_add_signed(self.down)
                    .and_then(|y| source_rows.get(y));
                match source_row {
                    Some(source_row) => self.apply_row(source_row, table, output_row),
                    None => output_row.fill(table[0]),
                }
            }
        }
    }

    /// Writes one row: what the window and the source share, then black on the side that the
    /// window hangs over, then the mirror.
    fn apply_row(&self, source: &[u8; SIZE], table: &[f32; 256], output: &mut [f32; SIZE]) {
        let outside = self.right.unsigned_abs().min(SIZE);
        let inside = SIZE - outside;
        let (taken, written, black) = if self.right >= 0 {
            (outside..SIZE, 0..inside, inside..SIZE)
        } else {
            (0..inside, outside..SIZE, 0..outside)
        };
        for (value, byte) in output[written].iter_mut().zip(&source[taken]) {
            *value = table[*byte as usize];
        }
        output[black].fill(table[0]);
        if self.flip {
            output.reverse();
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;
    use crate::normalize::Normalization;
    use crate::random::{Purpose, Stream};

    const CROP: Augmentation = Augmentation::Crop {
        padding: 4,
        border: Border::Black,
    };

    fn noise_image() -> [u8; IMAGE_BYTES] {
        let mut image = [0; IMAGE_BYTES];
        Stream::new(1, Purpose::Synthetic, 0, 0).fill(&mut image);
        image
    }

    /// Pads, cuts and mirrors an image pixel by pixel, as the definition says.
    fn naive(
        image: &[u8; IMAGE_BYTES],
        padding: usize,
        x0: usize,
        y0: usize,
        flip: bool,
    ) -> Vec<u8> {
        let padded = |channel: usize, y: usize, x: usize| -> u8 {
            let inside = padding..padding + SIZE;
            if inside.contains(&y) && inside.contains(&x) {
                image[(channel * SIZE + y - padding) * SIZE + x - padding]
            } else {
                0
            }
        };
        let mut output = Vec::new();
        for channel in 0..CHANNELS {
            for y in 0..SIZE {
                for x in 0..SIZE {
                    let x = if flip { SIZE - 1 - x } else { x };
                    output.push(padded(channel, y + y0, x + x0));
                }
            }
        }
        output
    }

    #[test]
    fn every_crop_and_flip_equals_the_naive_one() {
        let image = noise_image();
        let tables = Normalization::CHANNEL.tables();
        for padding in [1, 4, SIZE] {
            let step = if padding == SIZE { 5 } else { 1 };
            for x0 in (0..=2 * padding).step_by(step) {
                for y0 in (0..=2 * padding).step_by(step) {
                    for flip in [false, true] {
                        let placement = Placement {
                            flip,
                            right: x0 as isize - padding as isize,
                            down: y0 as isize - padding as isize,
                        };
                        let mut output = [f32::NAN; IMAGE_BYTES];
                        placement.apply(&image, &tables, &mut output);
                        let expected = naive(&image, padding, x0, y0, flip);
                        let expected = expected
                            .iter()
                            .enumerate()
                            .map(|(place, byte)| tables[place / PLANE_BYTES][*byte as usize]);
                        assert!(output.iter().copied().eq(expected), "{placement:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_crop_after_a_flip_moves_the_window_over_the_mirrored_image() {
        let image = noise_image();
        let tables = Normalization::HALF.tables();
        let find = |augmentations: &[Augmentation]| {
            (0..100)
                .map(|index| Placement::draw(augmentations, 0, 0, index))
                .find(|placement| placement.flip && placement.right != 0)
                .unwrap()
        };
        let crop_first = find(&[CROP, Augmentation::Flip]);
        let flip_first = find(&[Augmentation::Flip, CROP]);
        assert_eq!(flip_first.right, -crop_first.right);

        // Mirrored first with the naive code, then cropped, gives the same pixels.
        let mirrored: [u8; IMAGE_BYTES] = naive(&image, 0, 0, 0, true).try_into().unwrap();
        let x0 = (4 - flip_first.right) as usize;
        let y0 = (4 + flip_first.down) as usize;
        let expected = naive(&mirrored, 4, x0, y0, false);
        let mut output = [0.0; IMAGE_BYTES];
        flip_first.apply(&image, &tables, &mut output);
        assert!(
            output
                .into_iter()
                .eq(expected.iter().map(|byte| tables[0][*byte as usize]))
        );
    }

    #[test]
    fn placements_stay_as_recorded_runs_have_them() {
        let drawn: Vec<_> = (0..4)
            .map(|index| Placement::draw(&[CROP, Augmentation::Flip], 0, 1, index))
            .map(|placement| (placement.right, placement.down, placement.flip))
            .collect();
        assert_eq!(
            drawn,
            [(-1, 1, true), (-4, -1, true), (4, 3, true), (3, -2, false)]
        );
    }

    #[test]
    fn a_flip_is_fair_and_every_window_equally_likely() {
        let mut flips = 0_u32;
        let mut windows = [[0_u32; 9]; 9];
        for index in 0..81_000 {
            let placement = Placement::draw(&[CROP, Augmentation::Flip], 5, 2, index);
            flips += u32::from(placement.flip);
            windows[(placement.down + 4) as usize][(placement.right + 4) as usize] += 1;
        }
        // Five standard deviations: 142 for a flip, 31 for a window.
        assert!(flips.abs_diff(40_500) < 711, "{flips}");
        assert!(
            windows
                .iter()
                .flatten()
                .all(|count| count.abs_diff(1000) < 158)
        );
    }

    #[test]
    fn a_crop_without_flip_draws_the_same_windows_as_with_it() {
        for index in 0..20 {
            let alone = Placement::draw(&[CROP], 0, 0, index);
            let both = Placement::draw(&[CROP, Augmentation::Flip], 0, 0, index);
            assert_eq!((alone.right, alone.down), (both.right, both.down));
        }
    }
}
