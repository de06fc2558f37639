//! Mixup and CutMix: another image of the same epoch in an image.
//!
//! Which one is drawn of the whole set, so that a hold-out changes what is mixed into few images only.

use std::ops::Range;
use std::sync::Arc;

use super::{Augmentation, Place};
use crate::random::{Purpose, Stream};
use crate::record::{IMAGE_BYTES, PLANE_BYTES, SIZE};

/// Images that are drawn of the whole set before one is drawn of the list alone. Where the list holds a
/// tenth of the set, one image in 38,000 needs more.
const DRAWS: usize = 100;

/// The images that may be mixed in: those of a loader, as a part of their set.
#[derive(Debug, Clone)]
pub(crate) struct Partners {
    listed: Arc<[usize]>,
    /// For each image of the set whether it is listed.
    is_listed: Arc<[bool]>,
}

impl Partners {
    /// The images that `listed` names of a set of `all`.
    pub(crate) fn new(listed: Arc<[usize]>, all: usize) -> Self {
        let mut is_listed = vec![false; all];
        for index in listed.iter() {
            if let Some(image) = is_listed.get_mut(*index) {
                *image = true;
            }
        }
        Self {
            listed,
            is_listed: is_listed.into(),
        }
    }

    /// Draws one. Since images are drawn of the whole set until one is listed, another list that holds the
    /// first one drawn gives that one too. A list that is a small part of the set might be missed for long,
    /// so that the last draw is of the list alone.
    fn draw(&self, stream: &mut Stream) -> Option<usize> {
        let below = |stream: &mut Stream, count: usize| {
            stream.below(u32::try_from(count).unwrap_or(u32::MAX)) as usize
        };
        let mut drawn = (0..DRAWS).map(|_| below(stream, self.is_listed.len()));
        let found = drawn.find(|index| self.is_listed.get(*index) == Some(&true));
        found.or_else(|| {
            let place = below(stream, self.listed.len());
            self.listed.get(place).copied()
        })
    }
}

/// What is mixed into an image.
#[derive(Debug, Clone, PartialEq)]
pub struct Mix {
    /// The other image's place in the whole set.
    pub other: usize,
    /// The image's own share, from 0 to 1; the rest is the other's.
    pub share: f32,
    /// The box of columns and rows that comes from the other image; none where the two are blended.
    pub pasted: Option<[Range<usize>; 2]>,
}

impl Mix {
    /// Draws what is mixed into the image at `place`, if `augmentations` mix and there is an image.
    ///
    /// The other image is drawn last, so that how often it is drawn again, which depends on the list,
    /// changes neither share nor box.
    pub(crate) fn draw(
        augmentations: &[Augmentation],
        place: Place,
        partners: &Partners,
    ) -> Option<Self> {
        let last = *augmentations.last()?;
        let (Augmentation::Mixup { alpha } | Augmentation::CutMix { alpha }) = last else {
            return None;
        };
        let mut stream = place.stream(Purpose::Mix);
        let share = stream.beta(alpha);
        let (share, pasted) = if matches!(last, Augmentation::Mixup { .. }) {
            (share as f32, None)
        } else {
            let (share, pasted) = draw_box(share, &mut stream);
            (share, Some(pasted))
        };
        Some(Self {
            other: partners.draw(&mut stream)?,
            share,
            pasted,
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

/// Draws the box that leaves `share` of an image: what is left in truth, and the box's columns and rows. It
/// has the image's proportions and may lie partly outside; what is inside counts.
fn draw_box(share: f64, stream: &mut Stream) -> (f32, [Range<usize>; 2]) {
    let half = (SIZE as f64 * (1.0 - share).sqrt()) as usize / 2;
    let pasted = [(); 2].map(|()| {
        let centre = stream.below(SIZE as u32) as usize;
        centre.saturating_sub(half)..(centre + half).min(SIZE)
    });
    let area = pasted.iter().map(Range::len).product::<usize>();
    (1.0 - area as f32 / PLANE_BYTES as f32, pasted)
}
