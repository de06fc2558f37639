use cpu_kernels::{Context, reference, relu, relu_backward};

use crate::compare::to_f64;
use crate::random::Random;

#[test]
fn the_rectifier_and_its_gradient_equal_the_reference() {
    let context = Context::new(1).unwrap();
    for len in [0, 1, 7, 64, 100_003] {
        let random = &mut Random::new(len as u64);
        let (x, dy) = (random.values(len), random.values(len));
        let (mut y, mut dx) = (vec![f32::NAN; len], vec![f32::NAN; len]);
        relu(&context, &x, &mut y).unwrap();
        assert_eq!(to_f64(&y), reference::relu(&to_f64(&x)));
        relu_backward(&context, &y, &dy, &mut dx).unwrap();
        let expected = reference::relu_backward(&to_f64(&y), &to_f64(&dy));
        assert_eq!(to_f64(&dx), expected);
    }
}

#[test]
fn the_rectifier_keeps_nan() {
    let context = Context::new(1).unwrap();
    let mut y = [0.0; 2];
    relu(&context, &[f32::NAN, -1.0], &mut y).unwrap();
    assert!(y[0].is_nan());
    assert_eq!(y[1], 0.0);
}
