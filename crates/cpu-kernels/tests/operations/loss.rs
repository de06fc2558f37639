use cpu_kernels::{LossShape, reference, softmax_cross_entropy};

use super::compare::{assert_close_on_scale, to_f64};
use super::random::Random;
use super::seeds;

#[test]
fn cross_entropy_and_its_gradient_agree_with_the_reference() {
    for seed in seeds() {
        let random = &mut Random::new(seed);
        let (batch, classes) = (random.size(1, 130), random.size(1, 100));
        let shape = LossShape::new(batch, classes).unwrap();
        let logits: Vec<f32> = random
            .values(shape.logits_len())
            .iter()
            .map(|logit| logit * 8.0)
            .collect();
        let labels: Vec<usize> = (0..batch).map(|_| random.size(0, classes - 1)).collect();
        let classes_of_rows: Vec<i32> = labels.iter().map(|&label| label as i32).collect();
        let smoothing = [0.0, 0.1, 1.0][random.size(0, 2)];
        let mut gradient = vec![f32::NAN; shape.logits_len()];
        let loss =
            softmax_cross_entropy(&shape, &logits, &classes_of_rows, smoothing, &mut gradient)
                .unwrap();
        let (expected_loss, expected_gradient) = reference::softmax_cross_entropy(
            &shape,
            &to_f64(&logits),
            &labels,
            f64::from(smoothing),
        );
        let error = (f64::from(loss) - expected_loss).abs();
        assert!(error <= 1e-6 * (1.0 + expected_loss), "{shape:?}: {error}");
        // Probabilities are at most one, and the gradient is their mean over the batch.
        let scale = 1.0 / batch as f64;
        assert_close_on_scale(&shape, &gradient, &expected_gradient, scale);
    }
}

#[test]
fn extreme_logits_do_not_overflow() {
    let shape = LossShape::new(1, 3).unwrap();
    let mut gradient = [f32::NAN; 3];
    let logits = [1e30, 0.0, -1e30];
    let loss = softmax_cross_entropy(&shape, &logits, &[0], 0.0, &mut gradient).unwrap();
    assert_eq!(loss, 0.0);
    assert_eq!(gradient, [0.0; 3]);
}
