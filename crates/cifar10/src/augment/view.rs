//! What shifts, flips and a cut-out square come to, as places: for a device that holds the images and
//! makes batches itself.

use super::{Augmentation, Border, Place, cut_out_at, flips, pixels, shift};
use crate::record::SIZE;

/// How an augmented image is seen: the output pixel (x, y) is the source pixel (`columns[x]`, `rows[y]`),
/// normalised, black where either lies outside the source, and then 0 inside the square.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct View {
    /// The source's column of each column; [`View::BLACK`] outside the source.
    pub columns: [u8; SIZE],
    /// The source's row of each row; [`View::BLACK`] outside the source.
    pub rows: [u8; SIZE],
    /// The left, the top and the side of the square that is cut out. A side of 0 is none.
    pub square: [u8; 3],
}

impl View {
    /// A column or row that is none of the source's.
    pub const BLACK: u8 = SIZE as u8;

    /// The image as it is.
    #[must_use]
    pub fn whole() -> Self {
        let places = std::array::from_fn(|place| place as u8);
        Self {
            columns: places,
            rows: places,
            square: [0; 3],
        }
    }

    /// Whether `augmentations` come to a view: they move pixels and change none, but for a square.
    #[must_use]
    pub fn covers(augmentations: &[Augmentation]) -> bool {
        augmentations.iter().all(|augmentation| {
            matches!(
                augmentation,
                Augmentation::Crop { .. }
                    | Augmentation::Translate { .. }
                    | Augmentation::Flip
                    | Augmentation::AlternatingFlip
                    | Augmentation::Cutout { .. }
            )
        })
    }

    /// Draws what `augmentations`, which come to a view, do to the image at `place`.
    pub(crate) fn draw(augmentations: &[Augmentation], place: Place) -> Self {
        let Place { seed, epoch, index } = place;
        let mut view = Self::whole();
        for augmentation in augmentations {
            if let Some([right, down]) = shift(augmentation, seed, epoch, index) {
                let border = augmentation.border();
                view.columns = moved(&view.columns, right, border);
                view.rows = moved(&view.rows, down, border);
            }
            if flips(augmentation, seed, epoch, index) {
                view.columns.reverse();
            }
            if let Augmentation::Cutout { size } = *augmentation {
                let [left, top] = cut_out_at(size, place);
                view.square = [left, top, size].map(|number| number as u8);
            }
        }
        view
    }
}

/// The window that lies `by` further on.
fn moved(places: &[u8; SIZE], by: isize, border: Border) -> [u8; SIZE] {
    std::array::from_fn(|place| {
        let source = pixels::source(place, by, border);
        source
            .and_then(|source| places.get(source))
            .map_or(View::BLACK, |place| *place)
    })
}
