//! The shape of a linear layer.

use super::{ShapeError, check_positive, elements};

/// The shape of a linear layer: `[batch, in_features]` to `[batch, out_features]`, with weights
/// `[out_features, in_features]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LinearShape {
    pub(crate) batch: usize,
    pub(crate) in_features: usize,
    pub(crate) out_features: usize,
}

impl LinearShape {
    /// A linear layer of `in_features` to `out_features` on `batch` rows.
    ///
    /// # Errors
    ///
    /// A size is zero, or an operand would have more elements than fit into memory.
    pub fn new(batch: usize, in_features: usize, out_features: usize) -> Result<Self, ShapeError> {
        check_positive(&[
            ("batch", batch),
            ("in_features", in_features),
            ("out_features", out_features),
        ])?;
        elements("x", &[batch, in_features])?;
        elements("w", &[out_features, in_features])?;
        elements("y", &[batch, out_features])?;
        Ok(Self {
            batch,
            in_features,
            out_features,
        })
    }

    /// The number of elements of the input.
    #[must_use]
    pub fn input_len(&self) -> usize {
        self.batch * self.in_features
    }

    /// The number of elements of the weights.
    #[must_use]
    pub fn weight_len(&self) -> usize {
        self.out_features * self.in_features
    }

    /// The number of elements of the bias.
    #[must_use]
    pub fn bias_len(&self) -> usize {
        self.out_features
    }

    /// The number of elements of the output.
    #[must_use]
    pub fn output_len(&self) -> usize {
        self.batch * self.out_features
    }

    /// Multiplications and additions forward, for the whole batch.
    #[must_use]
    pub fn flops(&self) -> f64 {
        2.0 * self.output_len() as f64 * self.in_features as f64
    }
}
