//! Convolutions with square windows.
//!
//! | file | what it holds |
//! | --- | --- |
//! | here | the operations, and the way that suits each |
//! | `shape` | what is convolved |
//! | `read` | how the kernels read it |
//! | `after` | what follows |
//! | `forward` | the kernel forward, and backward by the input |
//! | `weights` | the kernel backward by the weights |
//! | `tile` | how their work is cut |

pub(crate) mod after;
mod forward;
pub(crate) mod read;
pub(crate) mod shape;
mod tile;
mod weights;

use cubecl::prelude::*;

pub use after::{After, Around};
pub use shape::{Input, Shape, Window};
pub use tile::{Tile, WeightTile};

use self::shape::{backward_sizes, forward_sizes, sizes};
use crate::moments::{self, Moments};
use crate::rows::Parts;
use crate::winograd::{self, Points};
use crate::{Buffer, width};

/// How a convolution is computed.
enum Way {
    /// As it stands.
    AsItStands(Tile),
    /// By Winograd's algorithm.
    AtPoints(Points),
}

impl Way {
    /// The way that suits a convolution.
    fn new(client: &Client, of: &[usize; 8], window: &Window) -> Self {
        if winograd::pays(of, window) {
            Self::AtPoints(Points::new(client, of))
        } else {
            Self::AsItStands(Tile::new(client, of, window))
        }
    }

    /// Parts of the moments that it takes.
    fn parts(&self, of: &[usize; 8], window: &Window) -> usize {
        match self {
            Self::AsItStands(tile) => tile.parts(of, window),
            Self::AtPoints(points) => winograd::parts(of, points),
        }
    }

    #[allow(clippy::too_many_arguments)]
    fn launch(
        &self,
        client: &Client,
        x: Input<'_>,
        weight: &Buffer,
        y: &Buffer,
        after: After<'_>,
        moments: Option<&Buffer>,
        of: [usize; 8],
        window: Window,
    ) {
        match self {
            Self::AsItStands(tile) => {
                forward::launch(client, x, weight, y, after, moments, of, *tile, window);
            }
            Self::AtPoints(points) => {
                winograd::convolve(client, x, weight, y, after, moments, of, window, points);
            }
        }
    }

    fn convolve(
        &self,
        client: &Client,
        x: Input<'_>,
        weight: &Buffer,
        after: After<'_>,
        shape: &Shape,
    ) -> Buffer {
        let (sizes, window) = (forward_sizes(shape), shape.forward_window());
        let y = Buffer::of(client, shape.out_length(), x.images.element);
        self.launch(client, x, weight, &y, after, None, sizes, window);
        y
    }

    fn convolve_back(
        &self,
        client: &Client,
        dy: &Buffer,
        weight: &Buffer,
        around: Option<Around<'_>>,
        shape: &Shape,
    ) -> Buffer {
        let (sizes, window) = (backward_sizes(shape), shape.backward_window());
        let dx = Buffer::of(client, shape.in_length(), dy.element);
        let after = After {
            around,
            ..After::NOTHING
        };
        self.launch(client, dy.into(), weight, &dx, after, None, sizes, window);
        dx
    }
}

/// How [`convolve`] cuts a large convolution of three by three taps.
#[must_use]
pub fn points(client: &Client, shape: &Shape) -> Points {
    Points::new(client, &forward_sizes(shape))
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
    let way = Way::new(client, &forward_sizes(shape), &shape.forward_window());
    way.convolve(client, x.into(), weight, after, shape)
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
    Way::AsItStands(tile).convolve(client, x.into(), weight, after, shape)
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
    Way::AtPoints(*points).convolve(client, x.into(), weight, after, shape)
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
    let way = Way::new(client, &sizes, &window);
    let (x, parts) = (x.into(), way.parts(&sizes, &window));
    let y = Buffer::of(client, shape.out_length(), x.images.element);
    let partial = Buffer::new(client, parts * moments::PART * shape.out_channels);
    let taken = Some(&partial);
    way.launch(client, x, weight, &y, After::NOTHING, taken, sizes, window);
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
    let way = Way::new(client, &backward_sizes(shape), &shape.backward_window());
    way.convolve_back(client, dy, weight, around, shape)
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
    Way::AsItStands(tile).convolve_back(client, dy, weight, around, shape)
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
    Way::AtPoints(*points).convolve_back(client, dy, weight, around, shape)
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
            sizes(forward_sizes(shape)),
            per_cube as u32,
            1.0 / dy.element.scale(shape.batch),
            tile,
            window,
            dy.element.kind(),
        );
    }
    Parts::new(client, partial, parts)
}
