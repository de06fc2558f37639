//! The inner loops that all arithmetic of the network goes through.
//!
//! | kernel | sum over | what it serves |
//! | --- | --- | --- |
//! | [`Dot`] | channels | convolutions and their gradients by the input, products of Winograd's transforms, gradients of linear layers by the input |
//! | [`Outer`] | pixels | gradients by weights |
//! | [`Inner`] | features, side by side in both factors | linear layers |
//! | [`Sparse`] | the few pixels that have a gradient | gradients behind a maximum pooling |
//!
//! The first two keep a tile of sums in registers: some pixels (or inputs) by one or two vectors of
//! channels, which lie side by side in memory. The other factor is one number at a time, copied to
//! every lane, so that it needs no particular layout.

/// Calls a function that is generic over the size of a tile with `$count`, which is at most `$most`
/// and at most twelve, as the constant `$size`. Larger tiles are compiled only where `$most` admits
/// them: their sums would not fit into the registers.
macro_rules! with_tile_of {
    ($count:expr, $most:expr, $size:ident => $call:expr) => {
        with_tile_of!(@ $count, $most, $size => $call, 1 2 3 4 5 6 7 8 9 10 11 12)
    };
    (@ $count:expr, $most:expr, $size:ident => $call:expr, $($number:literal)*) => {
        match $count {
            $($number if $number <= $most => {
                const $size: usize = $number;
                $call
            })*
            _ => {}
        }
    };
}

mod dot;
mod inner;
mod outer;
mod sparse;

pub(crate) use dot::{Dot, Output, Run, Weights, padded_columns};
pub(crate) use inner::Inner;
pub(crate) use outer::Outer;
pub(crate) use sparse::{Group, Sparse, Term};

use crate::simd::{Kernel, Simd};

/// How many of `left` pixels the next tile takes, if it has at most `most`. The last two tiles
/// share what is left, since a tile of few pixels cannot hide the latency of its sums.
#[inline(always)]
fn next_tile(left: usize, most: usize) -> usize {
    if left > most && left < 2 * most {
        left.div_ceil(2)
    } else {
        left.min(most)
    }
}

/// Products one after the other.
pub(crate) struct Each<I>(pub(crate) I);

impl<K: Kernel<Output = ()>, I: Iterator<Item = K>> Kernel for Each<I> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        for kernel in self.0 {
            kernel.run(simd);
        }
    }
}
