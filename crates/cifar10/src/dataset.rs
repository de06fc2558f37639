//! Images in memory, and Burn's view of them.

use std::sync::Arc;

use burn_dataset::{Dataset, DatasetError};

use crate::error::Error;
use crate::record::{CLASSES, IMAGE_BYTES};

/// Images and their labels, in memory. Cloning shares them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Images {
    pixels: Arc<[u8]>,
    labels: Arc<[u8]>,
}

impl Images {
    /// Puts `pixels` (`[image, channel, height, width]`, [`IMAGE_BYTES`] each) and `labels`
    /// together.
    ///
    /// # Errors
    /// [`Error::Shape`] where the lengths do not agree, [`Error::Label`] for a label above 9.
    pub fn new(pixels: Vec<u8>, labels: Vec<u8>) -> Result<Self, Error> {
        if labels.len().checked_mul(IMAGE_BYTES) != Some(pixels.len()) {
            return Err(Error::Shape {
                labels: labels.len(),
                pixels: pixels.len(),
            });
        }
        if let Some((index, label)) = labels
            .iter()
            .enumerate()
            .find(|(_, label)| **label as usize >= CLASSES)
        {
            return Err(Error::Label {
                index,
                label: *label,
            });
        }
        Ok(Self {
            pixels: pixels.into(),
            labels: labels.into(),
        })
    }

    /// As [`Images::new`], for parts that are known to belong together.
    pub(crate) fn from_parts(pixels: Arc<[u8]>, labels: Arc<[u8]>) -> Self {
        debug_assert_eq!(pixels.len(), labels.len() * IMAGE_BYTES);
        Self { pixels, labels }
    }

    /// Number of images.
    #[must_use]
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there are no images.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// The labels, one an image, from 0 to 9.
    #[must_use]
    pub fn labels(&self) -> &[u8] {
        &self.labels
    }

    /// All pixels, `[image, channel, height, width]`.
    #[must_use]
    pub fn pixels(&self) -> &[u8] {
        &self.pixels
    }

    /// One image's pixels, `[channel, height, width]`, and its label; `None` beyond the end.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<(&[u8; IMAGE_BYTES], u8)> {
        let (images, _) = self.pixels.as_chunks::<IMAGE_BYTES>();
        Some((images.get(index)?, *self.labels.get(index)?))
    }

    /// Number of images of each class.
    #[must_use]
    pub fn class_counts(&self) -> [usize; CLASSES] {
        let mut counts = [0; CLASSES];
        for label in self.labels.iter() {
            counts[*label as usize] += 1;
        }
        counts
    }
}

/// One labelled image, as Burn's datasets hand it out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CifarItem {
    /// Pixels, `[channel, height, width]`, each from 0 to 255.
    pub pixels: Box<[u8; IMAGE_BYTES]>,
    /// The class, from 0 to 9.
    pub label: u8,
}

/// Images as a Burn [`Dataset`], for code that is written against that trait. The
/// [`Loader`](crate::Loader) does not need it.
#[derive(Debug, Clone)]
pub struct CifarDataset {
    images: Images,
}

impl CifarDataset {
    /// Wraps images.
    #[must_use]
    pub fn new(images: Images) -> Self {
        Self { images }
    }
}

impl Dataset<CifarItem> for CifarDataset {
    /// Copies one image.
    ///
    /// An index beyond the end gives an error where Burn's convention would allow a panic.
    fn get(&self, index: usize) -> Result<CifarItem, DatasetError> {
        let Some((pixels, label)) = self.images.get(index) else {
            return Err(DatasetError::new(std::io::Error::other(format!(
                "image {index} was asked for, there are {}",
                self.images.len()
            ))));
        };
        Ok(CifarItem {
            pixels: Box::new(*pixels),
            label,
        })
    }

    fn len(&self) -> usize {
        self.images.len()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn pixels_and_labels_must_belong_together() {
        assert!(matches!(
            Images::new(vec![0; 3071], vec![0]),
            Err(Error::Shape {
                labels: 1,
                pixels: 3071
            })
        ));
        assert!(matches!(
            Images::new(vec![0; 2 * IMAGE_BYTES], vec![9, 10]),
            Err(Error::Label {
                index: 1,
                label: 10
            })
        ));
    }

    #[test]
    fn burn_gets_the_same_images_and_an_error_beyond_the_end() {
        let images =
            Images::new([[1; IMAGE_BYTES], [2; IMAGE_BYTES]].concat(), vec![3, 4]).unwrap();
        let dataset = CifarDataset::new(images);
        assert_eq!(Dataset::len(&dataset), 2);
        let item = dataset.get(1).unwrap();
        assert_eq!((item.pixels[0], item.label), (2, 4));
        assert!(dataset.get(2).is_err());
    }
}
