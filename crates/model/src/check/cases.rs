//! Every operation on small images: sizes that hide no swapped axes, that show edges, and that are
//! multiples of what kernels work on at a time.

use super::case::Case;
use crate::backend::types::{AdamWStep, MuonStep, SgdStep};

/// Every operation, in the order of the contract.
#[must_use]
pub fn cases() -> Vec<Case> {
    let mut cases = normalised_convolutions();
    cases.extend(normalisations_and_convolutions_alone());
    cases.extend(residual_blocks());
    cases.extend(layers_with_biases());
    cases.extend(pools());
    cases.extend(groups());
    cases.extend(of_inference());
    cases.extend(losses_and_steps());
    cases
}

/// What a first layer is, whose input asks for no gradient.
fn input_note(by_input: bool) -> &'static str {
    if by_input { "" } else { ", first layer" }
}

/// Images and filters large enough for a device that has another algorithm for these.
const LARGE: ([usize; 4], [usize; 4]) = ([9, 128, 15, 15], [132, 128, 3, 3]);
/// So many of these images at once make groups of one size and a smaller one.
const AT_ONCE: usize = 2;

fn normalised_convolutions() -> Vec<Case> {
    let small = [
        ([4, 3, 9, 7], [5, 3, 3, 3], 1, 1, true),
        ([4, 4, 8, 8], [6, 4, 3, 3], 2, 1, true),
        ([3, 16, 8, 8], [16, 16, 3, 3], 1, 1, true),
        ([4, 3, 12, 12], [6, 3, 5, 5], 1, 0, false),
    ]
    .map(|(x, w, stride, padding, by_input)| {
        let note = input_note(by_input);
        let shapes = format!("{x:?} by {w:?}, stride {stride}, padding {padding}{note}");
        Case::new("conv_norm_relu", shapes, move |tape| {
            let x = tape.image(x, by_input);
            let p = tape.normalised(1, w);
            tape.result(tape.operations.conv_norm_relu(x, &p, stride, padding));
        })
    });
    // Of so many results some are so near to zero that rounding decides whether a gradient passes there.
    let large = || {
        let (x, w) = LARGE;
        let large = Case::new("conv_norm_relu", format!("{x:?} by {w:?}"), move |tape| {
            let x = tape.image(x, false);
            let p = tape.normalised(1, w);
            tape.result(tape.operations.conv_norm_relu(x, &p, 1, 1));
        });
        large.without_gradients()
    };
    let large = [large(), large().in_groups_of(AT_ONCE)];
    small.into_iter().chain(large).collect()
}

fn normalisations_and_convolutions_alone() -> Vec<Case> {
    let normalisations = [[4, 3, 5, 7], [3, 16, 4, 4]].map(|x| {
        Case::new("norm_relu", format!("{x:?}"), move |tape| {
            let channels = [x[1]];
            let x = tape.input("the input", x);
            let p = tape.biased(channels, channels[0]);
            tape.result(tape.operations.norm_relu(x, &p));
        })
    });
    let convolution = |(x, w, stride, padding, by_input): ([usize; 4], [usize; 4], _, _, _)| {
        let note = input_note(by_input);
        let shapes = format!("{x:?} by {w:?}, stride {stride}, padding {padding}{note}");
        Case::new("convolve", shapes, move |tape| {
            let x = tape.image(x, by_input);
            let weight = tape.input("the weights", w);
            tape.result(tape.operations.convolve(x, weight, stride, padding));
        })
    };
    let large = (LARGE.0, LARGE.1, 1, 1, true);
    let convolutions = [
        ([4, 3, 9, 7], [5, 3, 3, 3], 1, 1, true),
        ([4, 4, 8, 8], [6, 4, 3, 3], 2, 1, true),
        ([3, 16, 8, 8], [32, 16, 1, 1], 2, 0, true),
        ([3, 3, 8, 8], [16, 3, 3, 3], 1, 1, false),
        large,
    ]
    .map(convolution);
    let in_groups = convolution(large).in_groups_of(AT_ONCE);
    let convolutions = convolutions.into_iter().chain([in_groups]);
    normalisations.into_iter().chain(convolutions).collect()
}

fn residual_blocks() -> Vec<Case> {
    let same = [[3, 5, 6, 7], [2, 16, 8, 8]].map(|x| {
        Case::new("residual", format!("{x:?}"), move |tape| {
            let weight = [x[1], x[1], 3, 3];
            let x = tape.input("the input", x);
            let p = [1, 2].map(|index| tape.normalised(index, weight));
            tape.result(tape.operations.residual(x, &p));
        })
    });
    let projected = [([3, 5, 8, 7], 6, 2), ([2, 16, 8, 8], 32, 2)].map(|(x, out, stride)| {
        let shapes = format!("{x:?} to {out} channels, stride {stride}");
        Case::new("projected_residual", shapes, move |tape| {
            let p = [
                tape.normalised(1, [out, x[1], 3, 3]),
                tape.normalised(2, [out, out, 3, 3]),
                tape.normalised(3, [out, x[1], 1, 1]),
            ];
            let x = tape.input("the input", x);
            tape.result(tape.operations.projected_residual(x, &p, stride));
        })
    });
    let x = [10, 128, 15, 15];
    let large = Case::new("residual", format!("{x:?}"), move |tape| {
        let weight = [x[1], x[1], 3, 3];
        let p = [1, 2].map(|index| tape.normalised(index, weight));
        let x = tape.image(x, false);
        tape.result(tape.operations.residual(x, &p));
    });
    let all = same.into_iter().chain(projected);
    all.chain([large.without_gradients()]).collect()
}

fn layers_with_biases() -> Vec<Case> {
    let pooled = [
        ([3, 3, 12, 11], [6, 3, 5, 5], true),
        ([2, 6, 14, 14], [16, 6, 5, 5], true),
        ([2, 3, 12, 12], [6, 3, 5, 5], false),
    ]
    .map(|(x, w, by_input)| {
        let shapes = format!("{x:?} by {w:?}{}", input_note(by_input));
        Case::new("conv_relu_pool", shapes, move |tape| {
            let x = tape.image(x, by_input);
            let p = tape.biased(w, w[0]);
            tape.result(tape.operations.conv_relu_pool(x, &p, 2));
        })
    });
    let linear = [
        ([5, 11], 7, true),
        ([5, 11], 7, false),
        ([32, 64], 48, true),
    ]
    .map(|(x, outputs, rectify)| {
        let then = if rectify { ", rectified" } else { "" };
        let shapes = format!("{x:?} to {outputs}{then}");
        Case::new("fully_connected", shapes, move |tape| {
            let p = tape.biased([outputs, x[1]], outputs);
            let x = tape.input("the input", x);
            tape.result(tape.operations.fully_connected(x, &p, rectify));
        })
    });
    pooled.into_iter().chain(linear).collect()
}

fn pools() -> Vec<Case> {
    let means = [[3, 5, 3, 4], [2, 16, 8, 8]].map(|x| {
        Case::new("global_avg_pool", format!("{x:?}"), move |tape| {
            let x = tape.input("the input", x);
            tape.result(tape.operations.global_avg_pool(x));
        })
    });
    let maxima = [[3, 5, 3, 3], [2, 16, 1, 4], [4, 3, 4, 5]].map(|x| {
        Case::new("global_max_pool", format!("{x:?}"), move |tape| {
            let x = tape.input("the input", x);
            tape.result(tape.operations.global_max_pool(x));
        })
    });
    means.into_iter().chain(maxima).collect()
}

/// The groups' `epsilon` here: with the 1e-12 of the networks nothing would show that it is read.
const EPSILON: f32 = 1e-3;

fn groups() -> Vec<Case> {
    let two = [
        ([3, 5, 9, 7], 6, true),
        ([2, 16, 8, 8], 16, true),
        ([2, 24, 7, 9], 32, false),
    ]
    .map(|(x, out, by_input)| {
        let shapes = format!("{x:?} to {out} channels{}", input_note(by_input));
        Case::new("conv_group", shapes, move |tape| {
            let inputs = x[1];
            let x = tape.image(x, by_input);
            let p = [(1, inputs), (2, out)]
                .map(|(index, channels)| tape.normalised(index, [out, channels, 3, 3]));
            tape.result(tape.operations.conv_group(x, &p, EPSILON));
        })
    });
    let three = [([3, 5, 7, 8], 6, true), ([2, 16, 8, 8], 16, false)].map(|(x, out, by_input)| {
        let shapes = format!("{x:?} to {out} channels{}", input_note(by_input));
        Case::new("residual_conv_group", shapes, move |tape| {
            let inputs = x[1];
            let x = tape.image(x, by_input);
            let p = [(1, inputs), (2, out), (3, out)]
                .map(|(index, channels)| tape.normalised(index, [out, channels, 3, 3]));
            tape.result(tape.operations.residual_conv_group(x, &p, EPSILON));
        })
    });
    let with_gelu = [
        ([3, 3, 9, 8], [24, 3, 2, 2], 0),
        ([2, 5, 6, 7], [6, 5, 3, 3], 1),
    ]
    .map(|(x, w, padding)| {
        let shapes = format!("{x:?} by {w:?}, padding {padding}");
        Case::new("conv_gelu", shapes, move |tape| {
            let x = tape.constant(x);
            // Only the biases train.
            let p = super::operations::Biased {
                weight: tape.constant(w),
                bias: tape.input("the biases", [w[0]]),
            };
            tape.result(tape.operations.conv_gelu(x, &p, padding));
        })
    });
    // Both convolutions are large. Of so many windows some have two largest values but for rounding, which decides
    // whose the gradient is.
    let large = Case::new(
        "conv_group",
        "[10, 32, 30, 30] to 132 channels".into(),
        |tape| {
            let x = tape.image([10, 32, 30, 30], false);
            let p = [(1, 32), (2, 132)]
                .map(|(index, channels)| tape.normalised(index, [132, channels, 3, 3]));
            tape.result(tape.operations.conv_group(x, &p, EPSILON));
        },
    );
    let groups = two.into_iter().chain([large.without_gradients()]);
    groups.chain(three).chain(with_gelu).collect()
}

fn of_inference() -> Vec<Case> {
    let mut cases = Vec::new();
    let large = (LARGE.0, LARGE.1[0]);
    for (x, out) in [([3, 5, 9, 7], 6), ([2, 16, 8, 8], 32), large] {
        let w = [out, x[1], 3, 3];
        for (stride, rectify) in [(1, true), (2, false)] {
            let then = if rectify { ", rectified" } else { "" };
            let shapes = format!("{x:?} by {w:?}, stride {stride}{then}");
            cases.push(Case::new("conv_bias", shapes, move |tape| {
                let (x, p) = (tape.constant(x), tape.biased(w, out));
                tape.result(tape.operations.conv_bias(x, &p, stride, 1, rectify));
            }));
        }
        let shapes = format!("{x:?} by {w:?}");
        let around = [x[0], out, x[2], x[3]];
        cases.push(Case::new(
            "conv_bias_add_relu",
            shapes.clone(),
            move |tape| {
                let (x, p) = (tape.constant(x), tape.biased(w, out));
                let around = tape.constant(around);
                tape.result(tape.operations.conv_bias_add_relu(x, &p, around));
            },
        ));
        cases.push(Case::new("conv_pool_gelu", shapes.clone(), move |tape| {
            let (x, p) = (tape.constant(x), tape.biased(w, out));
            tape.result(tape.operations.conv_pool_gelu(x, &p));
        }));
        cases.push(Case::new("conv_add_gelu", shapes, move |tape| {
            let (x, p) = (tape.constant(x), tape.biased(w, out));
            let around = tape.constant(around);
            tape.result(tape.operations.conv_add_gelu(x, &p, around));
        }));
    }
    cases.into_iter().map(Case::without_gradients).collect()
}

fn losses_and_steps() -> Vec<Case> {
    let losses = [([7, 10], 0.0), ([5, 10], 0.2)].map(|(shape, smoothing)| {
        let shapes = format!("{shape:?}, smoothing {smoothing}");
        Case::new("cross_entropy", shapes, move |tape| {
            let logits = tape.input("the logits", shape);
            let targets = tape.targets(shape[0], shape[1]);
            tape.result(tape.operations.cross_entropy(logits, targets, smoothing));
        })
    });
    let steps = [false, true].map(|nesterov| {
        let shapes = format!("[7, 5]{}", if nesterov { ", Nesterov" } else { "" });
        let step = Case::new("sgd_step", shapes, move |tape| {
            let [weight, gradient, velocity] = [0; 3].map(|_| tape.constant([7, 5]));
            let settings = SgdStep {
                lr: 0.1,
                momentum: 0.9,
                nesterov,
                weight_decay: 0.01,
            };
            for tensor in tape
                .operations
                .sgd_step(weight, gradient, velocity, settings)
            {
                tape.result(tensor);
            }
        });
        step.without_gradients()
    });
    let adamw = Case::new("adamw_step", "[7, 5]".to_owned(), |tape| {
        let [weight, gradient, first, root] = [0; 4].map(|_| tape.constant([7, 5]));
        let settings = AdamWStep {
            lr: 0.01,
            beta1: 0.9,
            beta2: 0.99,
            epsilon: 1e-3,
            weight_decay: 0.1,
            shares: [0.5, 0.25],
        };
        let means = [first, root.clone() * root];
        for tensor in tape
            .operations
            .adamw_step(weight, gradient, means, settings)
        {
            tape.result(tensor);
        }
    });
    let follow = Case::new("follow_statistics", "[7]".to_owned(), |tape| {
        let [mean, variance, of_mean, of_variance] = [0; 4].map(|_| tape.constant([7]));
        let (running, batch) = ([mean, variance], [of_mean, of_variance]);
        let (keep, take) = (0.9, [0.1, 0.125]);
        for tensor in tape
            .operations
            .follow_statistics(running, batch, keep, take)
        {
            tape.result(tensor);
        }
    });
    let others = [adamw, follow].map(Case::without_gradients);
    let others = steps.into_iter().chain(others).chain(steps_of_muon());
    losses.into_iter().chain(others).collect()
}

/// Filters of fewer rows than columns and of more, and one that is large enough for a device that cuts products. Three
/// iterations take an error of a small singular value to 41 times itself (3.4445 three times), and thus rounding in
/// single precision to a twentieth of [`BOUNDS`](super::case::BOUNDS), but that of TF32 beyond them.
fn steps_of_muon() -> Vec<Case> {
    let plain = MuonStep {
        lr: 0.24,
        momentum: 0.6,
        nesterov: false,
        weight_decay: 0.0,
        newton_schulz_steps: 3,
        rescale: false,
    };
    let whole = MuonStep {
        nesterov: true,
        weight_decay: 0.1,
        rescale: true,
        ..plain
    };
    let still = MuonStep { lr: 0.0, ..whole };
    let cases = [
        ([5, 2, 3, 3], whole, ", Nesterov, rescaled"),
        ([24, 3, 1, 1], plain, ""),
        ([5, 2, 3, 3], still, ", rate 0"),
        ([132, 64, 3, 3], whole, ", Nesterov, rescaled"),
    ];
    let cases = cases.map(|(shape, settings, note)| {
        let step = Case::new("muon_step", format!("{shape:?}{note}"), move |tape| {
            let [weight, gradient, momentum] = [0; 3].map(|_| tape.constant(shape));
            for tensor in tape
                .operations
                .muon_step(weight, gradient, momentum, settings)
            {
                tape.result(tensor);
            }
        });
        step.without_gradients()
    });
    cases.into()
}
