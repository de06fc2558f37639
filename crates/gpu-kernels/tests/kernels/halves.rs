//! Images in half precision: how they are stored, and what kernels make of them.

use cubecl::prelude::Client;
use gpu_kernels::activation::Activation;
use gpu_kernels::conv::{
    After, Shape, Tile, convolve, convolve_back, convolve_moments, convolve_with, weight_gradient,
};
use gpu_kernels::norm::{Gate, normalize, normalize_back};
use gpu_kernels::{Buffer, Element, gradient_of, pool, stored_as, sums};

use crate::convolutions::reference;
use crate::{client, download, error, random, upload};

/// Random numbers that half precision holds.
fn coarse(seed: u64, length: usize) -> Vec<f32> {
    let round = |value: f32| (value * 1024.0).round() / 1024.0;
    random(seed, length).into_iter().map(round).collect()
}

fn halved(client: &Client, values: &[f32]) -> Buffer {
    stored_as(client, upload(client, values), Element::Half)
}

/// Numbers of a buffer of either kind.
fn values(client: &Client, buffer: Buffer) -> Vec<f32> {
    download(client, &stored_as(client, buffer, Element::Single))
}

/// Those of a gradient, of a batch of so many.
fn gradient(client: &Client, buffer: Buffer, batch: usize) -> Vec<f32> {
    download(client, &gradient_of(client, buffer, batch, Element::Single))
}

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().copied().map(f64::from).collect()
}

#[test]
fn what_half_precision_holds_comes_back_and_what_it_cannot_is_the_largest_that_it_can() {
    let client = client();
    for length in [1, 7, 4_096, 4_097] {
        let numbers = coarse(length as u64, length);
        let stored = halved(&client, &numbers);
        assert_eq!((stored.length, stored.element), (length, Element::Half));
        assert_eq!(values(&client, stored), numbers);
    }
    let numbers = [1e6, -1e6, 65_504.0, -70_000.0, 1.0 + 1.0 / 4_096.0, 0.0];
    let expected = [65_504.0, -65_504.0, 65_504.0, -65_504.0, 1.0, 0.0];
    assert_eq!(values(&client, halved(&client, &numbers)), expected);
}

#[test]
fn small_gradients_are_kept_and_those_of_an_image_alone_do_not_depend_on_the_batch() {
    let client = client();
    // The gradient of a mean over the batch is that of an image's own loss over the batch's size.
    for batch in [1, 100, 2_048] {
        let by_image = [200.0, 1.0, -3e-4, 2.5e-7];
        let dy: Vec<f32> = by_image.iter().map(|g| g / batch as f32).collect();
        let stored = gradient_of(&client, upload(&client, &dy), batch, Element::Half);
        let e = gradient(&client, stored, batch);
        for (found, expected) in e.iter().zip(&dy) {
            assert!(((found - expected) / expected).abs() < 5e-4, "{e:?}");
        }
        let lost = values(&client, halved(&client, &[2.5e-9]));
        assert_eq!(lost, [0.0]);
    }
}

/// A convolution as it stands and by Winograd's algorithm; channels that are read one by one and four at once.
#[test]
fn convolutions_of_rounded_numbers_equal_loops() {
    let client = client();
    for (batch, size, ci, co, k, stride) in [
        (3, 9, 3, 6, 5, 1),
        (2, 8, 16, 32, 3, 2),
        (9, 15, 128, 132, 3, 1),
    ] {
        let shape = Shape {
            batch,
            height: size,
            width: size,
            in_channels: ci,
            out_channels: co,
            size: k,
            stride,
            padding: 1,
        };
        let large = ci > 100;
        let pixels = batch * shape.out_height() * shape.out_width();
        let x = coarse(1, batch * size * size * ci);
        let w = random(2, ci * co * k * k);
        let dy: Vec<f32> = (coarse(3, pixels * co).iter())
            .map(|g| g / batch as f32 / 16.0)
            .collect();
        let (bx, bw) = (halved(&client, &x), upload(&client, &w));
        let bdy = gradient_of(&client, upload(&client, &dy), batch, Element::Half);
        // What is stored counts: a batch that is no power of two leaves digits behind.
        let dy = gradient(&client, bdy.clone(), batch);
        let [y_, dx_, dw_] = reference(&shape, &x, &w, &dy);

        let y = convolve(&client, &bx, &bw, After::NOTHING, &shape);
        assert_eq!(y.element, Element::Half);
        let e = error(&values(&client, y), &y_);
        assert!((1e-5..3e-4).contains(&e), "{shape:?}: forward {e}");
        let dx = convolve_back(&client, &bdy, &bw, None, &shape);
        assert_eq!(dx.element, Element::Half);
        let e = error(&gradient(&client, dx, batch), &dx_);
        assert!((1e-5..3e-4).contains(&e), "{shape:?}: by data {e}");
        let dw = weight_gradient(&client, &bx, &bdy, &shape).added(&client);
        assert_eq!(dw.element, Element::Single);
        let e = error(&download(&client, &dw), &dw_);
        let bound = if large { 5e-6 } else { 1e-6 };
        assert!(e < bound, "{shape:?}: by weights {e}");
        let bias = sums(&client, &bdy, None, co, batch).added(&client);
        let of_channel = |c: usize| dy.iter().skip(c).step_by(co).map(|g| f64::from(*g)).sum();
        let expected: Vec<f64> = (0..co).map(of_channel).collect();
        let e = error(&download(&client, &bias), &expected);
        assert!(e < 1e-5, "{shape:?}: by biases {e}");
    }
}

/// The moments of a convolution are those of its sums before they are rounded.
#[test]
fn moments_and_normalisations_are_computed_in_single_precision() {
    let client = client();
    let (batch, size, channels) = (4, 6, 8);
    let shape = Shape {
        batch,
        height: size,
        width: size,
        in_channels: channels,
        out_channels: channels,
        size: 3,
        stride: 1,
        padding: 1,
    };
    let x = coarse(1, batch * size * size * channels);
    let w = random(2, channels * channels * 9);
    let (gamma, beta) = (random(3, channels), random(4, channels));
    let dy: Vec<f32> = coarse(5, x.len()).iter().map(|g| g / 8.0).collect();
    let [bw, bg, bb] = [&w, &gamma, &beta].map(|values| upload(&client, values));
    let both = [Element::Single, Element::Half].map(|element| {
        let x = stored_as(&client, upload(&client, &x), element);
        let dy = gradient_of(&client, upload(&client, &dy), batch, element);
        let (y, moments) = convolve_moments(&client, &x, &bw, &shape, &bg, &bb, 1e-5);
        // What follows the same numbers: those that were rounded.
        let y = stored_as(&client, stored_as(&client, y, Element::Half), element);
        let z = normalize(&client, &y, &moments.affine, None, Activation::Gelu);
        let of = [&moments.mean, &moments.variance];
        let gate = Gate::Own(Activation::Gelu);
        let affine = Some(&moments.affine);
        let by = normalize_back(&client, &dy, &y, of, &bg, affine, None, gate, 1e-5, batch);
        let single = [&moments.mean, &moments.variance, &by.gamma, &by.beta];
        let [mean, variance, by_gamma, by_beta] = single.map(|buffer| download(&client, buffer));
        let by_x = gradient(&client, by.x, batch);
        let of_half = [values(&client, z), by_x];
        ([mean, variance, by_gamma, by_beta], of_half)
    });
    let [(single, of_single), (half, of_half)] = both;
    for (half, single) in half.iter().zip(&single) {
        let e = error(half, &wide(single));
        assert!(e < 2e-6, "{e}");
    }
    for (half, single) in of_half.iter().zip(&of_single) {
        let e = error(half, &wide(single));
        assert!((1e-5..3e-4).contains(&e), "{e}");
    }
}

#[test]
fn pools_of_halves_are_those_of_the_same_numbers() {
    let client = client();
    let (batch, size, channels) = (2, 4, 6);
    let x = coarse(1, batch * size * size * channels);
    let [single, half] = [Element::Single, Element::Half].map(|element| {
        let x = stored_as(&client, upload(&client, &x), element);
        let of = [size, size, channels];
        let (maxima, places) = pool::max_pool(&client, &x, of, 2, None, Activation::Relu);
        let back = pool::max_pool_back(&client, &maxima, None, &places, of, 2);
        let (largest, at) = pool::max(&client, &x, size * size, channels);
        let to = pool::max_back(&client, &largest, &at, size * size, channels);
        let all = [maxima, back, largest, to];
        assert!(all.iter().all(|buffer| buffer.element == element));
        // Sixteen numbers of ten bits have a mean of fourteen, which rounds.
        let mean = pool::mean(&client, &x, size * size, channels);
        (
            all.map(|buffer| values(&client, buffer)),
            values(&client, mean),
        )
    });
    assert_eq!(single.0, half.0);
    let e = error(&half.1, &wide(&single.1));
    assert!(e < 3e-4, "{e}");
}

/// The shape of [`convolutions_of_rounded_numbers_equal_loops`] that is to be computed so.
#[test]
fn the_large_convolution_of_these_tests_goes_by_winograds_algorithm() {
    let client = client();
    let shape = Shape {
        batch: 9,
        height: 15,
        width: 15,
        in_channels: 128,
        out_channels: 132,
        size: 3,
        stride: 1,
        padding: 1,
    };
    let x = halved(&client, &coarse(1, 9 * 15 * 15 * 128));
    let w = upload(&client, &random(2, 128 * 132 * 9));
    let tile = Tile::chosen(&client, &shape, false);
    let chosen = convolve(&client, &x, &w, After::NOTHING, &shape);
    let plain = convolve_with(&client, &x, &w, After::NOTHING, &shape, tile);
    // Rounding hides most of the difference between both ways, and not all of it.
    assert_ne!(values(&client, chosen), values(&client, plain));
}
