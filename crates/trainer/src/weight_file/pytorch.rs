//! What `torch.save(net.state_dict(), file)` writes: an archive without compression with a pickle that
//! names the tensors, and a file for the numbers of each.

use std::collections::HashMap;

use rawzip::{CompressionMethod, ZipArchive, ZipArchiveEntryWayfinder, ZipSliceArchive};

use super::NamedTensor;
use super::pickle::{self, TensorView};

/// Keys under which training programs put the weights among other things.
const WEIGHT_KEYS: [&str; 4] = ["state_dict", "model_state_dict", "model", "net"];
/// The longest index of tensors: a name and a shape for each of some ten thousand tensors.
const LONGEST_INDEX: usize = 4 << 20;
/// The most files in an archive, one a tensor.
const MOST_FILES: usize = 20_000;

/// The tensors of a file.
pub fn tensors(bytes: &[u8]) -> Result<Vec<NamedTensor>, String> {
    let archive = Archive::open(bytes)?;
    if let Some(order) = archive.find("byteorder")?
        && order != b"little"
    {
        return Err("its numbers are not stored with the lowest byte first".to_owned());
    }
    let index = archive
        .find("data.pkl")?
        .ok_or("it is an archive without PyTorch's data.pkl")?;
    if index.len() > LONGEST_INDEX {
        return Err(format!("its data.pkl has more than {LONGEST_INDEX} bytes"));
    }
    let views = pickle::tensors(index, &WEIGHT_KEYS)?;
    // Several tensors may be views of the same numbers, so that a short file could ask for much.
    let mut count = 0;
    let mut tensors = Vec::with_capacity(views.len());
    for (name, view) in views {
        count += view.elements()?;
        if count > bytes.len() {
            return Err("its tensors have more numbers than the file".to_owned());
        }
        let storage = archive
            .find(&format!("data/{}", view.storage.key))?
            .ok_or_else(|| format!("it is cut off: the numbers of {name} are absent"))?;
        tensors.push(read(name, &view, storage)?);
    }
    Ok(tensors)
}

/// The numbers that `view` takes from `storage`, row by row.
fn read(name: String, view: &TensorView, storage: &[u8]) -> Result<NamedTensor, String> {
    let size = view.storage.element.size();
    let outside = || format!("the tensor {name} goes beyond the numbers that the file has for it");
    let mut bytes = Vec::new();
    let mut place = vec![0; view.shape.len()];
    for _ in 0..view.elements()? {
        let offsets = place.iter().zip(&view.strides);
        let at = offsets
            .map(|(index, stride): (&usize, _)| index.checked_mul(*stride))
            .try_fold(view.offset, |sum, offset| sum.checked_add(offset?))
            .and_then(|at| at.checked_mul(size))
            .ok_or_else(outside)?;
        let number = storage.get(at..).and_then(|rest| rest.get(..size));
        bytes.extend_from_slice(number.ok_or_else(outside)?);
        // The next place, the last dimension first.
        for (index, length) in place.iter_mut().zip(&view.shape).rev() {
            *index += 1;
            if *index < *length {
                break;
            }
            *index = 0;
        }
    }
    Ok(NamedTensor {
        name,
        shape: view.shape.clone(),
        values: view.storage.element.values(&bytes),
    })
}

/// An archive of files without compression.
struct Archive<'a> {
    archive: ZipSliceArchive<&'a [u8]>,
    files: HashMap<String, ZipArchiveEntryWayfinder>,
}

impl<'a> Archive<'a> {
    fn open(bytes: &'a [u8]) -> Result<Self, String> {
        let damaged = |error| format!("it is a damaged archive: {error}");
        let archive = ZipArchive::from_slice(bytes).map_err(damaged)?;
        let mut files = HashMap::new();
        let mut entries = archive.entries();
        while let Some(entry) = entries.next_entry().map_err(damaged)? {
            let path = String::from_utf8_lossy(entry.file_path().as_bytes()).into_owned();
            if entry.compression_method() != CompressionMethod::STORE {
                return Err(format!(
                    "its file {path} is compressed, which PyTorch never does"
                ));
            }
            // All files stand in one folder, named after the file that was saved.
            let name = path.split_once('/').map_or("", |(_, name)| name);
            files.insert(name.to_owned(), entry.wayfinder());
            if files.len() > MOST_FILES {
                return Err(format!("it has more than {MOST_FILES} files"));
            }
        }
        Ok(Self { archive, files })
    }

    /// The bytes of a file, compared with their checksum; none where there is no such file.
    fn find(&self, name: &str) -> Result<Option<&[u8]>, String> {
        let Some(wayfinder) = self.files.get(name) else {
            return Ok(None);
        };
        let damaged = |error| format!("its file {name} is damaged: {error}");
        let entry = self.archive.get_entry(*wayfinder).map_err(damaged)?;
        let mut reader = entry.verifying_reader(entry.data());
        std::io::copy(&mut reader, &mut std::io::sink())
            .map_err(|error| format!("its file {name} is damaged: {error}"))?;
        Ok(Some(entry.data()))
    }
}
