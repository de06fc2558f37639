//! Times ways to cut a convolution's work, for layers of our networks.
//!
//!     cargo run --package gpu-kernels --features wgpu --example tiles -- [BATCH] [NAME] [yxwph]
//!
//! prints the time of the layers whose names begin with `NAME`, as [`Tile`] and [`WeightTile`] are
//! chosen, and of the best four ways forward (`y`), backward by the input (`x`) and by the weights
//! (`w`), and at the points of Winograd's algorithm (`p`); with `h`, of images in half precision.

use std::error::Error;
use std::time::Instant;

use cubecl::prelude::*;
use gpu_kernels::conv::{
    After, Shape, Tile, WeightTile, convolve, convolve_at_points, convolve_back,
    convolve_back_with, convolve_with, points, weight_gradient, weight_gradient_at_points,
    weight_gradient_with,
};
use gpu_kernels::winograd::{Block, Points};
use gpu_kernels::{Buffer, Element, stored_as};

/// Names; height, input and output channels, filters' size, stride and padding.
const LAYERS: [(&str, [usize; 6]); 17] = [
    ("resnet20-stem", [32, 3, 16, 3, 1, 1]),
    ("resnet20-16", [32, 16, 16, 3, 1, 1]),
    ("resnet20-16-32", [32, 16, 32, 3, 2, 1]),
    ("resnet20-32", [16, 32, 32, 3, 1, 1]),
    ("resnet20-64", [8, 64, 64, 3, 1, 1]),
    ("resnet18-64", [32, 64, 64, 3, 1, 1]),
    ("resnet18-64-128", [32, 64, 128, 3, 2, 1]),
    ("resnet18-128", [16, 128, 128, 3, 1, 1]),
    ("resnet18-256", [8, 256, 256, 3, 1, 1]),
    ("resnet18-512", [4, 512, 512, 3, 1, 1]),
    ("airbench94-24-64", [31, 24, 64, 3, 1, 1]),
    ("airbench94-64-256", [15, 64, 256, 3, 1, 1]),
    ("airbench94-64", [15, 64, 64, 3, 1, 1]),
    ("airbench94-256", [7, 256, 256, 3, 1, 1]),
    ("airbench94-256-3", [3, 256, 256, 3, 1, 1]),
    ("simple_cnn-2", [14, 6, 16, 5, 1, 0]),
    ("linear", [1, 400, 120, 1, 1, 0]),
];

/// The most shared memory that is tried, in bytes.
const MOST_SHARED: usize = 48 << 10;

type Outcome<T> = Result<T, Box<dyn Error>>;

/// Seconds that one call takes, over enough of them.
fn seconds(client: &Client, mut call: impl FnMut() -> Buffer) -> Outcome<f64> {
    let wait = || cubecl::future::block_on(client.sync());
    call();
    wait()?;
    let mut repeats = 1.0;
    loop {
        let begin = Instant::now();
        for _ in 0..repeats as usize {
            call();
        }
        wait()?;
        let elapsed = begin.elapsed().as_secs_f64();
        if elapsed > 0.02 {
            return Ok(elapsed / repeats);
        }
        repeats = (repeats * 0.025 / elapsed.max(1e-6)).ceil();
    }
}

/// A layer with numbers to compute on.
struct Layer {
    name: &'static str,
    shape: Shape,
    x: Buffer,
    weight: Buffer,
    dy: Buffer,
}

impl Layer {
    fn new(
        client: &Client,
        batch: usize,
        name: &'static str,
        of: [usize; 6],
        element: Element,
    ) -> Self {
        let [side, in_channels, out_channels, size, stride, padding] = of;
        let shape = Shape {
            batch,
            height: side,
            width: side,
            in_channels,
            out_channels,
            size,
            stride,
            padding,
        };
        let numbers = |length: usize| {
            let values: Vec<f32> = (0..length)
                .map(|i| (i * 7919 % 1000) as f32 / 1000.0 - 0.5)
                .collect();
            Buffer {
                handle: client.create_from_slice(f32::as_bytes(&values)),
                length,
                element: Element::Single,
            }
        };
        let images = |length: usize| stored_as(client, numbers(length), element);
        Self {
            name,
            shape,
            x: images(batch * side * side * in_channels),
            weight: numbers(in_channels * out_channels * size * size),
            dy: images(batch * shape.out_height() * shape.out_width() * out_channels),
        }
    }

    fn report(&self, what: &str, how: &str, seconds: f64) {
        let s = &self.shape;
        let products = s.batch * s.out_height() * s.out_width() * s.in_channels * s.out_channels;
        let operations = 2.0 * (products * s.size * s.size) as f64;
        let (name, time) = (self.name, seconds * 1e6);
        let speed = operations / seconds * 1e-12;
        println!("{name:18} {what:2} {time:9.1} us {speed:7.2} TFLOP/s {how}");
    }

    fn report_best(&self, what: &str, mut results: Vec<(f64, String)>) {
        results.sort_by(|a, b| a.0.total_cmp(&b.0));
        for (time, how) in results.into_iter().take(6) {
            self.report(what, &how, time);
        }
    }

    fn chosen(&self, client: &Client) -> Outcome<()> {
        let (x, weight, dy, shape) = (&self.x, &self.weight, &self.dy, &self.shape);
        let y = || convolve(client, x, weight, After::NOTHING, shape);
        self.report("y", "chosen", seconds(client, y)?);
        let dx = || convolve_back(client, dy, weight, None, shape);
        self.report("dx", "chosen", seconds(client, dx)?);
        let dw = || weight_gradient(client, x, dy, shape).added(client);
        self.report("dw", "chosen", seconds(client, dw)?);
        Ok(())
    }

    /// Blocks of products at the points.
    fn blocks(&self, client: &Client) -> Outcome<()> {
        let (x, weight, dy, shape) = (&self.x, &self.weight, &self.dy, &self.shape);
        let chosen = points(client, shape);
        let (mut of_y, mut of_dw) = (Vec::new(), Vec::new());
        for (rows, columns) in [(128, 128), (64, 128), (128, 64), (64, 64)] {
            for (unit_rows, unit_columns) in [(8, 8), (8, 4), (4, 8)] {
                for (chunk, double) in [(8, false), (16, false), (32, false), (8, true), (16, true)]
                {
                    let block = Block {
                        rows,
                        columns,
                        unit_rows,
                        unit_columns,
                        chunk,
                        double,
                    };
                    if !(64..=256).contains(&block.units()) {
                        continue;
                    }
                    let cut = Points {
                        product: block,
                        gradient: block,
                        ..chosen
                    };
                    let how = format!("{block:?}");
                    let y = || convolve_at_points(client, x, weight, After::NOTHING, shape, &cut);
                    of_y.push((seconds(client, y)?, how.clone()));
                    let dw = || weight_gradient_at_points(client, x, dy, shape, &cut);
                    of_dw.push((seconds(client, dw)?, how));
                }
            }
        }
        self.report_best("y", of_y);
        self.report_best("dw", of_dw);
        Ok(())
    }

    fn tiles(&self, client: &Client, back: bool) -> Outcome<()> {
        let shape = &self.shape;
        let (side, from, to) = if back {
            (shape.height, shape.out_channels, shape.in_channels)
        } else {
            (shape.out_height(), shape.in_channels, shape.out_channels)
        };
        let mut results = Vec::new();
        for tile in tiles(Tile::chosen(client, shape, back), side, from, to) {
            if !(32..=256).contains(&tile.units()) || tile.shared(shape, back) > MOST_SHARED {
                continue;
            }
            let time = if back {
                let (dy, weight) = (&self.dy, &self.weight);
                seconds(client, || {
                    convolve_back_with(client, dy, weight, None, shape, tile)
                })?
            } else {
                let (x, weight, after) = (&self.x, &self.weight, After::NOTHING);
                seconds(client, || {
                    convolve_with(client, x, weight, after, shape, tile)
                })?
            };
            results.push((time, format!("{tile:?}")));
        }
        self.report_best(if back { "dx" } else { "y" }, results);
        Ok(())
    }

    fn weight_tiles(&self, client: &Client) -> Outcome<()> {
        let (x, dy, shape) = (&self.x, &self.dy, &self.shape);
        let mut results = Vec::new();
        for tile in weight_tiles(WeightTile::chosen(client, shape).0, shape) {
            if !(32..=512).contains(&tile.units(shape)) || tile.shared(shape) > MOST_SHARED {
                continue;
            }
            for cubes in [256, 528, 1056] {
                let time = seconds(client, || {
                    weight_gradient_with(client, x, dy, shape, tile, cubes).added(client)
                })?;
                results.push((time, format!("{tile:?} {cubes}")));
            }
        }
        self.report_best("dw", results);
        Ok(())
    }
}

/// The tile that is chosen and those that fit a side of so many pixels, each with other depths, and with
/// reads ahead.
fn tiles(chosen: Tile, side: usize, from: usize, to: usize) -> Vec<Tile> {
    // Images, rows and columns of a tile; rows, columns and channels of a unit; channels of a tile.
    let fitting: &[([usize; 3], [usize; 3], usize)] = match side {
        1 => &[([32, 1, 1], [4, 1, 4], 32), ([64, 1, 1], [4, 1, 4], 32)],
        4 => &[
            ([4, 4, 4], [2, 4, 8], 128),
            ([4, 4, 4], [2, 4, 8], 64),
            ([8, 4, 4], [2, 4, 8], 64),
            ([2, 4, 4], [2, 4, 8], 128),
        ],
        8 => &[
            ([1, 8, 8], [1, 8, 8], 128),
            ([1, 8, 8], [1, 8, 8], 64),
            ([1, 8, 8], [1, 8, 4], 64),
        ],
        3 => &[
            ([16, 3, 3], [3, 3, 8], 128),
            ([16, 3, 3], [3, 3, 4], 64),
            ([32, 3, 3], [3, 3, 8], 64),
            ([16, 3, 3], [2, 3, 8], 64),
        ],
        7 => &[
            ([2, 7, 7], [1, 7, 8], 128),
            ([4, 7, 7], [1, 7, 8], 64),
            ([4, 7, 7], [2, 7, 4], 64),
            ([8, 7, 7], [2, 7, 4], 32),
        ],
        15 => &[
            ([1, 15, 15], [1, 15, 4], 64),
            ([1, 5, 15], [1, 15, 4], 128),
            ([1, 15, 15], [1, 15, 8], 128),
            ([1, 15, 15], [1, 5, 8], 32),
        ],
        _ => &[],
    };
    let mut bases = vec![chosen];
    for &([images, rows, columns], [unit_rows, unit_columns, unit_channels], channels) in fitting {
        bases.push(Tile {
            images,
            rows,
            columns,
            channels: channels.min(to.next_multiple_of(4 * unit_channels)),
            unit_columns,
            unit_rows,
            unit_channels,
            ..chosen
        });
    }
    let mut tiles = Vec::new();
    for base in bases {
        for chunk in [4, 8, 16] {
            if chunk <= from.next_multiple_of(4) {
                tiles.push(Tile { chunk, ..base });
                tiles.push(Tile {
                    chunk,
                    ahead: true,
                    ..base
                });
            }
        }
    }
    tiles
}

/// As [`tiles`], for gradients by weights.
fn weight_tiles(chosen: WeightTile, shape: &Shape) -> Vec<WeightTile> {
    let fitting: &[[usize; 3]] = match shape.out_height() {
        1 => &[[64, 1, 1]],
        3 => &[[8, 3, 3], [16, 3, 3]],
        4 => &[[8, 4, 4]],
        7 => &[[1, 7, 7], [2, 7, 7]],
        8 => &[[2, 8, 8]],
        15 => &[[1, 5, 15], [1, 8, 15]],
        _ => &[[1, 4, 16], [1, 8, 16]],
    };
    let mut bases = vec![chosen];
    bases.extend(fitting.iter().map(|&[images, rows, columns]| WeightTile {
        images,
        rows,
        columns,
        ..chosen
    }));
    let ahead = bases.iter().map(|&tile| WeightTile {
        ahead: true,
        ..tile
    });
    bases.iter().copied().chain(ahead.clone()).collect()
}

fn main() -> Outcome<()> {
    let mut arguments = std::env::args().skip(1);
    let batch = arguments.next().map_or(Ok(128), |n| n.parse())?;
    let begins = arguments.next().unwrap_or_default();
    let what = arguments.next().unwrap_or_default();
    let element = if what.contains('h') {
        Element::Half
    } else {
        Element::Single
    };
    let client = cubecl::Device::default().client();
    for (name, of) in LAYERS {
        if !name.starts_with(&begins) {
            continue;
        }
        let layer = Layer::new(&client, batch, name, of, element);
        layer.chosen(&client)?;
        for back in [false, true] {
            if what.contains(if back { 'x' } else { 'y' }) {
                layer.tiles(&client, back)?;
            }
        }
        if what.contains('w') {
            layer.weight_tiles(&client)?;
        }
        if what.contains('p') {
            layer.blocks(&client)?;
        }
    }
    Ok(())
}
