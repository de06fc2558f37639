//! Means and variances by channel, of images and of what a convolution gives.

use gpu_kernels::conv::{After, Shape, convolve, convolve_moments};
use gpu_kernels::moments::{Moments, moments};

use crate::{client, download, error, random, upload};

const EPSILON: f32 = 1e-5;

/// Mean, variance, scale and shift by channel.
fn reference(values: &[f32], gamma: &[f32], beta: &[f32]) -> [Vec<f64>; 3] {
    let channels = gamma.len();
    let count = (values.len() / channels) as f64;
    let over = |f: &dyn Fn(usize, f64) -> f64| -> Vec<f64> {
        let mut sums = vec![0.0; channels];
        for (i, value) in values.iter().enumerate() {
            sums[i % channels] += f(i % channels, f64::from(*value));
        }
        sums.into_iter().map(|sum| sum / count).collect()
    };
    let mean = over(&|_, value| value);
    let variance = over(&|channel, value| (value - mean[channel]).powi(2));
    let scale: Vec<f64> = (0..channels)
        .map(|c| f64::from(gamma[c]) / (variance[c] + f64::from(EPSILON)).sqrt())
        .collect();
    let shift = (0..channels).map(|c| f64::from(beta[c]) - mean[c] * scale[c]);
    let affine = scale.iter().copied().chain(shift).collect();
    [mean, variance, affine]
}

fn assert_close(ours: &Moments, values: &[f32], gamma: &[f32], beta: &[f32]) {
    let client = client();
    let of = [&ours.mean, &ours.variance, &ours.affine];
    for (ours, theirs) in of.into_iter().zip(reference(values, gamma, beta)) {
        let e = error(&download(&client, ours), &theirs);
        assert!(
            e < 2e-6,
            "{} rows of {}: {e}",
            values.len() / gamma.len(),
            gamma.len()
        );
    }
}

#[test]
fn of_images_far_from_zero() {
    let client = client();
    for (rows, channels) in [(1, 8), (700, 5), (3000, 16), (129, 260), (17, 1100)] {
        let x: Vec<f32> = random(1, rows * channels)
            .iter()
            .map(|v| v * 0.5 + 20.0)
            .collect();
        let (gamma, beta) = (random(2, channels), random(3, channels));
        let [bx, bg, bb] = [&x, &gamma, &beta].map(|values| upload(&client, values));
        let ours = moments(&client, &bx, channels, &bg, &bb, EPSILON);
        if rows > 1 {
            assert_close(&ours, &x, &gamma, &beta);
        } else {
            assert!(download(&client, &ours.variance).iter().all(|v| *v == 0.0));
        }
    }
}

#[test]
fn of_what_a_convolution_gives() {
    let client = client();
    for (batch, side, from, to, stride) in [
        (3, 31, 8, 24, 1),
        (5, 9, 16, 10, 2),
        (9, 4, 12, 130, 1),
        (3, 15, 8, 72, 1),
        (21, 7, 12, 130, 1),
        (37, 3, 8, 130, 1),
    ] {
        let shape = Shape {
            batch,
            height: side,
            width: side,
            in_channels: from,
            out_channels: to,
            size: 3,
            stride,
            padding: 1,
        };
        let x = random(1, batch * side * side * from);
        let w = random(2, from * to * 9);
        let (gamma, beta) = (random(3, to), random(4, to));
        let [bx, bw, bg, bb] = [&x, &w, &gamma, &beta].map(|values| upload(&client, values));
        let (y, ours) = convolve_moments(&client, &bx, &bw, &shape, &bg, &bb, EPSILON);
        let y = download(&client, &y);
        let alone = convolve(&client, &bx, &bw, After::NOTHING, &shape);
        assert_eq!(
            y,
            download(&client, &alone),
            "taking moments changes nothing"
        );
        assert_close(&ours, &y, &gamma, &beta);
    }
}

#[test]
fn the_same_numbers_give_the_same_moments_again() {
    let client = client();
    let (x, gamma, beta) = (random(1, 40_000), random(2, 16), random(3, 16));
    let [bx, bg, bb] = [&x, &gamma, &beta].map(|values| upload(&client, values));
    let take = || {
        let ours = moments(&client, &bx, 16, &bg, &bb, EPSILON);
        download(&client, &ours.affine)
    };
    assert_eq!(take(), take());
}
