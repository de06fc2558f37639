//! Muon's step for many filters at once (Jordan, 2024, <https://kellerjordan.github.io/posts/muon>).
//!
//! A filter is a matrix of `rows` by `columns`. Its direction over its norm is `x`, turned where that makes the rows
//! the shorter side, and each iteration of Newton and Schulz makes it `a x + (b x x' + c (x x')^2) x`. A kernel of them
//! takes all filters: their matrices lie one after the other in a buffer, and a table says where. The sides are
//! filled up with zeros to multiples of four, which are zeros after every product too.
//!
//! Every product here is one of columns by columns, for which `product` of this crate has the loop: `x x'` is made of the
//! turned `x`, which is therefore kept beside `x`; `x x'` and its polynomial are symmetric.
//!
//! | file | what it holds |
//! | --- | --- |
//! | here | a filter's step, and the order of kernels |
//! | `ends` | what stands before and after the products: momenta, norms, weights |
//! | `iteration` | the products of an iteration |

mod ends;
mod iteration;

use cpu_kernels::MuonStep;
use cubecl::prelude::*;

use crate::Buffer;
use ends::Ends;

/// The most filters of a kernel, whose source has a few lines for each.
const MOST: usize = 32;

/// A filter's step of Muon: what it reads, and room for what it writes.
#[derive(Clone, Debug)]
pub struct Step {
    weight: Buffer,
    gradient: Buffer,
    momentum: Buffer,
    rows: usize,
    settings: MuonStep,
    /// The weight after the step, once [`muon`] has made it.
    pub new_weight: Buffer,
    /// The momentum after the step, once [`muon`] has made it.
    pub new_momentum: Buffer,
}

impl Step {
    /// A step whose results are still to be made, for a filter of so many rows. All three buffers, the weight, its
    /// gradient and its momentum, are equally long.
    #[must_use]
    pub fn new(
        client: &Client,
        [weight, gradient, momentum]: [Buffer; 3],
        rows: usize,
        settings: MuonStep,
    ) -> Self {
        let [new_weight, new_momentum] = if stays(&settings) {
            [weight.clone(), Buffer::new(client, weight.length)]
        } else {
            Buffer::several(client, [weight.length; 2])
        };
        Self {
            weight,
            gradient,
            momentum,
            rows: rows.max(1),
            settings,
            new_weight,
            new_momentum,
        }
    }

    /// Columns of the filter's matrix.
    fn columns(&self) -> usize {
        self.weight.length.div_ceil(self.rows)
    }

    /// Quads of its shorter side, and of its longer one.
    fn quads(&self) -> [usize; 2] {
        let [rows, columns] = [self.rows, self.columns()].map(|side| side.div_ceil(4));
        [rows.min(columns), rows.max(columns)]
    }

    /// Numbers of its `x`.
    fn length(&self) -> usize {
        let [short, long] = self.quads();
        16 * short * long
    }

    /// What is the same for all steps of a kernel.
    fn kind(&self) -> [usize; 4] {
        let settings = &self.settings;
        [
            usize::from(settings.nesterov),
            usize::from(settings.rescale),
            usize::from(stays(settings)),
            settings.newton_schulz_steps,
        ]
    }
}

/// Whether the weights stay as they are: with a rate of 0 they are trained no more, and rescaling would move them.
fn stays(settings: &MuonStep) -> bool {
    settings.lr == 0.0
}

/// A filter's place in the table of a kernel.
#[derive(CubeLaunch, CubeType, Clone, Copy)]
struct Filter {
    rows: u32,
    columns: u32,
    /// The quad at which its `x` begins, turned or not.
    x: u32,
    /// The quad at which its square matrices begin.
    square: u32,
    /// The first of its blocks, of those of all filters.
    block: u32,
}

/// Where the matrices of several filters lie.
struct Layout {
    /// For each filter its rows and columns, the quads at which its `x` and its square matrices begin, and the quads
    /// of its shorter and of its longer side.
    filters: Vec<([usize; 4], [usize; 2])>,
    /// Quads of all `x`, and of all square matrices.
    quads: [usize; 2],
}

impl Layout {
    fn new(steps: &[Step]) -> Self {
        let mut quads = [0; 2];
        let place = |step: &Step| {
            let [short, long] = step.quads();
            let of = [step.rows, step.columns(), quads[0], quads[1]];
            quads = [quads[0] + 4 * short * long, quads[1] + 4 * short * short];
            (of, [short, long])
        };
        let filters = steps.iter().map(place).collect();
        Self { filters, quads }
    }

    /// The table of a kernel, in which a filter of so many quads of its shorter and of its longer side has so many
    /// `blocks`; and how many all have.
    fn table(&self, blocks: impl Fn([usize; 2]) -> usize) -> (Vec<FilterLaunch>, usize) {
        let mut all = 0;
        let entry = |([rows, columns, x, square], sides): &([usize; 4], [usize; 2])| {
            let block = all;
            all += blocks(*sides);
            FilterLaunch::new(
                *rows as u32,
                *columns as u32,
                *x as u32,
                *square as u32,
                block as u32,
            )
        };
        let table = self.filters.iter().map(entry).collect();
        (table, all)
    }
}

/// How many of the first steps go at once: no more than kernels take, and than a buffer holds the matrices of.
fn at_once(client: &Client, steps: &[Step]) -> usize {
    let most = client.properties().memory.max_page_size / 4;
    let held = steps.iter().scan(0, |length, step| {
        *length += step.length() as u64;
        Some(*length)
    });
    let fit = held.take_while(|length| *length <= most).count();
    fit.clamp(1, MOST).min(steps.len())
}

/// Weights and momenta after a step of Muon, for several filters with a few kernels.
pub fn muon(client: &Client, steps: &[Step]) {
    let steps: Vec<Step> = (steps.iter())
        .filter(|step| step.weight.length > 0)
        .cloned()
        .collect();
    for alike in steps.chunk_by(|a, b| a.kind() == b.kind()) {
        let mut rest = alike;
        while !rest.is_empty() {
            let (now, later) = rest.split_at(at_once(client, rest));
            alike_steps(client, now);
            rest = later;
        }
    }
}

/// The steps of filters whose settings are of one kind.
fn alike_steps(client: &Client, steps: &[Step]) {
    let ends = Ends::new(client, steps);
    ends.momenta(client);
    let Some(settings) = steps.first().map(|step| step.settings) else {
        return;
    };
    if stays(&settings) {
        return;
    }
    let layout = Layout::new(steps);
    let [x, square] = layout.quads.map(|quads| 4 * quads);
    // Each in a reservation of its own, since a device may have none that holds all.
    let [mut x, turned, mut next] = [x; 3].map(|length| Buffer::new(client, length));
    let factor = Buffer::new(client, square);
    ends.matrices(client, &layout, [&x, &turned]);
    for _ in 0..settings.newton_schulz_steps {
        let gram = iteration::gram(client, &layout, &turned);
        iteration::polynomial(client, &layout, &gram, &factor);
        iteration::apply(client, &layout, &factor, &x, [&next, &turned]);
        std::mem::swap(&mut x, &mut next);
    }
    ends.weights(client, &layout, [&x, &turned]);
}
