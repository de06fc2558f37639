//! Whether two runs are equal in all but times.

use std::fs;
use std::path::Path;

use serde_json::Value;

use super::BACKEND;

/// Fails with the first thing in which two finished runs differ.
///
/// # Errors
/// A message that names the file.
pub fn equal(a: &Path, b: &Path) -> Result<(), String> {
    let same = |what: &str, equal: bool| {
        if equal {
            Ok(())
        } else {
            Err(format!("{what} of {} differs", b.display()))
        }
    };
    same("model.safetensors", weights(a)? == weights(b)?)?;
    for (file, times) in [
        ("steps.csv", 1),
        ("metrics.csv", 2),
        ("predictions.csv", 0),
        ("confusion.csv", 0),
    ] {
        same(file, table(a, file, times)? == table(b, file, times)?)?;
    }
    same("result.json", result(a)? == result(b)?)
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    fs::read(path).map_err(|error| format!("{}: {error}", path.display()))
}

/// The tensors of a safetensors file: what stands after its header.
fn weights(run: &Path) -> Result<Vec<u8>, String> {
    let bytes = read(&run.join("model.safetensors"))?;
    let length = bytes
        .first_chunk::<8>()
        .map(|length| u64::from_le_bytes(*length) as usize);
    length
        .and_then(|length| bytes.get(8 + length..))
        .map(<[u8]>::to_vec)
        .ok_or_else(|| format!("{}: no safetensors file", run.display()))
}

/// A table without its columns of times, which stand last.
fn table(run: &Path, file: &str, times: usize) -> Result<Vec<String>, String> {
    let text = String::from_utf8_lossy(&read(&run.join(file))?).into_owned();
    Ok(text
        .lines()
        .map(|line| {
            let cells: Vec<&str> = line.split(',').collect();
            cells[..cells.len().saturating_sub(times)].join(",")
        })
        .collect())
}

fn result(run: &Path) -> Result<Value, String> {
    let path = run.join("result.json");
    let mut result: Value = serde_json::from_slice(&read(&path)?)
        .map_err(|error| format!("{}: {error}", path.display()))?;
    if let Some(fields) = result.as_object_mut() {
        fields.retain(|field, _| field != "seconds" && field != "images_per_second");
        // A run on a worker is the run on the worker's device, which is that of every other run here.
        if let Some(backend) = fields.get_mut("backend").filter(|name| *name == "remote") {
            *backend = BACKEND.into();
        }
    }
    Ok(result)
}
