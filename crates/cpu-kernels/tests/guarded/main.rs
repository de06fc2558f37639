//! Every test of the operations once more, with each slice ending where a page begins that nobody
//! may touch: an element read or written beyond a slice ends the process.
//!
//! What is allocated is handed out at the end of its pages, so that this holds for arguments,
//! results and everything that the kernels allocate themselves. Freed memory is unmapped, so that
//! a use of it ends the process too.
#![cfg(unix)]
#![allow(unsafe_code)]

mod pages;

#[path = "../operations/main.rs"]
mod operations;

#[global_allocator]
static ALLOCATOR: pages::GuardedPages = pages::GuardedPages;

/// Set for the child processes of a test, which are expected to end by a signal.
const TOUCH: &str = "CPU_KERNELS_TOUCH_GUARDED_PAGE";

#[test]
fn an_element_beyond_a_slice_ends_the_process() {
    let values = vec![1.0_f32; 1000];
    if std::env::var_os(TOUCH).is_some() {
        // SAFETY: deliberately none. The process ends here, which its parent asserts.
        let beyond = unsafe { values.as_ptr().add(values.len()).read_volatile() };
        println!("read {beyond}");
        return;
    }
    let name = "an_element_beyond_a_slice_ends_the_process";
    let status = std::process::Command::new(std::env::current_exe().unwrap())
        .args([name, "--exact"])
        .env(TOUCH, "1")
        .stdout(std::process::Stdio::null())
        .status()
        .unwrap();
    let signal = std::os::unix::process::ExitStatusExt::signal(&status);
    assert!(
        signal == Some(libc::SIGSEGV) || signal == Some(libc::SIGBUS),
        "{status}"
    );
}
