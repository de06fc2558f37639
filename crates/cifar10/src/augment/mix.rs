//! Mixup and CutMix: another image of the same epoch in an image.

use std::ops::Range;

use super::{Augmentation, Place};
use crate::random::Purpose;
use crate::record::{IMAGE_BYTES, PLANE_BYTES, SIZE};

/// What is mixed into an image.
#[derive(Debug, Clone, PartialEq)]
pub struct Mix {
    /// The other image's place in the loader's list.
    pub other: usize,
    /// The image's own share, from 0 to 1; the rest is the other's.
    pub share: f32,
    /// The box of columns and rows that comes from the other image; none where the two are blended.
    pub pasted: Option<[Range<usize>; 2]>,
}

impl Mix {
    /// Draws what is mixed into the image at `place`, if `augmentations` mix and there is an image.
    pub(crate) fn draw(
        augmentations: &[Augmentation],
        place: Place,
        images: usize,
    ) -> Option<Self> {
        let last = *augmentations.last()?;
        let (Augmentation::Mixup { alpha } | Augmentation::CutMix { alpha }) = last else {
            return None;
        };
        let mut stream = place.stream(Purpose::Mix);
        let other = stream.below(u32::try_from(images).unwrap_or(u32::MAX)) as usize;
        let share = stream.beta(alpha);
        if matches!(last, Augmentation::Mixup { .. }) {
            let share = share as f32;
            return Some(Self {
                other,
                share,
                pasted: None,
            });
        }
        // The box has the image's proportions and may lie partly outside; what is inside counts.
        let half = (SIZE as f64 * (1.0 - share).sqrt()) as usize / 2;
        let pasted = [(); 2].map(|()| {
            let centre = stream.below(SIZE as u32) as usize;
            centre.saturating_sub(half)..(centre + half).min(SIZE)
        });
        let area = pasted.iter().map(Range::len).product::<usize>();
        let share = 1.0 - area as f32 / PLANE_BYTES as f32;
        Some(Self {
            other,
            share,
            pasted: Some(pasted),
        })
    }

    /// Mixes `other` into `image`, both normalised and `[channel, height, width]`.
    pub(crate) fn apply(&self, image: &mut [f32; IMAGE_BYTES], other: &[f32; IMAGE_BYTES]) {
        let Some([columns, rows]) = &self.pasted else {
            for (value, other) in image.iter_mut().zip(other) {
                *value = self.share * *value + (1.0 - self.share) * *other;
            }
            return;
        };
        let (planes, _) = image.as_chunks_mut::<PLANE_BYTES>();
        for (plane, other) in planes.iter_mut().zip(other.chunks_exact(PLANE_BYTES)) {
            for row in rows.clone() {
                let taken = row * SIZE + columns.start..row * SIZE + columns.end;
                plane[taken.clone()].copy_from_slice(&other[taken]);
            }
        }
    }
}
