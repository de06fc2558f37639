//! A convolution forward, and backward by its input.
//!
//! A cube computes a tile of pixels and channels. It takes its piece of the images, with the pixels around
//! it, and the filters into shared memory, a few input channels at a time; each unit sums products of
//! several pixels and channels in registers. The gradient by the input of a convolution with a stride
//! is one with an input spread by zeros: pixels whose rows and columns leave the same remainder see
//! the same few taps of it, and are computed together, so that no product with zero is made.

use cubecl::prelude::*;

use super::after::{After, finish};
use super::read::{load, load_weight};
use super::shape::{Input, Sizes, Window, sizes};
use super::tile::Tile;
use crate::activation::Activation;
use crate::moments::{self, PART};
use crate::{Buffer, Quad, width, write};

#[cube(launch_unchecked)]
fn convolve<E: Float, NX: Size, NY: Size>(
    x: &[Vector<E, NX>],
    affine: ComptimeOption<&[Vector<f32, NX>]>,
    weight: &[f32],
    y: &mut [Vector<E, NY>],
    bias: ComptimeOption<&[f32]>,
    around: ComptimeOption<&[Vector<E, NY>]>,
    around_gate: ComptimeOption<&[Vector<E, NY>]>,
    partial: &mut [f32],
    sizes: Sizes,
    #[comptime] tile: Tile,
    #[comptime] window: Window,
    #[comptime] activation: Activation,
    #[comptime] takes_moments: bool,
    #[define(E)] _element: ElemType,
) {
    let taps = comptime!(window.size * window.size);
    let lanes = comptime!(tile.channels / tile.unit_channels);
    let unit_rows = comptime!(tile.unit_rows);
    let unit_columns = comptime!(tile.unit_columns);
    let unit_pixels = comptime!(unit_rows * unit_columns);
    let steps_across = comptime!(tile.columns / unit_columns);
    let steps = comptime!(tile.images * tile.rows / unit_rows * steps_across);
    let units = comptime!(lanes * steps);
    let halo_rows = comptime!(window.halo(tile.rows));
    let halo_columns = comptime!(window.halo(tile.columns));
    let cells = comptime!(tile.images * halo_rows * halo_columns);
    let quads = comptime!(tile.chunk / 4);
    let pitch = comptime!(quads + 1);
    let channel_quads = comptime!(tile.channels / 4);
    let tap_pitch = comptime!(tile.chunk * channel_quads + 1);
    let unit_quads = comptime!(tile.unit_channels / 4);

    let mut xs = Shared::<[Quad]>::new_slice(comptime!(tile.image_quads(&window)));
    let mut ws = Shared::<[Quad]>::new_slice(comptime!(taps * tap_pitch));

    let unit = UNIT_POS as usize;
    let spread = comptime!(window.spread);
    let class_height = (sizes.out_height as usize).div_ceil(spread);
    let class_width = (sizes.out_width as usize).div_ceil(spread);
    let tiles_across = class_width.div_ceil(tile.columns);
    let tiles = tiles_across * (class_height.div_ceil(tile.rows));
    let class = CUBE_POS_X as usize / tiles;
    let place = CUBE_POS_X as usize % tiles;
    let row0 = place / tiles_across * tile.rows;
    let column0 = place % tiles_across * tile.columns;
    // The pixels of a class see the same taps of a spread input, every `spread`th from the first.
    let padding = sizes.padding as usize;
    let mut class_row = 0usize;
    let mut class_column = 0usize;
    let mut first_row = 0usize;
    let mut first_column = 0usize;
    if comptime!(spread > 1) {
        class_row = class / spread;
        class_column = class % spread;
        first_row = (padding + comptime!(spread * spread) - class_row) % spread;
        first_column = (padding + comptime!(spread * spread) - class_column) % spread;
    }
    // Where the tile begins in the input. What is below zero wraps and is outside as well.
    let mut from_row = row0 * window.stride - padding;
    let mut from_column = column0 * window.stride - padding;
    if comptime!(spread > 1) {
        let ahead = comptime!(spread * 16);
        from_row = row0 + (class_row + first_row + ahead - padding) / spread - 16;
        from_column = column0 + (class_column + first_column + ahead - padding) / spread - 16;
    }
    let channel0 = CUBE_POS_Y as usize * tile.channels;
    let image0 = CUBE_POS_Z as usize * tile.images;

    let lane = unit % lanes;
    let step = unit / lanes;

    let first_line = step / steps_across * unit_rows;
    let unit_column = step % steps_across * unit_columns;

    let mut bases = Array::<usize>::new(unit_rows);
    #[unroll]
    for r in 0..unit_rows {
        let line = first_line + r;
        let row = line / tile.rows * halo_rows + line % tile.rows * window.stride;
        bases[r] = (row * halo_columns + unit_column * window.stride) * pitch;
    }

    let mut sums = Array::<Quad>::new(comptime!(unit_pixels * unit_quads));
    #[unroll]
    for i in 0..comptime!(unit_pixels * unit_quads) {
        sums[i] = Quad::new(0.0);
    }

    let in_channels = sizes.in_channels as usize;
    let image_reads = comptime!((cells * quads).div_ceil(units));
    let filter_reads = comptime!((channel_quads * tile.chunk * taps).div_ceil(units));
    let mut images = Array::<Quad>::new(image_reads);
    let mut filters = Array::<Quad>::new(filter_reads);
    let mut chunk0 = 0usize;
    if comptime!(tile.ahead) {
        read_images::<E, NX>(
            &mut images,
            x,
            affine,
            &sizes,
            image0,
            from_row,
            from_column,
            chunk0,
            tile,
            window,
        );
        read_filters(&mut filters, weight, &sizes, chunk0, channel0, tile, window);
    }
    while chunk0 < in_channels {
        if comptime!(!tile.ahead) {
            read_images::<E, NX>(
                &mut images,
                x,
                affine,
                &sizes,
                image0,
                from_row,
                from_column,
                chunk0,
                tile,
                window,
            );
            read_filters(&mut filters, weight, &sizes, chunk0, channel0, tile, window);
        }
        sync_cube();
        #[unroll]
        for n in 0..image_reads {
            let e = unit + comptime!(n * units);
            if e < comptime!(cells * quads) {
                xs[e / quads * pitch + e % quads] = images[n];
            }
        }
        #[unroll]
        for n in 0..filter_reads {
            let e = unit + comptime!(n * units);
            if e < comptime!(channel_quads * tile.chunk * taps) {
                let r = e % comptime!(tile.chunk * taps);
                let quad = e / comptime!(tile.chunk * taps);
                ws[r % taps * tap_pitch + r / taps * channel_quads + quad] = filters[n];
            }
        }
        sync_cube();
        chunk0 += tile.chunk;
        // The next channels are on their way while these are summed; past the last nothing is read.
        if comptime!(tile.ahead) {
            read_images::<E, NX>(
                &mut images,
                x,
                affine,
                &sizes,
                image0,
                from_row,
                from_column,
                chunk0,
                tile,
                window,
            );
            read_filters(&mut filters, weight, &sizes, chunk0, channel0, tile, window);
        }

        // Pixels side by side share most of what they read, which stays in registers.
        let needed = comptime!((unit_columns - 1) * window.stride + window.size.div_ceil(spread));
        let mut tap_row = first_row;
        let mut row_of_x = 0usize;
        while tap_row < window.size {
            for quad in 0..quads {
                let mut values = Array::<Quad>::new(comptime!(unit_rows * needed));
                #[unroll]
                for r in 0..unit_rows {
                    let at_x = bases[r] + row_of_x * comptime!(halo_columns * pitch) + quad;
                    #[unroll]
                    for c in 0..needed {
                        values[comptime!(r * needed + c)] = xs[at_x + comptime!(c * pitch)];
                    }
                }
                #[unroll]
                for tap in 0..comptime!(window.size.div_ceil(spread)) {
                    let tap_column = first_column + comptime!(tap * spread);
                    if comptime!(spread == 1) || tap_column < window.size {
                        let at_w = (tap_row * window.size + tap_column) * tap_pitch
                            + quad * comptime!(4 * channel_quads)
                            + lane;
                        #[unroll]
                        for k in 0..4usize {
                            #[unroll]
                            for j in 0..unit_quads {
                                let w = ws[at_w + comptime!(k * channel_quads + j * lanes)];
                                #[unroll]
                                for i in 0..unit_pixels {
                                    let from = comptime!(
                                        i / unit_columns * needed
                                            + i % unit_columns * window.stride
                                            + tap
                                    );
                                    let at = comptime!(i * unit_quads + j);
                                    sums[at] = fma(w, Quad::new(values[from].extract(k)), sums[at]);
                                }
                            }
                        }
                    }
                }
            }
            row_of_x += 1;
            tap_row += spread;
        }
    }

    if comptime!(takes_moments) {
        let rows = at_most(sizes.out_height as usize - row0, tile.rows);
        let columns = at_most(sizes.out_width as usize - column0, tile.columns);
        let images = at_most(sizes.batch as usize - image0, tile.images);
        let count = f32::cast_from((rows * columns * images) as u32);
        let part = CUBE_POS_Z as usize * tiles + CUBE_POS_X as usize;
        let channels = sizes.out_channels as usize;
        #[unroll]
        for j in 0..unit_quads {
            // Differences from the tile's first pixel, so that squares do not swallow small deviations.
            sync_cube();
            if step == 0 {
                xs[lane] = sums[j];
            }
            sync_cube();
            let pivot = xs[lane];
            sync_cube();
            let mut sum = Quad::new(0.0);
            let mut square = Quad::new(0.0);
            #[unroll]
            for i in 0..unit_pixels {
                let line = first_line + comptime!(i / unit_columns);
                let column = unit_column + comptime!(i % unit_columns);
                let row = line % tile.rows;
                let image = line / tile.rows;
                if row < rows && column < columns && image < images {
                    let d = sums[comptime!(i * unit_quads + j)] - pivot;
                    sum += d;
                    square = fma(d, d, square);
                }
            }
            xs[unit] = sum;
            xs[units + unit] = square;
            #[unroll]
            for level in 0..comptime!(steps.next_power_of_two().ilog2() as usize) {
                let all = comptime!(steps.div_ceil(1 << level));
                let half = comptime!(all.div_ceil(2));
                sync_cube();
                if step + half < all {
                    xs[unit] = xs[unit] + xs[unit + half * lanes];
                    xs[units + unit] = xs[units + unit] + xs[units + unit + half * lanes];
                }
            }
            let channel = channel0 + (lane + comptime!(j * lanes)) * 4;
            if step == 0 {
                let sum = xs[unit];
                let mean = sum / Quad::new(count);
                let square = xs[units + unit] - sum * mean;
                let at = part * comptime!(PART) * channels + channel;
                #[unroll]
                for k in 0..4usize {
                    if channel + k < channels {
                        partial[at + k] = pivot.extract(k) + mean.extract(k);
                        partial[at + channels + k] = square.extract(k);
                        partial[at + 2 * channels + k] = count;
                    }
                }
            }
        }
    }

    #[unroll]
    for i in 0..unit_pixels {
        let line = first_line + comptime!(i / unit_columns);
        let column = (unit_column + comptime!(i % unit_columns) + column0) * spread + class_column;
        let row = (line % tile.rows + row0) * spread + class_row;
        let image = line / tile.rows + image0;
        if row < sizes.out_height as usize
            && column < sizes.out_width as usize
            && image < sizes.batch as usize
        {
            let at = ((image * sizes.out_height as usize + row) * sizes.out_width as usize
                + column)
                * sizes.out_channels as usize;
            #[unroll]
            for j in 0..unit_quads {
                let channel = channel0 + (lane + comptime!(j * lanes)) * 4;
                if channel < sizes.out_channels as usize {
                    let channels = sizes.out_channels as usize;
                    let value = finish::<E, NY>(
                        sums[comptime!(i * unit_quads + j)],
                        bias,
                        around,
                        around_gate,
                        at,
                        channel,
                        channels,
                        activation,
                    );
                    write::<E, NY>(y, value, at + channel, channel, channels);
                }
            }
        }
    }
}

/// What a unit brings of the images into shared memory: all reads are under way before the first is
/// waited for.
#[cube]
fn read_images<E: Float, N: Size>(
    images: &mut Array<Quad>,
    x: &[Vector<E, N>],
    affine: ComptimeOption<&[Vector<f32, N>]>,
    sizes: &Sizes,
    image0: usize,
    from_row: usize,
    from_column: usize,
    chunk0: usize,
    #[comptime] tile: Tile,
    #[comptime] window: Window,
) {
    let quads = comptime!(tile.chunk / 4);
    let rows = comptime!(window.halo(tile.rows));
    let columns = comptime!(window.halo(tile.columns));
    let units = comptime!(tile.units());
    #[unroll]
    for n in 0..comptime!((tile.images * rows * columns * quads).div_ceil(units)) {
        let e = UNIT_POS as usize + comptime!(n * units);
        let cell = e / quads;
        images[n] = load::<E, N>(
            x,
            affine,
            sizes,
            cell / comptime!(columns * rows) + image0,
            cell / columns % rows + from_row,
            cell % columns + from_column,
            chunk0 + e % quads * 4,
        );
    }
}

/// What a unit brings of the filters into shared memory.
#[cube]
fn read_filters(
    filters: &mut Array<Quad>,
    weight: &[f32],
    sizes: &Sizes,
    chunk0: usize,
    channel0: usize,
    #[comptime] tile: Tile,
    #[comptime] window: Window,
) {
    let taps = comptime!(window.size * window.size);
    let units = comptime!(tile.units());
    #[unroll]
    for n in 0..comptime!((tile.channels / 4 * tile.chunk * taps).div_ceil(units)) {
        let e = UNIT_POS as usize + comptime!(n * units);
        let r = e % comptime!(tile.chunk * taps);
        let quad = e / comptime!(tile.chunk * taps);
        let mut value = Quad::new(0.0);
        #[unroll]
        for j in 0..4usize {
            value.insert(
                j,
                load_weight(
                    weight,
                    sizes,
                    chunk0 + r / taps,
                    channel0 + quad * 4 + j,
                    r % taps,
                    taps,
                    window,
                ),
            );
        }
        filters[n] = value;
    }
}

#[cube]
fn at_most(value: usize, #[comptime] limit: usize) -> usize {
    let mut least = value;
    if value > limit {
        least = limit.runtime();
    }
    least
}

#[allow(clippy::too_many_arguments)]
pub(super) fn launch(
    client: &Client,
    x: Input<'_>,
    weight: &Buffer,
    y: &Buffer,
    after: After<'_>,
    moments: Option<&Buffer>,
    of: [usize; 8],
    tile: Tile,
    window: Window,
) {
    let [batch, _, _, in_channels, _, _, out_channels, _] = of;
    let count = CubeCount::new_3d(
        tile.across(&of, &window) as u32,
        out_channels.div_ceil(tile.channels) as u32,
        batch.div_ceil(tile.images) as u32,
    );
    let partial = moments::or_room(client, moments);
    let (from, to) = (width(in_channels), width(out_channels));
    let around = after.around;
    // SAFETY: the kernel checks every place against the sizes, which are those of the buffers.
    unsafe {
        convolve::launch_unchecked(
            client,
            count,
            CubeDim::new_1d(tile.units() as u32),
            from,
            to,
            x.images.argument(from),
            x.affine.map(|affine| affine.argument(from)).into(),
            weight.argument(1),
            y.argument(to),
            after.bias.map(|bias| bias.argument(1)).into(),
            around.map(|around| around.images.argument(to)).into(),
            around
                .and_then(|around| around.gate)
                .map(|gate| gate.argument(to))
                .into(),
            partial.argument(1),
            sizes(of),
            tile,
            window,
            after.activation,
            moments.is_some(),
            x.images.element.kind(),
        );
    }
}
