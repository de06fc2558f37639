//! Convolutions with square windows.
//!
//! | file | what it holds |
//! | --- | --- |
//! | here | shapes, what goes in, and the operations |
//! | `read` | how the kernels read it |
//! | `after` | what follows |
//! | `forward` | the kernel forward, and backward by the input |
//! | `weights` | the kernel backward by the weights |
//! | `tile` | how their work is cut |

mod after;
mod forward;
mod read;
mod tile;
mod weights;

use cubecl::prelude::*;

pub(crate) use after::finish;
pub use after::{After, Around};
pub(crate) use forward::sizes;
pub(crate) use read::{load, load_weight};
pub use tile::{Tile, WeightTile};

use crate::moments::{self, Moments};
use crate::rows::Parts;
use crate::winograd::{self, Points};
use crate::{Buffer, width};

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
    /// Three by three taps at every pixel.
    pub(crate) const PLAIN: Self = Self {
        size: 3,
        stride: 1,
        spread: 1,
        flipped: false,
    };

    /// How many rows of the input `length` rows of a tile need.
    pub(crate) fn halo(&self, length: usize) -> usize {
        if self.spread > 1 {
            length - 1 + self.size.div_ceil(self.spread)
        } else {
            (length - 1) * self.stride + self.size
        }
    }
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
    /// How [`convolve`] cuts a large convolution of three by three taps, or [`convolve_back`].
    #[must_use]
    pub fn points(&self, client: &Client, back: bool) -> Points {
        Points::new(
            client,
            &if back {
                backward_sizes(self)
            } else {
                forward_sizes(self)
            },
        )
    }
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
    fn in_length(&self) -> usize {
        self.batch * self.height * self.width * self.in_channels
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

/// The way that suits a convolution.
#[allow(clippy::too_many_arguments)]
fn launch(
    client: &Client,
    x: Input<'_>,
    weight: &Buffer,
    y: &Buffer,
    after: After<'_>,
    moments: Option<&Buffer>,
    of: [usize; 8],
    window: Window,
) {
    if winograd::pays(&of, &window) {
        let points = &Points::new(client, &of);
        winograd::convolve(client, x, weight, y, after, moments, of, window, points);
    } else {
        let tile = Tile::new(client, &of, &window);
        forward::launch(client, x, weight, y, after, moments, of, tile, window);
    }
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
    let (sizes, window) = (forward_sizes(shape), shape.forward_window());
    let y = Buffer::new(client, shape.out_length());
    launch(client, x.into(), weight, &y, after, None, sizes, window);
    y
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

/// As [`convolve`], by Winograd's algorithm, with the work cut as told. Filters have three by three taps and
/// stand at every pixel; channels are multiples of four.
pub fn convolve_at_points<'a>(
    client: &Client,
    x: impl Into<Input<'a>>,
    weight: &Buffer,
    after: After<'_>,
    shape: &Shape,
    points: &Points,
) -> Buffer {
    let (sizes, window) = (forward_sizes(shape), shape.forward_window());
    let (x, y) = (x.into(), Buffer::new(client, shape.out_length()));
    winograd::convolve(client, x, weight, &y, after, None, sizes, window, points);
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
    let (sizes, window) = (forward_sizes(shape), shape.forward_window());
    let y = Buffer::new(client, shape.out_length());
    let parts = if winograd::pays(&sizes, &window) {
        winograd::parts(&sizes, &Points::new(client, &sizes))
    } else {
        Tile::new(client, &sizes, &window).parts(&sizes, &window)
    };
    let partial = Buffer::new(client, parts * moments::PART * shape.out_channels);
    let moments = Some(&partial);
    launch(
        client,
        x.into(),
        weight,
        &y,
        After::NOTHING,
        moments,
        sizes,
        window,
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
    let (sizes, window) = (backward_sizes(shape), shape.backward_window());
    let dx = Buffer::new(client, shape.in_length());
    let after = After {
        around,
        ..After::NOTHING
    };
    launch(client, dy.into(), weight, &dx, after, None, sizes, window);
    dx
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
    let dx = Buffer::new(client, shape.in_length());
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

/// As [`convolve_back`], as [`convolve_at_points`].
pub fn convolve_back_at_points(
    client: &Client,
    dy: &Buffer,
    weight: &Buffer,
    around: Option<Around<'_>>,
    shape: &Shape,
    points: &Points,
) -> Buffer {
    let (sizes, window) = (backward_sizes(shape), shape.backward_window());
    let dx = Buffer::new(client, shape.in_length());
    let after = After {
        around,
        ..After::NOTHING
    };
    winograd::convolve(
        client,
        dy.into(),
        weight,
        &dx,
        after,
        None,
        sizes,
        window,
        points,
    );
    dx
}

/// As [`weight_gradient`], as [`convolve_at_points`].
pub fn weight_gradient_at_points<'a>(
    client: &Client,
    x: impl Into<Input<'a>>,
    dy: &Buffer,
    shape: &Shape,
    points: &Points,
) -> Buffer {
    winograd::weight_gradient(client, x.into(), dy, forward_sizes(shape), points)
}

/// The gradient of [`convolve`] by its weights, in parts that are still to be added.
pub fn weight_gradient<'a>(
    client: &Client,
    x: impl Into<Input<'a>>,
    dy: &Buffer,
    shape: &Shape,
) -> Parts {
    let sizes = forward_sizes(shape);
    if winograd::pays(&sizes, &shape.forward_window()) {
        let points = Points::new(client, &sizes);
        if winograd::gradient_fits(client, &sizes, &points) {
            let gradient = winograd::weight_gradient(client, x.into(), dy, sizes, &points);
            return Parts::new(client, gradient, 1);
        }
    }
    let (tile, cubes) = WeightTile::chosen(client, shape);
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
