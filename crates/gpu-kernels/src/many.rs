//! One kernel over many tensors, each of which has a row of cubes.

use cubecl::prelude::*;

use crate::UNITS;

/// The most tensors of a kernel, whose source has a part for each.
const MOST: usize = 16;
/// The most cubes of a tensor. Where it is longer, each unit goes over several places.
const CUBES: usize = 256;

/// How many tensors of `buffers` buffers each a kernel takes at once.
pub(crate) fn at_once(client: &Client, buffers: usize) -> usize {
    at_once_beside(client, 0, buffers)
}

/// As [`at_once`], for a kernel that has `shared` buffers more.
pub(crate) fn at_once_beside(client: &Client, shared: usize, buffers: usize) -> usize {
    // One more buffer holds the lengths and settings.
    let most = (client.properties().hardware.max_bindings as usize).saturating_sub(1 + shared);
    (most / buffers).clamp(1, MOST)
}

/// Cubes of a tensor of `length` numbers.
pub(crate) fn across(length: usize) -> usize {
    length.div_ceil(UNITS).clamp(1, CUBES)
}

/// Cubes for `tensors` tensors of which the longest has `length` numbers.
pub(crate) fn shape(length: usize, tensors: usize) -> (CubeCount, CubeDim) {
    (
        CubeCount::new_2d(across(length) as u32, tensors as u32),
        CubeDim::new_1d(UNITS as u32),
    )
}
