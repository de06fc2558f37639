//! How products of matrices are cut, and what their kernels share.

use cubecl::prelude::*;

use crate::Quad;

/// Cubes that keep a large device busy.
pub(crate) const ENOUGH_CUBES: usize = 264;

/// How a product is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct Block {
    /// Rows of the result that a cube computes,
    pub rows: usize,
    /// and columns.
    pub columns: usize,
    /// Rows that a unit computes, a multiple of four,
    pub unit_rows: usize,
    /// and columns, likewise.
    pub unit_columns: usize,
    /// Summands that shared memory holds at once, a multiple of four.
    pub chunk: usize,
    /// Whether shared memory holds the next summands beside these, so that units meet once a chunk.
    pub double: bool,
}

impl Block {
    /// Units of a cube.
    #[must_use]
    pub fn units(&self) -> usize {
        self.steps() * self.lanes()
    }

    /// Units side by side.
    pub(crate) fn lanes(&self) -> usize {
        self.columns / self.unit_columns
    }

    /// Units below one another.
    pub(crate) fn steps(&self) -> usize {
        self.rows / self.unit_rows
    }

    /// Where a unit of [`columns_by_columns`] has the sum of its `r`th quad of rows, `i`th row of it, and `j`th quad of
    /// columns.
    pub(crate) fn sum_of_columns(&self, r: usize, i: usize, j: usize) -> usize {
        (r * 4 + i) * (self.unit_columns / 4) + j
    }

    /// How many chunks shared memory holds.
    pub(crate) fn sides(&self) -> usize {
        if self.double { 2 } else { 1 }
    }

    /// Quads of a chunk of rows in shared memory, one of which stays free in each row, so that rows begin in
    /// different banks.
    pub(crate) fn row_quads(&self) -> usize {
        self.rows * self.pitch()
    }

    /// Quads from one row in shared memory to the next.
    pub(crate) fn pitch(&self) -> usize {
        self.chunk / 4 + 1
    }

    /// Quads of which a unit brings a chunk of so many.
    pub(crate) fn reads(&self, quads: usize) -> usize {
        quads.div_ceil(self.units())
    }
}

/// A matrix in a buffer.
#[derive(CubeType, Clone, Copy)]
pub(crate) struct Columns {
    /// The quad at which it begins.
    pub from: usize,
    /// Quads of a line.
    pub quads: usize,
}

/// The first quads of rows and of columns of the block `cube` of a product whose rows have `row_quads`. Blocks go
/// down first.
#[cube]
fn block_of(cube: usize, row_quads: usize, #[comptime] block: Block) -> (usize, usize) {
    let high = comptime!(block.rows / 4);
    let down = row_quads.div_ceil(high);
    (
        cube % down * high,
        cube / down * comptime!(block.columns / 4),
    )
}

/// The `r`th quad of rows of which this unit has sums.
#[cube]
pub(crate) fn row_quad_of(
    row_quad0: usize,
    #[comptime] r: usize,
    #[comptime] block: Block,
) -> usize {
    let step = UNIT_POS as usize / comptime!(block.lanes());
    row_quad0 + step + comptime!(r * block.steps())
}

/// The `j`th quad of columns of which this unit has sums.
#[cube]
pub(crate) fn quad_of_unit(quad0: usize, #[comptime] j: usize, #[comptime] block: Block) -> usize {
    let lane = UNIT_POS as usize % comptime!(block.lanes());
    quad0 + lane + comptime!(j * block.lanes())
}

/// What a unit has of a block of a product of columns: [`Block::sum_of_columns`] says where each of its sums is.
#[derive(CubeType)]
pub(crate) struct Sums {
    pub sums: Array<Quad>,
    /// The first quads of rows and of columns of the block.
    pub row_quad0: usize,
    pub quad0: usize,
}

/// The block `cube` of `a' b`, over the lines of both from `begin` on, none of them past `end`.
#[cube]
pub(crate) fn columns_by_columns<N: Size>(
    a: &[Vector<f32, N>],
    b: &[Vector<f32, N>],
    a_is: &Columns,
    b_is: &Columns,
    cube: usize,
    begin: usize,
    end: usize,
    #[comptime] block: Block,
) -> Sums {
    let (row_quad0, quad0) = block_of(cube, a_is.quads, block);
    let lanes = comptime!(block.lanes());
    let steps = comptime!(block.steps());
    let high = comptime!(block.rows / 4);
    let wide = comptime!(block.columns / 4);
    let a_side = comptime!(block.chunk * high);
    let b_side = comptime!(block.chunk * wide);
    let unit_row_quads = comptime!(block.unit_rows / 4);
    let unit_quads = comptime!(block.unit_columns / 4);
    let mut a_shared = Shared::<[Quad]>::new_slice(comptime!(block.sides() * a_side));
    let mut b_shared = Shared::<[Quad]>::new_slice(comptime!(block.sides() * b_side));
    let lane = UNIT_POS as usize % lanes;
    let step = UNIT_POS as usize / lanes;

    let mut sums = zeros(comptime!(block.unit_rows * unit_quads));
    let mut of_a = zeros(comptime!(block.reads(a_side)));
    let mut of_b = zeros(comptime!(block.reads(b_side)));
    bring::<N>(
        &mut of_a,
        a,
        a_is.from,
        begin,
        end,
        row_quad0,
        a_is.quads,
        block.chunk,
        high,
        block,
    );
    bring::<N>(
        &mut of_b,
        b,
        b_is.from,
        begin,
        end,
        quad0,
        b_is.quads,
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
            block.chunk,
            high,
            high,
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
    let mut k0 = begin;
    while k0 < end {
        if comptime!(!block.double) {
            sync_cube();
            put(&mut a_shared, &of_a, 0usize, block.chunk, high, high, block);
            put(&mut b_shared, &of_b, 0usize, block.chunk, wide, wide, block);
            sync_cube();
        }
        // The next are on their way while these are summed; past the last nothing is read.
        k0 += block.chunk;
        bring::<N>(
            &mut of_a,
            a,
            a_is.from,
            k0,
            end,
            row_quad0,
            a_is.quads,
            block.chunk,
            high,
            block,
        );
        bring::<N>(
            &mut of_b,
            b,
            b_is.from,
            k0,
            end,
            quad0,
            b_is.quads,
            block.chunk,
            wide,
            block,
        );
        let from_a = side * a_side + step;
        let from_b = side * b_side + lane;
        for k in 0..block.chunk {
            let mut w = Array::<Quad>::new(unit_quads);
            #[unroll]
            for j in 0..unit_quads {
                w[j] = b_shared[from_b + k * wide + comptime!(j * lanes)];
            }
            #[unroll]
            for r in 0..unit_row_quads {
                let v = a_shared[from_a + k * high + comptime!(r * steps)];
                #[unroll]
                for i in 0..4usize {
                    #[unroll]
                    for j in 0..unit_quads {
                        let at = comptime!(block.sum_of_columns(r, i, j));
                        sums[at] = fma(w[j], Quad::new(v.extract(i)), sums[at]);
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
                block.chunk,
                high,
                high,
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
    Sums {
        sums,
        row_quad0,
        quad0,
    }
}

/// Stores the sums in a matrix of `row_quads` quads of rows.
#[cube]
pub(crate) fn store_sums<N: Size>(
    to: &mut [Vector<f32, N>],
    to_is: &Columns,
    row_quads: usize,
    of: &Sums,
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
                if row_quad < row_quads && quad < to_is.quads {
                    let at = to_is.from + (row_quad * 4 + i) * to_is.quads + quad;
                    store::<N>(to, at, of.sums[comptime!(block.sum_of_columns(r, i, j))]);
                }
            }
        }
    }
}

/// So many quads of zeros.
#[cube]
pub(crate) fn zeros(#[comptime] length: usize) -> Array<Quad> {
    let mut zeros = Array::<Quad>::new(length);
    #[unroll]
    for i in 0..length {
        zeros[i] = Quad::new(0.0);
    }
    zeros
}

/// What a unit brings into shared memory of a matrix that begins at the quad `matrix` and has `quads` a line: `lines`
/// lines from `line0` on, none of them past `end`, of each `across` quads from `quad0` on.
#[cube]
pub(crate) fn bring<N: Size>(
    to: &mut Array<Quad>,
    from: &[Vector<f32, N>],
    matrix: usize,
    line0: usize,
    end: usize,
    quad0: usize,
    quads: usize,
    #[comptime] lines: usize,
    #[comptime] across: usize,
    #[comptime] block: Block,
) {
    let units = comptime!(block.units());
    #[unroll]
    for n in 0..comptime!(block.reads(lines * across)) {
        let e = UNIT_POS as usize + comptime!(n * units);
        let line = line0 + e / across;
        let quad = quad0 + e % across;
        let mut value = Quad::new(0.0);
        if line < end && quad < quads {
            value = quad_of::<N>(from, matrix + line * quads + quad);
        }
        to[n] = value;
    }
}

/// Puts what [`bring`] brought into shared memory from `side` on, where lines are `pitch` quads apart.
#[cube]
pub(crate) fn put(
    shared: &mut Shared<[Quad]>,
    from: &Array<Quad>,
    side: usize,
    #[comptime] lines: usize,
    #[comptime] across: usize,
    #[comptime] pitch: usize,
    #[comptime] block: Block,
) {
    let units = comptime!(block.units());
    #[unroll]
    for n in 0..comptime!(block.reads(lines * across)) {
        let e = UNIT_POS as usize + comptime!(n * units);
        if e < comptime!(lines * across) {
            shared[side + e / across * pitch + e % across] = from[n];
        }
    }
}

/// The quad at `at` of what is read four numbers at once.
#[cube]
pub(crate) fn quad_of<N: Size>(from: &[Vector<f32, N>], at: usize) -> Quad {
    crate::read::<f32, N>(from, at * 4, 0usize, 4usize)
}

/// Stores a quad at `at`.
#[cube]
pub(crate) fn store<N: Size>(to: &mut [Vector<f32, N>], at: usize, value: Quad) {
    crate::write::<f32, N>(to, value, at * 4, 0usize, 4usize);
}
