//! Why a report cannot be written.

use std::path::PathBuf;

use crate::recipe::RecipeError;
use crate::run::RunError;

/// Why a report cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// A file of the run's folder cannot be read or written.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The stored recipe is no recipe.
    #[error(transparent)]
    Recipe(#[from] RecipeError),
    /// The stored weights are no safetensors.
    #[error("{}: no weights can be read from this: {problem}", .path.display())]
    Weights {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// The predictions are not of these test images.
    #[error(
        "predictions.csv names test image {index}, and there are {images}; give the folder of the data \
         set that the run used with --data-dir"
    )]
    NoSuchImage {
        /// The index in the test set.
        index: usize,
        /// Images in the test set.
        images: usize,
    },
    /// A picture cannot be encoded.
    #[error("a picture cannot be made: {0}")]
    Picture(#[from] png::EncodingError),
}
