//! Signals that ask the program to end.

use std::io;

/// Calls `handler` at each Ctrl-C, SIGTERM and SIGHUP from here on, on a thread of its own. A SIGHUP
/// that the program was started to ignore, as `nohup` does, stays ignored.
///
/// # Errors
/// Where the system takes no handler.
#[cfg(unix)]
pub fn on_end(mut handler: impl FnMut() + Send + 'static) -> io::Result<()> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

    let asked = [SIGINT, SIGTERM, SIGHUP];
    let taken = if ignores_hang_up() {
        &asked[..2]
    } else {
        &asked[..]
    };
    let mut signals = signal_hook::iterator::Signals::new(taken)?;
    std::thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || signals.forever().for_each(|_| handler()))?;
    Ok(())
}

/// As on Unix, where there is Ctrl-C alone.
#[cfg(not(unix))]
pub fn on_end(handler: impl FnMut() + Send + 'static) -> io::Result<()> {
    ctrlc::set_handler(handler).map_err(io::Error::other)
}

/// Whether the program was started with SIGHUP ignored, where the system says so: Linux keeps the ignored
/// signals in `/proc`, the first of which is SIGHUP.
#[cfg(unix)]
fn ignores_hang_up() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))
        .and_then(|ignored| u64::from_str_radix(ignored.trim(), 16).ok())
        .is_some_and(|ignored| ignored & 1 == 1)
}
