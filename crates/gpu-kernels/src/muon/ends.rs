//! What stands before and after the products of Muon's step: momenta, norms, matrices and weights.

use cpu_kernels::MuonStep;
use cubecl::prelude::*;

use super::{Filter, Layout, Step};
use crate::moments::{END_UNITS, over_units};
use crate::{Buffer, UNITS, many};

// Sums go over all units of a cube.
const _: () = assert!(END_UNITS == UNITS);

/// Sums of squares of a part of a filter's numbers: of the direction, and of the weights.
const SQUARES: usize = 2;

/// The steps of several filters, and the squares that two kernels of them share.
pub(super) struct Ends<'a> {
    steps: &'a [Step],
    /// Sums of squares, `[filters, parts, 2]`.
    squares: Buffer,
    /// Cubes of a filter, each of which has a part of its numbers.
    parts: usize,
    nesterov: bool,
    rescale: bool,
}

/// The direction of a number's step.
#[cube]
fn direction(gradient: f32, momentum: f32, factor: f32, #[comptime] nesterov: bool) -> f32 {
    let mut direction = momentum;
    if comptime!(nesterov) {
        direction = fma(factor, momentum, gradient);
    }
    direction
}

/// The norm of the `nth` kind of a filter's numbers, for all units of a cube.
#[cube]
fn norm(
    squares: &[f32],
    filter: usize,
    parts: usize,
    shared: &mut Shared<[f32]>,
    #[comptime] nth: usize,
) -> f32 {
    let mut sum = 0.0f32;
    let mut part = UNIT_POS as usize;
    while part < parts {
        sum += squares[(filter * parts + part) * SQUARES + nth];
        part += END_UNITS;
    }
    over_units(sum, shared).sqrt()
}

#[cube(launch_unchecked)]
fn muon_momenta_kernel(
    weight: &Sequence<Box<[f32]>>,
    gradient: &Sequence<Box<[f32]>>,
    momentum: &Sequence<Box<[f32]>>,
    new_momentum: &mut Sequence<Box<[f32]>>,
    squares: &mut [f32],
    factor: &Sequence<f32>,
    filter0: u32,
    #[comptime] nesterov: bool,
    #[comptime] filters: usize,
) {
    let mut shared = Shared::<[f32]>::new_slice(END_UNITS);
    let mut of_direction = 0.0f32;
    let mut of_weight = 0.0f32;
    #[unroll]
    for i in 0..filters {
        if CUBE_POS_Y == i as u32 {
            let weight = weight.index(i);
            let gradient = gradient.index(i);
            let momentum = momentum.index(i);
            let new_momentum = new_momentum.index_mut(i);
            let stride = (CUBE_COUNT_X * CUBE_DIM_X) as usize;
            let mut at = (CUBE_POS_X * CUBE_DIM_X + UNIT_POS_X) as usize;
            while at < new_momentum.len() {
                let g = gradient[at];
                let w = weight[at];
                let v = fma(factor[i], momentum[at], g);
                let d = direction(g, v, factor[i], nesterov);
                new_momentum[at] = v;
                of_direction = fma(d, d, of_direction);
                of_weight = fma(w, w, of_weight);
                at += stride;
            }
        }
    }
    let of_direction = over_units(of_direction, &mut shared);
    let of_weight = over_units(of_weight, &mut shared);
    if UNIT_POS == 0 {
        let filter = (filter0 + CUBE_POS_Y) as usize;
        let at = (filter * CUBE_COUNT_X as usize + CUBE_POS_X as usize) * SQUARES;
        squares[at] = of_direction;
        squares[at + 1] = of_weight;
    }
}

#[cube(launch_unchecked)]
fn muon_matrices_kernel(
    gradient: &Sequence<Box<[f32]>>,
    momentum: &Sequence<Box<[f32]>>,
    squares: &[f32],
    x: &mut [f32],
    turned: &mut [f32],
    table: &Sequence<Filter>,
    factor: &Sequence<f32>,
    filter0: u32,
    parts: u32,
    epsilon: f32,
    #[comptime] nesterov: bool,
    #[comptime] filters: usize,
) {
    let mut shared = Shared::<[f32]>::new_slice(END_UNITS);
    let filter = (filter0 + CUBE_POS_Y) as usize;
    let norm = norm(squares, filter, parts as usize, &mut shared, 0usize) + epsilon;
    #[unroll]
    for i in 0..filters {
        if CUBE_POS_Y == i as u32 {
            let gradient = gradient.index(i);
            let momentum = momentum.index(i);
            let filter = table.index(i);
            let rows = filter.rows as usize;
            let columns = filter.columns as usize;
            let from = filter.x as usize * 4;
            let down = rows.div_ceil(4usize) * 4;
            let across = columns.div_ceil(4usize) * 4;
            let stride = (CUBE_COUNT_X * CUBE_DIM_X) as usize;
            let mut at = (CUBE_POS_X * CUBE_DIM_X + UNIT_POS_X) as usize;
            while at < down * across {
                let row = at / across;
                let column = at % across;
                let place = row * columns + column;
                let mut value = 0.0f32;
                if column < columns && place < gradient.len() {
                    value = direction(gradient[place], momentum[place], factor[i], nesterov) / norm;
                }
                let other = column * down + row;
                if rows <= columns {
                    x[from + at] = value;
                    turned[from + other] = value;
                } else {
                    x[from + other] = value;
                    turned[from + at] = value;
                }
                at += stride;
            }
        }
    }
}

#[cube(launch_unchecked)]
fn muon_weights_kernel(
    weight: &Sequence<Box<[f32]>>,
    new_weight: &mut Sequence<Box<[f32]>>,
    squares: &[f32],
    x: &[f32],
    turned: &[f32],
    table: &Sequence<Filter>,
    lr: &Sequence<f32>,
    kept: &Sequence<f32>,
    filter0: u32,
    parts: u32,
    #[comptime] rescale: bool,
    #[comptime] filters: usize,
) {
    let mut shared = Shared::<[f32]>::new_slice(END_UNITS);
    let mut of_weight = 1.0f32;
    if comptime!(rescale) {
        let filter = (filter0 + CUBE_POS_Y) as usize;
        of_weight = norm(squares, filter, parts as usize, &mut shared, 1usize);
    }
    #[unroll]
    for i in 0..filters {
        if CUBE_POS_Y == i as u32 {
            let weight = weight.index(i);
            let new_weight = new_weight.index_mut(i);
            let filter = table.index(i);
            let columns = filter.columns as usize;
            let from = filter.x as usize * 4;
            let across = columns.div_ceil(4usize) * 4;
            let wide = filter.rows <= filter.columns;
            let wanted = f32::cast_from(filter.rows).sqrt();
            let stride = (CUBE_COUNT_X * CUBE_DIM_X) as usize;
            let mut at = (CUBE_POS_X * CUBE_DIM_X + UNIT_POS_X) as usize;
            while at < new_weight.len() {
                let place = from + at / columns * across + at % columns;
                let update = if wide { x[place] } else { turned[place] };
                let mut w = weight[at];
                if comptime!(rescale) {
                    w = w * wanted / of_weight;
                }
                new_weight[at] = fma(-lr[i], update, w * kept[i]);
                at += stride;
            }
        }
    }
}

impl<'a> Ends<'a> {
    /// The ends of steps that are of one kind.
    pub fn new(client: &Client, steps: &'a [Step]) -> Self {
        let longest = steps.iter().map(Step::length).max();
        let parts = many::across(longest.unwrap_or(0));
        let is = |of: fn(&MuonStep) -> bool| steps.first().is_some_and(|step| of(&step.settings));
        Self {
            steps,
            squares: Buffer::new(client, steps.len() * parts * SQUARES),
            parts,
            nesterov: is(|settings| settings.nesterov),
            rescale: is(|settings| settings.rescale),
        }
    }

    /// The steps that kernels of `shared` buffers, and of `buffers` more for each filter, take at once, each time with
    /// the place of the first.
    fn at_once(
        &self,
        client: &Client,
        shared: usize,
        buffers: usize,
    ) -> impl Iterator<Item = (usize, &'a [Step])> {
        let most = many::at_once_beside(client, shared, buffers);
        let steps = self.steps.chunks(most).enumerate();
        steps.map(move |(nth, steps)| (nth * most, steps))
    }

    fn shape(&self, filters: usize) -> (CubeCount, CubeDim) {
        (
            CubeCount::new_2d(self.parts as u32, filters as u32),
            CubeDim::new_1d(UNITS as u32),
        )
    }

    /// Makes the momenta, and the squares of directions and weights.
    pub fn momenta(&self, client: &Client) {
        for (first, steps) in self.at_once(client, 1, 4) {
            let of = |buffer: fn(&Step) -> &Buffer| {
                steps.iter().map(|step| buffer(step).argument(1)).collect()
            };
            let (count, dim) = self.shape(steps.len());
            // SAFETY: for each filter the kernel stays below the length that its four buffers have, and each cube
            // writes its part of the squares.
            unsafe {
                muon_momenta_kernel::launch_unchecked(
                    client,
                    count,
                    dim,
                    of(|step| &step.weight),
                    of(|step| &step.gradient),
                    of(|step| &step.momentum),
                    of(|step| &step.new_momentum),
                    self.squares.argument(1),
                    factors(steps),
                    first as u32,
                    self.nesterov,
                    steps.len(),
                );
            }
        }
    }

    /// Makes `x` of the momenta, as it stands and turned, into `to`.
    pub fn matrices(&self, client: &Client, layout: &Layout, to: [&Buffer; 2]) {
        for (first, steps) in self.at_once(client, 3, 2) {
            let of = |buffer: fn(&Step) -> &Buffer| {
                steps.iter().map(|step| buffer(step).argument(1)).collect()
            };
            let (table, _) = layout.table(|_| 0);
            let (count, dim) = self.shape(steps.len());
            // SAFETY: for each filter the kernel reads below the length that its two buffers have, and writes below its
            // sides filled up, which are there from where the table has it begin.
            unsafe {
                muon_matrices_kernel::launch_unchecked(
                    client,
                    count,
                    dim,
                    of(|step| &step.gradient),
                    of(|step| &step.new_momentum),
                    self.squares.argument(1),
                    to[0].argument(1),
                    to[1].argument(1),
                    table.into_iter().skip(first).take(steps.len()).collect(),
                    factors(steps),
                    first as u32,
                    self.parts as u32,
                    MuonStep::EPSILON as f32,
                    self.nesterov,
                    steps.len(),
                );
            }
        }
    }

    /// Makes the weights by what the iterations made of `x`, as it stands and turned.
    pub fn weights(&self, client: &Client, layout: &Layout, of_x: [&Buffer; 2]) {
        for (first, steps) in self.at_once(client, 3, 2) {
            let scalars = |scalar: fn(&MuonStep) -> f64| {
                let all = steps.iter().map(|step| scalar(&step.settings) as f32);
                all.collect()
            };
            let (table, _) = layout.table(|_| 0);
            let (count, dim) = self.shape(steps.len());
            // SAFETY: for each filter the kernel stays below the length that its two buffers have, which is at most its
            // rows times its columns, and reads `x` below its sides, from where the table has it begin.
            unsafe {
                muon_weights_kernel::launch_unchecked(
                    client,
                    count,
                    dim,
                    (steps.iter()).map(|step| step.weight.argument(1)).collect(),
                    (steps.iter())
                        .map(|step| step.new_weight.argument(1))
                        .collect(),
                    self.squares.argument(1),
                    of_x[0].argument(1),
                    of_x[1].argument(1),
                    table.into_iter().skip(first).take(steps.len()).collect(),
                    scalars(|settings| settings.lr),
                    scalars(|settings| 1.0 - settings.lr * settings.weight_decay),
                    first as u32,
                    self.parts as u32,
                    self.rescale,
                    steps.len(),
                );
            }
        }
    }
}

fn factors(steps: &[Step]) -> SequenceArg<f32> {
    let factors = steps.iter().map(|step| step.settings.momentum as f32);
    factors.collect()
}
