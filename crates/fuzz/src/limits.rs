//! Memory, time, and the slowest input. A hang is libFuzzer's to find, with `-timeout`.

use std::fs;
use std::path::Path;
use std::process::abort;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::{Read, SLOWEST_VARIABLE};

/// The most memory that the process may ever hold, in bytes.
pub const MOST_RESIDENT: u64 = 200 << 20;
/// The most memory that the process may ask for, touched or not, in bytes.
#[cfg(all(target_os = "linux", feature = "libfuzzer"))]
const MOST_DATA: u64 = 1 << 30;
/// An input that filled much memory took longer than this: a page of it takes a fault.
const LONG_ENOUGH_TO_FILL: Duration = Duration::from_millis(2);

/// Lets an allocation fail that would take the process beyond a gigabyte; the abort that
/// follows names the input. It finds what never shows in resident memory: a length read from the
/// input and reserved at once.
pub fn refuse_large_allocations() {
    #[cfg(all(target_os = "linux", feature = "libfuzzer"))]
    {
        use rustix::process::{Resource, Rlimit, setrlimit};
        let limit = Rlimit {
            current: Some(MOST_DATA),
            maximum: Some(MOST_DATA),
        };
        if let Err(error) = setrlimit(Resource::Data, limit) {
            eprintln!("warning: memory is not limited: {error}");
        }
    }
}

/// Runs `read` on `input`. Aborts the process where memory went beyond its limit, so that libFuzzer
/// keeps the input, and notes the slowest input of the process.
pub fn watch(input: &[u8], read: impl FnOnce() -> Read) {
    let start = Instant::now();
    let _ = read();
    let took = start.elapsed();
    if took >= LONG_ENOUGH_TO_FILL
        && let Some(peak) = peak_resident()
        && peak > MOST_RESIDENT
    {
        eprintln!(
            "error: this input took the process to {} MB of memory, the limit is {}",
            peak >> 20,
            MOST_RESIDENT >> 20
        );
        abort();
    }
    note_slowest(input, took);
}

/// The most memory that the process has held so far in bytes, where the system says it.
pub fn peak_resident() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kilobytes: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kilobytes << 10)
}

/// Keeps the input in the file of [`SLOWEST_VARIABLE`], if it is the slowest yet.
fn note_slowest(input: &[u8], took: Duration) {
    static SLOWEST: Mutex<Duration> = Mutex::new(Duration::ZERO);
    let Ok(mut slowest) = SLOWEST.lock() else {
        return;
    };
    if took <= *slowest {
        return;
    }
    *slowest = took;
    if let Some(path) = std::env::var_os(SLOWEST_VARIABLE) {
        let path = Path::new(&path);
        let written = fs::write(path, input)
            .and_then(|()| fs::write(path.with_extension("us"), took.as_micros().to_string()));
        if let Err(error) = written {
            crate::scratch::cannot("write", path, &error);
        }
    }
}
