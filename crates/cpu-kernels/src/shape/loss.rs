//! The shape of a loss.

use super::{ShapeError, check_positive, elements};

/// The shape of a loss: logits `[batch, classes]` and a label for each row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LossShape {
    pub(crate) batch: usize,
    pub(crate) classes: usize,
}

impl LossShape {
    /// Logits for `batch` images and `classes` classes.
    ///
    /// # Errors
    ///
    /// A size is zero, or the logits would have more elements than fit into memory.
    pub fn new(batch: usize, classes: usize) -> Result<Self, ShapeError> {
        check_positive(&[("batch", batch), ("classes", classes)])?;
        elements("logits", &[batch, classes])?;
        Ok(Self { batch, classes })
    }

    /// The number of elements of the logits.
    #[must_use]
    pub fn logits_len(&self) -> usize {
        self.batch * self.classes
    }
}
