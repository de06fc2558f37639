//! Convolutions with square windows.
//!
//! | file | what it holds |
//! | --- | --- |
//! | here | shapes, what goes in and what follows, and the operations |
//! | `forward` | the kernel forward, and backward by the input |
//! | `weights` | the kernel backward by the weights |
//! | `tile` | how their work is cut |

mod forward;
mod tile;
mod weights;

use cubecl::prelude::*;

pub use forward::{After, Around};
pub use tile::{Tile, WeightTile};

use crate::moments::{self, Moments};
use crate::rows::Parts;
use crate::{Buffer, Quad, read, width};

/// A square window of filters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct Window {
    /// Its height and width.
    pub size: usize,
    /// Pixels from one place to the next.
    pub stride: usize,
    /// The input is spread by so much, with zeros between its pixels.
    pub spread: usize,
    /// Filters are turned by half a turn, and their inputs and outputs change places.
    pub flipped: bool,
}

#[derive(CubeLaunch, CubeType, Clone, Copy)]
pub(crate) struct Sizes {
    pub batch: u32,
    pub height: u32,
    pub width: u32,
    pub in_channels: u32,
    pub out_height: u32,
    pub out_width: u32,
    pub out_channels: u32,
    pub padding: u32,
}

impl Window {
    /// How many rows of the input `length` rows of a tile need.
    pub(crate) fn halo(&self, length: usize) -> usize {
        if self.spread > 1 {
            length - 1 + self.size.div_ceil(self.spread)
        } else {
            (length - 1) * self.stride + self.size
        }
    }
}

/// Four channels of a pixel of the input, which `affine` normalises and a rectifier follows where there
/// is one; zeros outside of it.
#[cube]
pub(crate) fn load<N: Size>(
    x: &[Vector<f32, N>],
    affine: ComptimeOption<&[Vector<f32, N>]>,
    sizes: &Sizes,
    image: usize,
    row: usize,
    column: usize,
    channel: usize,
) -> Quad {
    let mut value = Quad::new(0.0);
    let channels = sizes.in_channels as usize;
    // Below zero is above every size.
    let inside = image < sizes.batch as usize
        && row < sizes.height as usize
        && column < sizes.width as usize
        && channel < channels;
    if inside {
        let at = ((image * sizes.height as usize + row) * sizes.width as usize + column) * channels
            + channel;
        value = read::<N>(x, at, channel, channels);
        #[comptime]
        if let ComptimeOption::Some(affine) = affine {
            let scale = read::<N>(affine, channel, channel, channels);
            let shift = read::<N>(affine, channels + channel, channel, channels);
            value = max(fma(value, scale, shift), Quad::new(0.0));
        }
    }
    value
}

/// The input of a convolution.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    /// `[batch, height, width, channels]`.
    pub images: &'a Buffer,
    /// Scales and shifts, `[2 * channels]`, that normalise the images before a rectifier; without them
    /// the images are taken as they are.
    pub affine: Option<&'a Buffer>,
}

impl<'a> From<&'a Buffer> for Input<'a> {
    fn from(images: &'a Buffer) -> Self {
        Self {
            images,
            affine: None,
        }
    }
}

/// A convolution's shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Images.
    pub batch: usize,
    /// Rows of the input.
    pub height: usize,
    /// Columns of the input.
    pub width: usize,
    /// Channels of the input.
    pub in_channels: usize,
    /// Channels of the output.
    pub out_channels: usize,
    /// Height and width of the filters.
    pub size: usize,
    /// Pixels from one place of a filter to the next.
    pub stride: usize,
    /// Rows and columns of zeros around the input; fewer than `size`.
    pub padding: usize,
}

impl Shape {
    fn out(&self, length: usize) -> usize {
        (length + 2 * self.padding - self.size) / self.stride + 1
    }
    /// Rows of the output.
    #[must_use]
    pub fn out_height(&self) -> usize {
        self.out(self.height)
    }
    /// Columns of the output.
    #[must_use]
    pub fn out_width(&self) -> usize {
        self.out(self.width)
    }
    fn out_length(&self) -> usize {
        self.batch * self.out_height() * self.out_width() * self.out_channels
    }
    fn forward_window(&self) -> Window {
        Window {
            size: self.size,
            stride: self.stride,
            spread: 1,
            flipped: false,
        }
    }
    fn backward_window(&self) -> Window {
        Window {
            size: self.size,
            stride: 1,
            spread: self.stride,
            flipped: true,
        }
    }
}

/// Sizes in the order of [`Sizes`].
fn forward_sizes(s: &Shape) -> [usize; 8] {
    [
        s.batch,
        s.height,
        s.width,
        s.in_channels,
        s.out_height(),
        s.out_width(),
        s.out_channels,
        s.padding,
    ]
}

/// As [`forward_sizes`], for the convolution that takes gradients by outputs to gradients by inputs.
fn backward_sizes(s: &Shape) -> [usize; 8] {
    let padding = s.size - 1 - s.padding;
    [
        s.batch,
        s.out_height(),
        s.out_width(),
        s.out_channels,
        s.height,
        s.width,
        s.in_channels,
        padding,
    ]
}

/// `after(x * weight)`: `x` of `[batch, height, width, in_channels]`, `weight` of
/// `[out_channels, in_channels, size, size]`.
pub fn convolve<'a>(
    client: &Client,
    x: impl Into<Input<'a>>,
    weight: &Buffer,
    after: After<'_>,
    shape: &Shape,
) -> Buffer {
    let tile = Tile::new(client, &forward_sizes(shape), &shape.forward_window());
    convolve_with(client, x, weight, after, shape, tile)
}

/// As [`convolve`], with the work cut as told.
pub fn convolve_with<'a>(
    client: &Client,
    x: impl Into<Input<'a>>,
    weight: &Buffer,
    after: After<'_>,
    shape: &Shape,
    tile: Tile,
) -> Buffer {
    let y = Buffer::new(client, shape.out_length());
    forward::launch(
        client,
        x.into(),
        weight,
        &y,
        after,
        None,
        forward_sizes(shape),
        tile,
        shape.forward_window(),
    );
    y
}

/// `x * weight`, and its moments over batch and pixels.
pub fn convolve_moments<'a>(
    client: &Client,
    x: impl Into<Input<'a>>,
    weight: &Buffer,
    shape: &Shape,
    gamma: &Buffer,
    beta: &Buffer,
    epsilon: f32,
) -> (Buffer, Moments) {
    let sizes = forward_sizes(shape);
    let tile = Tile::new(client, &sizes, &shape.forward_window());
    let y = Buffer::new(client, shape.out_length());
    let parts = tile.parts(&sizes, &shape.forward_window());
    let partial = Buffer::new(client, parts * moments::PART * shape.out_channels);
    forward::launch(
        client,
        x.into(),
        weight,
        &y,
        After::NOTHING,
        Some(&partial),
        sizes,
        tile,
        shape.forward_window(),
    );
    let moments = moments::moments_end(client, &partial, parts, gamma, beta, epsilon);
    (y, moments)
}

/// The gradient of [`convolve`] by `x`, and a summand.
pub fn convolve_back(
    client: &Client,
    dy: &Buffer,
    weight: &Buffer,
    around: Option<Around<'_>>,
    shape: &Shape,
) -> Buffer {
    let tile = Tile::new(client, &backward_sizes(shape), &shape.backward_window());
    convolve_back_with(client, dy, weight, around, shape, tile)
}

/// As [`convolve_back`], with the work cut as told.
pub fn convolve_back_with(
    client: &Client,
    dy: &Buffer,
    weight: &Buffer,
    around: Option<Around<'_>>,
    shape: &Shape,
    tile: Tile,
) -> Buffer {
    let dx = Buffer::new(
        client,
        shape.batch * shape.height * shape.width * shape.in_channels,
    );
    let after = After {
        around,
        ..After::NOTHING
    };
    forward::launch(
        client,
        dy.into(),
        weight,
        &dx,
        after,
        None,
        backward_sizes(shape),
        tile,
        shape.backward_window(),
    );
    dx
}

/// The gradient of [`convolve`] by its weights, in parts that are still to be added.
pub fn weight_gradient<'a>(
    client: &Client,
    x: impl Into<Input<'a>>,
    dy: &Buffer,
    shape: &Shape,
) -> Parts {
    let (tile, cubes) = WeightTile::new(client, shape);
    weight_gradient_with(client, x, dy, shape, tile, cubes)
}

/// As [`weight_gradient`], with the work cut as told and shared by about so many cubes.
pub fn weight_gradient_with<'a>(
    client: &Client,
    x: impl Into<Input<'a>>,
    dy: &Buffer,
    shape: &Shape,
    tile: WeightTile,
    cubes: usize,
) -> Parts {
    let x = x.into();
    let window = shape.forward_window();
    let all = shape.batch.div_ceil(tile.images)
        * shape.out_height().div_ceil(tile.rows)
        * shape.out_width().div_ceil(tile.columns);
    let channel_blocks = shape.in_channels.div_ceil(tile.in_channels)
        * shape.out_channels.div_ceil(tile.out_channels);
    let per_cube = all.div_ceil(cubes.div_ceil(channel_blocks).min(all));
    let parts = all.div_ceil(per_cube);
    let length = shape.in_channels * shape.out_channels * shape.size * shape.size;
    let partial = Buffer::new(client, parts * length);
    let of = width(shape.in_channels);
    // SAFETY: the kernel checks every place against the sizes, which are those of the buffers.
    unsafe {
        weights::weight_gradient::launch_unchecked(
            client,
            CubeCount::new_2d(parts as u32, channel_blocks as u32),
            CubeDim::new_1d(tile.units(shape) as u32),
            of,
            width(shape.out_channels),
            x.images.argument(of),
            x.affine.map(|affine| affine.argument(of)).into(),
            dy.argument(width(shape.out_channels)),
            partial.argument(1),
            forward::sizes(forward_sizes(shape)),
            per_cube as u32,
            tile,
            window,
        );
    }
    Parts::new(client, partial, parts)
}
