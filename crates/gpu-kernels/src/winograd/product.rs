//! Products of matrices, one for each point.

use cubecl::prelude::*;

use crate::Quad;
use crate::product::{Block, Columns, bring, columns_by_columns, put, store, store_sums, zeros};

/// `c[p] = a[p] b[p]`: `a` is `[points, rows, inner]`, `b` `[points, inner, columns]`; inner and columns are
/// multiples of four.
#[cube(launch_unchecked)]
pub(super) fn product<N: Size>(
    a: &[Vector<f32, N>],
    b: &[Vector<f32, N>],
    c: &mut [Vector<f32, N>],
    rows: u32,
    inner: u32,
    columns: u32,
    #[comptime] block: Block,
) {
    let lanes = comptime!(block.lanes());
    let steps = comptime!(block.steps());
    let deep = comptime!(block.chunk / 4);
    let pitch = comptime!(block.pitch());
    let wide = comptime!(block.columns / 4);
    let a_side = comptime!(block.row_quads());
    let b_side = comptime!(block.chunk * wide);
    let unit_rows = comptime!(block.unit_rows);
    let unit_quads = comptime!(block.unit_columns / 4);
    let mut a_shared = Shared::<[Quad]>::new_slice(comptime!(block.sides() * a_side));
    let mut b_shared = Shared::<[Quad]>::new_slice(comptime!(block.sides() * b_side));

    let unit = UNIT_POS as usize;
    let lane = unit % lanes;
    let step = unit / lanes;
    let rows = rows as usize;
    let inner = inner as usize;
    let a_quads = inner / 4;
    let b_quads = columns as usize / 4;
    let row0 = CUBE_POS_X as usize * block.rows;
    let quad0 = CUBE_POS_Y as usize * wide;
    let point = CUBE_POS_Z as usize;
    let of_rows = point * rows;
    let (from_a, from_b) = (of_rows * a_quads, point * inner * b_quads);

    let mut sums = zeros(comptime!(unit_rows * unit_quads));
    let mut of_a = zeros(comptime!(block.reads(block.rows * deep)));
    let mut of_b = zeros(comptime!(block.reads(block.chunk * wide)));
    bring::<N>(
        &mut of_a, a, from_a, row0, rows, 0usize, a_quads, block.rows, deep, block,
    );
    bring::<N>(
        &mut of_b,
        b,
        from_b,
        0usize,
        inner,
        quad0,
        b_quads,
        block.chunk,
        wide,
        block,
    );
    let mut side = 0usize;
    if comptime!(block.double) {
        put(
            &mut a_shared,
            &of_a,
            side * a_side,
            block.rows,
            deep,
            pitch,
            block,
        );
        put(
            &mut b_shared,
            &of_b,
            side * b_side,
            block.chunk,
            wide,
            wide,
            block,
        );
        sync_cube();
    }
    let mut k0 = 0usize;
    while k0 < inner {
        if comptime!(!block.double) {
            sync_cube();
            put(&mut a_shared, &of_a, 0usize, block.rows, deep, pitch, block);
            put(&mut b_shared, &of_b, 0usize, block.chunk, wide, wide, block);
            sync_cube();
        }
        // The next are on their way while these are summed; past the last nothing is read.
        k0 += block.chunk;
        bring::<N>(
            &mut of_a,
            a,
            from_a,
            row0,
            rows,
            k0 / 4,
            a_quads,
            block.rows,
            deep,
            block,
        );
        bring::<N>(
            &mut of_b,
            b,
            from_b,
            k0,
            inner,
            quad0,
            b_quads,
            block.chunk,
            wide,
            block,
        );
        let at_a = side * a_side + step * pitch;
        let at_b = side * b_side + lane;
        for quad in 0..deep {
            let mut values = Array::<Quad>::new(unit_rows);
            #[unroll]
            for i in 0..unit_rows {
                values[i] = a_shared[at_a + comptime!(i * steps * pitch) + quad];
            }
            #[unroll]
            for k in 0..4usize {
                #[unroll]
                for j in 0..unit_quads {
                    let w = b_shared[at_b + (quad * 4 + k) * wide + comptime!(j * lanes)];
                    #[unroll]
                    for i in 0..unit_rows {
                        let at = comptime!(i * unit_quads + j);
                        sums[at] = fma(w, Quad::new(values[i].extract(k)), sums[at]);
                    }
                }
            }
        }
        if comptime!(block.double) {
            side = 1 - side;
            put(
                &mut a_shared,
                &of_a,
                side * a_side,
                block.rows,
                deep,
                pitch,
                block,
            );
            put(
                &mut b_shared,
                &of_b,
                side * b_side,
                block.chunk,
                wide,
                wide,
                block,
            );
            sync_cube();
        }
    }
    #[unroll]
    for i in 0..unit_rows {
        let row = row0 + step + comptime!(i * steps);
        #[unroll]
        for j in 0..unit_quads {
            let quad = quad0 + lane + comptime!(j * lanes);
            if row < rows && quad < b_quads {
                let at = (of_rows + row) * b_quads + quad;
                store::<N>(c, at, sums[comptime!(i * unit_quads + j)]);
            }
        }
    }
}

/// `c[part, p]` = the part of `a[p]' b[p]` of some of the summands: `a` is `[points, inner, rows]`, `b` `[points,
/// inner, columns]`; rows and columns are multiples of four.
#[cube(launch_unchecked)]
pub(super) fn product_of_columns<N: Size>(
    a: &[Vector<f32, N>],
    b: &[Vector<f32, N>],
    c: &mut [Vector<f32, N>],
    rows: u32,
    inner: u32,
    columns: u32,
    per_part: u32,
    part0: u32,
    #[comptime] block: Block,
) {
    let a_quads = rows as usize / 4;
    let b_quads = columns as usize / 4;
    let inner = inner as usize;
    let part = CUBE_POS_Y as usize;
    let point = CUBE_POS_Z as usize;
    let of_a = Columns {
        from: point * inner * a_quads,
        quads: a_quads,
    };
    let of_b = Columns {
        from: point * inner * b_quads,
        quads: b_quads,
    };
    let begin = part * per_part as usize;
    let end = min(begin + per_part as usize, inner);
    let sums = columns_by_columns::<N>(a, b, &of_a, &of_b, CUBE_POS_X as usize, begin, end, block);
    let to = (part0 as usize + part) * CUBE_COUNT_Z as usize + point;
    let of_c = Columns {
        from: to * a_quads * 4 * b_quads,
        quads: b_quads,
    };
    store_sums::<N>(c, &of_c, a_quads, &sums, block);
}
