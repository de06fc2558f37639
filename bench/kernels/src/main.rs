//! Criterion benchmarks of every kernel: GFLOP/s, and the share of what the machine was measured to
//! do at most. `cargo xtask kernels [part of a name]`; `CPU_KERNELS_THREADS` says with how many threads,
//! otherwise it is one.

#![allow(missing_docs, clippy::unwrap_used)]

mod blocks;
mod layers;
mod rate;
mod values;

use std::error::Error;

use criterion::Criterion;

fn main() -> Result<(), Box<dyn Error>> {
    let threads = match std::env::var("CPU_KERNELS_THREADS") {
        Ok(number) => number.parse()?,
        Err(_) => 1,
    };
    let context = cpu_kernels::Context::new(threads)?;
    let rates = rate::Rates::measured(&context);
    println!(
        "{}, {threads} threads: at most {:.0} GFLOP/s and {:.0} GB/s",
        context.isa(),
        rates.flops_per_second / 1e9,
        rates.bytes_per_second / 1e9,
    );
    let mut criterion = Criterion::default()
        .with_measurement(rate::AgainstPeak::new(rates))
        .configure_from_args();
    layers::convolutions(&mut criterion, threads);
    layers::linear_layers(&mut criterion, &context);
    layers::pooled_convolutions(&mut criterion, &context);
    layers::passes(&mut criterion, &context);
    blocks::stems(&mut criterion, &context);
    blocks::residual_blocks(&mut criterion, &context);
    blocks::groups(&mut criterion, &context);
    blocks::whitening(&mut criterion, &context);
    blocks::inference(&mut criterion, &context);
    criterion.final_summary();
    Ok(())
}
