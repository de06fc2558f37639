//! Muon's step against its formula in double precision.

use cpu_kernels::MuonStep;
use gpu_kernels::muon::{Step, muon};

use super::{client, download, error, random, upload};

/// A matrix, its rows one after the other.
#[derive(Clone)]
struct Matrix {
    rows: usize,
    columns: usize,
    values: Vec<f64>,
}

impl Matrix {
    fn new(rows: usize, values: Vec<f64>) -> Self {
        let columns = values.len() / rows;
        Self {
            rows,
            columns,
            values,
        }
    }

    fn map(&self, change: impl Fn(f64) -> f64) -> Self {
        let values = self.values.iter().map(|value| change(*value)).collect();
        Self::new(self.rows, values)
    }

    fn plus(&self, other: &Self) -> Self {
        let pairs = self.values.iter().zip(&other.values);
        Self::new(self.rows, pairs.map(|(a, b)| a + b).collect())
    }

    fn turned(&self) -> Self {
        let value = |at: usize| self.values[at % self.rows * self.columns + at / self.rows];
        Self::new(self.columns, (0..self.values.len()).map(value).collect())
    }

    fn times(&self, other: &Self) -> Self {
        let mut values = vec![0.0; self.rows * other.columns];
        for (row, sums) in values.chunks_exact_mut(other.columns).enumerate() {
            for k in 0..self.columns {
                let by = self.values[row * self.columns + k];
                let line = &other.values[k * other.columns..][..other.columns];
                sums.iter_mut()
                    .zip(line)
                    .for_each(|(sum, v)| *sum += by * v);
            }
        }
        Self::new(self.rows, values)
    }

    fn norm(&self) -> f64 {
        self.values
            .iter()
            .map(|value| value * value)
            .sum::<f64>()
            .sqrt()
    }

    /// As the formula stands: whichever side is shorter.
    fn orthogonal(&self, steps: usize) -> Self {
        let norm = self.norm() + 1e-7;
        (0..steps).fold(self.map(|value| value / norm), |x, _| {
            let square = x.times(&x.turned());
            let fourth = square.times(&square);
            let factor = square
                .map(|v| -4.7750 * v)
                .plus(&fourth.map(|v| 2.0315 * v));
            x.map(|v| 3.4445 * v).plus(&factor.times(&x))
        })
    }
}

/// The weights and the momentum that should come out.
fn expected(rows: usize, numbers: &[Vec<f32>; 3], settings: &MuonStep) -> [Vec<f64>; 2] {
    let [weight, gradient, momentum] = numbers
        .each_ref()
        .map(|numbers| Matrix::new(rows, numbers.iter().copied().map(f64::from).collect()));
    let follow = |momentum: &Matrix| gradient.plus(&momentum.map(|v| settings.momentum * v));
    let momentum = follow(&momentum);
    if settings.lr == 0.0 {
        return [weight.values, momentum.values];
    }
    let direction = if settings.nesterov {
        follow(&momentum)
    } else {
        momentum.clone()
    };
    let scale = if settings.rescale {
        (rows as f64).sqrt() / weight.norm()
    } else {
        1.0
    };
    let kept = scale * (1.0 - settings.lr * settings.weight_decay);
    let update = direction.orthogonal(settings.newton_schulz_steps);
    let weight = weight
        .map(|w| kept * w)
        .plus(&update.map(|u| -settings.lr * u));
    [weight.values, momentum.values]
}

const SETTINGS: MuonStep = MuonStep {
    lr: 0.24,
    momentum: 0.6,
    nesterov: true,
    weight_decay: 0.1,
    newton_schulz_steps: 3,
    rescale: true,
};

/// Filters of so many rows and columns, with numbers between -1 and 1.
fn filters(shapes: &[[usize; 2]]) -> Vec<[Vec<f32>; 3]> {
    let numbers = |(i, [rows, columns]): (usize, &[usize; 2])| {
        [0, 1, 2].map(|part| random((3 * i + part) as u64, rows * columns))
    };
    shapes.iter().enumerate().map(numbers).collect()
}

/// Has the steps of all filters made at once, and compares each with its formula.
fn check(shapes: &[[usize; 2]], settings: impl Fn(usize) -> MuonStep) {
    let client = client();
    let numbers = filters(shapes);
    let steps: Vec<Step> = (numbers.iter().zip(shapes).enumerate())
        .map(|(i, (numbers, [rows, _]))| {
            let buffers = numbers.each_ref().map(|numbers| upload(&client, numbers));
            Step::new(&client, buffers, *rows, settings(i))
        })
        .collect();
    muon(&client, &steps);
    for (i, (step, numbers)) in steps.iter().zip(&numbers).enumerate() {
        let [rows, columns] = shapes[i];
        let [weight, momentum] = expected(rows, numbers, &settings(i));
        let of_weight = error(&download(&client, &step.new_weight), &weight);
        let of_momentum = error(&download(&client, &step.new_momentum), &momentum);
        assert!(of_weight < 1e-6, "{rows} by {columns}: {of_weight:.1e}");
        assert!(of_momentum < 1e-6, "{rows} by {columns}: {of_momentum:.1e}");
    }
}

/// Sides that are no multiple of a block, of four, or of anything; either side the longer; one row, one column, one
/// number; and filters of which a kernel takes several blocks and `x x'` is made in parts.
const SHAPES: [[usize; 2]; 12] = [
    [7, 5],
    [5, 7],
    [1, 19],
    [19, 1],
    [1, 1],
    [24, 27],
    [64, 216],
    [67, 131],
    [131, 67],
    [130, 1_201],
    [700, 9],
    [64, 64],
];

#[test]
fn a_step_of_muon_of_many_filters_is_the_step_of_each() {
    check(&SHAPES, |_| SETTINGS);
}

#[test]
fn each_filter_has_its_own_rate_momentum_and_decay() {
    check(&SHAPES[..7], |i| MuonStep {
        lr: 0.01 * (1 + i) as f64,
        momentum: 0.5 + 0.05 * i as f64,
        weight_decay: [0.0, 0.5][i % 2],
        ..SETTINGS
    });
}

#[test]
fn settings_of_every_kind_side_by_side() {
    check(&SHAPES[..7], |i| MuonStep {
        lr: [0.24, 0.0][i / 3 % 2],
        nesterov: i % 2 == 0,
        rescale: i % 3 == 0,
        newton_schulz_steps: [5, 0, 1][i % 3],
        ..SETTINGS
    });
}

/// More filters than a kernel takes.
#[test]
fn any_number_of_filters_goes() {
    let shapes: Vec<[usize; 2]> = (0..41).map(|i| [1 + i % 9, 1 + (i * 7) % 23]).collect();
    check(&shapes, |_| SETTINGS);
}

/// A weight of a rate of 0 keeps its bits, and results have the same bits again.
#[test]
fn a_rate_of_zero_leaves_the_weights_and_a_step_is_the_same_again() {
    let client = client();
    let numbers = filters(&SHAPES);
    let once = |lr: f64| -> Vec<Vec<f32>> {
        let steps: Vec<Step> = (numbers.iter().zip(&SHAPES))
            .map(|(numbers, [rows, _])| {
                let buffers = numbers.each_ref().map(|numbers| upload(&client, numbers));
                Step::new(&client, buffers, *rows, MuonStep { lr, ..SETTINGS })
            })
            .collect();
        muon(&client, &steps);
        let weights = steps.iter().map(|step| download(&client, &step.new_weight));
        weights.collect()
    };
    let weights: Vec<Vec<f32>> = numbers.iter().map(|[weight, ..]| weight.clone()).collect();
    assert_eq!(once(0.0), weights);
    assert_eq!(once(0.24), once(0.24));
}

/// A gradient of zeros has no direction, and its norm divides nothing by zero.
#[test]
fn a_gradient_of_zeros_moves_nothing() {
    let client = client();
    let weight = random(1, 35);
    let buffers = [&weight, &vec![0.0; 35], &vec![0.0; 35]].map(|of| upload(&client, of));
    let settings = MuonStep {
        rescale: false,
        weight_decay: 0.0,
        ..SETTINGS
    };
    let step = Step::new(&client, buffers, 7, settings);
    muon(&client, std::slice::from_ref(&step));
    assert_eq!(download(&client, &step.new_weight), weight);
}
