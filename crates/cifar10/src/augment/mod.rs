//! Augmentation: each image is seen a little differently in each epoch.
//!
//! | file | what it holds |
//! | --- | --- |
//! | here | the kinds, what goes together, and the way through them |
//! | `placement` | crop over black and flip in the pass that normalises |
//! | `view` | shifts, flips and a square as places, for a device that makes batches itself |
//! | `pixels` | shifts, flips, brightness and contrast on bytes |
//! | `trivial` | TrivialAugment's fourteen operations |
//! | `mix` | mixup and CutMix: two images in one |
//!
//! An image's bytes are changed first, then they are normalised, then a square is cut out, then another
//! image is mixed in, and the kinds must be listed in that order.

mod mix;
mod pixels;
mod placement;
mod trivial;
mod view;

use crate::error::Error;
use crate::random::{Purpose, Stream};
use crate::record::{CHANNELS, IMAGE_BYTES, PLANE_BYTES, SIZE};

pub use mix::Mix;
pub(crate) use mix::Partners;
pub use placement::Placement;
pub use trivial::{Operation, STRENGTHS};
pub use view::View;

/// One kind of augmentation. What it does to an image is a pure function of (seed, epoch, index),
/// where the index is the image's place in the whole set: a hold-out or another batch size
/// changes nothing. With one exception: an image that is held out is mixed into no other. Where mixup
/// or CutMix drew it, another is drawn in its place, and the share stays.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Augmentation {
    /// Surrounds the image with a border of `padding` pixels and takes a 32 by 32 window of it, at
    /// any of the places with equal probability.
    Crop {
        /// Pixels on each side: at most 32, or 31 for a border that reflects.
        padding: usize,
        /// What the border shows.
        border: Border,
    },
    /// Moves the image by up to `pixels` to each side, all distances equally likely, over its own
    /// reflection.
    Translate {
        /// The largest shift, at most 31.
        pixels: usize,
    },
    /// Mirrors the image left to right with probability 1/2.
    Flip,
    /// Mirrors the image left to right with probability 1/2 in the first epoch, and then every
    /// other time, so that each two epochs show it both ways (Jordan, 2024, arXiv:2404.00498).
    AlternatingFlip,
    /// Multiplies the image by a factor between `1 - strength` and `1 + strength`.
    Brightness {
        /// From 0 to 1.
        strength: f64,
    },
    /// Moves the image away from or towards its mean grey by a factor between `1 - strength` and
    /// `1 + strength`.
    Contrast {
        /// From 0 to 1.
        strength: f64,
    },
    /// One of fourteen operations at one of 31 strengths (Müller and Hutter, 2021,
    /// arXiv:2103.10158), as torchvision's `TrivialAugmentWide`.
    TrivialAugment,
    /// Sets a square to the normalised 0. It lies wholly inside the image, at any place with equal
    /// probability, as in the airbench trainings (Jordan, 2024, arXiv:2404.00498). The square of DeVries
    /// and Taylor (2017, arXiv:1708.04552) has its middle anywhere and may hang over the edge, so that less
    /// of an image is cut out on average.
    Cutout {
        /// Side of the square in pixels, from 1 to 32.
        size: usize,
    },
    /// Blends the image with another one of the epoch (Zhang et al., 2018, arXiv:1710.09412). The
    /// image's share is drawn from Beta(`alpha`, `alpha`).
    Mixup {
        /// Above 0 and at most 100.
        alpha: f64,
    },
    /// Pastes a box of another image of the epoch (Yun et al., 2019, arXiv:1905.04899). The share
    /// of the image that stays is drawn from Beta(`alpha`, `alpha`).
    CutMix {
        /// Above 0 and at most 100.
        alpha: f64,
    },
}

/// What lies beyond an image's edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Border {
    /// Black: the byte 0, before normalisation, as in torchvision's `RandomCrop` on an image; so a
    /// padded value is `-mean / std` of its channel, not 0.
    Black,
    /// The image mirrored at its edge, without repeating the edge.
    Reflect,
}

/// The stages of an image's way, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Bytes,
    Cutout,
    Mix,
}

impl Augmentation {
    fn stage(&self) -> Stage {
        match self {
            Self::Cutout { .. } => Stage::Cutout,
            Self::Mixup { .. } | Self::CutMix { .. } => Stage::Mix,
            _ => Stage::Bytes,
        }
    }

    /// What a shift shows beyond the image's edge.
    fn border(&self) -> Border {
        match *self {
            Self::Crop { border, .. } => border,
            _ => Border::Reflect,
        }
    }

    /// Its name in a recipe.
    fn name(&self) -> &'static str {
        match self {
            Self::Crop { .. } => "crop",
            Self::Translate { .. } => "translate",
            Self::Flip | Self::AlternatingFlip => "flip",
            Self::Brightness { .. } => "brightness",
            Self::Contrast { .. } => "contrast",
            Self::TrivialAugment => "trivial_augment",
            Self::Cutout { .. } => "cutout",
            Self::Mixup { .. } => "mixup",
            Self::CutMix { .. } => "cutmix",
        }
    }

    /// What is wrong with its numbers, which values are right, and what to change.
    fn problem(&self) -> Option<String> {
        const REFLECTED: usize = SIZE - 1;
        let words = match *self {
            Self::Crop {
                padding,
                border: Border::Black,
            } if padding > SIZE => format!(
                "pads by at most {SIZE} pixels, found {padding}: a window beyond shows nothing of \
                 the image; lower `padding`"
            ),
            Self::Crop {
                padding,
                border: Border::Reflect,
            } if padding > REFLECTED => format!(
                "pads by at most {REFLECTED} pixels over a border that reflects, found {padding}: \
                 the reflection has no more; lower `padding` or take the border `zero`"
            ),
            Self::Translate { pixels } if pixels > REFLECTED => format!(
                "moves by at most {REFLECTED} pixels, found {pixels}: the reflection has no more; \
                 lower `pixels`"
            ),
            Self::Brightness { strength } | Self::Contrast { strength }
                if !(0.0..=1.0).contains(&strength) =>
            {
                format!("needs a `strength` from 0 to 1, found {strength}; give one of these")
            }
            Self::Cutout { size } if !(1..=SIZE).contains(&size) => {
                format!("needs a `size` from 1 to {SIZE} pixels, found {size}; give one of these")
            }
            Self::Mixup { alpha } | Self::CutMix { alpha } if !(alpha > 0.0 && alpha <= 100.0) => {
                format!(
                    "needs an `alpha` above 0 and at most 100, found {alpha}; give one of these"
                )
            }
            _ => return None,
        };
        Some(format!("`{}` {words}", self.name()))
    }
}

/// Says what is wrong with a list of augmentations, and what to change: a kind that repeats, one flip and
/// another, two mixtures, a number out of range, or an order that cannot be kept. Kinds and numbers are named
/// as a recipe names them.
#[must_use]
pub fn problem(augmentations: &[Augmentation]) -> Option<String> {
    for (index, augmentation) in augmentations.iter().enumerate() {
        let name = augmentation.name();
        let earlier = augmentations.iter().take(index);
        if earlier.clone().any(|other| other.name() == name) {
            return Some(format!("`{name}` stands twice; leave one of the two out"));
        }
        let mixture = |other: &&Augmentation| {
            other.stage() == Stage::Mix && augmentation.stage() == Stage::Mix
        };
        if let Some(other) = earlier.clone().find(mixture) {
            return Some(format!(
                "`{}` and `{name}` both mix images, which happens once; leave one of the two out",
                other.name()
            ));
        }
        if let Some(other) = earlier
            .clone()
            .find(|one| one.stage() > augmentation.stage())
        {
            return Some(format!(
                "`{name}` must stand before `{}`: bytes are changed first, then a square is cut \
                 out, then images are mixed; move it forward",
                other.name()
            ));
        }
        if let Some(problem) = augmentation.problem() {
            return Some(problem);
        }
    }
    None
}

/// As [`problem`], as an error.
pub(crate) fn validate(augmentations: &[Augmentation]) -> Result<(), Error> {
    problem(augmentations).map_or(Ok(()), |problem| Err(Error::Loader(problem)))
}

/// How far the window of a crop or a translation lies right of and below the image.
fn shift(augmentation: &Augmentation, seed: u64, epoch: u64, index: u64) -> Option<[isize; 2]> {
    let (purpose, most) = match *augmentation {
        Augmentation::Crop { padding, .. } => (Purpose::Crop, padding),
        Augmentation::Translate { pixels } => (Purpose::Translate, pixels),
        _ => return None,
    };
    let mut stream = Stream::new(seed, purpose, epoch, index);
    let most = most.min(SIZE) as isize;
    Some([(); 2].map(|()| stream.below(2 * most as u32 + 1) as isize - most))
}

/// Whether a flip mirrors the image.
fn flips(augmentation: &Augmentation, seed: u64, epoch: u64, index: u64) -> bool {
    match augmentation {
        Augmentation::Flip => Stream::new(seed, Purpose::Flip, epoch, index).coin(),
        Augmentation::AlternatingFlip => {
            Stream::new(seed, Purpose::Flip, 0, index).coin() ^ (epoch % 2 == 1)
        }
        _ => false,
    }
}

/// The place of one image in a run, of which everything that happens to it is a function.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    pub seed: u64,
    pub epoch: u64,
    pub index: u64,
}

impl Place {
    fn stream(&self, purpose: Purpose) -> Stream {
        Stream::new(self.seed, purpose, self.epoch, self.index)
    }
}

/// Writes the augmented, normalised image to `output`, `[channel, height, width]`, all but what is
/// mixed in. `tables` hold the normalised value of each byte, by channel.
pub(crate) fn apply(
    augmentations: &[Augmentation],
    place: Place,
    image: &[u8; IMAGE_BYTES],
    tables: &[[f32; 256]; CHANNELS],
    output: &mut [f32; IMAGE_BYTES],
) {
    let Place { seed, epoch, index } = place;
    let end = augmentations.partition_point(|augmentation| augmentation.stage() == Stage::Bytes);
    let (of_bytes, later) = augmentations.split_at(end);
    if Placement::covers(of_bytes) {
        Placement::draw(of_bytes, seed, epoch, index).apply(image, tables, output);
    } else {
        let mut image = *image;
        for augmentation in of_bytes {
            change_bytes(augmentation, place, &mut image);
        }
        Placement::default().apply(&image, tables, output);
    }
    if let Some(Augmentation::Cutout { size }) = later.first() {
        cut_out(*size, place, output);
    }
}

/// Does to an image's bytes what `augmentation` says.
fn change_bytes(augmentation: &Augmentation, place: Place, image: &mut [u8; IMAGE_BYTES]) {
    let Place { seed, epoch, index } = place;
    let factor = |purpose, strength: f64| {
        place
            .stream(purpose)
            .between(1.0 - strength, 1.0 + strength) as f32
    };
    match *augmentation {
        Augmentation::Crop { .. } | Augmentation::Translate { .. } => {
            if let Some(by) = shift(augmentation, seed, epoch, index) {
                pixels::shift(image, by, augmentation.border());
            }
        }
        Augmentation::Flip | Augmentation::AlternatingFlip => {
            if flips(augmentation, seed, epoch, index) {
                pixels::mirror(image);
            }
        }
        Augmentation::Brightness { strength } => {
            pixels::brightness(image, factor(Purpose::Brightness, strength));
        }
        Augmentation::Contrast { strength } => {
            pixels::contrast(image, factor(Purpose::Contrast, strength));
        }
        Augmentation::TrivialAugment => {
            let (operation, strength) = Operation::draw(&mut place.stream(Purpose::Trivial));
            operation.apply(strength, image);
        }
        Augmentation::Cutout { .. } | Augmentation::Mixup { .. } | Augmentation::CutMix { .. } => {}
    }
}

/// The left and the top of the square of `size` pixels that is cut out.
fn cut_out_at(size: usize, place: Place) -> [usize; 2] {
    let mut stream = place.stream(Purpose::Cutout);
    let most = SIZE - size.min(SIZE);
    [(); 2].map(|()| stream.below(most as u32 + 1) as usize)
}

/// Sets a square of `size` pixels to 0.
fn cut_out(size: usize, place: Place, output: &mut [f32; IMAGE_BYTES]) {
    let [left, top] = cut_out_at(size, place);
    let (planes, _) = output.as_chunks_mut::<PLANE_BYTES>();
    for plane in planes {
        for row in plane.chunks_exact_mut(SIZE).skip(top).take(size) {
            row.iter_mut()
                .skip(left)
                .take(size)
                .for_each(|value| *value = 0.0);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests;
