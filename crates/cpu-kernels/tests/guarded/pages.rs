//! An allocator that ends each block of memory at a guarded page.

use std::alloc::{GlobalAlloc, Layout, System};
use std::ptr::null_mut;

/// Blocks from this size on are guarded. Smaller ones belong to the test harness and to maps.
const LEAST: usize = 64;
const PAGE: usize = if cfg!(target_arch = "aarch64") {
    1 << 16
} else {
    1 << 12
};

pub struct GuardedPages;

/// Bytes of the pages of a block, without the guarded one.
fn pages_len(layout: Layout) -> usize {
    layout.size().next_multiple_of(PAGE)
}

/// Bytes from the first page to the block, such that the block ends where the last page does, or
/// as few bytes before as its alignment asks for.
fn offset(layout: Layout) -> usize {
    (pages_len(layout) - layout.size()) & !(layout.align() - 1)
}

fn is_guarded(layout: Layout) -> bool {
    layout.size() >= LEAST && layout.align() <= PAGE
}

// SAFETY: a block is mapped for its whole size and aligned, belongs to nobody else until `dealloc`
// unmaps it, and both functions decide by the same layout whether it is guarded.
unsafe impl GlobalAlloc for GuardedPages {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if !is_guarded(layout) {
            // SAFETY: the caller's.
            return unsafe { System.alloc(layout) };
        }
        let len = pages_len(layout);
        // SAFETY: a new anonymous mapping touches no other memory, and the page that is guarded
        // is its last.
        unsafe {
            let first = libc::mmap(
                null_mut(),
                len + PAGE,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            );
            if first == libc::MAP_FAILED {
                return null_mut();
            }
            if libc::mprotect(first.add(len), PAGE, libc::PROT_NONE) != 0 {
                return null_mut();
            }
            first.cast::<u8>().add(offset(layout))
        }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if !is_guarded(layout) {
            // SAFETY: the caller's, and `alloc` took the same way.
            return unsafe { System.dealloc(block, layout) };
        }
        // SAFETY: `alloc` mapped these pages for this layout.
        unsafe {
            let first = block.sub(offset(layout));
            libc::munmap(first.cast(), pages_len(layout) + PAGE);
        }
    }
}
