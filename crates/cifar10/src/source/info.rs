//! What can be said about a loaded data set.

use std::path::PathBuf;

use super::{Cifar10, Layout, Source};
use crate::checksum::{FILES, md5, sha256};
use crate::record::{self, CLASSES, IMAGE_BYTES, RECORDS_PER_FILE};

/// A data set's place, files and classes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Info {
    /// The folder that holds the files.
    pub folder: PathBuf,
    /// How they are stored there.
    pub layout: Layout,
    /// The source that this load fetched them from; `None` if they were there already.
    pub fetched_from: Option<Source>,
    /// The six files of the binary version, whatever the layout.
    pub files: Vec<FileInfo>,
    /// Number of training images of each class.
    pub train_counts: [usize; CLASSES],
    /// Number of test images of each class.
    pub test_counts: [usize; CLASSES],
}

/// One of the six files, as the loaded images encode it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileInfo {
    /// Its name.
    pub name: &'static str,
    /// Its length in bytes.
    pub bytes: u64,
    /// SHA-256 in hexadecimal.
    pub sha256: String,
    /// MD5 in hexadecimal.
    pub md5: String,
}

impl Cifar10 {
    /// Describes the data. The hashes are computed anew from the images in memory, about a second
    /// of work.
    #[must_use]
    pub fn info(&self) -> Info {
        let images = [&self.train, &self.test].into_iter().flat_map(|images| {
            let pixels = images.pixels().chunks(RECORDS_PER_FILE * IMAGE_BYTES);
            pixels.zip(images.labels().chunks(RECORDS_PER_FILE))
        });
        let files = FILES.iter().zip(images).map(|(file, (pixels, labels))| {
            let bytes = record::encode(pixels, labels);
            FileInfo {
                name: file.name,
                bytes: bytes.len() as u64,
                sha256: sha256(&bytes),
                md5: md5(&bytes),
            }
        });
        Info {
            folder: self.origin.folder.clone(),
            layout: self.origin.layout,
            fetched_from: self.origin.fetched_from,
            files: files.collect(),
            train_counts: self.train.class_counts(),
            test_counts: self.test.class_counts(),
        }
    }
}
