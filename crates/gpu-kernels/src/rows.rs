//! How rows of channels are shared out, and sums over them.

use cubecl::prelude::*;

use crate::{Buffer, UNITS, many, widen, width};

/// The most cubes that share the rows of a sum.
const MAX_CUBES: usize = 512;

/// How rows are shared out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rows {
    /// Channels that are read at once.
    pub width: usize,
    /// Units of a cube side by side, each with channels of its own.
    pub lanes: usize,
    /// Blocks of lanes that all channels need.
    pub blocks: usize,
    /// Units of a cube: its lanes, several times.
    pub units: usize,
    /// All rows.
    pub rows: usize,
    /// Cubes that share the rows.
    pub cubes: usize,
    /// Rows of a cube; the last may have fewer.
    pub per_cube: usize,
}

impl Rows {
    pub fn new(rows: usize, channels: usize) -> Self {
        let width = width(channels);
        let all = channels / width;
        let lanes = all.min(UNITS);
        let steps = UNITS / lanes;
        let cubes = rows.div_ceil(steps * 4).min(MAX_CUBES);
        let per_cube = rows.div_ceil(cubes);
        Self {
            width,
            lanes,
            blocks: all.div_ceil(lanes),
            units: lanes * steps,
            rows,
            cubes: rows.div_ceil(per_cube),
            per_cube,
        }
    }
    pub fn count(&self) -> CubeCount {
        CubeCount::new_2d(self.cubes as u32, self.blocks as u32)
    }
    pub fn dim(&self) -> CubeDim {
        CubeDim::new_1d(self.units as u32)
    }
}

/// The first of a cube's rows, and the first behind them.
#[cube]
pub(crate) fn rows_here(rows: u32, per_cube: u32) -> (usize, usize) {
    let first = CUBE_POS_X as usize * per_cube as usize;
    let mut end = first + per_cube as usize;
    if end > rows as usize {
        end = rows as usize;
    }
    (first, end)
}

/// Sums a pair over the units of a cube that share a lane; the first of them have it.
#[cube]
pub(crate) fn together<N: Size>(
    a: Vector<f32, N>,
    b: Vector<f32, N>,
    #[comptime] lanes: usize,
    #[comptime] units: usize,
) -> (Vector<f32, N>, Vector<f32, N>) {
    let mut shared = Shared::<[Vector<f32, N>]>::new_slice(comptime!(2 * units));
    let unit = UNIT_POS as usize;
    shared[unit] = a;
    shared[units + unit] = b;
    sync_cube();
    let mut first = Vector::<f32, N>::new(0.0);
    let mut second = Vector::<f32, N>::new(0.0);
    if unit < lanes {
        for step in 0..comptime!(units / lanes) {
            first += shared[step * lanes + unit];
            second += shared[units + step * lanes + unit];
        }
    }
    (first, second)
}

/// Cubes enough for `length` units.
pub(crate) fn elementwise(length: usize) -> (CubeCount, CubeDim) {
    (cubes(length.div_ceil(UNITS)), CubeDim::new_1d(UNITS as u32))
}

/// So many cubes in two dimensions, each of which has a limit.
pub(crate) fn cubes(count: usize) -> CubeCount {
    let across = count.clamp(1, 32_768);
    CubeCount::new_2d(across as u32, count.div_ceil(across) as u32)
}

#[cube(launch_unchecked)]
fn sums_kernel<E: Float, N: Size>(
    x: &[Vector<E, N>],
    gate: ComptimeOption<&[Vector<E, N>]>,
    partial: &mut [Vector<f32, N>],
    rows: u32,
    per_cube: u32,
    all_lanes: u32,
    factor: f32,
    #[comptime] lanes: usize,
    #[comptime] units: usize,
    #[define(E)] _element: ElemType,
) {
    let unit = UNIT_POS as usize;
    let all = all_lanes as usize;
    let lane = CUBE_POS_Y as usize * lanes + unit % lanes;
    let (first, end) = rows_here(rows, per_cube);
    let mut sum = Vector::<f32, N>::new(0.0);
    if lane < all {
        let mut row = first + unit / lanes;
        while row < end {
            let at = row * all + lane;
            let mut value = widen::<E, N>(x[at]);
            #[comptime]
            if let ComptimeOption::Some(gate) = &gate {
                let gate = widen::<E, N>(gate[at]);
                #[unroll]
                for i in 0..N::value() {
                    if gate.extract(i) <= 0.0 {
                        value.insert(i, 0.0);
                    }
                }
            }
            sum += value;
            row += comptime!(units / lanes);
        }
    }
    let (sum, _) = together::<N>(sum, sum, lanes, units);
    if unit < lanes && lane < all {
        partial[CUBE_POS_X as usize * all + lane] = sum * Vector::<f32, N>::new(factor);
    }
}

/// The sum of each column of `x`, `[rows, channels]`, a gradient by images of a batch of so many, in parts that are
/// still to be added. With `gate`, only values count where that is above zero.
pub fn sums(
    client: &Client,
    x: &Buffer,
    gate: Option<&Buffer>,
    channels: usize,
    batch: usize,
) -> Parts {
    let rows = Rows::new(x.length / channels, channels);
    let of = rows.width;
    let partial = Buffer::new(client, rows.cubes * channels);
    // SAFETY: the kernel reads and writes below the lengths that it is given, which are the buffers'.
    unsafe {
        sums_kernel::launch_unchecked(
            client,
            rows.count(),
            rows.dim(),
            of,
            x.argument(of),
            gate.map(|gate| gate.argument(of)).into(),
            partial.argument(of),
            rows.rows as u32,
            rows.per_cube as u32,
            (channels / of) as u32,
            1.0 / x.element.scale(batch),
            rows.lanes,
            rows.units,
            x.element.kind(),
        );
    }
    Parts::new(client, partial, rows.cubes)
}

/// Units of a cube of [`add_parts`]: so many sums, each by so many units.
const SUMS: usize = 32;
const UNITS_PER_SUM: usize = 8;
/// The most cubes of a tensor of [`add_parts`]. Where it has more sums, each cube makes several times its own.
const CUBES: usize = 1_024;

/// Sums in parts that are still to be added, with room for the whole.
#[derive(Clone, Debug)]
pub struct Parts {
    partial: Buffer,
    parts: usize,
    /// The whole sums, once [`add_parts`] has made them.
    pub total: Buffer,
}

impl Parts {
    /// Sums of which `partial` holds `parts` parts, one after the other. One part is the whole.
    pub(crate) fn new(client: &Client, partial: Buffer, parts: usize) -> Self {
        let total = if parts == 1 {
            partial.clone()
        } else {
            Buffer::new(client, partial.length / parts)
        };
        Self {
            partial,
            parts,
            total,
        }
    }

    /// Numbers of the parts that are still to be added; 0 where nothing is.
    #[must_use]
    pub fn waiting(&self) -> usize {
        if self.parts == 1 {
            0
        } else {
            self.partial.length
        }
    }

    /// The whole sums, by a kernel of their own.
    #[must_use]
    pub fn added(self, client: &Client) -> Buffer {
        add_parts(client, std::slice::from_ref(&self));
        self.total
    }
}

#[cube(launch_unchecked)]
fn add_parts_kernel(
    partial: &Sequence<Box<[f32]>>,
    total: &mut Sequence<Box<[f32]>>,
    parts: &Sequence<u32>,
    #[comptime] tensors: usize,
) {
    let mut shared = Shared::<[f32]>::new_slice(comptime!(SUMS * UNITS_PER_SUM));
    let unit = UNIT_POS as usize;
    let of = unit % SUMS;
    let by = unit / SUMS;
    #[unroll]
    for i in 0..tensors {
        if CUBE_POS_Y == i as u32 {
            let partial = partial.index(i);
            let total = total.index_mut(i);
            let length = total.len();
            let parts = parts[i] as usize;
            // The same for all units of a cube, which wait for each other.
            let mut first = CUBE_POS_X as usize * SUMS;
            while first < length {
                let at = first + of;
                let mut sum = 0.0f32;
                if at < length {
                    let mut part = by;
                    while part < parts {
                        sum += partial[part * length + at];
                        part += UNITS_PER_SUM;
                    }
                }
                sync_cube();
                shared[unit] = sum;
                sync_cube();
                if by == 0 && at < length {
                    let mut all = 0.0f32;
                    #[unroll]
                    for j in 0..UNITS_PER_SUM {
                        all += shared[comptime!(j * SUMS) + of];
                    }
                    total[at] = all;
                }
                first += CUBE_COUNT_X as usize * SUMS;
            }
        }
    }
}

/// Adds the parts of several tensors' sums with one kernel, in an order that never changes.
pub fn add_parts(client: &Client, sums: &[Parts]) {
    let waiting: Vec<&Parts> = sums.iter().filter(|sums| sums.waiting() > 0).collect();
    for sums in waiting.chunks(many::at_once(client, 2)) {
        let longest = sums.iter().map(|sums| sums.total.length).max();
        let across = longest.unwrap_or(0).div_ceil(SUMS).clamp(1, CUBES);
        // SAFETY: for each tensor the kernel writes below the length of its total, and reads below that times its
        // parts, which is the length of the other buffer.
        unsafe {
            add_parts_kernel::launch_unchecked(
                client,
                CubeCount::new_2d(across as u32, sums.len() as u32),
                CubeDim::new_1d((SUMS * UNITS_PER_SUM) as u32),
                sums.iter().map(|sums| sums.partial.argument(1)).collect(),
                sums.iter().map(|sums| sums.total.argument(1)).collect(),
                sums.iter().map(|sums| sums.parts as u32).collect(),
                sums.len(),
            );
        }
    }
}
