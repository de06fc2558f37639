use cpu_kernels::block::{Images, conv_pool};
use cpu_kernels::{Context, ConvPoolShape, Isa, Precision, reference};

use super::compare::{assert_within, to_f64};
use super::random::Random;
use super::{new_context, seeds};

/// What the forward pass writes.
fn forward(
    context: &Context,
    shape: &ConvPoolShape,
    x: Images,
    weight: &[f32],
    bias: &[f32],
) -> (Vec<f32>, Vec<u8>) {
    let mut y = vec![f32::NAN; shape.output_len()];
    let mut indices = vec![u8::MAX; shape.output_len()];
    conv_pool::forward(context, shape, x, weight, bias, &mut y, &mut indices).unwrap();
    (y, indices)
}

/// Images of planes, and the same images of pixels.
fn images(shape: &ConvPoolShape, planes: &[f32]) -> Vec<f32> {
    let [_, channels, height, width] = shape.input();
    let pixels = reference::to_pixels(channels, height * width, &to_f64(planes));
    pixels.iter().map(|&x| x as f32).collect()
}

#[test]
fn the_block_agrees_with_the_reference_on_every_instruction_set() {
    for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
        for seed in seeds() {
            let context = &new_context(isa, Precision::Exact);
            let random = &mut Random::new(seed);
            let shape = &random.conv_pool_shape();
            let case = &(isa, shape);
            // Values of one sign, so that long sums do not cancel to a scale below their rounding.
            let x = random.positive_values(shape.input_len());
            let weight = random.values(shape.weight_len());
            let bias = random.values(shape.bias_len());
            let dy = random.positive_values(shape.output_len());
            let (x64, w64, b64) = (to_f64(&x), to_f64(&weight), to_f64(&bias));

            let (y, indices) = forward(context, shape, Images::Planes(&x), &weight, &bias);
            let (expected, _) = reference::conv_pool(shape, &x64, &w64, &b64);
            assert_within(1e-6, case, &y, &expected);

            let pixels = images(shape, &x);
            let of_pixels = forward(context, shape, Images::Pixels(&pixels), &weight, &bias);
            assert_eq!(of_pixels, (y.clone(), indices.clone()), "{case:?}");

            let (mut dw, mut db) = (weight.clone(), bias.clone());
            let mut dx = vec![f32::NAN; shape.input_len()];
            conv_pool::backward(
                context,
                shape,
                Images::Planes(&x),
                &weight,
                &y,
                &indices,
                &dy,
                &mut dw,
                &mut db,
                &mut dx,
            )
            .unwrap();
            // Maxima that rounding makes equal may lie elsewhere in the reference.
            let (exact_dw, exact_db, exact_dx) =
                reference::conv_pool_backward(shape, &x64, &w64, &b64, &indices, &to_f64(&dy));
            assert_within(1e-6, case, &dw, &exact_dw);
            assert_within(1e-6, case, &db, &exact_db);
            assert_within(1e-6, case, &dx, &exact_dx);

            let (mut other_dw, mut other_db) = (weight.clone(), bias.clone());
            conv_pool::backward(
                context,
                shape,
                Images::Pixels(&pixels),
                &weight,
                &y,
                &indices,
                &dy,
                &mut other_dw,
                &mut other_db,
                &mut [],
            )
            .unwrap();
            assert_eq!((other_dw, other_db), (dw, db), "{case:?}");
        }
    }
}

#[test]
fn the_first_of_equal_maxima_wins_as_in_the_reference() {
    for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
        for seed in seeds() {
            let context = &new_context(isa, Precision::Exact);
            let random = &mut Random::new(seed);
            let shape = &random.conv_pool_shape();
            // Few different whole numbers: sums are exact, and many windows have several maxima.
            let whole = |values: Vec<f32>| -> Vec<f32> {
                values.iter().map(|value| (value * 1.5).round()).collect()
            };
            let x = whole(random.values(shape.input_len()));
            let weight = whole(random.values(shape.weight_len()));
            let bias = whole(random.values(shape.bias_len()));
            let (y, indices) = forward(context, shape, Images::Planes(&x), &weight, &bias);
            let expected =
                reference::conv_pool(shape, &to_f64(&x), &to_f64(&weight), &to_f64(&bias));
            assert_eq!((to_f64(&y), indices), expected, "{isa}, {shape:?}");
        }
    }
}

#[test]
fn a_nan_wins_over_every_number_and_passes_the_rectifier() {
    for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
        let context = &Context::with(1, Precision::Exact, isa).unwrap();
        let shape = &ConvPoolShape::new([1, 1, 4, 4], [1, 1, 1, 1], 2).unwrap();
        for place in 0..4 {
            let mut x = [1.0, f32::INFINITY, 3.0, -2.0].repeat(4);
            x[place / 2 * 4 + place % 2] = f32::NAN;
            let (y, indices) = forward(context, shape, Images::Planes(&x), &[1.0], &[0.0]);
            assert!(y[0].is_nan(), "{isa}, place {place}");
            assert_eq!(usize::from(indices[0]), place, "{isa}");
            assert_eq!(y[1..], [3.0, f32::INFINITY, 3.0]);
        }
    }
}

#[test]
fn gradients_that_are_not_finite_stay_within_their_window() {
    for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
        let context = &Context::with(1, Precision::Exact, isa).unwrap();
        let shape = &ConvPoolShape::new([1, 1, 8, 8], [1, 1, 2, 2], 7).unwrap();
        let mut x = vec![0.0; 64];
        x[9] = 1.0;
        let (weight, bias) = ([1.0, 0.5, 0.5, 0.5], [0.0]);
        let (y, indices) = forward(context, shape, Images::Planes(&x), &weight, &bias);
        let (mut dw, mut db, mut dx) = ([0.0; 4], [0.0], vec![f32::NAN; 64]);
        conv_pool::backward(
            context,
            shape,
            Images::Planes(&x),
            &weight,
            &y,
            &indices,
            &[f32::INFINITY],
            &mut dw,
            &mut db,
            &mut dx,
        )
        .unwrap();
        let spread: Vec<usize> = (0..64).filter(|&place| dx[place] != 0.0).collect();
        assert_eq!(spread, [9, 10, 17, 18], "{isa}");
    }
}
