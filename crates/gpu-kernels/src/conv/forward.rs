//! y = x * w.
#![allow(missing_docs)]
use cubecl::prelude::*;

use super::{Sizes, SizesLaunch, Window, load};
use crate::norm::{Activation, activate};
use crate::{Buffer, Quad, read, width, write};

/// How the work of a convolution is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct Tile {
    pub images: usize,
    pub rows: usize,
    pub columns: usize,
    pub channels: usize,
    pub unit_pixels: usize,
    pub unit_channels: usize,
    pub chunk: usize,
}

impl Tile {
    /// Bytes of a cube's shared memory.
    fn shared(&self, window: &Window) -> usize {
        let halo = |length: usize| (length - 1) * window.stride + window.size;
        let cells = self.images * halo(self.rows) * halo(self.columns);
        let images = cells * (self.chunk / 4 + 1);
        let weights = window.size * window.size * (self.chunk * self.channels / 4 + 1);
        16 * (images + weights)
    }

    /// What suits a convolution.
    pub(super) fn new(client: &Client, sizes: &[usize; 8], window: &Window) -> Self {
        let [_, _, _, in_channels, height, width, out_channels, _] = *sizes;
        let channels = [16, 32, 64].into_iter().find(|n| *n >= out_channels).unwrap_or(64);
        let (images, rows, columns) = match height.max(width) {
            1 => (32, 1, 1),
            2..=4 => (4, 4, 4),
            5..=8 => (1, 8, 8),
            _ => (1, 8, 16),
        };
        let limit = client.properties().hardware.max_shared_memory_size;
        let chunk = [16, 8, 4]
            .into_iter()
            .find(|chunk| {
                let tile = Self { images, rows, columns, channels, unit_pixels: 4, unit_channels: 4, chunk: *chunk };
                *chunk <= in_channels.next_multiple_of(4) && tile.shared(window) <= limit.min(32 << 10)
            })
            .unwrap_or(4);
        let pixels = images * rows * columns;
        let unit_pixels = if pixels * channels >= 128 * 32 { 8 } else { 4 };
        Self { images, rows, columns, channels, unit_pixels, unit_channels: 4, chunk }
    }
}

#[cube(launch_unchecked)]
fn convolve<NX: Size, NY: Size>(
    x: &[Vector<f32, NX>],
    weight: &[f32],
    y: &mut [Vector<f32, NY>],
    bias: ComptimeOption<&[f32]>,
    around: ComptimeOption<&[Vector<f32, NY>]>,
    sizes: Sizes,
    #[comptime] tile: Tile,
    #[comptime] window: Window,
    #[comptime] activation: Activation,
) {
    let taps = comptime!(window.size * window.size);
    let lanes = comptime!(tile.channels / tile.unit_channels);
    let pixels = comptime!(tile.images * tile.rows * tile.columns);
    let steps = comptime!(pixels / tile.unit_pixels);
    let units = comptime!(lanes * steps);
    let halo_rows = comptime!((tile.rows - 1) * window.stride + window.size);
    let halo_columns = comptime!((tile.columns - 1) * window.stride + window.size);
    let cells = comptime!(tile.images * halo_rows * halo_columns);
    let quads = comptime!(tile.chunk / 4);
    let pitch = comptime!(quads + 1);
    let channel_quads = comptime!(tile.channels / 4);
    let tap_pitch = comptime!(tile.chunk * channel_quads + 1);
    let unit_quads = comptime!(tile.unit_channels / 4);

    let mut xs = Shared::<[Quad]>::new_slice(comptime!(cells * pitch));
    let mut ws = Shared::<[Quad]>::new_slice(comptime!(taps * tap_pitch));

    let unit = UNIT_POS as usize;
    let tiles_across = (sizes.out_width as usize + tile.columns - 1) / tile.columns;
    let row0 = CUBE_POS_X as usize / tiles_across * tile.rows;
    let column0 = CUBE_POS_X as usize % tiles_across * tile.columns;
    let channel0 = CUBE_POS_Y as usize * tile.channels;
    let image0 = CUBE_POS_Z as usize * tile.images;

    let lane = unit % lanes;
    let step = unit / lanes;

    let mut bases = Array::<usize>::new(tile.unit_pixels);
    #[unroll]
    for i in 0..tile.unit_pixels {
        let pixel = step + i * steps;
        let column = pixel % tile.columns;
        let row = pixel / tile.columns % tile.rows;
        let image = pixel / comptime!(tile.columns * tile.rows);
        bases[i] = ((image * halo_rows + row * window.stride) * halo_columns + column * window.stride) * pitch;
    }

    let mut sums = Array::<Quad>::new(comptime!(tile.unit_pixels * unit_quads));
    #[unroll]
    for i in 0..comptime!(tile.unit_pixels * unit_quads) {
        sums[i] = Quad::new(0.0);
    }

    let in_channels = sizes.in_channels as usize;
    let mut chunk0 = 0usize;
    while chunk0 < in_channels {
        sync_cube();
        // Images.
        let mut e = unit;
        while e < comptime!(cells * quads) {
            let quad = e % quads;
            let cell = e / quads;
            let column = cell % halo_columns + column0 * window.stride;
            let row = cell / halo_columns % halo_rows + row0 * window.stride;
            let image = cell / comptime!(halo_columns * halo_rows) + image0;
            xs[cell * pitch + quad] = load::<NX>(x, &sizes, image, row, column, chunk0 + quad * 4, window);
            e += units;
        }
        // Weights.
        let mut e = unit;
        while e < comptime!(channel_quads * tile.chunk * taps) {
            let r = e % comptime!(tile.chunk * taps);
            let quad = e / comptime!(tile.chunk * taps);
            let k = r / taps;
            let tap = r % taps;
            let mut value = Quad::new(0.0);
            #[unroll]
            for j in 0..4usize {
                value.insert(j, load_weight(weight, &sizes, chunk0 + k, channel0 + quad * 4 + j, tap, taps, window));
            }
            ws[tap * tap_pitch + k * channel_quads + quad] = value;
            e += units;
        }
        sync_cube();

        for tap_row in 0..window.size {
            for tap_column in 0..window.size {
                let at_x = (tap_row * halo_columns + tap_column) * pitch;
                let at_w = (tap_row * window.size + tap_column) * tap_pitch + lane * unit_quads;
                #[unroll]
                for quad in 0..quads {
                    let mut values = Array::<Quad>::new(tile.unit_pixels);
                    #[unroll]
                    for i in 0..tile.unit_pixels {
                        values[i] = xs[bases[i] + at_x + quad];
                    }
                    #[unroll]
                    for k in 0..4usize {
                        #[unroll]
                        for j in 0..unit_quads {
                            let w = ws[at_w + comptime!((quad * 4 + k) * channel_quads + j)];
                            #[unroll]
                            for i in 0..tile.unit_pixels {
                                let at = comptime!(i * unit_quads + j);
                                sums[at] = fma(w, Quad::new(values[i].extract(k)), sums[at]);
                            }
                        }
                    }
                }
            }
        }
        chunk0 += tile.chunk;
    }

    #[unroll]
    for i in 0..tile.unit_pixels {
        let pixel = step + i * steps;
        let column = pixel % tile.columns + column0;
        let row = pixel / tile.columns % tile.rows + row0;
        let image = pixel / comptime!(tile.columns * tile.rows) + image0;
        if row < sizes.out_height as usize && column < sizes.out_width as usize && image < sizes.batch as usize {
            let at = ((image * sizes.out_height as usize + row) * sizes.out_width as usize + column)
                * sizes.out_channels as usize;
            #[unroll]
            for j in 0..unit_quads {
                let channel = channel0 + lane * tile.unit_channels + j * 4;
                if channel < sizes.out_channels as usize {
                    let channels = sizes.out_channels as usize;
                    let mut value = sums[comptime!(i * unit_quads + j)];
                    #[comptime]
                    if let ComptimeOption::Some(bias) = bias {
                        #[unroll]
                        for k in 0..4usize {
                            if channel + k < channels {
                                value.insert(k, value.extract(k) + bias[channel + k]);
                            }
                        }
                    }
                    #[comptime]
                    if let ComptimeOption::Some(around) = around {
                        value += read::<NY>(around, at + channel, channel, channels);
                    }
                    let value = activate::<Const<4>>(value, activation);
                    write::<NY>(y, value, at + channel, channel, channels);
                }
            }
        }
    }
}

#[cube]
fn load_weight(
    weight: &[f32],
    sizes: &Sizes,
    from: usize,
    to: usize,
    tap: usize,
    #[comptime] taps: usize,
    #[comptime] window: Window,
) -> f32 {
    let mut value = 0.0f32;
    if from < sizes.in_channels as usize && to < sizes.out_channels as usize {
        if comptime!(window.flipped) {
            value = weight[(from * sizes.out_channels as usize + to) * taps + (taps - 1 - tap)];
        } else {
            value = weight[(to * sizes.in_channels as usize + from) * taps + tap];
        }
    }
    value
}


pub(super) fn sizes(of: [usize; 8]) -> SizesLaunch {
    let [batch, height, width, in_channels, out_height, out_width, out_channels, padding] = of.map(|n| n as u32);
    SizesLaunch::new(batch, height, width, in_channels, out_height, out_width, out_channels, padding)
}

/// What follows a convolution.
#[derive(Clone, Copy, Debug)]
pub struct After<'a> {
    /// One number for each output channel.
    pub bias: Option<&'a Buffer>,
    /// A second summand, of the result's shape.
    pub around: Option<&'a Buffer>,
    pub activation: Activation,
}

impl After<'_> {
    /// Nothing.
    pub const NOTHING: Self = Self { bias: None, around: None, activation: Activation::None };
}

#[allow(clippy::too_many_arguments)]
pub(super) fn launch(
    client: &Client,
    x: &Buffer,
    weight: &Buffer,
    y: &Buffer,
    after: After<'_>,
    of: [usize; 8],
    tile: Tile,
    window: Window,
) {
    let [batch, _, _, in_channels, out_height, out_width, out_channels, _] = of;
    let count = CubeCount::new_3d(
        (out_height.div_ceil(tile.rows) * out_width.div_ceil(tile.columns)) as u32,
        out_channels.div_ceil(tile.channels) as u32,
        batch.div_ceil(tile.images) as u32,
    );
    let units = tile.channels / tile.unit_channels * (tile.images * tile.rows * tile.columns / tile.unit_pixels);
    // SAFETY: the kernel checks every place against the sizes, which are those of the buffers.
    unsafe {
        convolve::launch_unchecked(
            client,
            count,
            CubeDim::new_1d(units as u32),
            width(in_channels),
            width(out_channels),
            x.argument(width(in_channels)),
            weight.argument(1),
            y.argument(width(out_channels)),
            after.bias.map(|bias| bias.argument(1)).into(),
            after.around.map(|around| around.argument(width(out_channels))).into(),
            sizes(of),
            tile,
            window,
            after.activation,
        );
    }
}
