use cpu_kernels::{
    Context, ConvShape, Isa, Precision, conv2d, conv2d_backward_input, conv2d_backward_weight,
    reference,
};

use super::compare::{assert_within, to_f64};
use super::random::Random;
use super::{new_context, seeds};

/// Compares the three passes with the reference. The bounds are root-mean-square errors over
/// root-mean-square values: of the output and of both gradients.
#[track_caller]
fn assert_agrees(context: &Context, shape: &ConvShape, random: &mut Random, bounds: [f64; 3]) {
    // Values of one sign, so that long sums do not cancel to a scale below their rounding.
    let x = random.positive_values(shape.input_len());
    let w = random.values(shape.weight_len());
    let dy = random.positive_values(shape.output_len());
    let (x64, w64, dy64) = (to_f64(&x), to_f64(&w), to_f64(&dy));
    let case = &(context.isa(), context.precision(), shape);

    let mut y = vec![f32::NAN; shape.output_len()];
    conv2d(context, shape, &x, &w, &mut y).unwrap();
    let no_bias = vec![0.0; shape.bias_len()];
    assert_within(
        bounds[0],
        case,
        &y,
        &reference::conv2d(shape, &x64, &w64, &no_bias),
    );

    let mut dx = vec![f32::NAN; shape.input_len()];
    conv2d_backward_input(context, shape, &w, &dy, &mut dx).unwrap();
    let expected = reference::conv2d_backward_input(shape, &w64, &dy64);
    assert_within(bounds[1], case, &dx, &expected);

    let mut dw = vec![f32::NAN; shape.weight_len()];
    conv2d_backward_weight(context, shape, &x, &dy, &mut dw).unwrap();
    let expected = reference::conv2d_backward_weight(shape, &x64, &dy64);
    assert_within(bounds[2], case, &dw, &expected);
}

/// The instruction sets of this processor.
fn available() -> impl Iterator<Item = Isa> {
    Isa::ALL.into_iter().filter(|isa| isa.is_available())
}

#[test]
fn direct_convolution_agrees_with_the_reference_on_every_instruction_set() {
    for isa in available() {
        for seed in seeds() {
            let context = new_context(isa, Precision::Exact);
            let random = &mut Random::new(seed);
            let shape = random.conv_shape();
            assert_agrees(&context, &shape, random, [1e-6; 3]);
        }
    }
}

#[test]
fn winograd_convolution_agrees_with_the_reference_on_every_instruction_set() {
    for isa in available() {
        for seed in seeds() {
            let context = new_context(isa, Precision::Fast);
            let random = &mut Random::new(seed);
            let shape = random.winograd_shape();
            assert_agrees(&context, &shape, random, [1e-5, 1e-5, 2e-5]);
        }
    }
}

#[test]
fn large_images_and_many_channels_agree_with_the_reference() {
    for isa in available() {
        let context = Context::with(1, Precision::Exact, isa).unwrap();
        let random = &mut Random::new(1);
        for (input, weight, stride) in [
            ([2, 16, 33, 31], [7, 16, 3, 3], 1),
            ([2, 24, 45, 40], [5, 24, 5, 5], 2),
            ([1, 1, 5, 301], [2, 1, 5, 5], 1),
            ([3, 4, 6, 6], [37, 4, 3, 3], 1),
        ] {
            let shape = ConvShape::new(input, weight, stride, 2).unwrap();
            assert_agrees(&context, &shape, random, [1e-6; 3]);
        }
    }
}
