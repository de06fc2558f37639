//! Convolutions forward, backward by the input and backward by the weights.

use gpu_kernels::activation::Activation;
use gpu_kernels::conv::{
    After, Around, Input, Shape, Tile, WeightTile, convolve, convolve_at_points, convolve_back,
    convolve_back_at_points, convolve_back_with, convolve_with, weight_gradient,
    weight_gradient_at_points, weight_gradient_with,
};
use gpu_kernels::winograd::{Block, Points};

use crate::{client, download, error, random, upload};

/// Forward, by data and by weights, in double precision.
pub(crate) fn reference(shape: &Shape, x: &[f32], w: &[f32], dy: &[f32]) -> [Vec<f64>; 3] {
    let s = shape;
    let (oh, ow) = (s.out_height(), s.out_width());
    let mut y = vec![0.0; s.batch * oh * ow * s.out_channels];
    let mut dx = vec![0.0; x.len()];
    let mut dw = vec![0.0; w.len()];
    for n in 0..s.batch {
        for r in 0..oh {
            for c in 0..ow {
                for kh in 0..s.size {
                    for kw in 0..s.size {
                        let (ih, iw) = (
                            (r * s.stride + kh) as isize - s.padding as isize,
                            (c * s.stride + kw) as isize - s.padding as isize,
                        );
                        if ih < 0 || iw < 0 || ih >= s.height as isize || iw >= s.width as isize {
                            continue;
                        }
                        let at_x =
                            ((n * s.height + ih as usize) * s.width + iw as usize) * s.in_channels;
                        let at_y = ((n * oh + r) * ow + c) * s.out_channels;
                        for o in 0..s.out_channels {
                            for i in 0..s.in_channels {
                                let at_w = ((o * s.in_channels + i) * s.size + kh) * s.size + kw;
                                y[at_y + o] += f64::from(x[at_x + i]) * f64::from(w[at_w]);
                                dx[at_x + i] += f64::from(dy[at_y + o]) * f64::from(w[at_w]);
                                dw[at_w] += f64::from(dy[at_y + o]) * f64::from(x[at_x + i]);
                            }
                        }
                    }
                }
            }
        }
    }
    [y, dx, dw]
}

#[test]
fn equal_loops() {
    let client = client();
    for (seed, (batch, size, ci, co, k, stride, padding)) in [
        (3, [8, 8], 16, 16, 3, 1, 1),
        (2, [9, 7], 3, 6, 5, 1, 0),
        (2, [9, 9], 16, 32, 3, 2, 1),
        (2, [8, 8], 16, 32, 1, 2, 0),
        (5, [1, 1], 40, 21, 1, 1, 0),
        (2, [8, 6], 3, 24, 2, 1, 0),
        (1, [33, 20], 4, 36, 3, 1, 1),
        (2, [11, 10], 8, 12, 5, 2, 2),
        (2, [7, 7], 8, 12, 3, 2, 0),
        (2, [9, 10], 8, 12, 4, 3, 2),
    ]
    .into_iter()
    .enumerate()
    {
        let shape = Shape {
            batch,
            height: size[0],
            width: size[1],
            in_channels: ci,
            out_channels: co,
            size: k,
            stride,
            padding,
        };
        let x = random(seed as u64 + 1, batch * size[0] * size[1] * ci);
        let w = random(seed as u64 + 20, ci * co * k * k);
        let dy = random(
            seed as u64 + 40,
            batch * shape.out_height() * shape.out_width() * co,
        );
        let [y_, dx_, dw_] = reference(&shape, &x, &w, &dy);
        let [bx, bw, bdy] = [&x, &w, &dy].map(|v| upload(&client, v));
        let tile = Tile {
            images: 1,
            rows: 4,
            columns: 8,
            channels: 16,
            unit_columns: 4,
            unit_rows: 1,
            unit_channels: 4,
            chunk: 8,
            ahead: false,
        };
        // Reads ahead, units whose rows lie in two images, and of which there are no power of two.
        let odd = Tile {
            images: 2,
            rows: 3,
            columns: 7,
            unit_columns: 7,
            unit_rows: 2,
            ahead: true,
            ..tile
        };
        // Compilation for a software adapter takes most of the time.
        let is_odd = seed % 3 == 0;
        for tile in [tile, odd].into_iter().take(1 + usize::from(is_odd)) {
            let y = convolve_with(&client, &bx, &bw, After::NOTHING, &shape, tile);
            let e = error(&download(&client, &y), &y_);
            assert!(e < 1e-6, "{shape:?}: forward {e} {tile:?}");
            let dx = convolve_back_with(&client, &bdy, &bw, None, &shape, tile);
            let e = error(&download(&client, &dx), &dx_);
            assert!(e < 1e-6, "{shape:?}: by data {e} {tile:?}");
        }
        let e = error(
            &download(
                &client,
                &convolve(&client, &bx, &bw, After::NOTHING, &shape),
            ),
            &y_,
        );
        assert!(e < 1e-6, "{shape:?}: forward, chosen {e}");
        let e = error(
            &download(&client, &convolve_back(&client, &bdy, &bw, None, &shape)),
            &dx_,
        );
        assert!(e < 1e-6, "{shape:?}: by data, chosen {e}");
        let e = error(
            &download(
                &client,
                &weight_gradient(&client, &bx, &bdy, &shape).added(&client),
            ),
            &dw_,
        );
        assert!(e < 1e-6, "{shape:?}: by weights, chosen {e}");
        for groups in if stride > 1 {
            vec![]
        } else if k > 3 {
            vec![1]
        } else {
            vec![1, 2]
        } {
            let tile = WeightTile {
                images: 2,
                rows: 4,
                columns: 8,
                in_channels: 16,
                out_channels: 16,
                groups,
                ahead: false,
            };
            let odd = WeightTile {
                rows: 3,
                columns: 7,
                ahead: true,
                ..tile
            };
            for tile in [tile, odd].into_iter().take(1 + usize::from(is_odd)) {
                let dw = weight_gradient_with(&client, &bx, &bdy, &shape, tile, 4).added(&client);
                let e = error(&download(&client, &dw), &dw_);
                assert!(e < 1e-6, "{shape:?}: by weights {e} {tile:?}");
            }
        }
    }
}

/// What [`Input::affine`] does to images.
fn rectified(x: &[f32], affine: &[f32], channels: usize) -> Vec<f32> {
    let value = |(i, x): (usize, &f32)| {
        let channel = i % channels;
        x.mul_add(affine[channel], affine[channels + channel])
            .max(0.0)
    };
    x.iter().enumerate().map(value).collect()
}

#[test]
fn normalise_what_they_read_and_add_what_passes_a_gate() {
    let client = client();
    for (batch, channels) in [(3, 16), (2, 6)] {
        let shape = Shape {
            batch,
            height: 9,
            width: 7,
            in_channels: channels,
            out_channels: 12,
            size: 3,
            stride: 1,
            padding: 1,
        };
        let x = random(1, batch * 63 * channels);
        let affine = random(2, 2 * channels);
        let w = random(3, channels * 12 * 9);
        let dy = random(4, batch * 63 * 12);
        let seen = rectified(&x, &affine, channels);
        let [y_, dx_, dw_] = reference(&shape, &seen, &w, &dy);
        let [bx, ba, bw, bdy] = [&x, &affine, &w, &dy].map(|values| upload(&client, values));
        let input = Input {
            images: &bx,
            affine: Some(&ba),
        };
        let y = convolve(&client, input, &bw, After::NOTHING, &shape);
        let e = error(&download(&client, &y), &y_);
        assert!(e < 1e-6, "forward {e}");
        let dw = weight_gradient(&client, input, &bdy, &shape).added(&client);
        let e = error(&download(&client, &dw), &dw_);
        assert!(e < 1e-6, "by weights {e}");

        let (other, gate) = (random(5, x.len()), random(6, x.len()));
        let sum: Vec<f64> = (0..x.len())
            .map(|i| {
                dx_[i]
                    + if gate[i] > 0.0 {
                        f64::from(other[i])
                    } else {
                        0.0
                    }
            })
            .collect();
        let [bo, bg] = [&other, &gate].map(|values| upload(&client, values));
        let around = Around {
            images: &bo,
            gate: Some(&bg),
        };
        let dx = convolve_back(&client, &bdy, &bw, Some(around), &shape);
        let e = error(&download(&client, &dx), &sum);
        assert!(e < 1e-6, "by data {e}");
    }
}

/// Larger errors than the products as they stand have, since sums at the points cancel.
const AT_POINTS: f64 = 5e-6;

#[test]
fn at_points_equal_loops() {
    let client = client();
    for (seed, (batch, size, ci, co, padding, at_once)) in [
        (3, [8, 8], 16, 16, 1, 3),
        // Tiles that reach over the edge, and groups of two images and of one.
        (3, [7, 7], 32, 36, 1, 2),
        (5, [15, 9], 12, 8, 1, 2),
        (2, [3, 3], 132, 140, 1, 2),
        (9, [6, 10], 40, 68, 0, 4),
        (2, [12, 11], 8, 4, 2, 1),
        (40, [4, 4], 64, 64, 1, 40),
    ]
    .into_iter()
    .enumerate()
    {
        let shape = Shape {
            batch,
            height: size[0],
            width: size[1],
            in_channels: ci,
            out_channels: co,
            size: 3,
            stride: 1,
            padding,
        };
        let seed = seed as u64 * 10;
        let x = random(seed + 1, batch * size[0] * size[1] * ci);
        let affine = random(seed + 2, 2 * ci);
        let w = random(seed + 3, ci * co * 9);
        let pixels = batch * shape.out_height() * shape.out_width();
        let dy = random(seed + 4, pixels * co);
        let bias = random(seed + 5, co);
        let (other, gate) = (random(seed + 6, x.len()), random(seed + 7, x.len()));
        let [y_, dx_, dw_] = reference(&shape, &rectified(&x, &affine, ci), &w, &dy);
        let y_: Vec<f64> = (y_.iter().enumerate())
            .map(|(i, y)| (y + f64::from(bias[i % co])).max(0.0))
            .collect();
        let dx_: Vec<f64> = (dx_.iter().enumerate())
            .map(|(i, dx)| {
                dx + if gate[i] > 0.0 {
                    f64::from(other[i])
                } else {
                    0.0
                }
            })
            .collect();

        let [bx, ba, bw, bdy] = [&x, &affine, &w, &dy].map(|values| upload(&client, values));
        let [bb, bo, bg] = [&bias, &other, &gate].map(|values| upload(&client, values));
        let input = Input {
            images: &bx,
            affine: Some(&ba),
        };
        let after = After {
            bias: Some(&bb),
            activation: Activation::Relu,
            ..After::NOTHING
        };
        // Blocks that are cut in every way, some of which reach over the edge.
        let block = Block {
            rows: [64, 128][at_once % 2],
            columns: 32,
            unit_rows: [8, 4, 8][at_once % 3],
            unit_columns: [8, 8, 4][at_once % 3],
            chunk: [16, 8][at_once % 2],
            double: at_once.is_multiple_of(2),
        };
        let points = &Points {
            at_once,
            product: block,
            gradient: block,
        };
        let y = convolve_at_points(&client, input, &bw, after, &shape, points);
        let e = error(&download(&client, &y), &y_);
        assert!(e < AT_POINTS, "{shape:?}: forward {e}");
        let around = Some(Around {
            images: &bo,
            gate: Some(&bg),
        });
        let dx = convolve_back_at_points(&client, &bdy, &bw, around, &shape, points);
        let e = error(&download(&client, &dx), &dx_);
        assert!(e < AT_POINTS, "{shape:?}: by data {e}");
        let dw = weight_gradient_at_points(&client, input, &bdy, &shape, points);
        let e = error(&download(&client, &dw), &dw_);
        assert!(e < AT_POINTS, "{shape:?}: by weights {e}");
    }
}

/// A convolution that is large enough is made at the points, and gives what it gives otherwise.
#[test]
fn large_ones_equal_small_ones() {
    let client = client();
    let shape = Shape {
        batch: 9,
        height: 15,
        width: 17,
        in_channels: 128,
        out_channels: 132,
        size: 3,
        stride: 1,
        padding: 1,
    };
    let pixels = shape.batch * shape.height * shape.width;
    let [x, w, dy] = [(1, pixels * 128), (2, 128 * 132 * 9), (3, pixels * 132)]
        .map(|(seed, length)| upload(&client, &random(seed, length)));
    let wide = |values: Vec<f32>| values.into_iter().map(f64::from).collect::<Vec<_>>();
    let [tile, back] = [false, true].map(|back| Tile::chosen(&client, &shape, back));
    let (of_weights, cubes) = WeightTile::chosen(&client, &shape);

    let large = download(&client, &convolve(&client, &x, &w, After::NOTHING, &shape));
    let small = convolve_with(&client, &x, &w, After::NOTHING, &shape, tile);
    let e = error(&large, &wide(download(&client, &small)));
    assert!((1e-9..AT_POINTS).contains(&e), "forward {e}");
    let large = download(&client, &convolve_back(&client, &dy, &w, None, &shape));
    let small = convolve_back_with(&client, &dy, &w, None, &shape, back);
    let e = error(&large, &wide(download(&client, &small)));
    assert!((1e-9..AT_POINTS).contains(&e), "by data {e}");
    let large = weight_gradient(&client, &x, &dy, &shape).added(&client);
    let small = weight_gradient_with(&client, &x, &dy, &shape, of_weights, cubes).added(&client);
    let e = error(&download(&client, &large), &wide(download(&client, &small)));
    assert!((1e-9..AT_POINTS).contains(&e), "by weights {e}");
}
