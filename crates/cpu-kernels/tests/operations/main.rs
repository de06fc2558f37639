//! Every operation against its reference, on random shapes; gradients against finite differences;
//! the same bits with any number of threads; bounded
//! scratch buffers; every refusal.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod blocks;
mod compare;
mod conv;
mod conv_pool;
mod gradients;
mod groups;
mod linear;
mod loss;
mod optimizer;
mod pool;
mod random;
mod refusals;
mod scratch;
mod steps;
mod threads;

/// Seeds of random shapes on which each operation is compared with its reference. A checker that
/// makes the tests slow runs them with fewer.
fn seeds() -> std::ops::Range<u64> {
    let cases = std::env::var("CPU_KERNELS_CASES").map_or(200, |cases| cases.parse().unwrap());
    assert!(cases > 0, "no case was asked for: nothing would be tested");
    0..cases
}

/// Tries `case` with all of [`seeds`], and goes on until it could be tried as often as it should
/// of two hundred seeds, or once at least where there are fewer.
fn try_seeds(wanted: u64, mut case: impl FnMut(u64) -> bool) {
    let least = (wanted * seeds().end / 200).max(1);
    let mut tried = 0;
    for seed in 0..2_000 {
        if seed >= seeds().end && tried >= least {
            return;
        }
        tried += u64::from(case(seed));
    }
    panic!("{tried} cases could be tried of two thousand");
}

/// A context for one case. Its scratch buffers are as long as the case needs, so that an element
/// beyond one is an element of nothing.
fn new_context(isa: cpu_kernels::Isa, precision: cpu_kernels::Precision) -> cpu_kernels::Context {
    cpu_kernels::Context::with(1, precision, isa).unwrap()
}
