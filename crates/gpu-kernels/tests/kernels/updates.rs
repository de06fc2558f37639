//! Updates of many tensors with a few kernels.

use cpu_kernels::{AdamWStep, SgdStep};
use gpu_kernels::moments::{Follow, follow};
use gpu_kernels::update::{ByMeans, Step, adamw, sgd};
use gpu_kernels::{add_parts, sums};

use super::{client, download, error, random, upload};

/// Lengths of more tensors than a kernel takes, one of them with more numbers than a row of cubes has units.
const LENGTHS: [usize; 37] = {
    let mut lengths = [1; 37];
    let mut i = 0;
    while i < 37 {
        lengths[i] = 1 + (i * 131) % 700;
        i += 1;
    }
    lengths[20] = 150_001;
    lengths
};

#[test]
fn a_step_of_many_tensors_is_the_step_of_each_with_its_own_settings() {
    let client = client();
    let settings = |i: usize| SgdStep {
        lr: 0.01 * (1 + i) as f32,
        momentum: 0.5 + 0.01 * i as f32,
        weight_decay: [0.0, 0.1][i % 2],
        nesterov: !(10..14).contains(&i),
    };
    let numbers: Vec<[Vec<f32>; 3]> = (LENGTHS.iter().enumerate())
        .map(|(i, &length)| [0, 1, 2].map(|part| random((3 * i + part) as u64, length)))
        .collect();
    let steps: Vec<Step> = (numbers.iter().enumerate())
        .map(|(i, numbers)| {
            let buffers = numbers.each_ref().map(|numbers| upload(&client, numbers));
            Step::new(&client, buffers, settings(i))
        })
        .collect();
    sgd(&client, &steps);
    for (i, (step, [weight, gradient, velocity])) in steps.iter().zip(&numbers).enumerate() {
        let SgdStep {
            lr,
            momentum,
            weight_decay,
            nesterov,
        } = settings(i);
        let [lr, momentum, weight_decay] = [lr, momentum, weight_decay].map(f64::from);
        let (mut new_weight, mut new_velocity) = (Vec::new(), Vec::new());
        for ((w, g), v) in weight.iter().zip(gradient).zip(velocity) {
            let (w, g, v) = (f64::from(*w), f64::from(*g), f64::from(*v));
            let g = g + weight_decay * w;
            let v = momentum * v + g;
            new_velocity.push(v);
            new_weight.push(w - lr * if nesterov { g + momentum * v } else { v });
        }
        assert!(
            error(&download(&client, &step.new_weight), &new_weight) < 1e-6,
            "{i}"
        );
        assert!(
            error(&download(&client, &step.new_velocity), &new_velocity) < 1e-6,
            "{i}"
        );
    }
}

#[test]
fn a_step_of_adamw_of_many_tensors_is_the_step_of_each_with_its_own_settings() {
    let client = client();
    let settings = |i: usize| AdamWStep {
        lr: 0.001 * (1 + i) as f32,
        beta1: 0.5 + 0.01 * i as f32,
        beta2: 0.9 + 0.001 * i as f32,
        epsilon: 1e-3,
        weight_decay: [0.0, 0.1][i % 2],
        shares: [0.5, 0.25],
    };
    let numbers: Vec<[Vec<f32>; 4]> = (LENGTHS.iter().enumerate())
        .map(|(i, &length)| {
            let [w, g, m, v] = [0, 1, 2, 3].map(|part| random((4 * i + part) as u64, length));
            [w, g, m, v.iter().map(|v| v.abs()).collect()]
        })
        .collect();
    let steps: Vec<ByMeans> = (numbers.iter().enumerate())
        .map(|(i, numbers)| {
            let buffers = numbers.each_ref().map(|numbers| upload(&client, numbers));
            ByMeans::new(&client, buffers, settings(i))
        })
        .collect();
    adamw(&client, &steps);
    for (i, (step, [weight, gradient, first, second])) in steps.iter().zip(&numbers).enumerate() {
        let AdamWStep {
            lr,
            beta1,
            beta2,
            epsilon,
            weight_decay,
            shares,
        } = settings(i);
        let [lr, beta1, beta2] = [lr, beta1, beta2].map(f64::from);
        let [epsilon, decay] = [epsilon, weight_decay].map(f64::from);
        let mut expected = [const { Vec::new() }; 3];
        for (((w, g), m), v) in weight.iter().zip(gradient).zip(first).zip(second) {
            let [w, g, m, v] = [w, g, m, v].map(|number| f64::from(*number));
            let m = beta1 * m + (1.0 - beta1) * g;
            let v = beta2 * v + (1.0 - beta2) * g * g;
            let root = (v / f64::from(shares[1])).sqrt();
            let by = lr / f64::from(shares[0]);
            let w = w * (1.0 - lr * decay) - by * m / (root + epsilon);
            expected
                .iter_mut()
                .zip([w, m, v])
                .for_each(|(of, number)| of.push(number));
        }
        for (result, expected) in step.results.iter().zip(&expected) {
            assert!(error(&download(&client, result), expected) < 1e-6, "{i}");
        }
    }
}

#[test]
fn running_statistics_of_many_normalisations_follow_each_its_batch() {
    let client = client();
    let keep = |i: usize| 0.5 + 0.01 * i as f32;
    let follows: Vec<(usize, [Vec<f32>; 4], Follow)> = (LENGTHS.iter().enumerate())
        .filter(|(i, _)| *i != 20)
        .map(|(i, &length)| {
            let numbers = [0, 1, 2, 3].map(|part| random((4 * i + part) as u64, length));
            let [a, b, c, d] = numbers.each_ref().map(|numbers| upload(&client, numbers));
            let follow = Follow::new(&client, [a, b], [c, d], keep(i), [0.25, 0.125]);
            (i, numbers, follow)
        })
        .collect();
    let launched: Vec<Follow> = follows
        .iter()
        .map(|(_, _, follow)| follow.clone())
        .collect();
    follow(&client, &launched);
    for (i, [mean, variance, batch_mean, batch_variance], follow) in &follows {
        let keep = f64::from(keep(*i));
        let expected = |running: &[f32], batch: &[f32], take: f64| -> Vec<f64> {
            let pairs = running.iter().zip(batch);
            pairs
                .map(|(a, b)| f64::from(*a) * keep + f64::from(*b) * take)
                .collect()
        };
        let [new_mean, new_variance] = follow.new.each_ref().map(|new| download(&client, new));
        assert!(error(&new_mean, &expected(mean, batch_mean, 0.25)) < 1e-6);
        assert!(error(&new_variance, &expected(variance, batch_variance, 0.125)) < 1e-6);
    }
}

/// Rows and channels: of one part and of many, and of more channels than a row of cubes has units.
#[test]
fn parts_of_many_sums_are_added_each_by_itself() {
    let client = client();
    let shapes = [
        (3, 5),
        (4_000, 7),
        (900, 64),
        (2, 8),
        (20_000, 1),
        (40, 40_000),
        (555, 33),
    ];
    let numbers: Vec<Vec<f32>> = (shapes.iter().enumerate())
        .map(|(i, (rows, channels))| random(i as u64, rows * channels))
        .collect();
    let parts: Vec<_> = (shapes.iter().zip(&numbers))
        .map(|((_, channels), x)| sums(&client, &upload(&client, x), None, *channels, 1))
        .collect();
    assert!(parts.iter().any(|parts| parts.waiting() == 0));
    assert!(parts.iter().filter(|parts| parts.waiting() > 0).count() >= 3);
    add_parts(&client, &parts);
    for (((_, channels), x), parts) in shapes.iter().zip(&numbers).zip(&parts) {
        let mut expected = vec![0.0; *channels];
        for row in x.chunks_exact(*channels) {
            expected
                .iter_mut()
                .zip(row)
                .for_each(|(sum, x)| *sum += f64::from(*x));
        }
        let e = error(&download(&client, &parts.total), &expected);
        assert!(e < 1e-5, "{channels} channels: {e}");
    }
}
