//! Promises about folders that hold the data already.

#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::fs;
use std::path::Path;

use cifar10::checksum::FILES;
use cifar10::source::{Layout, Source};
use cifar10::{Cifar10, Error, Silent, SourceOptions};

fn load(dir: &Path) -> Result<Cifar10, Error> {
    let options = SourceOptions {
        data_dir: Some(dir.to_path_buf()),
        ..common::offline(dir)
    };
    cifar10::load(&options, &Silent)
}

#[test]
fn the_six_files_have_the_published_checksums_and_shapes() {
    let data = common::cifar10();
    let info = data.info();
    for (file, found) in FILES.iter().zip(&info.files) {
        assert_eq!(found.name, file.name);
        assert_eq!(found.bytes, 30_730_000);
        assert_eq!(found.sha256, file.sha256);
        assert_eq!(found.md5, file.md5);
    }
    assert_eq!((data.train.len(), data.test.len()), (50_000, 10_000));
    assert_eq!(info.train_counts, [5_000; 10]);
    assert_eq!(info.test_counts, [1_000; 10]);
    assert_eq!(data.hashes, FILES.map(|file| (file.name, file.sha256)));
}

#[test]
fn the_normalisation_is_that_of_the_training_set() {
    let pixels = common::cifar10().train.pixels();
    for channel in 0..3 {
        let (mut sum, mut squares) = (0_u64, 0_u64);
        for image in pixels.chunks_exact(3072) {
            for pixel in &image[channel * 1024..][..1024] {
                sum += u64::from(*pixel);
                squares += u64::from(*pixel).pow(2);
            }
        }
        let count = 50_000.0 * 1024.0;
        let mean = sum as f64 / count / 255.0;
        let std = (squares as f64 / count / 255.0 / 255.0 - mean * mean).sqrt();
        let normalization = cifar10::Normalization::CHANNEL;
        assert!(
            (mean - f64::from(normalization.mean[channel])).abs() < 1e-4,
            "{mean}"
        );
        assert!(
            (std - f64::from(normalization.std[channel])).abs() < 1e-4,
            "{std}"
        );
    }
}

#[test]
fn a_folder_with_the_files_and_a_folder_above_it_are_understood() {
    let root = tempfile::tempdir().unwrap();
    let inner = root.path().join("cifar-10-batches-bin");
    common::write_files(&inner);
    for dir in [root.path(), &inner] {
        let data = load(dir).unwrap();
        assert_eq!(data.origin.folder, inner);
        assert_eq!(
            (data.origin.layout, data.origin.fetched_from),
            (Layout::Binary, None)
        );
        assert!(data.train == common::cifar10().train && data.test == common::cifar10().test);
    }
    common::assert_holds_exactly_the_six_files(&inner);
}

#[test]
fn pythons_files_give_the_same_images_as_the_binary_version() {
    let root = tempfile::tempdir().unwrap();
    let inner = root.path().join("cifar-10-batches-py");
    fs::create_dir(&inner).unwrap();
    for (number, (file, (pixels, labels))) in FILES.iter().zip(common::batches()).enumerate() {
        let write = [common::pickles::python2, common::pickles::python3][number % 2];
        fs::write(inner.join(file.python_name), write(pixels, labels, 3072)).unwrap();
    }
    for dir in [root.path(), &inner] {
        let data = load(dir).unwrap();
        assert_eq!(
            (data.origin.layout, &data.origin.folder),
            (Layout::Python, &inner)
        );
        assert!(data.train == common::cifar10().train && data.test == common::cifar10().test);
    }

    // One label exchanged for another one is noticed.
    let (pixels, labels) = common::batches()[2];
    let labels = [&[labels[0] ^ 1], &labels[1..]].concat();
    let path = inner.join("data_batch_3");
    fs::write(&path, common::pickles::python2(pixels, &labels, 3072)).unwrap();
    match load(root.path()) {
        Err(Error::Checksum { path: named, .. }) => assert_eq!(named, path),
        other => panic!("{other:?}"),
    }

    // So is a program in place of the data, and it does not run.
    let witness = root.path().join("witness");
    let program = format!("cos\nsystem\n(S'touch {}'\ntR.", witness.display());
    fs::write(&path, program).unwrap();
    match load(root.path()) {
        Err(Error::Pickle {
            path: named,
            reason,
            ..
        }) => {
            assert_eq!(named, path);
            assert!(reason.contains("os.system"), "{reason}");
        }
        other => panic!("{other:?}"),
    }
    assert!(!witness.exists());
}

#[test]
fn a_damaged_file_in_a_given_folder_is_an_error_that_names_it() {
    let root = tempfile::tempdir().unwrap();
    common::write_files(root.path());
    let path = root.path().join("data_batch_4.bin");
    let good = fs::read(&path).unwrap();

    let mut altered = good.clone();
    altered[12_345_678] ^= 1;
    fs::write(&path, &altered).unwrap();
    match load(root.path()) {
        Err(Error::Checksum {
            path: named,
            expected,
            actual,
            ..
        }) => {
            assert_eq!((named, expected.as_str()), (path.clone(), FILES[3].sha256));
            assert_eq!(actual, cifar10::checksum::sha256(&altered));
        }
        other => panic!("{other:?}"),
    }
    for bytes in [
        &good[..good.len() - 1],
        &[good.as_slice(), &[0]].concat(),
        &[],
    ] {
        fs::write(&path, bytes).unwrap();
        match load(root.path()) {
            Err(Error::FileSize {
                path: named,
                expected: 30_730_000,
                actual,
            }) => {
                assert_eq!((named, actual), (path.clone(), bytes.len() as u64));
            }
            other => panic!("{other:?}"),
        }
    }
    // A given folder is only read, however wrong its files are.
    assert_eq!(fs::read_dir(root.path()).unwrap().count(), 6);
    assert!(fs::read(&path).unwrap().is_empty());
}

#[test]
fn an_absent_file_is_an_error_that_names_it_and_the_layouts() {
    let root = tempfile::tempdir().unwrap();
    let missing = root.path().join("missing");
    assert!(matches!(load(&missing), Err(Error::DataDirMissing(path)) if path == missing));

    let text = load(root.path()).unwrap_err().to_string();
    assert!(
        text.contains("none of the files") && text.contains("cifar-10-batches-py"),
        "{text}"
    );
    assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);

    let inner = root.path().join("cifar-10-batches-py");
    fs::create_dir(&inner).unwrap();
    for file in &FILES[..5] {
        fs::write(inner.join(file.python_name), "").unwrap();
    }
    let text = load(root.path()).unwrap_err().to_string();
    let lacks = Path::new("cifar-10-batches-py").join("test_batch");
    assert!(
        text.contains(&format!("it lacks {}", lacks.display())),
        "{text}"
    );

    let file = root.path().join("file");
    fs::write(&file, "").unwrap();
    assert!(matches!(load(&file), Err(Error::DataDirIncomplete { path, .. }) if path == file));
}

#[test]
fn an_unreadable_file_is_an_error_that_names_it() {
    let root = tempfile::tempdir().unwrap();
    common::write_files(root.path());
    let path = root.path().join("data_batch_2.bin");
    // A folder cannot be read as a file, not even by a user who may read everything.
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert!(matches!(load(root.path()), Err(Error::Io { path: named, .. }) if named == path));
    // In the cache it is not overwritten either.
    let error = cifar10::load(&common::offline(root.path()), &Silent).unwrap_err();
    assert!(matches!(error, Error::Io { path: named, .. } if named == path));
}

#[test]
fn a_source_to_fetch_from_and_a_folder_exclude_each_other() {
    let options = SourceOptions {
        data_dir: Some("somewhere".into()),
        source: Some(Source::Npm),
        ..SourceOptions::default()
    };
    let error = cifar10::load(&options, &Silent).unwrap_err();
    assert!(matches!(error, Error::SourceAndDataDir(Source::Npm)));
}
