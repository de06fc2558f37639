//! An iteration of Newton and Schulz, a kernel each of its products for all filters.

use cpu_kernels::MuonStep;
use cubecl::prelude::*;

use super::{Filter, Layout};
use crate::product::{
    Block, Columns, ENOUGH_CUBES, Sums, columns_by_columns, quad_of, quad_of_unit, row_quad_of,
    store, store_sums,
};
use crate::rows::{Parts, cubes};
use crate::{Buffer, Quad};

/// How the products are cut.
const BLOCK: Block = Block {
    rows: 64,
    columns: 64,
    unit_rows: 8,
    unit_columns: 4,
    chunk: 8,
    double: true,
};
/// Fewer summands of a part take less time than another part's adding.
const LEAST_SUMMANDS: usize = 128;

/// Blocks of a product of so many quads of rows and of columns.
fn blocks(rows: usize, columns: usize) -> usize {
    rows.div_ceil(BLOCK.rows / 4) * columns.div_ceil(BLOCK.columns / 4)
}

/// A block of a filter's product.
#[derive(CubeType, Clone, Copy)]
struct Here {
    /// Quads of the filter's shorter side, and of its longer one.
    short: usize,
    long: usize,
    /// The quads at which its `x` and its square matrices begin.
    x: usize,
    square: usize,
    /// Which of its blocks.
    block: usize,
}

/// What the block `block` of all filters is.
#[cube]
fn find(table: &Sequence<Filter>, block: usize, #[comptime] filters: usize) -> Here {
    let mut rows = 0u32;
    let mut columns = 0u32;
    let mut x = 0u32;
    let mut square = 0u32;
    let mut first = 0u32;
    #[unroll]
    for i in 0..filters {
        let filter = table.index(i);
        if block >= filter.block as usize {
            rows = filter.rows;
            columns = filter.columns;
            x = filter.x;
            square = filter.square;
            first = filter.block;
        }
    }
    Here {
        short: (min(rows, columns) as usize).div_ceil(4),
        long: (max(rows, columns) as usize).div_ceil(4),
        x: x as usize,
        square: square as usize,
        block: block - first as usize,
    }
}

/// Makes `plus * right + times * sums` of the sums, where `right` is a matrix of `row_quads` quads of rows.
#[cube]
fn combine<N: Size>(
    of: &mut Sums,
    right: &[Vector<f32, N>],
    right_is: &Columns,
    row_quads: usize,
    plus: f32,
    times: f32,
    #[comptime] block: Block,
) {
    #[unroll]
    for r in 0..comptime!(block.unit_rows / 4) {
        let row_quad = row_quad_of(of.row_quad0, r, block);
        #[unroll]
        for i in 0..4usize {
            #[unroll]
            for j in 0..comptime!(block.unit_columns / 4) {
                let quad = quad_of_unit(of.quad0, j, block);
                if row_quad < row_quads && quad < right_is.quads {
                    let at = right_is.from + (row_quad * 4 + i) * right_is.quads + quad;
                    let sum = comptime!(block.sum_of_columns(r, i, j));
                    let product = of.sums[sum] * Quad::new(times);
                    of.sums[sum] = fma(quad_of::<N>(right, at), Quad::new(plus), product);
                }
            }
        }
    }
}

/// Stores the sums turned: a matrix that has the rows of `to` as its columns.
#[cube]
fn store_turned<N: Size>(
    to: &mut [Vector<f32, N>],
    to_is: &Columns,
    column_quads: usize,
    of: &Sums,
    #[comptime] block: Block,
) {
    #[unroll]
    for r in 0..comptime!(block.unit_rows / 4) {
        let row_quad = row_quad_of(of.row_quad0, r, block);
        #[unroll]
        for j in 0..comptime!(block.unit_columns / 4) {
            let quad = quad_of_unit(of.quad0, j, block);
            if row_quad < to_is.quads && quad < column_quads {
                #[unroll]
                for k in 0..4usize {
                    let mut column = Quad::new(0.0);
                    #[unroll]
                    for i in 0..4usize {
                        let row = of.sums[comptime!(block.sum_of_columns(r, i, j))];
                        column.insert(i, row.extract(k));
                    }
                    let at = to_is.from + (quad * 4 + k) * to_is.quads + row_quad;
                    store::<N>(to, at, column);
                }
            }
        }
    }
}

#[cube(launch_unchecked)]
fn muon_gram_kernel<N: Size>(
    turned: &[Vector<f32, N>],
    partial: &mut [Vector<f32, N>],
    table: &Sequence<Filter>,
    all: u32,
    quads: u32,
    parts: u32,
    #[comptime] filters: usize,
    #[comptime] block: Block,
) {
    let all = all as usize;
    if CUBE_POS < all * parts as usize {
        let part = CUBE_POS / all;
        let here = find(table, CUBE_POS % all, filters);
        let of = Columns {
            from: here.x,
            quads: here.short,
        };
        let to = Columns {
            from: part * quads as usize + here.square,
            quads: here.short,
        };
        let lines = here.long * 4;
        let per_part = lines.div_ceil(parts as usize);
        let begin = part * per_part;
        let end = min(begin + per_part, lines);
        let sums = columns_by_columns::<N>(turned, turned, &of, &of, here.block, begin, end, block);
        store_sums::<N>(partial, &to, here.short, &sums, block);
    }
}

/// `x x'` of every filter. Where few blocks would leave a large device idle, several cubes share the summands of each.
pub(super) fn gram(client: &Client, layout: &Layout, turned: &Buffer) -> Buffer {
    let (table, all) = layout.table(|[short, _]| blocks(short, short));
    let longest = layout.filters.iter().map(|(_, [_, long])| 4 * long).max();
    let most = longest.unwrap_or(0).div_ceil(LEAST_SUMMANDS).max(1);
    let parts = ENOUGH_CUBES.div_ceil(all.max(1)).min(most);
    let partial = Buffer::new(client, parts * 4 * layout.quads[1]);
    // SAFETY: the kernel stays below the sides of each filter from where the table has it begin, which is below the
    // lengths of both buffers, one of which holds so many parts.
    unsafe {
        muon_gram_kernel::launch_unchecked(
            client,
            cubes(all * parts),
            CubeDim::new_1d(BLOCK.units() as u32),
            4,
            turned.argument(4),
            partial.argument(4),
            table.into_iter().collect(),
            all as u32,
            layout.quads[1] as u32,
            parts as u32,
            layout.filters.len(),
            BLOCK,
        );
    }
    Parts::new(client, partial, parts).added(client)
}

#[cube(launch_unchecked)]
fn muon_polynomial_kernel<N: Size>(
    gram: &[Vector<f32, N>],
    factor: &mut [Vector<f32, N>],
    table: &Sequence<Filter>,
    all: u32,
    plus: f32,
    times: f32,
    #[comptime] filters: usize,
    #[comptime] block: Block,
) {
    if CUBE_POS < all as usize {
        let here = find(table, CUBE_POS, filters);
        let of = Columns {
            from: here.square,
            quads: here.short,
        };
        let end = here.short * 4;
        let mut sums =
            columns_by_columns::<N>(gram, gram, &of, &of, here.block, 0usize, end, block);
        combine::<N>(&mut sums, gram, &of, here.short, plus, times, block);
        store_sums::<N>(factor, &of, here.short, &sums, block);
    }
}

/// `b gram + c gram^2` of every filter, into `factor`.
pub(super) fn polynomial(client: &Client, layout: &Layout, gram: &Buffer, factor: &Buffer) {
    let (table, all) = layout.table(|[short, _]| blocks(short, short));
    let [_, b, c] = MuonStep::COEFFICIENTS;
    // SAFETY: the kernel stays below the sides of each filter from where the table has it begin, which is below the
    // length of both buffers.
    unsafe {
        muon_polynomial_kernel::launch_unchecked(
            client,
            cubes(all),
            CubeDim::new_1d(BLOCK.units() as u32),
            4,
            gram.argument(4),
            factor.argument(4),
            table.into_iter().collect(),
            all as u32,
            b as f32,
            c as f32,
            layout.filters.len(),
            BLOCK,
        );
    }
}

#[cube(launch_unchecked)]
fn muon_apply_kernel<N: Size>(
    factor: &[Vector<f32, N>],
    x: &[Vector<f32, N>],
    new_x: &mut [Vector<f32, N>],
    new_turned: &mut [Vector<f32, N>],
    table: &Sequence<Filter>,
    all: u32,
    plus: f32,
    #[comptime] filters: usize,
    #[comptime] block: Block,
) {
    if CUBE_POS < all as usize {
        let here = find(table, CUBE_POS, filters);
        let of_factor = Columns {
            from: here.square,
            quads: here.short,
        };
        let of_x = Columns {
            from: here.x,
            quads: here.long,
        };
        let of_turned = Columns {
            from: here.x,
            quads: here.short,
        };
        let end = here.short * 4;
        let mut sums =
            columns_by_columns::<N>(factor, x, &of_factor, &of_x, here.block, 0usize, end, block);
        combine::<N>(&mut sums, x, &of_x, here.short, plus, 1.0f32, block);
        store_sums::<N>(new_x, &of_x, here.short, &sums, block);
        store_turned::<N>(new_turned, &of_turned, here.long, &sums, block);
    }
}

/// `a x + factor x` of every filter, as it stands and turned, into `to`.
pub(super) fn apply(
    client: &Client,
    layout: &Layout,
    factor: &Buffer,
    x: &Buffer,
    to: [&Buffer; 2],
) {
    let (table, all) = layout.table(|[short, long]| blocks(short, long));
    let [a, ..] = MuonStep::COEFFICIENTS;
    // SAFETY: the kernel stays below the sides of each filter from where the table has it begin, which is below the
    // lengths of the buffers.
    unsafe {
        muon_apply_kernel::launch_unchecked(
            client,
            cubes(all),
            CubeDim::new_1d(BLOCK.units() as u32),
            4,
            factor.argument(4),
            x.argument(4),
            to[0].argument(4),
            to[1].argument(4),
            table.into_iter().collect(),
            all as u32,
            a as f32,
            layout.filters.len(),
            BLOCK,
        );
    }
}
