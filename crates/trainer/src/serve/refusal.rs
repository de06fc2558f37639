//! What a client did wrong, as a status and a sentence.

use axum::http::StatusCode;

use crate::photo::{LONGEST, MILLION, PhotoError};

/// Why a request has no answer. Each message is one sentence, and names no path of this machine.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// Nothing is served by this name.
    #[error("there is no such page here")]
    NoSuchPage,
    /// The page is there, by another method.
    #[error("this page takes {0} only")]
    Method(&'static str),
    /// The page was asked for by the name of another machine.
    #[error("this page is served to this machine only: open it as localhost")]
    Host,
    /// A page of another site asks.
    #[error("this page answers to its own requests only, and not to another site's")]
    Origin,
    /// An upload is longer than a photo may be.
    #[error("a photo may have {} megabytes at most", LONGEST / MILLION)]
    TooLong,
    /// Other uploads fill the room that there is.
    #[error("too many large photos arrive at once; send it again in a moment")]
    Busy,
    /// An upload ended before its end.
    #[error("the upload was cut off after {received} bytes")]
    Cut {
        /// Bytes that arrived.
        received: usize,
    },
    /// An upload takes too long.
    #[error("the upload took too long")]
    Slow,
    /// The upload is no photo that can be read.
    #[error("{0}")]
    Photo(#[from] PhotoError),
    /// The run has no network to answer with.
    #[error("this run has no weights yet; wait for its first checkpoint")]
    NoWeights,
    /// The test set is not at hand.
    #[error("the test images are not on this machine; `trainer data fetch` gets them")]
    NoTestImages,
    /// No test image has this number.
    #[error("test images have the numbers 0 to {last}")]
    NoSuchImage {
        /// The last number.
        last: usize,
    },
    /// This machine failed; standard error has the reason.
    #[error("this machine could not answer; the terminal where the trainer runs says why")]
    Machine,
}

impl Refusal {
    /// The status of the answer.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::NoSuchPage | Self::NoSuchImage { .. } | Self::NoTestImages => {
                StatusCode::NOT_FOUND
            }
            Self::Method(_) => StatusCode::METHOD_NOT_ALLOWED,
            Self::Host | Self::Origin => StatusCode::FORBIDDEN,
            Self::TooLong | Self::Photo(PhotoError::TooLong | PhotoError::TooLarge { .. }) => {
                StatusCode::PAYLOAD_TOO_LARGE
            }
            Self::Busy => StatusCode::TOO_MANY_REQUESTS,
            Self::Slow => StatusCode::REQUEST_TIMEOUT,
            Self::Cut { .. }
            | Self::Photo(
                PhotoError::Empty | PhotoError::Io(_) | PhotoError::NoFiles | PhotoError::NotAFile,
            ) => StatusCode::BAD_REQUEST,
            Self::Photo(PhotoError::Unknown) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Photo(PhotoError::Damaged { .. } | PhotoError::Picture(_)) => {
                StatusCode::UNPROCESSABLE_ENTITY
            }
            Self::NoWeights => StatusCode::CONFLICT,
            Self::Machine => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

/// Notes an error of this machine on standard error, and gives what a client gets of it.
pub fn machine(error: &dyn std::error::Error) -> Refusal {
    use std::io::Write;
    // A closed standard error takes no message, and the client still gets its answer.
    let _ = writeln!(std::io::stderr(), "{error}");
    Refusal::Machine
}
