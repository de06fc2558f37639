//! Archives made to fill memory or disk. They stand in a process of their own, since its peak of
//! memory is what one of the tests looks at.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::{self, Read, Write};
use std::path::Path;

use cifar10::Error;
use cifar10::source::readers;
use flate2::Compression;
use flate2::write::GzEncoder;

type Reader = fn(&Path, &Path) -> Result<(), Error>;

/// Both readers of archives.
const READERS: [Reader; 2] = [readers::archive, readers::package];

/// A gzipped tar archive of one entry of `length` zero bytes; a thousandth of that long.
fn zeros(name: &str, kind: tar::EntryType, length: u64) -> Vec<u8> {
    let mut header = tar::Header::new_gnu();
    header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
    header.set_entry_type(kind);
    header.set_size(length);
    header.set_cksum();
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(header.as_bytes()).unwrap();
    io::copy(&mut io::repeat(0).take(length + 1024), &mut gzip).unwrap();
    gzip.finish().unwrap()
}

/// Why `read` refuses an archive, of which it must write no file.
fn reason(archive: &[u8], read: Reader) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("archive.tar.gz");
    fs::write(&path, archive).unwrap();
    let error = read(&path, &folder.path().join("data")).unwrap_err();
    let new = folder.path().join("data/.fetch/new");
    assert_eq!(fs::read_dir(new).unwrap().count(), 0, "a file was written");
    let Error::Archive { reason, .. } = error else {
        unreachable!("{error}");
    };
    reason
}

#[test]
fn an_archive_that_expands_without_end_is_read_to_its_limit_only() {
    // Read to its end, it would lack the six files, and that would be the reason.
    let archive = zeros("filler", tar::EntryType::Regular, 320 << 20);
    assert!(archive.len() < 4 << 20);
    for read in READERS {
        let reason = reason(&archive, read);
        assert!(!reason.contains("lacks"), "{reason}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn the_length_of_a_name_in_an_archive_fills_no_memory() {
    let peak_megabytes = || {
        let status = fs::read_to_string("/proc/self/status").unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let peak = peak.unwrap().split_whitespace().next().unwrap();
        peak.parse::<u64>().unwrap() / 1024
    };
    for kind in [tar::EntryType::GNULongName, tar::EntryType::XHeader] {
        let archive = zeros("long", kind, 200 << 20);
        for read in READERS {
            reason(&archive, read);
            assert!(peak_megabytes() < 100, "{kind:?}: {} MB", peak_megabytes());
        }
    }
}
