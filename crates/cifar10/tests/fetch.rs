//! Promises about fetching: every source gives the same six files, whatever happens on the way.

#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::fs::{self, File};
use std::thread;

use cifar10::record::FILE_BYTES;
use cifar10::source::Archive;
use cifar10::{Error, Silent, Source, SourceOptions};
use common::server::{Reply, Server};
use common::{Recorder, attempts, authors_archive, from_archive, published};

/// Loads from a server that gives these replies, into a fresh cache, and checks the result.
/// Returns where the range of each request began.
fn fetch_with(replies: &[Reply], part: Option<&[u8]>) -> (Vec<Option<usize>>, Recorder) {
    let cache = tempfile::tempdir().unwrap();
    if let Some(part) = part {
        fs::create_dir(cache.path().join(".fetch")).unwrap();
        fs::write(
            cache.path().join(".fetch/cifar-10-binary.tar.gz.part"),
            part,
        )
        .unwrap();
    }
    let server = Server::start(authors_archive(), replies);
    let options = from_archive(cache.path(), published(authors_archive(), &server.url));
    let recorder = Recorder::default();
    let data = cifar10::load(&options, &recorder).unwrap();
    assert_eq!(data.origin.fetched_from, Some(Source::Archive));
    common::assert_holds_exactly_the_six_files(cache.path());
    (server.requests(), recorder)
}

/// Loads from a server that gives these replies, and returns why the archive failed.
fn failure_with(replies: &[Reply], describe: impl Fn(Archive) -> Archive) -> Error {
    let cache = tempfile::tempdir().unwrap();
    let server = Server::start(authors_archive(), replies);
    let archive = describe(published(authors_archive(), &server.url));
    let error = cifar10::load(&from_archive(cache.path(), archive), &Silent).unwrap_err();
    assert!(!cache.path().join("data_batch_1.bin").exists());
    attempts(error).pop().unwrap().1
}

#[test]
fn the_archive_is_fetched_and_unpacked_with_progress() {
    let (requests, recorder) = fetch_with(&[], None);
    assert_eq!(requests, [None]);
    let tasks = [
        "downloading cifar-10-binary.tar.gz",
        "unpacking CIFAR-10",
        "reading CIFAR-10",
    ];
    assert_eq!(recorder.tasks(), tasks);
}

#[test]
fn a_download_that_breaks_off_goes_on_where_it_stopped() {
    let (requests, _) = fetch_with(&[Reply::CutAfter(1_000_000), Reply::CutAfter(5_000)], None);
    assert_eq!(requests.len(), 3);
    // How much of what was sent arrives before the cut is the network's affair.
    assert!(
        requests[1] > Some(0) && requests[1] <= Some(1_000_000),
        "{requests:?}"
    );
    assert!(requests[2] > requests[1], "{requests:?}");
}

#[test]
fn a_later_process_goes_on_with_what_an_earlier_one_left() {
    let cache = tempfile::tempdir().unwrap();
    let server = Server::start(
        authors_archive(),
        &[Reply::CutAfter(2_000_000), Reply::Status(503)],
    );
    let options = from_archive(cache.path(), published(authors_archive(), &server.url));
    let error = cifar10::load(&options, &Silent).unwrap_err();
    assert!(error.to_string().contains("503"), "{error}");
    cifar10::load(&options, &Silent).unwrap();
    let requests = server.requests();
    assert_eq!(requests.len(), 3);
    assert!(
        requests[1].is_some() && requests[1] == requests[2],
        "{requests:?}"
    );
    common::assert_holds_exactly_the_six_files(cache.path());
}

#[test]
fn servers_that_cannot_resume_send_everything_again() {
    let part = &authors_archive()[..1_000];
    let (requests, _) = fetch_with(&[Reply::IgnoreRange], Some(part));
    assert_eq!(requests, [Some(1_000)]);
    for reply in [Reply::NoSuchRange, Reply::OtherRange] {
        let (requests, _) = fetch_with(&[reply], Some(part));
        assert_eq!(requests, [Some(1_000), None], "{reply:?}");
    }
}

#[test]
fn a_complete_part_is_not_asked_for_again_and_a_wrong_one_is_replaced() {
    assert_eq!(fetch_with(&[], Some(authors_archive())).0, []);
    let (requests, recorder) = fetch_with(&[], Some(b"something else"));
    assert_eq!(requests, [Some(14), None]);
    assert!(recorder.has_note("corrupt"));
    let longer = [authors_archive(), b"!"].concat();
    assert_eq!(fetch_with(&[], Some(&longer)).0.last(), Some(&None));
}

#[test]
fn an_archive_other_than_the_published_one_is_refused() {
    let error = failure_with(&[], |archive| Archive {
        sha256: "0".repeat(64),
        ..archive
    });
    assert!(
        matches!(
            error,
            Error::Checksum {
                algorithm: "SHA-256",
                ..
            }
        ),
        "{error}"
    );
    let error = failure_with(&[], |archive| Archive {
        md5: "0".repeat(32),
        ..archive
    });
    assert!(
        matches!(
            error,
            Error::Checksum {
                algorithm: "MD5",
                ..
            }
        ),
        "{error}"
    );
    let error = failure_with(&[Reply::TooLong(1)], |archive| archive);
    assert!(matches!(error, Error::Download { .. }), "{error}");
    let error = failure_with(&[Reply::Status(404)], |archive| archive);
    assert!(error.to_string().contains("404"), "{error}");
}

#[test]
fn an_archive_with_other_contents_is_refused_even_if_its_checksum_is_right() {
    let good = &common::files()[0];
    let mut altered = good.clone();
    altered[0] ^= 1;
    let name = "cifar-10-batches-bin/data_batch_1.bin";
    for (archive, expected) in [
        (common::tar_gz([(name, good.as_slice())]), "lacks"),
        (common::tar_gz([(name, altered.as_slice())]), "SHA-256"),
        (
            common::tar_gz([(name, &good[..FILE_BYTES - 1])]),
            "30729999",
        ),
        (b"no archive at all".to_vec(), "gzip"),
    ] {
        let cache = tempfile::tempdir().unwrap();
        let archive: &'static [u8] = archive.leak();
        let server = Server::start(archive, &[]);
        let options = from_archive(cache.path(), published(archive, &server.url));
        let text = cifar10::load(&options, &Silent).unwrap_err().to_string();
        assert!(text.contains(expected), "{text}");
        assert!(!cache.path().join("data_batch_1.bin").exists());
    }
}

#[test]
fn without_any_source_the_error_names_each_and_the_way_out() {
    let cache = tempfile::tempdir().unwrap();
    let error = cifar10::load(&common::offline(cache.path()), &Silent).unwrap_err();
    let text = error.to_string();
    for part in [
        "cache:",
        "archive:",
        "npm:",
        "127.0.0.1:9",
        "--data-dir",
        "--dataset synthetic",
    ] {
        assert!(text.contains(part), "{part} is not in: {text}");
    }
    let sources: Vec<_> = attempts(error)
        .into_iter()
        .map(|(source, _)| source)
        .collect();
    assert_eq!(sources, [Source::Cache, Source::Archive, Source::Npm]);
}

#[test]
fn a_folder_that_was_made_for_nothing_is_taken_away_and_one_that_was_there_stays() {
    let there = tempfile::tempdir().unwrap();
    let made = there.path().join("new").join("folder");
    cifar10::load(&common::offline(&made), &Silent).unwrap_err();
    assert_eq!(fs::read_dir(there.path()).unwrap().count(), 0);
    cifar10::load(&common::offline(there.path()), &Silent).unwrap_err();
    assert!(there.path().exists());
}

#[test]
fn a_full_cache_is_used_without_any_source_and_without_being_written_to() {
    let cache = tempfile::tempdir().unwrap();
    common::write_files(cache.path());
    let recorder = Recorder::default();
    let data = cifar10::load(&common::offline(cache.path()), &recorder).unwrap();
    assert_eq!(data.origin.fetched_from, None);
    assert_eq!(recorder.notes(), [""; 0]);
    assert_eq!(fs::read_dir(cache.path()).unwrap().count(), 6);
}

#[test]
fn a_corrupt_file_in_the_cache_is_named_and_fetched_again() {
    let cache = tempfile::tempdir().unwrap();
    common::write_files(cache.path());
    let path = cache.path().join("data_batch_5.bin");
    let mut bytes = fs::read(&path).unwrap();
    bytes[0] ^= 1;
    fs::write(&path, bytes).unwrap();

    // Without a source it is still not trusted.
    let error = cifar10::load(&common::offline(cache.path()), &Silent).unwrap_err();
    assert!(matches!(
        attempts(error)[0],
        (Source::Cache, Error::Checksum { .. })
    ));

    let server = Server::start(authors_archive(), &[]);
    let options = SourceOptions {
        source: None,
        ..from_archive(cache.path(), published(authors_archive(), &server.url))
    };
    let recorder = Recorder::default();
    cifar10::load(&options, &recorder).unwrap();
    let corrupt = format!("{} is corrupt", path.display());
    assert!(recorder.has_note(&corrupt), "{:?}", recorder.notes());
    common::assert_holds_exactly_the_six_files(cache.path());
}

#[test]
fn processes_that_start_together_fetch_once() {
    let cache = tempfile::tempdir().unwrap();
    let server = Server::start(authors_archive(), &[]);
    let options = SourceOptions {
        source: None,
        ..from_archive(cache.path(), published(authors_archive(), &server.url))
    };
    // Held as another process would hold it, until both threads say that they wait.
    let lock = File::create(cache.path().join(".lock")).unwrap();
    lock.lock().unwrap();
    let recorders = [Recorder::default(), Recorder::default()];
    thread::scope(|scope| {
        let threads: Vec<_> = recorders
            .iter()
            .map(|recorder| scope.spawn(|| cifar10::load(&options, recorder).unwrap()))
            .collect();
        while !recorders
            .iter()
            .all(|recorder| recorder.has_note("waiting for another process"))
        {
            thread::yield_now();
        }
        drop(lock);
        let mut sources: Vec<_> = threads
            .into_iter()
            .map(|thread| thread.join().unwrap().origin.fetched_from)
            .collect();
        sources.sort_by_key(Option::is_none);
        assert_eq!(sources, [Some(Source::Archive), None]);
    });
    assert_eq!(server.requests(), [None]);
    common::assert_holds_exactly_the_six_files(cache.path());
}

#[test]
fn a_folder_can_be_filled_by_name() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("new/folder");
    let server = Server::start(authors_archive(), &[]);
    let options = from_archive(root.path(), published(authors_archive(), &server.url));
    let data = cifar10::fetch_into(&dir, &options, &Silent).unwrap();
    assert_eq!(data.origin.folder, dir);
    common::assert_holds_exactly_the_six_files(&dir);
}
