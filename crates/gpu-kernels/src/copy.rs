//! Copies of many tensors.

use cubecl::prelude::*;

use crate::{Buffer, many};

#[cube(launch_unchecked)]
fn copy_kernel(
    from: &Sequence<Box<[u32]>>,
    to: &mut Sequence<Box<[u32]>>,
    #[comptime] tensors: usize,
) {
    #[unroll]
    for i in 0..tensors {
        if CUBE_POS_Y == i as u32 {
            let from = from.index(i);
            let to = to.index_mut(i);
            let stride = (CUBE_COUNT_X * CUBE_DIM_X) as usize;
            let mut at = (CUBE_POS_X * CUBE_DIM_X + UNIT_POS_X) as usize;
            while at < to.len() && at < from.len() {
                to[at] = from[at];
                at += stride;
            }
        }
    }
}

/// Copies numbers of four bytes, each first buffer of `pairs` to the second, several with one kernel.
pub fn copy(client: &Client, pairs: &[[Buffer; 2]]) {
    for pairs in pairs.chunks(many::at_once(client, 2)) {
        let longest = pairs.iter().map(|[from, _]| from.length).max();
        let (count, dim) = many::shape(longest.unwrap_or(0), pairs.len());
        // SAFETY: for each tensor the kernel stays below the lengths of both of its buffers.
        unsafe {
            copy_kernel::launch_unchecked(
                client,
                count,
                dim,
                pairs.iter().map(|[from, _]| from.argument(1)).collect(),
                pairs.iter().map(|[_, to]| to.argument(1)).collect(),
                pairs.len(),
            );
        }
    }
}
