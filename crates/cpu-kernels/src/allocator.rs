//! Memory that stays with the process from step to step.

use std::ffi::c_long;

use libmimalloc_sys::{mi_option_get, mi_option_set, mi_option_t};

/// The allocator for programs that train: `#[global_allocator] static A: Allocator = Allocator;`,
/// and [`keep_pages`] as the first thing that they do.
pub use mimalloc::MiMalloc as Allocator;

/// Milliseconds after which the pages of freed memory go back to the system, as mimalloc's header numbers
/// its options; the bindings do not name it.
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

/// Whether [`keep_pages`] was called, or the environment asked for the same.
#[must_use]
#[allow(unsafe_code)]
pub fn keeps_pages() -> bool {
    // SAFETY: the call reads one integer of mimalloc's table of options.
    unsafe { mi_option_get(PURGE_DELAY) == NEVER }
}

#[cfg(test)]
mod tests {
    use super::{keep_pages, keeps_pages};

    #[test]
    fn pages_go_back_until_they_are_to_be_kept() {
        // The number of the option is not among those that the bindings name: what the environment
        // says of it is found under that number too.
        let asked = std::env::var("MIMALLOC_PURGE_DELAY").is_ok_and(|delay| delay == "-1");
        assert_eq!(keeps_pages(), asked);
        keep_pages();
        assert!(keeps_pages());
    }
}
