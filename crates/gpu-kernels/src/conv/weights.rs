//! The gradient of a convolution by its weights.
#![allow(missing_docs)]
use cubecl::prelude::*;

use super::{Sizes, Window, load};
use crate::Quad;

/// How the work of a gradient by weights is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct Tile {
    pub images: usize,
    pub rows: usize,
    pub columns: usize,
    pub in_channels: usize,
    pub out_channels: usize,
    /// Units that share a weight and sum over different rows.
    pub groups: usize,
}

impl Tile {
    /// What suits a convolution, and how many cubes share its work.
    pub(super) fn new(client: &Client, shape: &super::Shape) -> (Self, usize) {
        let channels = shape.in_channels.max(shape.out_channels);
        let side = shape.out_height().max(shape.out_width());
        let narrow = channels <= 16 || (channels < 128 && side <= 16);
        let (images, rows, columns) = match side {
            1 => (32, 1, 1),
            2..=4 => (4, 4, 4),
            5..=8 => (if narrow { 2 } else { 1 }, 8, 8),
            _ => (1, 8, 8),
        };
        let window = Window { size: shape.size, stride: shape.stride, spread: 1, flipped: false };
        let limit = client.properties().hardware.max_shared_memory_size;
        let mut tile = Self {
            images,
            rows,
            columns,
            in_channels: shape.in_channels.next_multiple_of(4).min(if narrow { 16 } else { 32 }),
            out_channels: shape.out_channels.next_multiple_of(4).min(if narrow { 16 } else { 32 }),
            groups: if narrow && rows > 1 { 4 } else { 1 },
        };
        while tile.shared(&window) > limit && tile.groups > 1 {
            tile.groups /= 2;
        }
        while tile.shared(&window) > limit && tile.in_channels > 4 {
            tile.in_channels = (tile.in_channels / 2).next_multiple_of(4);
        }
        (tile, 256)
    }

    /// Bytes of a cube's shared memory.
    fn shared(&self, window: &Window) -> usize {
        let x = self.images * window.halo(self.rows) * window.halo(self.columns) * self.in_channels / 4;
        let dy = self.images * self.rows * self.columns * self.out_channels / 4;
        let together = self.in_channels * self.out_channels / 4 * window.size * window.size;
        16 * (x + dy + if self.groups > 1 { together } else { 0 })
    }

    pub(super) fn units(&self, window: &Window) -> usize {
        self.in_channels / 4 * (self.out_channels / 4) * window.size * self.groups
    }
}

#[cube(launch_unchecked)]
pub(crate) fn weight_gradient<NX: Size, NY: Size>(
    x: &[Vector<f32, NX>],
    affine: ComptimeOption<&[Vector<f32, NX>]>,
    dy: &[Vector<f32, NY>],
    partial: &mut [f32],
    sizes: Sizes,
    tiles_per_cube: u32,
    #[comptime] tile: Tile,
    #[comptime] window: Window,
) {
    let size = comptime!(window.size);
    let stride = comptime!(window.stride);
    let in_quads = comptime!(tile.in_channels / 4);
    let out_quads = comptime!(tile.out_channels / 4);
    let units = comptime!(tile.units(&window));
    let halo_rows = comptime!(window.halo(tile.rows));
    let halo_columns = comptime!(window.halo(tile.columns));
    let padding = sizes.padding as usize;
    let cells = comptime!(tile.images * halo_rows * halo_columns);
    let pixels = comptime!(tile.images * tile.rows * tile.columns);
    let rows = comptime!(tile.images * tile.rows);

    let mut xs = Shared::<[Quad]>::new_slice(comptime!(cells * in_quads));
    let mut ds = Shared::<[Quad]>::new_slice(comptime!(pixels * out_quads));

    let unit = UNIT_POS as usize;
    let in_quad = unit % in_quads;
    let out_quad = unit / in_quads % out_quads;
    let tap_row = unit / comptime!(in_quads * out_quads) % size;
    let group = unit / comptime!(in_quads * out_quads * size);

    let in_blocks = (sizes.in_channels as usize + tile.in_channels - 1) / tile.in_channels;
    let in0 = CUBE_POS_Y as usize % in_blocks * tile.in_channels;
    let out0 = CUBE_POS_Y as usize / in_blocks * tile.out_channels;

    let out_height = sizes.out_height as usize;
    let out_width = sizes.out_width as usize;
    let tiles_across = (out_width + tile.columns - 1) / tile.columns;
    let tiles_down = (out_height + tile.rows - 1) / tile.rows;
    let image_groups = (sizes.batch as usize + tile.images - 1) / tile.images;
    let all = tiles_across * tiles_down * image_groups;

    let mut sums = Array::<Quad>::new(comptime!(size * 4));
    #[unroll]
    for i in 0..comptime!(size * 4) {
        sums[i] = Quad::new(0.0);
    }

    let first = CUBE_POS_X as usize * tiles_per_cube as usize;
    for t in 0..tiles_per_cube as usize {
        let place = first + t;
        if place < all {
            let column0 = place % tiles_across * tile.columns;
            let row0 = place / tiles_across % tiles_down * tile.rows;
            let image0 = place / (tiles_across * tiles_down) * tile.images;
            sync_cube();
            let mut e = unit;
            while e < comptime!(cells * in_quads) {
                let cell = e / in_quads;
                // What is below zero wraps and is outside as well.
                let column = cell % halo_columns + column0 * stride - padding;
                let row = cell / halo_columns % halo_rows + row0 * stride - padding;
                let image = cell / comptime!(halo_columns * halo_rows) + image0;
                xs[e] = load::<NX>(x, affine, &sizes, image, row, column, in0 + e % in_quads * 4);
                e += units;
            }
            let mut e = unit;
            while e < comptime!(pixels * out_quads) {
                let pixel = e / out_quads;
                let column = pixel % tile.columns + column0;
                let row = pixel / tile.columns % tile.rows + row0;
                let image = pixel / comptime!(tile.columns * tile.rows) + image0;
                ds[e] = load_gradient::<NY>(dy, &sizes, image, row, column, out0 + e % out_quads * 4);
                e += units;
            }
            sync_cube();

            let mut line = group;
            while line < rows {
                let image = line / tile.rows;
                let row = line % tile.rows;
                let at_x = ((image * halo_rows + row * stride + tap_row) * halo_columns) * in_quads + in_quad;
                let at_d = line * comptime!(tile.columns * out_quads) + out_quad;
                // The window's row, whose oldest column makes way for the next.
                let mut values = Array::<Quad>::new(comptime!(halo_columns));
                #[unroll]
                for column in 0..halo_columns {
                    values[column] = xs[at_x + comptime!(column * in_quads)];
                }
                #[unroll]
                for column in 0..tile.columns {
                    let d = ds[at_d + comptime!(column * out_quads)];
                    #[unroll]
                    for tap in 0..size {
                        let value = values[comptime!(column * stride + tap)];
                        #[unroll]
                        for j in 0..4usize {
                            let at = comptime!(tap * 4 + j);
                            sums[at] = fma(value, Quad::new(d.extract(j)), sums[at]);
                        }
                    }
                }
                line += comptime!(tile.groups);
            }
        }
    }

    // Groups add their sums one after another, in an order that never changes.
    if comptime!(tile.groups > 1) {
        let width = comptime!(in_quads * out_quads * size);
        let mut together = Shared::<[Quad]>::new_slice(comptime!(in_quads * out_quads * size * size * 4));
        let slot = unit % width;
        for g in 0..tile.groups {
            if group == g {
                #[unroll]
                for i in 0..comptime!(size * 4) {
                    let at = slot + comptime!(i * width);
                    if g > 0 {
                        sums[i] = together[at] + sums[i];
                    }
                    together[at] = sums[i];
                }
            }
            sync_cube();
        }
    }

    if group == comptime!(tile.groups - 1) {
        let in_channels = sizes.in_channels as usize;
        let out_channels = sizes.out_channels as usize;
        let base = CUBE_POS_X as usize * (in_channels * out_channels * comptime!(size * size));
        #[unroll]
        for j in 0..4usize {
            let to = out0 + out_quad * 4 + j;
            #[unroll]
            for k in 0..4usize {
                let from = in0 + in_quad * 4 + k;
                if to < out_channels && from < in_channels {
                    let at = base + ((to * in_channels + from) * size + tap_row) * size;
                    #[unroll]
                    for tap in 0..size {
                        partial[at + tap] = sums[comptime!(tap * 4 + j)].extract(k);
                    }
                }
            }
        }
    }
}

#[cube]
fn load_gradient<NY: Size>(
    dy: &[Vector<f32, NY>],
    sizes: &Sizes,
    image: usize,
    row: usize,
    column: usize,
    channel: usize,
) -> Quad {
    let mut value = Quad::new(0.0);
    let channels = sizes.out_channels as usize;
    if image < sizes.batch as usize
        && row < sizes.out_height as usize
        && column < sizes.out_width as usize
        && channel < channels
    {
        let at = ((image * sizes.out_height as usize + row) * sizes.out_width as usize + column) * channels + channel;
        value = crate::read::<NY>(dy, at, channel, channels);
    }
    value
}

/// Units of a cube of [`add_parts`]: so many sums, each by so many units.
pub(crate) const SUMS: usize = 32;
pub(crate) const UNITS_PER_SUM: usize = 8;

/// The sums of `parts` parts of `length` numbers each, in an order that never changes.
#[cube(launch_unchecked)]
pub(crate) fn add_parts(partial: &[f32], total: &mut [f32], parts: u32, length: u32) {
    let mut shared = Shared::<[f32]>::new_slice(comptime!(SUMS * UNITS_PER_SUM));
    let unit = UNIT_POS as usize;
    let of = unit % SUMS;
    let by = unit / SUMS;
    let at = CUBE_POS as usize * SUMS + of;
    let mut sum = 0.0f32;
    if at < length as usize {
        let mut part = by;
        while part < parts as usize {
            sum += partial[part * length as usize + at];
            part += UNITS_PER_SUM;
        }
    }
    shared[unit] = sum;
    sync_cube();
    if by == 0 && at < length as usize {
        let mut all = 0.0f32;
        #[unroll]
        for i in 0..UNITS_PER_SUM {
            all += shared[comptime!(i * SUMS) + of];
        }
        total[at] = all;
    }
}
