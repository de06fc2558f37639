//! Steps after the first hardly fault pages in, because freed memory stays with the process.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::process::Command;

use cpu_kernels::allocator::{self, Allocator};
use cpu_kernels::{
    Context, ConvShape, buffer, conv2d, conv2d_backward_input, conv2d_backward_weight,
};

#[global_allocator]
static ALLOCATOR: Allocator = Allocator;

/// Set for the child processes that count: whether they keep pages.
const KEEP: &str = "CPU_KERNELS_KEEP_PAGES";

/// Steps that are counted, after one that is not.
const STEPS: u64 = 20;

/// The pages that this process has faulted in without reading a file: the tenth field of its state.
fn page_faults() -> u64 {
    let state = std::fs::read_to_string("/proc/self/stat").unwrap();
    // The second field is the program's name in parentheses, which may hold spaces.
    let (_, after_name) = state.rsplit_once(')').unwrap();
    after_name
        .split_whitespace()
        .nth(7)
        .unwrap()
        .parse()
        .unwrap()
}

/// A convolution forward and backward, whose tensors of some megabytes are freed at its end.
fn step(context: &Context, shape: &ConvShape) {
    let x = vec![0.5; shape.input_len()];
    let w = vec![0.5; shape.weight_len()];
    let (mut y, mut dx) = (buffer(shape.output_len()), buffer(shape.input_len()));
    let mut dw = buffer(shape.weight_len());
    conv2d(context, shape, &x, &w, &mut y).unwrap();
    conv2d_backward_input(context, shape, &w, &y, &mut dx).unwrap();
    conv2d_backward_weight(context, shape, &x, &y, &mut dw).unwrap();
}

/// The page faults of [`STEPS`] steps in a process that gives freed pages back at once, unless it
/// keeps them.
fn faults_of_steps(keep: bool) -> u64 {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["a_process_counts_its_faults", "--exact", "--nocapture"])
        .env(KEEP, keep.to_string())
        .env("MIMALLOC_PURGE_DELAY", "0")
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let line = text.lines().find_map(|line| line.split("faults: ").nth(1));
    line.expect(&text).parse().unwrap()
}

#[test]
fn a_process_counts_its_faults() {
    let Ok(keep) = std::env::var(KEEP) else {
        return;
    };
    if keep == "true" {
        allocator::keep_pages();
    }
    let context = Context::new(2).unwrap();
    let shape = ConvShape::new([64, 16, 32, 32], [16, 16, 3, 3], 1, 1).unwrap();
    step(&context, &shape);
    let before = page_faults();
    for _ in 0..STEPS {
        step(&context, &shape);
    }
    println!("faults: {}", page_faults() - before);
}

#[test]
fn steps_after_the_first_hardly_fault_pages_in() {
    // The three images have 4 MiB each, which are some thousand pages of 4 KiB.
    let given_back = faults_of_steps(false);
    assert!(
        given_back > 100 * STEPS,
        "{given_back} faults where pages go back"
    );
    let kept = faults_of_steps(true);
    assert!(kept < 5 * STEPS, "{kept} faults where pages are kept");
}
