//! Products of matrices, one for each point.

use cubecl::prelude::*;

use crate::Quad;

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
        self.rows / self.unit_rows * (self.columns / self.unit_columns)
    }

    /// How many chunks shared memory holds.
    fn sides(&self) -> usize {
        if self.double { 2 } else { 1 }
    }

    /// Quads of a chunk of rows in shared memory, one of which stays free in each row, so that rows begin in
    /// different banks.
    fn row_quads(&self) -> usize {
        self.rows * self.pitch()
    }

    fn pitch(&self) -> usize {
        self.chunk / 4 + 1
    }

    /// Quads of which a unit brings a chunk of so many.
    fn reads(&self, quads: usize) -> usize {
        quads.div_ceil(self.units())
    }
}

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
    let lanes = comptime!(block.columns / block.unit_columns);
    let steps = comptime!(block.rows / block.unit_rows);
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
    let (of_rows, of_inner) = (point * rows, point * inner);

    let mut sums = zeros(comptime!(unit_rows * unit_quads));
    let mut of_a = zeros(comptime!(block.reads(block.rows * deep)));
    let mut of_b = zeros(comptime!(block.reads(block.chunk * wide)));
    bring::<N>(
        &mut of_a, a, of_rows, row0, rows, 0usize, a_quads, block.rows, deep, block,
    );
    bring::<N>(
        &mut of_b,
        b,
        of_inner,
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
            of_rows,
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
            of_inner,
            k0,
            inner,
            quad0,
            b_quads,
            block.chunk,
            wide,
            block,
        );
        let from_a = side * a_side + step * pitch;
        let from_b = side * b_side + lane;
        for quad in 0..deep {
            let mut values = Array::<Quad>::new(unit_rows);
            #[unroll]
            for i in 0..unit_rows {
                values[i] = a_shared[from_a + comptime!(i * steps * pitch) + quad];
            }
            #[unroll]
            for k in 0..4usize {
                #[unroll]
                for j in 0..unit_quads {
                    let w = b_shared[from_b + (quad * 4 + k) * wide + comptime!(j * lanes)];
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
    let lanes = comptime!(block.columns / block.unit_columns);
    let steps = comptime!(block.rows / block.unit_rows);
    let high = comptime!(block.rows / 4);
    let wide = comptime!(block.columns / 4);
    let a_side = comptime!(block.chunk * high);
    let b_side = comptime!(block.chunk * wide);
    let unit_row_quads = comptime!(block.unit_rows / 4);
    let unit_quads = comptime!(block.unit_columns / 4);
    let mut a_shared = Shared::<[Quad]>::new_slice(comptime!(block.sides() * a_side));
    let mut b_shared = Shared::<[Quad]>::new_slice(comptime!(block.sides() * b_side));

    let unit = UNIT_POS as usize;
    let lane = unit % lanes;
    let step = unit / lanes;
    let a_quads = rows as usize / 4;
    let b_quads = columns as usize / 4;
    let inner = inner as usize;
    let blocks_down = a_quads.div_ceil(high);
    let row0 = CUBE_POS_X as usize % blocks_down * high;
    let quad0 = CUBE_POS_X as usize / blocks_down * wide;
    let part = CUBE_POS_Y as usize;
    let point = CUBE_POS_Z as usize;
    let of_inner = point * inner;
    let begin = part * per_part as usize;
    let end = min(begin + per_part as usize, inner);

    let mut sums = zeros(comptime!(block.unit_rows * unit_quads));
    let mut of_a = zeros(comptime!(block.reads(a_side)));
    let mut of_b = zeros(comptime!(block.reads(b_side)));
    bring::<N>(
        &mut of_a,
        a,
        of_inner,
        begin,
        end,
        row0,
        a_quads,
        block.chunk,
        high,
        block,
    );
    bring::<N>(
        &mut of_b,
        b,
        of_inner,
        begin,
        end,
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
            of_inner,
            k0,
            end,
            row0,
            a_quads,
            block.chunk,
            high,
            block,
        );
        bring::<N>(
            &mut of_b,
            b,
            of_inner,
            k0,
            end,
            quad0,
            b_quads,
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
                        let at = comptime!((r * 4 + i) * unit_quads + j);
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
    let to = (part0 as usize + part) * CUBE_COUNT_Z as usize + point;
    #[unroll]
    for r in 0..unit_row_quads {
        let row_quad = row0 + step + comptime!(r * steps);
        #[unroll]
        for i in 0..4usize {
            #[unroll]
            for j in 0..unit_quads {
                let quad = quad0 + lane + comptime!(j * lanes);
                if row_quad < a_quads && quad < b_quads {
                    let row = (to * a_quads + row_quad) * 4 + i;
                    store::<N>(
                        c,
                        row * b_quads + quad,
                        sums[comptime!((r * 4 + i) * unit_quads + j)],
                    );
                }
            }
        }
    }
}

#[cube]
fn zeros(#[comptime] length: usize) -> Array<Quad> {
    let mut zeros = Array::<Quad>::new(length);
    #[unroll]
    for i in 0..length {
        zeros[i] = Quad::new(0.0);
    }
    zeros
}

/// What a unit brings of a matrix of `quads` a line into shared memory: `lines` lines from `line0` on, none of them
/// past `end`, of each `across` quads from `quad0` on.
#[cube]
fn bring<N: Size>(
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
            value = quad_of::<N>(from, (matrix + line) * quads + quad);
        }
        to[n] = value;
    }
}

/// Puts what [`bring`] brought into shared memory from `side` on, where lines are `pitch` quads apart.
#[cube]
fn put(
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
fn quad_of<N: Size>(from: &[Vector<f32, N>], at: usize) -> Quad {
    crate::read::<f32, N>(from, at * 4, 0usize, 4usize)
}

#[cube]
fn store<N: Size>(to: &mut [Vector<f32, N>], at: usize, value: Quad) {
    crate::write::<f32, N>(to, value, at * 4, 0usize, 4usize);
}
