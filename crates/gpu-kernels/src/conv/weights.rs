//! The gradient of a convolution by its weights.
//!
//! A cube computes the weights of some input and output channels from some of the pixels, and so gives a
//! part of the sum. Each unit has the weights of four by four channels in one row of the window, and goes
//! along the rows of the gradient with the pixels under the window in registers.

use cubecl::prelude::*;

use super::read::load;
use super::shape::{Sizes, Window};
use super::tile::WeightTile;
use crate::Quad;

#[cube(launch_unchecked)]
pub(crate) fn weight_gradient<E: Float, NX: Size, NY: Size>(
    x: &[Vector<E, NX>],
    affine: ComptimeOption<&[Vector<f32, NX>]>,
    dy: &[Vector<E, NY>],
    partial: &mut [f32],
    sizes: Sizes,
    tiles_per_cube: u32,
    factor: f32,
    #[comptime] tile: WeightTile,
    #[comptime] window: Window,
    #[define(E)] _element: ElemType,
) {
    let size = comptime!(window.size);
    let stride = comptime!(window.stride);
    let in_quads = comptime!(tile.in_channels / 4);
    let out_quads = comptime!(tile.out_channels / 4);
    let units = comptime!(in_quads * out_quads * window.size * tile.groups);
    let halo_rows = comptime!(window.halo(tile.rows));
    let halo_columns = comptime!(window.halo(tile.columns));
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

    let in_blocks = (sizes.in_channels as usize).div_ceil(tile.in_channels);
    let in0 = CUBE_POS_Y as usize % in_blocks * tile.in_channels;
    let out0 = CUBE_POS_Y as usize / in_blocks * tile.out_channels;

    let all = tiles_of(&sizes, tile);

    let mut sums = Array::<Quad>::new(comptime!(size * 4));
    #[unroll]
    for i in 0..comptime!(size * 4) {
        sums[i] = Quad::new(0.0);
    }

    let image_reads = comptime!((cells * in_quads).div_ceil(units));
    let gradient_reads = comptime!((pixels * out_quads).div_ceil(units));
    let mut images = Array::<Quad>::new(image_reads);
    let mut gradients = Array::<Quad>::new(gradient_reads);
    let first = CUBE_POS_X as usize * tiles_per_cube as usize;
    if comptime!(tile.ahead) {
        read_images::<E, NX>(
            &mut images,
            x,
            affine,
            &sizes,
            first,
            in0,
            units,
            tile,
            window,
        );
        read_gradients::<E, NY>(&mut gradients, dy, &sizes, first, out0, units, tile);
    }
    for t in 0..tiles_per_cube as usize {
        let place = first + t;
        if place < all {
            if comptime!(!tile.ahead) {
                read_images::<E, NX>(
                    &mut images,
                    x,
                    affine,
                    &sizes,
                    place,
                    in0,
                    units,
                    tile,
                    window,
                );
                read_gradients::<E, NY>(&mut gradients, dy, &sizes, place, out0, units, tile);
            }
            sync_cube();
            #[unroll]
            for n in 0..image_reads {
                let e = unit + comptime!(n * units);
                if e < comptime!(cells * in_quads) {
                    xs[e] = images[n];
                }
            }
            #[unroll]
            for n in 0..gradient_reads {
                let e = unit + comptime!(n * units);
                if e < comptime!(pixels * out_quads) {
                    ds[e] = gradients[n];
                }
            }
            sync_cube();
            // The next pixels are on their way while these are summed; past the cube's last nothing is read.
            if comptime!(tile.ahead) {
                let mut next = all;
                if t + 1 < tiles_per_cube as usize {
                    next = place + 1;
                }
                read_images::<E, NX>(
                    &mut images,
                    x,
                    affine,
                    &sizes,
                    next,
                    in0,
                    units,
                    tile,
                    window,
                );
                read_gradients::<E, NY>(&mut gradients, dy, &sizes, next, out0, units, tile);
            }

            let mut line = group;
            while line < rows {
                let image = line / tile.rows;
                let row = line % tile.rows;
                let at_x = ((image * halo_rows + row * stride + tap_row) * halo_columns) * in_quads
                    + in_quad;
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
        let mut together =
            Shared::<[Quad]>::new_slice(comptime!(in_quads * out_quads * size * size * 4));
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
                        partial[at + tap] = sums[comptime!(tap * 4 + j)].extract(k) * factor;
                    }
                }
            }
        }
    }
}

/// How many tiles a gradient has.
#[cube]
fn tiles_of(sizes: &Sizes, #[comptime] tile: WeightTile) -> usize {
    (sizes.out_width as usize).div_ceil(tile.columns)
        * (sizes.out_height as usize).div_ceil(tile.rows)
        * (sizes.batch as usize).div_ceil(tile.images)
}

/// The first row, column and image of a tile.
#[cube]
fn corner(sizes: &Sizes, place: usize, #[comptime] tile: WeightTile) -> (usize, usize, usize) {
    let across = (sizes.out_width as usize).div_ceil(tile.columns);
    let down = (sizes.out_height as usize).div_ceil(tile.rows);
    (
        place / across % down * tile.rows,
        place % across * tile.columns,
        place / (across * down) * tile.images,
    )
}

/// What a unit brings of the images into shared memory: all reads are under way before the first is
/// waited for.
#[cube]
fn read_images<E: Float, N: Size>(
    images: &mut Array<Quad>,
    x: &[Vector<E, N>],
    affine: ComptimeOption<&[Vector<f32, N>]>,
    sizes: &Sizes,
    place: usize,
    in0: usize,
    #[comptime] units: usize,
    #[comptime] tile: WeightTile,
    #[comptime] window: Window,
) {
    let (row0, column0, image0) = corner(sizes, place, tile);
    let padding = sizes.padding as usize;
    let quads = comptime!(tile.in_channels / 4);
    let rows = comptime!(window.halo(tile.rows));
    let columns = comptime!(window.halo(tile.columns));
    #[unroll]
    for n in 0..comptime!((tile.images * rows * columns * quads).div_ceil(units)) {
        let e = UNIT_POS as usize + comptime!(n * units);
        let cell = e / quads;
        // What is below zero wraps and is outside as well.
        images[n] = load::<E, N>(
            x,
            affine,
            sizes,
            cell / comptime!(columns * rows) + image0,
            cell / columns % rows + row0 * window.stride - padding,
            cell % columns + column0 * window.stride - padding,
            in0 + e % quads * 4,
        );
    }
}

/// What a unit brings of the gradient into shared memory.
#[cube]
fn read_gradients<E: Float, N: Size>(
    gradients: &mut Array<Quad>,
    dy: &[Vector<E, N>],
    sizes: &Sizes,
    place: usize,
    out0: usize,
    #[comptime] units: usize,
    #[comptime] tile: WeightTile,
) {
    let (row0, column0, image0) = corner(sizes, place, tile);
    let quads = comptime!(tile.out_channels / 4);
    #[unroll]
    for n in 0..comptime!((tile.images * tile.rows * tile.columns * quads).div_ceil(units)) {
        let e = UNIT_POS as usize + comptime!(n * units);
        let pixel = e / quads;
        gradients[n] = load_gradient::<E, N>(
            dy,
            sizes,
            pixel / comptime!(tile.columns * tile.rows) + image0,
            pixel / tile.columns % tile.rows + row0,
            pixel % tile.columns + column0,
            out0 + e % quads * 4,
        );
    }
}

#[cube]
fn load_gradient<E: Float, NY: Size>(
    dy: &[Vector<E, NY>],
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
        let at = ((image * sizes.out_height as usize + row) * sizes.out_width as usize + column)
            * channels
            + channel;
        value = crate::read::<E, NY>(dy, at, channel, channels);
    }
    value
}
