//! Memory that stays with the process from step to step.

use std::ffi::c_long;

use libmimalloc_sys::{mi_option_set, mi_option_t};

/// The allocator for programs that train: `#[global_allocator] static A: Allocator = Allocator;`,
/// and [`keep_pages`] as the first thing that they do.
pub use mimalloc::MiMalloc as Allocator;

/// Milliseconds after which the pages of freed memory go back to the system, as mimalloc's header numbers
/// its options; the bindings do not name it. A test counts page faults with it and without.
const PURGE_DELAY: mi_option_t = 15;
/// Pages never go back.
const NEVER: c_long = -1;

/// Keeps the pages of freed memory for the rest of the process.
///
/// A step frees tensors of many megabytes and asks for as many again. Pages that went back to the
/// system in between would be cleared and faulted in anew, each time.
#[allow(unsafe_code)]
pub fn keep_pages() {
    // SAFETY: the call writes one integer of mimalloc's table of options. It takes no pointer, and
    // mimalloc ignores an option that it does not know.
    unsafe { mi_option_set(PURGE_DELAY, NEVER) }
}
