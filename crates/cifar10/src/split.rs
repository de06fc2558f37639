//! Holding images out of the training set, so that checkpoints are chosen without the test set.

use crate::error::Error;
use crate::random::{Purpose, Stream};
use crate::record::CLASSES;

/// Which images train and which are held out. Indices into the training set, both sorted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Split {
    /// Images to train on.
    pub train: Vec<usize>,
    /// Images held out for validation.
    pub valid: Vec<usize>,
}

/// Holds `held_out` images out, each class in proportion to its share: 5,000 of CIFAR-10's 50,000
/// are 500 of each class. A pure function of its arguments.
///
/// # Errors
/// [`Error::HoldOut`] unless `held_out` is less than the number of images, [`Error::Label`] for a
/// label above 9.
pub fn split(labels: &[u8], held_out: usize, seed: u64) -> Result<Split, Error> {
    if held_out > 0 && held_out >= labels.len() {
        return Err(Error::HoldOut {
            held_out,
            images: labels.len(),
        });
    }
    let mut by_class: [Vec<usize>; CLASSES] = Default::default();
    for (index, &label) in labels.iter().enumerate() {
        let class = by_class.get_mut(label as usize);
        class.ok_or(Error::Label { index, label })?.push(index);
    }
    let quotas = quotas(&by_class.each_ref().map(Vec::len), held_out);
    let mut is_held_out = vec![false; labels.len()];
    for (class, (indices, quota)) in by_class.iter_mut().zip(quotas).enumerate() {
        Stream::new(seed, Purpose::Split, 0, class as u64).shuffle(indices);
        for index in indices.iter().take(quota) {
            is_held_out[*index] = true;
        }
    }
    let (valid, train) = (0..labels.len()).partition(|&index| is_held_out[index]);
    Ok(Split { train, valid })
}

/// Distributes `total` over classes of the given `sizes` by the largest remainder: every class
/// gets the whole part of its share, and what is left goes to the largest fractions, the lower
/// class first where they are equal.
fn quotas(sizes: &[usize; CLASSES], total: usize) -> [usize; CLASSES] {
    let images = sizes.iter().sum::<usize>().max(1);
    let mut quotas = sizes.map(|size| size * total / images);
    let mut classes: [usize; CLASSES] = std::array::from_fn(|class| class);
    classes.sort_by_key(|&class| std::cmp::Reverse(sizes[class] * total % images));
    let left = total.saturating_sub(quotas.iter().sum());
    for class in classes.into_iter().take(left) {
        quotas[class] += 1;
    }
    quotas
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;

    fn labels() -> Vec<u8> {
        (0..50_000).map(|index| (index % 10) as u8).collect()
    }

    #[test]
    fn five_thousand_of_fifty_thousand_are_five_hundred_a_class() {
        let labels = labels();
        let Split { train, valid } = split(&labels, 5_000, 0).unwrap();
        for class in 0..10 {
            assert_eq!(
                valid
                    .iter()
                    .filter(|&&index| labels[index] == class)
                    .count(),
                500
            );
        }
        assert!(train.is_sorted() && valid.is_sorted());
        let mut all = [train, valid].concat();
        all.sort_unstable();
        assert!(all.into_iter().eq(0..50_000));
    }

    #[test]
    fn the_seed_alone_decides_which_images_are_held_out() {
        let labels = labels();
        assert_eq!(
            split(&labels, 5_000, 3).unwrap(),
            split(&labels, 5_000, 3).unwrap()
        );
        assert_ne!(
            split(&labels, 5_000, 3).unwrap(),
            split(&labels, 5_000, 4).unwrap()
        );
        // Pinned: recorded runs can be repeated only while these stay.
        let valid = split(&labels, 5_000, 0).unwrap().valid;
        assert_eq!(valid[..8], [9, 14, 16, 22, 38, 45, 46, 47]);
    }

    #[test]
    fn uneven_classes_keep_their_shares_to_within_one() {
        let labels: Vec<u8> = (0..1_000_u32)
            .map(|index| (index.isqrt() % 10) as u8)
            .collect();
        for held_out in [1, 7, 99, 500, 999] {
            let valid = split(&labels, held_out, 1).unwrap().valid;
            assert_eq!(valid.len(), held_out);
            for class in 0..10 {
                let size = labels.iter().filter(|&&label| label == class).count();
                let count = valid
                    .iter()
                    .filter(|&&index| labels[index] == class)
                    .count();
                assert!((count as f64 - (size * held_out) as f64 / 1000.0).abs() < 1.0);
            }
        }
    }

    #[test]
    fn nothing_held_out_leaves_every_image_and_everything_is_refused() {
        assert_eq!(split(&[1, 2], 0, 0).unwrap().train, [0, 1]);
        assert!(split(&[], 0, 0).unwrap().train.is_empty());
        for held_out in [2, 3] {
            assert!(matches!(
                split(&[1, 2], held_out, 0),
                Err(Error::HoldOut { images: 2, .. })
            ));
        }
        assert!(matches!(
            split(&[1, 10], 0, 0),
            Err(Error::Label {
                index: 1,
                label: 10
            })
        ));
    }
}
