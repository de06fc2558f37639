//! How the work of a convolution is cut.

use cubecl::prelude::*;

use super::shape::{Shape, Window, backward_sizes, forward_sizes};

/// How the work of a convolution is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct Tile {
    /// A cube computes so many images,
    pub images: usize,
    /// of each so many rows,
    pub rows: usize,
    /// of so many pixels,
    pub columns: usize,
    /// of each so many output channels, a multiple of four times what a unit computes.
    pub channels: usize,
    /// A unit computes so many pixels side by side,
    pub unit_columns: usize,
    /// in so many rows,
    pub unit_rows: usize,
    /// and of each so many channels, a multiple of four.
    pub unit_channels: usize,
    /// Input channels that a cube's shared memory holds at once, a multiple of four.
    pub chunk: usize,
    /// Whether the next input channels are read while these are summed.
    pub ahead: bool,
}

impl Tile {
    /// Bytes of a cube's shared memory forward, or backward by the input.
    #[must_use]
    pub fn shared(&self, shape: &Shape, back: bool) -> usize {
        self.shared_for(&if back {
            shape.backward_window()
        } else {
            shape.forward_window()
        })
    }

    fn shared_for(&self, window: &Window) -> usize {
        let weights = window.size * window.size * (self.chunk * self.channels / 4 + 1);
        16 * (self.image_quads(window) + weights)
    }

    /// What [`super::convolve`] chooses, or [`super::convolve_back`].
    #[must_use]
    pub fn chosen(client: &Client, shape: &Shape, back: bool) -> Self {
        if back {
            let sizes = backward_sizes(shape);
            Self::new(client, &sizes, &shape.backward_window())
        } else {
            let sizes = forward_sizes(shape);
            Self::new(client, &sizes, &shape.forward_window())
        }
    }

    /// Units of a cube.
    #[must_use]
    pub fn units(&self) -> usize {
        self.channels / self.unit_channels
            * (self.images * self.rows * self.columns / (self.unit_rows * self.unit_columns))
    }

    /// Quads of a cube's memory for images, in which sums over its pixels are taken as well.
    pub(super) fn image_quads(&self, window: &Window) -> usize {
        let cells = self.images * window.halo(self.rows) * window.halo(self.columns);
        (cells * (self.chunk / 4 + 1)).max(2 * self.units())
    }

    /// How many cubes share the pixels of as many images of the result as a cube takes.
    pub(super) fn across(&self, sizes: &[usize; 8], window: &Window) -> usize {
        let [_, _, _, _, height, width, _, _] = *sizes;
        let tiles = |length: usize, tile: usize| length.div_ceil(window.spread).div_ceil(tile);
        window.spread * window.spread * tiles(height, self.rows) * tiles(width, self.columns)
    }

    /// How many cubes share the pixels of the result.
    pub(super) fn parts(&self, sizes: &[usize; 8], window: &Window) -> usize {
        sizes[0].div_ceil(self.images) * self.across(sizes, window)
    }

    /// What suits a convolution: the largest tile that its images and a cube's memory allow and of
    /// which there are enough to keep a large device busy. Measured; see `docs/speed.md`.
    pub(super) fn new(client: &Client, sizes: &[usize; 8], window: &Window) -> Self {
        let limit = client
            .properties()
            .hardware
            .max_shared_memory_size
            .min(LARGEST_SHARED);
        let all = Self::candidates(sizes, window);
        let fits = |tile: &&Self| tile.shared_for(window) <= limit;
        let wide = all
            .iter()
            .filter(|tile| tile.cubes(sizes, window) >= ENOUGH_CUBES)
            .find(fits);
        let any = wide.or_else(|| all.iter().rev().find(fits));
        any.copied().unwrap_or(Self {
            images: 1,
            rows: 4,
            columns: 4,
            channels: 16,
            unit_columns: 4,
            unit_rows: 1,
            unit_channels: 4,
            chunk: 4,
            ahead: false,
        })
    }

    /// From large to small.
    fn candidates(sizes: &[usize; 8], window: &Window) -> Vec<Self> {
        let [_, _, _, in_channels, height, width, out_channels, _] = *sizes;
        let pixels = |count: usize| match height.max(width).div_ceil(window.spread) {
            1 => (count, 1, 1),
            2..=4 => (count / 16, 4, 4),
            5..=8 => (count / 64, 8, 8),
            _ if count == 64 => (1, 8, 8),
            _ => (1, count / 16, 16),
        };
        let mut tiles = Vec::new();
        for (count, channels, side) in [
            (128, 128, 8),
            (256, 64, 8),
            (64, 64, 4),
            (128, 32, 4),
            (256, 16, 4),
            (64, 32, 4),
            (64, 16, 4),
        ] {
            if channels > 16 && channels / 2 >= out_channels {
                continue;
            }
            // Reads ahead pay where there are several chunks, and where the input of a stride makes them large.
            let ahead = in_channels >= 32 || window.stride > 1 || window.spread > 1;
            let chunks: &[usize] = if window.stride > 1 { &[4] } else { &[8, 4] };
            for &chunk in chunks {
                if chunk > in_channels.next_multiple_of(4) {
                    continue;
                }
                let (images, rows, columns) = pixels(count);
                let unit_columns = side.min(columns);
                let unit_rows = side / unit_columns;
                tiles.push(Self {
                    images,
                    rows,
                    columns,
                    channels,
                    unit_columns,
                    unit_rows,
                    unit_channels: side,
                    chunk,
                    ahead,
                });
            }
        }
        tiles
    }

    fn cubes(&self, sizes: &[usize; 8], window: &Window) -> usize {
        self.parts(sizes, window) * sizes[6].div_ceil(self.channels)
    }
}

/// Cubes that keep the multiprocessors of a large device busy.
const ENOUGH_CUBES: usize = 128;
/// Units of a cube that every device has.
const MOST_UNITS: usize = 256;
/// More of it leaves too few cubes on a multiprocessor.
const LARGEST_SHARED: usize = 40 << 10;

/// How the work of a gradient by weights is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct WeightTile {
    /// A cube's shared memory holds so many images at once,
    pub images: usize,
    /// of each so many rows of the output,
    pub rows: usize,
    /// of so many pixels.
    pub columns: usize,
    /// A cube computes the weights of so many input channels, a multiple of four,
    pub in_channels: usize,
    /// and of so many output channels, a multiple of four.
    pub out_channels: usize,
    /// Units that share a weight and sum over different rows.
    pub groups: usize,
    /// Whether the next pixels are read while these are summed.
    pub ahead: bool,
}

impl WeightTile {
    /// What [`super::weight_gradient`] chooses, and how many cubes share its work.
    #[must_use]
    pub fn chosen(client: &Client, shape: &Shape) -> (Self, usize) {
        let channels = shape.in_channels.max(shape.out_channels);
        let side = shape.out_height().max(shape.out_width());
        let narrow = channels <= 16 || (channels < 128 && side <= 16);
        let (images, rows, columns) = match side {
            1 => (32, 1, 1),
            2..=4 => (4, 4, 4),
            5..=8 => (if narrow { 2 } else { 1 }, 8, 8),
            _ => (1, 8, 8),
        };
        let limit = client.properties().hardware.max_shared_memory_size;
        let mut tile = Self {
            images,
            rows,
            columns,
            in_channels: shape
                .in_channels
                .next_multiple_of(4)
                .min(if narrow { 16 } else { 32 }),
            out_channels: shape
                .out_channels
                .next_multiple_of(4)
                .min(if narrow { 16 } else { 32 }),
            groups: if narrow && rows > 1 { 4 } else { 1 },
            ahead: true,
        };
        let fits = |tile: &Self| tile.shared(shape) <= limit && tile.units(shape) <= MOST_UNITS;
        while !fits(&tile) && tile.groups > 1 {
            tile.groups /= 2;
        }
        while !fits(&tile) && tile.in_channels > 4 {
            tile.in_channels = (tile.in_channels / 2).next_multiple_of(4);
        }
        (tile, 256)
    }

    /// Bytes of a cube's shared memory.
    #[must_use]
    pub fn shared(&self, shape: &Shape) -> usize {
        let window = shape.forward_window();
        let x =
            self.images * window.halo(self.rows) * window.halo(self.columns) * self.in_channels / 4;
        let dy = self.images * self.rows * self.columns * self.out_channels / 4;
        let together = self.in_channels * self.out_channels / 4 * window.size * window.size;
        16 * (x + dy + if self.groups > 1 { together } else { 0 })
    }

    /// Units of a cube.
    #[must_use]
    pub fn units(&self, shape: &Shape) -> usize {
        self.in_channels / 4 * (self.out_channels / 4) * shape.size * self.groups
    }
}
