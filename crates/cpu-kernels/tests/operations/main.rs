//! Every operation against its reference, on random shapes; gradients against finite differences;
//! the same bits with any number of threads; every refusal.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod blocks;
mod compare;
mod conv;
mod conv_pool;
mod gradients;
mod linear;
mod loss;
mod optimizer;
mod pool;
mod random;
mod refusals;
mod threads;

/// Random shapes on which each operation is compared with its reference.
const CASES: u64 = 200;
