//! An operation on inputs of some shapes, and how far its results may be from what they should be.

use burn::tensor::{DType, Device};

use super::operations::Operations;
use super::reference::Reference;
use super::tape::{Draws, Outcome, Tape};
use super::{CheckError, Errors};

/// The largest errors of an operation that computes in single precision. Rounding stays below a quarter
/// of them, sums in TF32 or half precision are above.
pub const BOUNDS: Errors = Errors {
    value: 5e-5,
    gradient: 5e-4,
};

/// The largest errors of an operation on images in half precision, by norms. Rounding stays below a half of them.
pub const BOUNDS_OF_HALF: Errors = Errors {
    value: 2e-3,
    gradient: 2e-2,
};

/// Operations on no images.
const WITHOUT_IMAGES: [&str; 5] = [
    "cross_entropy",
    "sgd_step",
    "adamw_step",
    "muon_step",
    "follow_statistics",
];

type Body = Box<dyn Fn(&mut Tape<'_>)>;

/// An operation on inputs of some shapes.
pub struct Case {
    /// The operation of [`CnnBackend`](crate::CnnBackend).
    pub operation: &'static str,
    /// On what, for a person.
    pub shapes: String,
    /// Whether it has gradients: the others serve inference and the optimiser.
    differentiates: bool,
    draws: Draws,
    /// The most images that the device convolves at once, where the case is about that.
    at_once: Option<usize>,
    body: Body,
}

impl std::fmt::Debug for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} of {}", self.operation, self.shapes)
    }
}

impl Case {
    pub(super) fn new(
        operation: &'static str,
        shapes: String,
        body: impl Fn(&mut Tape<'_>) + 'static,
    ) -> Self {
        Self {
            operation,
            shapes,
            differentiates: true,
            draws: Draws::Single,
            at_once: None,
            body: Box::new(body),
        }
    }

    pub(super) fn without_gradients(mut self) -> Self {
        self.differentiates = false;
        self
    }

    /// With images in half precision.
    #[must_use]
    pub fn in_half(self) -> Self {
        Self {
            draws: Draws::Half,
            ..self
        }
    }

    /// The largest errors that it may have.
    #[must_use]
    pub fn bounds(&self) -> Errors {
        match self.draws {
            // What has no images computes as ever.
            Draws::Half if WITHOUT_IMAGES.contains(&self.operation) => BOUNDS,
            // Of several numbers that are rounded to the same another one may be the largest.
            Draws::Half if self.operation == "conv_relu_pool" => Errors {
                gradient: 1e-1,
                ..BOUNDS_OF_HALF
            },
            Draws::Half => BOUNDS_OF_HALF,
            Draws::Single => BOUNDS,
        }
    }

    /// How far `found` is from what is `expected`, and which number is the farthest.
    #[must_use]
    pub fn errors(&self, found: &Outcome, expected: &Outcome) -> (Errors, String) {
        match self.draws {
            Draws::Single => found.errors(expected),
            Draws::Half => found.errors_by_norm(expected),
        }
    }

    /// The case with `images` at once and no more, as a device computes it whose buffers do not hold all of them.
    pub(super) fn in_groups_of(mut self, images: usize) -> Self {
        self.shapes += &format!(", {images} images at once");
        self.at_once = Some(images);
        self
    }

    /// Whether a device that cuts large convolutions into groups of images does so here.
    #[must_use]
    pub fn is_in_groups(&self) -> bool {
        self.at_once.is_some()
    }

    /// Whether it has gradients.
    #[must_use]
    pub fn differentiates(&self) -> bool {
        self.differentiates
    }

    /// What `operations` give on `device`, which has no autodiff, for the inputs of `seed`.
    ///
    /// # Errors
    /// [`CheckError::Read`] where the device does not give its results.
    pub fn on(
        &self,
        operations: &dyn Operations,
        device: &Device,
        seed: u64,
    ) -> Result<Outcome, CheckError> {
        self.run(operations, device, DType::F32, seed)
    }

    /// What the operation should give for the inputs of `seed`.
    ///
    /// # Errors
    /// [`CheckError::Read`] where the host fails.
    pub fn expected(&self, seed: u64) -> Result<Outcome, CheckError> {
        self.run(&Reference, &Device::flex(), DType::F64, seed)
    }

    fn run(
        &self,
        operations: &dyn Operations,
        device: &Device,
        dtype: DType,
        seed: u64,
    ) -> Result<Outcome, CheckError> {
        let device = if self.differentiates {
            device.clone().autodiff()
        } else {
            device.clone()
        };
        let mut outcome = Err(CheckError::read("nothing was computed"));
        let mut work = || {
            let mut tape = Tape::new(operations, &device, dtype, self.draws, seed);
            (self.body)(&mut tape);
            outcome = tape.finish();
        };
        match self.at_once {
            Some(images) => operations.in_groups_of(images, &mut work),
            None => work(),
        }
        outcome
    }
}
