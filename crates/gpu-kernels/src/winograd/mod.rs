//! Convolutions of three by three taps by Winograd's algorithm, with a quarter of the products.
//!
//! Four by four outputs of a tile are sums of products at 36 points: a tile of the input and the filters are
//! taken there, which makes of the convolution 36 products of matrices, `[tiles, in_channels]` by
//! `[in_channels, out_channels]`, and what comes out is taken back (Lavin and Gray, 2016, "Fast algorithms
//! for convolutional neural networks"). All of it goes through the device's memory, which pays from some
//! tens of channels on; few images go at once where the device's buffers do not hold more.
//!
//! | file | what it holds |
//! | --- | --- |
//! | here | when it pays, and the operations |
//! | `transform` | to the points and back |
//! | `product` | products of matrices |

mod product;
mod transform;

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, Ordering};

use cubecl::prelude::*;

use transform::{GATHER_UNITS, TilesLaunch};

use crate::Buffer;
use crate::conv::after::After;
use crate::conv::shape::{Input, Window, sizes as launch_sizes};
use crate::moments;
pub use crate::product::Block;
use crate::product::ENOUGH_CUBES;
use crate::rows::elementwise;

/// Pixels of a tile's side, of the output.
const OUT: usize = 4;
/// Taps of a filter's side.
const TAPS: usize = 3;
/// Pixels of a tile's side, of the input, and points of a side.
const SIDE: usize = OUT + TAPS - 1;
/// Points at which products are made.
const POINTS: usize = SIDE * SIDE;

/// Fewer products of an input's and an output's channel are made as they stand, since every kernel takes its
/// time to begin.
const LEAST_PRODUCTS: usize = 1 << 25;
/// Fewer channels are moved to the points and back longer than is saved.
const LEAST_CHANNELS: usize = 32;
/// Bytes that are at the points at once, for the input and for the output each.
const MOST_BYTES: u64 = 1 << 30;
/// So few tiles that filters are larger.
const FEW_TILES: usize = 256;

/// Whether every convolution is computed as it stands.
static EXACT: AtomicBool = AtomicBool::new(false);

/// Has every convolution of this process computed as it stands from here on, with a tenth of the rounding errors, or
/// no longer.
pub fn set_exact(exact: bool) {
    EXACT.store(exact, Ordering::Relaxed);
}

thread_local! {
    /// The most images that go at once, by [`in_groups_of`].
    static AT_ONCE: Cell<usize> = const { Cell::new(usize::MAX) };
}

/// Does `work`, in which at most `images` go at once of a convolution that this thread asks for, as where the device's
/// buffers hold no more. It is for checks: without it several groups have a gigabyte at the points.
pub fn in_groups_of<R>(images: usize, work: impl FnOnce() -> R) -> R {
    /// Sets the limit back, after a panic too.
    struct Before(usize);
    impl Drop for Before {
        fn drop(&mut self) {
            AT_ONCE.set(self.0);
        }
    }
    let _before = Before(AT_ONCE.replace(images.max(1)));
    work()
}

/// Whether the convolution of these sizes pays.
pub(crate) fn pays(sizes: &[usize; 8], window: &Window) -> bool {
    let [batch, _, _, from, height, width, to, _] = *sizes;
    if EXACT.load(Ordering::Relaxed) {
        return false;
    }
    *window
        == (Window {
            flipped: window.flipped,
            ..Window::PLAIN
        })
        && from.is_multiple_of(4)
        && to.is_multiple_of(4)
        && from.min(to) >= LEAST_CHANNELS
        && batch * height * width * from * to > LEAST_PRODUCTS
}

/// Some of the images of a batch, and their tiles.
#[derive(Clone, Copy)]
struct Group {
    image0: usize,
    images: usize,
    across: usize,
    down: usize,
}

impl Group {
    /// A batch in groups of one size as far as they can be, none of which has more than `at_once` images.
    fn all(sizes: &[usize; 8], at_once: usize) -> Vec<Self> {
        let [batch, _, _, _, height, width, _, _] = *sizes;
        let groups = batch.div_ceil(at_once);
        let size = batch.div_ceil(groups);
        (0..batch)
            .step_by(size)
            .map(|image0| Self {
                image0,
                images: size.min(batch - image0),
                across: width.div_ceil(OUT),
                down: height.div_ceil(OUT),
            })
            .collect()
    }

    fn tiles(&self) -> usize {
        self.images * self.across * self.down
    }

    fn launch(&self) -> TilesLaunch {
        TilesLaunch::new(
            self.image0 as u32,
            self.tiles() as u32,
            self.across as u32,
            self.down as u32,
        )
    }
}

/// How a convolution at the points is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Points {
    /// Images that go at once.
    pub at_once: usize,
    /// How products of tiles and filters are cut.
    pub product: Block,
    /// How those of tiles and gradients are cut, whose rows and columns are channels.
    pub gradient: Block,
}

impl Points {
    /// What suits a convolution of these sizes: as many images at once as a buffer holds the points of, and the
    /// blocks that were fastest; see `docs/speed.md`.
    pub(crate) fn new(client: &Client, sizes: &[usize; 8]) -> Self {
        let [batch, _, _, from, height, width, to, _] = *sizes;
        let tiles = width.div_ceil(OUT) * height.div_ceil(OUT);
        let bytes = (tiles * POINTS * from.max(to) * 4) as u64;
        let most = client.properties().memory.max_page_size.min(MOST_BYTES);
        let at_once = usize::try_from(most / bytes)
            .unwrap_or(usize::MAX)
            .min(AT_ONCE.get())
            .clamp(1, batch);
        let tiles = at_once * tiles;
        let small = Block {
            rows: 64,
            columns: 64,
            unit_rows: 8,
            unit_columns: 4,
            chunk: 8,
            double: true,
        };
        // Of few tiles the filters are what is read, each time again for a block of tiles.
        let wide = Block {
            columns: 128,
            unit_columns: 8,
            chunk: 16,
            double: false,
            ..small
        };
        let product = if tiles <= FEW_TILES && to > small.columns {
            wide
        } else if to <= 32 {
            Block {
                columns: 32,
                ..small
            }
        } else {
            small
        };
        let gradient = if tiles <= FEW_TILES && to > small.columns {
            wide
        } else if from <= small.rows && to > small.columns {
            Block {
                columns: 128,
                ..small
            }
        } else {
            small
        };
        Self {
            at_once,
            product,
            gradient,
        }
    }
}

/// Images at the points, `[points, tiles, channels]`.
fn spread(client: &Client, x: Input<'_>, of: [usize; 8], group: &Group, window: usize) -> Buffer {
    let channels = of[3];
    let to = Buffer::new(client, POINTS * group.tiles() * channels);
    let (cubes, dim) = elementwise(group.tiles() * channels / 4);
    // SAFETY: the kernel checks every place against the sizes, which are those of the buffers.
    unsafe {
        transform::spread::launch_unchecked(
            client,
            cubes,
            dim,
            4,
            x.images.argument(4),
            x.affine.map(|affine| affine.argument(4)).into(),
            to.argument(4),
            launch_sizes(of),
            group.launch(),
            window,
            x.images.element.kind(),
        );
    }
    to
}

/// Parts of the moments that [`convolve`] takes.
pub(crate) fn parts(sizes: &[usize; 8], points: &Points) -> usize {
    Group::all(sizes, points.at_once)
        .iter()
        .map(|group| Gathering::new(group, sizes[6]).cubes)
        .sum()
}

/// How the way back is cut.
struct Gathering {
    lanes: usize,
    tiles_per_unit: usize,
    /// Cubes that share the tiles.
    cubes: usize,
}

impl Gathering {
    fn new(group: &Group, channels: usize) -> Self {
        let quads = channels / 4;
        let lanes = quads.next_power_of_two().min(32);
        let steps = GATHER_UNITS / lanes;
        let all = group.tiles().div_ceil(steps);
        let tiles_per_unit = (all * quads.div_ceil(lanes) / (8 * ENOUGH_CUBES)).clamp(1, 8);
        Self {
            lanes,
            tiles_per_unit,
            cubes: all.div_ceil(tiles_per_unit),
        }
    }
}

/// As [`crate::conv::convolve`], forward or backward by the input.
#[allow(clippy::too_many_arguments)]
pub(crate) fn convolve(
    client: &Client,
    x: Input<'_>,
    weight: &Buffer,
    y: &Buffer,
    after: After<'_>,
    moments: Option<&Buffer>,
    of: [usize; 8],
    window: Window,
    points: &Points,
) {
    let [_, _, _, from, _, _, to, _] = of;
    let filters = Buffer::new(client, POINTS * from * to);
    let (cubes, dim) = elementwise(from * to);
    // SAFETY: the kernel checks every place against the sizes, which are those of the buffers.
    unsafe {
        transform::filters::launch_unchecked(
            client,
            cubes,
            dim,
            weight.argument(1),
            filters.argument(1),
            launch_sizes(of),
            window,
        );
    }
    let mut part0 = 0;
    for group in Group::all(&of, points.at_once) {
        let tiles = group.tiles();
        let images = spread(client, x, of, &group, SIDE);
        let sums = Buffer::new(client, POINTS * tiles * to);
        let block = points.product;
        // SAFETY: the kernel checks every place against the sizes, which are those of the buffers.
        unsafe {
            product::product::launch_unchecked(
                client,
                CubeCount::new_3d(
                    tiles.div_ceil(block.rows) as u32,
                    to.div_ceil(block.columns) as u32,
                    POINTS as u32,
                ),
                CubeDim::new_1d(block.units() as u32),
                4,
                images.argument(4),
                filters.argument(4),
                sums.argument(4),
                tiles as u32,
                from as u32,
                to as u32,
                block,
            );
        }
        let gathering = Gathering::new(&group, to);
        gather(
            client, &sums, y, after, moments, of, &group, &gathering, part0,
        );
        part0 += gathering.cubes;
    }
}

#[allow(clippy::too_many_arguments)]
fn gather(
    client: &Client,
    sums: &Buffer,
    y: &Buffer,
    after: After<'_>,
    moments: Option<&Buffer>,
    of: [usize; 8],
    group: &Group,
    gathering: &Gathering,
    part0: usize,
) {
    let partial = moments::or_room(client, moments);
    let around = after.around;
    let quads = of[6] / 4;
    // SAFETY: the kernel checks every place against the sizes, which are those of the buffers.
    unsafe {
        transform::gather::launch_unchecked(
            client,
            CubeCount::new_2d(
                gathering.cubes as u32,
                quads.div_ceil(gathering.lanes) as u32,
            ),
            CubeDim::new_1d(GATHER_UNITS as u32),
            4,
            sums.argument(4),
            y.argument(4),
            after.bias.map(|bias| bias.argument(1)).into(),
            around.map(|around| around.images.argument(4)).into(),
            around
                .and_then(|around| around.gate)
                .map(|gate| gate.argument(4))
                .into(),
            partial.argument(1),
            launch_sizes(of),
            group.launch(),
            part0 as u32,
            gathering.tiles_per_unit as u32,
            gathering.lanes,
            after.activation,
            moments.is_some(),
            y.element.kind(),
        );
    }
}

/// Parts of the gradient by the weights that a buffer holds.
fn most_parts(client: &Client, from: usize, to: usize) -> usize {
    let most = client.properties().memory.max_page_size / (POINTS * from * to * 4) as u64;
    usize::try_from(most).unwrap_or(usize::MAX)
}

/// Whether a buffer holds a part of the gradient by the weights for each group of images.
pub(crate) fn gradient_fits(client: &Client, sizes: &[usize; 8], points: &Points) -> bool {
    Group::all(sizes, points.at_once).len() <= most_parts(client, sizes[3], sizes[6])
}

/// The gradient of a convolution by its weights, `[out_channels, in_channels, 3, 3]`. `of` are the sizes
/// forward.
pub(crate) fn weight_gradient(
    client: &Client,
    x: Input<'_>,
    dy: &Buffer,
    of: [usize; 8],
    points: &Points,
) -> Buffer {
    let [batch, _, _, from, height, width, to, _] = of;
    let gradients = [batch, height, width, to, height, width, to, 0];
    let groups = Group::all(&of, points.at_once);
    let block = points.gradient;
    let blocks = from.div_ceil(block.rows) * to.div_ceil(block.columns);
    let held = (most_parts(client, from, to) / groups.len()).max(1);
    let wanted = ENOUGH_CUBES.div_ceil(POINTS * blocks).min(held);
    let per_part = |group: &Group| group.tiles().div_ceil(wanted).max(4 * block.chunk);
    let parts_of = |group: &Group| group.tiles().div_ceil(per_part(group));
    let all = groups.iter().map(parts_of).sum::<usize>();
    let partial = Buffer::new(client, all * POINTS * from * to);
    let mut part0 = 0;
    for group in &groups {
        let images = spread(client, x, of, group, SIDE);
        let dy = spread(client, dy.into(), gradients, group, OUT);
        // SAFETY: the kernel checks every place against the sizes, which are those of the buffers.
        unsafe {
            product::product_of_columns::launch_unchecked(
                client,
                CubeCount::new_3d(blocks as u32, parts_of(group) as u32, POINTS as u32),
                CubeDim::new_1d(block.units() as u32),
                4,
                images.argument(4),
                dy.argument(4),
                partial.argument(4),
                from as u32,
                group.tiles() as u32,
                to as u32,
                per_part(group) as u32,
                part0 as u32,
                block,
            );
        }
        part0 += parts_of(group);
    }
    let gradient = Buffer::new(client, from * to * TAPS * TAPS);
    let (cubes, dim) = elementwise(from * to);
    // SAFETY: the kernel checks every place against the sizes, which are those of the buffers.
    unsafe {
        transform::filter_gradient::launch_unchecked(
            client,
            cubes,
            dim,
            partial.argument(1),
            gradient.argument(1),
            from as u32,
            to as u32,
            all as u32,
            1.0 / dy.element.scale(batch),
        );
    }
    gradient
}
