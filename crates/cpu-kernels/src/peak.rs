//! What the machine can do at most, to compare operations with.

use crate::context::Context;
use crate::divide::Chunked;
use crate::simd::{Kernel, Simd};

/// Sums that are taken at a time: enough to hide the latency of a multiply-add, and no more than
/// there are registers for.
const SUMS: usize = 12;

/// Does `rounds` rounds of fused multiply-adds on registers alone, on each thread of `context`, and
/// gives how many floating point operations these were. Divided by the time that it takes, this is
/// the peak of the machine with the instruction set of `context`.
pub fn multiply_adds(context: &Context, rounds: usize) -> f64 {
    let tasks = context.threads();
    let mut results = context.floats(tasks);
    context.divide(tasks, Chunked::new(&mut results, 1), |worker, _, result| {
        let sum = worker.compute(MultiplyAdds { rounds });
        // The sum is kept, so that the compiler must compute it.
        result.data.fill(std::hint::black_box(sum));
    });
    2.0 * (SUMS * context.lanes() * rounds * tasks) as f64
}

struct MultiplyAdds {
    rounds: usize,
}

impl Kernel for MultiplyAdds {
    type Output = f32;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> f32 {
        // Numbers that the compiler cannot know, and that stay finite.
        let factor = simd.splat(std::hint::black_box(0.5));
        let term = simd.splat(std::hint::black_box(1.0));
        let mut sums = [simd.zero(); SUMS];
        for _ in 0..self.rounds {
            for sum in &mut sums {
                *sum = simd.mul_add(*sum, factor, term);
            }
        }
        sums.into_iter().map(|sum| simd.sum(sum)).sum()
    }
}
