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
    0..std::env::var("CPU_KERNELS_CASES").map_or(200, |cases| cases.parse().unwrap())
}

/// A context for one case. Its scratch buffers are as long as the case needs, so that an element
/// beyond one is an element of nothing.
fn new_context(isa: cpu_kernels::Isa, precision: cpu_kernels::Precision) -> cpu_kernels::Context {
    cpu_kernels::Context::with(1, precision, isa).unwrap()
}
