//! Times ways to cut a convolution's work, for the layers of our networks.
//!
//! cargo run -p gpu-kernels --example sweep -- BATCH [NAME] > sweep.txt

use std::time::Instant;

use cubecl::prelude::*;
use gpu_kernels::Buffer;
use gpu_kernels::conv::{
    After, Shape, convolve, convolve_back, convolve_back_with, convolve_with, forward, weight_gradient,
    weight_gradient_with, weights,
};

const LAYERS: [(&str, [usize; 6]); 15] = [
    // Name; height, in, out, size, stride, padding.
    ("r20-stem", [32, 3, 16, 3, 1, 1]),
    ("r20-16", [32, 16, 16, 3, 1, 1]),
    ("r20-16-32", [32, 16, 32, 3, 2, 1]),
    ("r20-32", [16, 32, 32, 3, 1, 1]),
    ("r20-64", [8, 64, 64, 3, 1, 1]),
    ("r18-64", [32, 64, 64, 3, 1, 1]),
    ("r18-64-128", [32, 64, 128, 3, 2, 1]),
    ("r18-128", [16, 128, 128, 3, 1, 1]),
    ("r18-256", [8, 256, 256, 3, 1, 1]),
    ("r18-512", [4, 512, 512, 3, 1, 1]),
    ("air-24-64", [31, 24, 64, 3, 1, 1]),
    ("air-64-256", [15, 64, 256, 3, 1, 1]),
    ("air-256", [7, 256, 256, 3, 1, 1]),
    ("simple-2", [14, 6, 16, 5, 1, 0]),
    ("linear", [1, 400, 120, 1, 1, 0]),
];

fn seconds(client: &Client, mut f: impl FnMut()) -> f64 {
    let wait = || cubecl::future::block_on(client.sync()).expect("the device runs");
    f();
    wait();
    let mut repeats = 1;
    loop {
        let begin = Instant::now();
        for _ in 0..repeats {
            f();
        }
        wait();
        let elapsed = begin.elapsed().as_secs_f64();
        if elapsed > 0.02 {
            return elapsed / f64::from(repeats);
        }
        repeats = ((0.025 / elapsed.max(1e-6)) * f64::from(repeats)).ceil() as i32;
    }
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let batch: usize = arguments.next().map_or(128, |n| n.parse().expect("a batch"));
    let filter = arguments.next().unwrap_or_default();
    let what = arguments.next().unwrap_or_default();
    let client = cubecl::Device::default().client();
    let random = |length: usize| {
        let values: Vec<f32> = (0..length).map(|i| ((i * 7919 % 1000) as f32) / 1000.0 - 0.5).collect();
        Buffer { handle: client.create_from_slice(f32::as_bytes(&values)), length }
    };
    for (name, [side, from, to, size, stride, padding]) in LAYERS {
        if !name.starts_with(&filter) {
            continue;
        }
        let shape = Shape { batch, height: side, width: side, in_channels: from, out_channels: to, size, stride, padding };
        let out = shape.out_height();
        let x = random(batch * side * side * from);
        let w = random(from * to * size * size);
        let dy = random(batch * out * out * to);
        let flops = 2.0 * (batch * out * out * from * to * size * size) as f64;
        let report = |what: &str, how: String, s: f64| {
            println!("{name:12} {what:4} {:8.1} us {:7.2} TFLOP/s {how}", s * 1e6, flops / s * 1e-12);
        };
        report("y", "chosen".into(), seconds(&client, || drop(convolve(&client, &x, &w, After::NOTHING, &shape))));
        report("dx", "chosen".into(), seconds(&client, || drop(convolve_back(&client, &dy, &w, None, &shape))));
        report("dw", "chosen".into(), seconds(&client, || drop(weight_gradient(&client, &x, &dy, &shape))));
        for (back, channels_out, channels_in, edge) in [(false, to, from, out), (true, from, to, side)] {
            if !what.contains(if back { 'x' } else { 'y' }) {
                continue;
            }
            let mut results = Vec::new();
            let pixels: &[[usize; 3]] = match edge {
                1 => &[[32, 1, 1], [64, 1, 1], [128, 1, 1]],
                2..=4 => &[[4, 4, 4], [8, 4, 4]],
                5..=8 => &[[1, 8, 8], [2, 8, 8]],
                _ => &[[1, 8, 8], [1, 8, 16], [1, 16, 16]],
            };
            for &[images, rows, columns] in pixels {
                for channels in [16, 32, 64, 128] {
                    if channels > channels_out.next_multiple_of(16) {
                        continue;
                    }
                    for (unit_pixels, unit_channels) in [(4, 4), (8, 4), (8, 8), (16, 4)] {
                        for chunk in [8, 16] {
                            if chunk > channels_in.next_multiple_of(4) {
                                continue;
                            }
                            let unit_columns = unit_pixels.min(columns);
                            let unit_rows = unit_pixels / unit_columns;
                            let tile = forward::Tile { images, rows, columns, channels, unit_columns, unit_rows, unit_channels, chunk };
                            let units = images * rows * columns / unit_pixels * (channels / unit_channels);
                            let s = if back { 1 } else { stride };
                            let halo = |n: usize| (n - 1) * s + size;
                            let bytes = 16 * (images * halo(rows) * halo(columns) * (chunk / 4 + 1) + size * size * (chunk * channels / 4 + 1));
                            if !(64..=256).contains(&units) || bytes > 48 << 10 {
                                continue;
                            }
                            let time = if back {
                                seconds(&client, || drop(convolve_back_with(&client, &dy, &w, None, &shape, tile)))
                            } else {
                                seconds(&client, || drop(convolve_with(&client, &x, &w, After::NOTHING, &shape, tile)))
                            };
                            results.push((time, format!("{tile:?}")));
                        }
                    }
                }
            }
            results.sort_by(|a, b| a.0.total_cmp(&b.0));
            for (time, how) in results.into_iter().take(4) {
                report(if back { "dx" } else { "y" }, how, time);
            }
        }
        if !what.contains('w') {
            continue;
        }
        let mut results = Vec::new();
        let pixels: &[[usize; 3]] = match out {
            1 => &[[32, 1, 1], [64, 1, 1]],
            2..=4 => &[[4, 4, 4], [8, 4, 4]],
            5..=8 => &[[1, 8, 8], [2, 8, 8]],
            _ => &[[1, 8, 8], [1, 8, 16], [1, 16, 8]],
        };
        for &[images, rows, columns] in pixels {
            for (in_channels, out_channels) in [(16, 16), (32, 16), (16, 32), (32, 32), (64, 32)] {
                for groups in [1, 2, 4] {
                    for cubes in [256, 1024] {
                        let tile = weights::Tile {
                            images,
                            rows,
                            columns,
                            in_channels: in_channels.min(from.next_multiple_of(4)),
                            out_channels: out_channels.min(to.next_multiple_of(4)),
                            groups,
                        };
                        let units = tile.in_channels / 4 * (tile.out_channels / 4) * size * groups;
                        let halo = |n: usize| (n - 1) * stride + size;
                        let reduce = if groups > 1 { tile.in_channels * tile.out_channels / 4 * size * size } else { 0 };
                        let bytes = 16 * (images * halo(rows) * halo(columns) * tile.in_channels / 4 + images * rows * columns * tile.out_channels / 4 + reduce);
                        if !(48..=512).contains(&units) || bytes > 48 << 10 || groups > images * rows {
                            continue;
                        }
                        let time = seconds(&client, || drop(weight_gradient_with(&client, &x, &dy, &shape, tile, cubes)));
                        results.push((time, format!("{tile:?} {cubes}")));
                    }
                }
            }
        }
        results.sort_by(|a, b| a.0.total_cmp(&b.0));
        for (time, how) in results.into_iter().take(4) {
            report("dw", how, time);
        }
    }
}
