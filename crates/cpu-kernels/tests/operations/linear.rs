use cpu_kernels::{Context, Isa, LinearShape, Precision, linear, linear_backward, reference};

use super::compare::{assert_within, to_f64};
use super::random::Random;
use super::{new_context, seeds};

#[test]
fn linear_layers_agree_with_the_reference_on_every_instruction_set() {
    for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
        for seed in seeds() {
            let context = &new_context(isa, Precision::Exact);
            let random = &mut Random::new(seed);
            let shape = random.linear_shape();
            assert_agrees(context, &shape, random);
        }
    }
}

#[test]
fn the_layers_of_simple_cnn_agree_with_the_reference() {
    for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
        let context = &Context::with(1, Precision::Exact, isa).unwrap();
        let random = &mut Random::new(0);
        for (batch, inputs, outputs) in [(4, 400, 120), (128, 400, 120), (5, 84, 10), (1, 1, 1)] {
            let shape = LinearShape::new(batch, inputs, outputs).unwrap();
            assert_agrees(context, &shape, random);
        }
    }
}

#[track_caller]
fn assert_agrees(context: &Context, shape: &LinearShape, random: &mut Random) {
    let case = &(context.isa(), shape);
    // Values of one sign, so that long sums do not cancel to a scale below their rounding.
    let x = random.positive_values(shape.input_len());
    let w = random.positive_values(shape.weight_len());
    let b = random.values(shape.bias_len());
    let dy = random.positive_values(shape.output_len());
    let (x64, w64, b64) = (to_f64(&x), to_f64(&w), to_f64(&b));
    let expected = reference::linear(shape, &x64, &w64, &b64);

    let mut y = vec![f32::NAN; shape.output_len()];
    linear(context, shape, &x, &w, &b, false, &mut y).unwrap();
    assert_within(1e-6, case, &y, &expected);

    // A bias of minus the first output closes about half of the rectifiers.
    let closing: Vec<f32> = b.iter().map(|b| b - y[0]).collect();
    linear(context, shape, &x, &w, &closing, true, &mut y).unwrap();
    let shifted = reference::linear(shape, &x64, &w64, &to_f64(&closing));
    let error = |(&y, exact): (&f32, &f64)| (f64::from(y) - exact.max(0.0)).abs();
    let scale = expected.iter().copied().fold(1.0, f64::max);
    let greatest = y.iter().zip(&shifted).map(error).fold(0.0, f64::max);
    assert!(greatest <= 2e-6 * scale, "{case:?}: {greatest}");

    for gate in [None, Some(&*y)] {
        let gated = match gate {
            Some(gate) => reference::relu_backward(&to_f64(gate), &to_f64(&dy)),
            None => to_f64(&dy),
        };
        let (mut dx, mut dw, mut db) = (x.clone(), w.clone(), b.clone());
        linear_backward(context, shape, &x, &w, gate, &dy, &mut dx, &mut dw, &mut db).unwrap();
        assert_within(
            1e-6,
            case,
            &dx,
            &reference::linear_backward_input(shape, &w64, &gated),
        );
        assert_within(
            1e-6,
            case,
            &dw,
            &reference::linear_backward_weight(shape, &x64, &gated),
        );
        assert_within(
            1e-6,
            case,
            &db,
            &reference::linear_backward_bias(shape, &gated),
        );

        let (mut other_dw, mut other_db) = (w.clone(), b.clone());
        linear_backward(
            context,
            shape,
            &x,
            &w,
            gate,
            &dy,
            &mut [],
            &mut other_dw,
            &mut other_db,
        )
        .unwrap();
        assert_eq!((other_dw, other_db), (dw, db), "{case:?}");
    }
}

#[test]
fn the_rectifier_keeps_nan() {
    for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
        let context = &Context::with(1, Precision::Exact, isa).unwrap();
        let shape = &LinearShape::new(2, 3, 2).unwrap();
        let x = [1.0, f32::NAN, 1.0, -1.0, -1.0, -1.0];
        let mut y = [0.0; 4];
        linear(context, shape, &x, &[1.0; 6], &[0.0; 2], true, &mut y).unwrap();
        assert!(y[0].is_nan() && y[1].is_nan(), "{isa}");
        assert_eq!(y[2..], [0.0, 0.0], "{isa}");
    }
}
