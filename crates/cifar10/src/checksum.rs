//! The six files' published checksums, and how files are compared with them.

use std::fmt::Write as _;
use std::path::Path;

use md5::Md5;
use sha2::{Digest, Sha256};

use crate::error::Error;
use crate::record::FILE_BYTES;

/// One of the six files of the binary version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileSpec {
    /// The file's name in the binary version.
    pub name: &'static str,
    /// The file's name in the Python version.
    pub python_name: &'static str,
    /// Whether it belongs to the training set.
    pub training: bool,
    /// SHA-256 in hexadecimal. Every load checks it.
    pub sha256: &'static str,
    /// MD5 in hexadecimal, for comparison with what others published.
    pub md5: &'static str,
}

/// The six files, in the order in which they are read.
pub const FILES: [FileSpec; 6] = [
    FileSpec {
        name: "data_batch_1.bin",
        python_name: "data_batch_1",
        training: true,
        sha256: "cee916563c9f80d84e3cc88e17fdc0941787f1244f00a67874d45b261883ada5",
        md5: "5dd7e06a14cb22eb9f671a540d1b7c25",
    },
    FileSpec {
        name: "data_batch_2.bin",
        python_name: "data_batch_2",
        training: true,
        sha256: "a591ca11fa1708a91ee40f54b3da4784ccd871ecf2137de63f51ada8b3fa57ed",
        md5: "5ea93a67294ea407fff1d09f752e9692",
    },
    FileSpec {
        name: "data_batch_3.bin",
        python_name: "data_batch_3",
        training: true,
        sha256: "bbe8596564c0f86427f876058170b84dac6670ddf06d79402899d93ceea26f67",
        md5: "942cd6a4bcdd0dd3c604fbe906cb4421",
    },
    FileSpec {
        name: "data_batch_4.bin",
        python_name: "data_batch_4",
        training: true,
        sha256: "014e562d6e23c72197cc727519169a60359f5eccd8945ad5a09d710285ff4e48",
        md5: "ae636b3ba5c66a11e91e8cb52e771fcb",
    },
    FileSpec {
        name: "data_batch_5.bin",
        python_name: "data_batch_5",
        training: true,
        sha256: "755304fc0b379caeae8c14f0dac912fbc7d6cd469eb67a1029a08a39453a9add",
        md5: "53f37980c15c3d472c316c40844f3f0d",
    },
    FileSpec {
        name: "test_batch.bin",
        python_name: "test_batch",
        training: false,
        sha256: "8e2eb146ae340b09e24670f29cabc6326dba54da8789dab6768acf480273f65b",
        md5: "803d5f7f4d78ea53de84dbe85f74fb6d",
    },
];

impl FileSpec {
    /// Checks that `bytes`, read or converted from `path`, are this file.
    ///
    /// # Errors
    /// [`Error::FileSize`] or [`Error::Checksum`], both with `path`.
    pub fn verify(&self, bytes: &[u8], path: &Path) -> Result<(), Error> {
        if bytes.len() != FILE_BYTES {
            return Err(Error::FileSize {
                path: path.to_path_buf(),
                expected: FILE_BYTES as u64,
                actual: bytes.len() as u64,
            });
        }
        compare("SHA-256", self.sha256, sha256(bytes), path)
    }
}

/// SHA-256 of `bytes`, in hexadecimal.
#[must_use]
pub fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// MD5 of `bytes`, in hexadecimal.
#[must_use]
pub fn md5(bytes: &[u8]) -> String {
    hex(&Md5::digest(bytes))
}

/// SHA-256 and MD5 of something too long to hold in memory, built up piece by piece.
#[derive(Default)]
pub(crate) struct Hasher {
    sha256: Sha256,
    md5: Md5,
}

impl Hasher {
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.sha256.update(bytes);
        self.md5.update(bytes);
    }

    /// Compares both hashes with the expected ones.
    pub(crate) fn verify(self, sha256: &str, md5: &str, path: &Path) -> Result<(), Error> {
        compare("SHA-256", sha256, hex(&self.sha256.finalize()), path)?;
        compare("MD5", md5, hex(&self.md5.finalize()), path)
    }
}

fn compare(
    algorithm: &'static str,
    expected: &str,
    actual: String,
    path: &Path,
) -> Result<(), Error> {
    if actual == expected {
        return Ok(());
    }
    Err(Error::Checksum {
        path: path.to_path_buf(),
        algorithm,
        expected: expected.to_owned(),
        actual,
    })
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}
