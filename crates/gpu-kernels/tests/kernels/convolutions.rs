//! Convolutions forward, backward by the input and backward by the weights.

use gpu_kernels::conv::{
    After, Around, Input, Shape, Tile, WeightTile, convolve, convolve_back, convolve_back_with,
    convolve_with, weight_gradient, weight_gradient_with,
};

use crate::{client, download, error, random, upload};

/// Forward, by data and by weights, in double precision.
fn reference(shape: &Shape, x: &[f32], w: &[f32], dy: &[f32]) -> [Vec<f64>; 3] {
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
        };
        let y = convolve_with(&client, &bx, &bw, After::NOTHING, &shape, tile);
        let e = error(&download(&client, &y), &y_);
        assert!(e < 1e-6, "{shape:?}: forward {e}");
        let dx = convolve_back_with(&client, &bdy, &bw, None, &shape, tile);
        let e = error(&download(&client, &dx), &dx_);
        assert!(e < 1e-6, "{shape:?}: by data {e}");
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
            };
            let dw = weight_gradient_with(&client, &bx, &bdy, &shape, tile, 4).added(&client);
            let e = error(&download(&client, &dw), &dw_);
            assert!(e < 1e-6, "{shape:?}: by weights {e}");
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
