//! Wrong shapes and wrong slices are refused with an error that names what is wrong.

use cpu_kernels::*;

fn zero(dimension: &'static str) -> ShapeError {
    ShapeError::Zero { dimension }
}

fn length(operand: &'static str, expected: usize, actual: usize) -> ShapeError {
    ShapeError::Length {
        operand,
        expected,
        actual,
    }
}

#[test]
fn a_context_without_threads_or_with_too_many_is_refused() {
    for threads in [0, 1025, usize::MAX] {
        let refused = Context::new(threads);
        assert!(matches!(refused, Err(ContextError::ThreadCount { .. })));
    }
    assert_eq!(Context::new(3).unwrap().threads(), 3);
}

#[test]
fn every_size_of_zero_is_refused_by_name() {
    let names = ["batch", "in_channels", "height", "width"];
    for (axis, name) in names.into_iter().enumerate() {
        let mut input = [1; 4];
        input[axis] = 0;
        assert_eq!(ConvShape::new(input, [1; 4], 1, 0), Err(zero(name)));
    }
    let names = ["out_channels", "kernel_height", "kernel_width"];
    for (axis, name) in [0, 2, 3].into_iter().zip(names) {
        let mut weight = [1; 4];
        weight[axis] = 0;
        assert_eq!(ConvShape::new([1; 4], weight, 1, 0), Err(zero(name)));
    }
    assert_eq!(ConvShape::new([1; 4], [1; 4], 0, 0), Err(zero("stride")));
    assert_eq!(LinearShape::new(0, 1, 1), Err(zero("batch")));
    assert_eq!(LinearShape::new(1, 0, 1), Err(zero("in_features")));
    assert_eq!(LinearShape::new(1, 1, 0), Err(zero("out_features")));
    assert_eq!(
        ConvPoolShape::new([0, 1, 1, 1], [1; 4], 1),
        Err(zero("batch"))
    );
    assert_eq!(ConvPoolShape::new([1; 4], [1; 4], 0), Err(zero("pool")));
    assert_eq!(ChannelShape::new(0, 1, 1), Err(zero("batch")));
    assert_eq!(ChannelShape::new(1, 0, 1), Err(zero("channels")));
    assert_eq!(ChannelShape::new(1, 1, 0), Err(zero("pixels")));
    assert_eq!(LossShape::new(0, 1), Err(zero("batch")));
    assert_eq!(LossShape::new(1, 0), Err(zero("classes")));
}

#[test]
fn weights_for_other_channels_are_refused() {
    assert_eq!(
        ConvShape::new([1, 3, 8, 8], [6, 4, 5, 5], 1, 0),
        Err(ShapeError::Channels {
            input: 3,
            weight: 4
        })
    );
}

#[test]
fn a_kernel_larger_than_its_padded_input_is_refused() {
    let too_large = |axis, kernel, padded| ShapeError::KernelTooLarge {
        axis,
        kernel,
        padded,
    };
    assert_eq!(
        ConvShape::new([1, 1, 2, 9], [1, 1, 5, 5], 1, 1),
        Err(too_large("height", 5, 4))
    );
    assert_eq!(
        ConvShape::new([1, 1, 9, 2], [1, 1, 5, 5], 1, 1),
        Err(too_large("width", 5, 4))
    );
    assert_eq!(
        ConvPoolShape::new([1, 1, 5, 9], [1, 1, 3, 3], 4),
        Err(too_large("height", 4, 3))
    );
    assert_eq!(
        ConvPoolShape::new([1, 1, 40, 40], [1, 1, 3, 3], 17),
        Err(ShapeError::PoolKernelTooLarge {
            kernel: 17,
            greatest: 16
        })
    );
}

#[test]
fn operands_that_do_not_fit_into_memory_are_refused() {
    let overflow = |operand| ShapeError::Overflow { operand };
    let huge = usize::MAX / 2;
    let one = [1; 4];
    assert_eq!(
        ConvShape::new([huge, 1, 1, 3], one, 1, 0),
        Err(overflow("x"))
    );
    assert_eq!(ConvShape::new(one, one, 1, huge), Err(overflow("x")));
    assert_eq!(
        ConvShape::new(one, [huge, 1, 1, 1], 1, 0),
        Err(overflow("w"))
    );
    let padding = 1 << 20;
    assert_eq!(
        ConvShape::new([1 << 20, 1, 1, 1], one, 1, padding),
        Err(overflow("y"))
    );
    assert_eq!(LinearShape::new(huge, 2, 1), Err(overflow("x")));
    assert_eq!(LinearShape::new(1, 2, huge), Err(overflow("w")));
    assert_eq!(LinearShape::new(1 << 40, 1, 1 << 40), Err(overflow("y")));
    let large = [1, 1, 1 << 14, 1 << 14];
    assert_eq!(ConvPoolShape::new(large, one, 2), Err(overflow("x")));
    assert_eq!(ChannelShape::new(huge, 2, 1), Err(overflow("x")));
    assert_eq!(LossShape::new(huge, 2), Err(overflow("logits")));
}

#[test]
fn convolutions_name_a_slice_of_the_wrong_length() {
    let context = &Context::new(1).unwrap();
    // x has 2 * 3 * 4 * 4 = 96 elements, w has 5 * 3 * 3 * 3 = 135, y has 2 * 5 * 2 * 2 = 40.
    let shape = &ConvShape::new([2, 3, 4, 4], [5, 3, 3, 3], 1, 0).unwrap();
    let (x, w, y) = (&[0.0; 96], &[0.0; 135], &mut [0.0; 40]);
    let wrong = &mut [0.0; 7];
    let refused = |operand, expected| Err(length(operand, expected, 7));
    assert_eq!(conv2d(context, shape, wrong, w, y), refused("x", 96));
    assert_eq!(conv2d(context, shape, x, wrong, y), refused("w", 135));
    assert_eq!(conv2d(context, shape, x, w, wrong), refused("y", 40));
    let (dy, dx, dw) = (&*y, &mut [0.0; 96], &mut [0.0; 135]);
    let by_input = conv2d_backward_input;
    assert_eq!(by_input(context, shape, wrong, dy, dx), refused("w", 135));
    assert_eq!(by_input(context, shape, w, wrong, dx), refused("dy", 40));
    assert_eq!(by_input(context, shape, w, dy, wrong), refused("dx", 96));
    let by_weight = conv2d_backward_weight;
    assert_eq!(by_weight(context, shape, wrong, dy, dw), refused("x", 96));
    assert_eq!(by_weight(context, shape, x, wrong, dw), refused("dy", 40));
    assert_eq!(by_weight(context, shape, x, dy, wrong), refused("dw", 135));
}

/// Asserts that an operation with `operands` of the given names and lengths refuses each of them
/// in turn when it is one element too long.
fn assert_each_is_checked(
    operands: &[(&'static str, usize)],
    operation: impl Fn(&mut [Vec<f32>]) -> Result<(), ShapeError>,
) {
    let mut slices: Vec<Vec<f32>> = operands.iter().map(|&(_, len)| vec![1.0; len]).collect();
    assert_eq!(operation(&mut slices), Ok(()));
    for (index, &(name, len)) in operands.iter().enumerate() {
        slices[index].push(1.0);
        assert_eq!(operation(&mut slices), Err(length(name, len, len + 1)));
        slices[index].pop();
    }
}

#[test]
fn linear_layers_name_a_slice_of_the_wrong_length() {
    let context = &Context::new(1).unwrap();
    let shape = &LinearShape::new(2, 3, 4).unwrap();
    let (x, w, b) = (("x", 6), ("w", 12), ("b", 4));
    assert_each_is_checked(&[x, w, b, ("y", 8)], |slices| {
        let [x, w, b, y] = slices else { unreachable!() };
        linear(context, shape, x, w, b, false, y)
    });
    let gradients = [("dy", 8), ("dx", 6), ("dw", 12), ("db", 4)];
    let operands = [&[x, w, ("gate", 8)][..], &gradients].concat();
    assert_each_is_checked(&operands, |slices| {
        let [x, w, gate, dy, dx, dw, db] = slices else {
            unreachable!()
        };
        linear_backward(context, shape, x, w, Some(&*gate), dy, dx, dw, db)
    });
}

#[test]
fn convolution_and_pooling_name_what_is_wrong() {
    let context = &Context::new(1).unwrap();
    // The convolution gives 4 by 4 pixels, the pooling 2 by 2.
    let shape = &ConvPoolShape::new([2, 3, 5, 5], [4, 3, 2, 2], 2).unwrap();
    let (x, weight, bias) = (("x", 150), ("weight", 48), ("bias", 4));
    assert_each_is_checked(&[x, weight, bias, ("y", 32)], |slices| {
        let [x, weight, bias, y] = slices else {
            unreachable!()
        };
        let x = block::Images::Planes(x);
        block::conv_pool::forward(context, shape, x, weight, bias, y, &mut [0; 32])
    });
    let backward = |slices: &mut [Vec<f32>], indices: &[u8]| {
        let [x, weight, y, dy, dw, db, dx] = slices else {
            unreachable!()
        };
        let x = block::Images::Pixels(x);
        block::conv_pool::backward(context, shape, x, weight, y, indices, dy, dw, db, dx)
    };
    let gradients = [("dy", 32), ("dw", 48), ("db", 4), ("dx", 150)];
    let operands = [&[x, weight, ("y", 32)][..], &gradients].concat();
    assert_each_is_checked(&operands, |slices| backward(slices, &[0; 32]));

    let mut slices: Vec<Vec<f32>> = operands.iter().map(|&(_, len)| vec![1.0; len]).collect();
    let refused = Err(length("indices", 32, 3));
    assert_eq!(backward(&mut slices, &[0; 3]), refused);
    let mut indices = [3; 32];
    indices[20] = 4;
    let refused = Err(ShapeError::PoolIndex {
        index: 4,
        places: 4,
    });
    assert_eq!(backward(&mut slices, &indices), refused);
    let x = block::Images::Planes(&slices[0]);
    let (weight, bias) = (&[0.0; 48], &[0.0; 4]);
    let refused =
        block::conv_pool::forward(context, shape, x, weight, bias, &mut [0.0; 32], &mut [0; 3]);
    assert_eq!(refused, Err(length("indices", 32, 3)));
}

#[test]
fn groups_name_what_is_wrong() {
    use block::conv_group::{self, GroupGradients, GroupParameters, GroupShape, Outputs, Saved};
    use block::{Convolved, NormGradients, Parameters, SavedConvolution, Statistics};
    let context = &Context::new(1).unwrap();
    // 2 to 3 channels, 2 images of 4 by 4 pixels: 64 values in, 24 out.
    let shape = &GroupShape::new([2, 2, 4, 4], 3, false).unwrap();
    assert_eq!(
        GroupShape::new([2, 2, 1, 4], 3, false),
        Err(ShapeError::KernelTooLarge {
            axis: "height",
            kernel: 2,
            padded: 1
        })
    );
    let (w1, w2, ones) = (&[0.1; 54], &[0.1; 81], &[1.0; 3]);
    let p = |weight| Parameters {
        weight,
        gamma: ones,
        beta: ones,
    };
    let parameters = GroupParameters {
        first: p(w1),
        second: p(w2),
        third: None,
    };
    let forward = |x: &[f32], places: usize, third: bool| {
        let (mut a, mut b, mut y) = ([0.0; 24], [0.0; 24], [0.0; 24]);
        let mut s = [[0.0; 3]; 4];
        let [m1, v1, m2, v2] = &mut s;
        let out = Outputs {
            first: Convolved {
                c: &mut a,
                mean: m1,
                variance: v1,
            },
            places: &mut vec![0; places],
            second: Convolved {
                c: &mut b,
                mean: m2,
                variance: v2,
            },
            third: None,
            y: &mut y,
        };
        let third = third.then(|| p(w2));
        let parameters = GroupParameters {
            third,
            ..parameters
        };
        conv_group::forward(context, shape, x, &parameters, 1e-5, out)
    };
    assert_eq!(forward(&[0.5; 64], 24, false), Ok(()));
    assert_eq!(forward(&[0.5; 63], 24, false), Err(length("x", 64, 63)));
    assert_eq!(
        forward(&[0.5; 64], 23, false),
        Err(length("places", 24, 23))
    );
    assert_eq!(
        forward(&[0.5; 64], 24, true),
        Err(ShapeError::ThirdConvolution)
    );

    let backward = |dy: usize, places: &[u8], dx: usize| {
        let c = SavedConvolution {
            c: &[0.5; 24],
            statistics: Statistics {
                mean: ones,
                variance: ones,
            },
        };
        let saved = Saved {
            x: &[0.5; 64],
            first: c,
            places,
            second: c,
            third: None,
        };
        let (mut g1, mut g2, mut rest) = ([0.0; 54], [0.0; 81], [[0.0; 3]; 4]);
        let [a, b, c, d] = &mut rest;
        let gradients = GroupGradients {
            first: NormGradients {
                weight: &mut g1,
                gamma: a,
                beta: b,
            },
            second: NormGradients {
                weight: &mut g2,
                gamma: c,
                beta: d,
            },
            third: None,
        };
        let (dy, mut dx) = (vec![0.5; dy], vec![0.0; dx]);
        conv_group::backward(
            context,
            shape,
            &saved,
            &parameters,
            1e-5,
            &dy,
            gradients,
            &mut dx,
        )
    };
    assert_eq!(backward(24, &[3; 24], 64), Ok(()));
    assert_eq!(backward(24, &[3; 24], 0), Ok(()));
    assert_eq!(backward(25, &[3; 24], 64), Err(length("dy", 24, 25)));
    assert_eq!(backward(24, &[3; 22], 64), Err(length("places", 24, 22)));
    assert_eq!(backward(24, &[3; 24], 65), Err(length("dx", 64, 65)));
    let refused = ShapeError::PoolIndex {
        index: 4,
        places: 4,
    };
    assert_eq!(backward(24, &[4; 24], 64), Err(refused));
}

#[test]
fn whitening_and_global_maxima_name_what_is_wrong() {
    let context = &Context::new(1).unwrap();
    let conv = &ConvShape::new([2, 3, 4, 4], [5, 3, 2, 2], 1, 0).unwrap();
    let prepared = block::inference::Prepared::new(context, conv, &[0.1; 60]).unwrap();
    let operands = [("x", 96), ("bias", 5), ("dy", 90), ("db", 5)];
    assert_each_is_checked(&operands, |slices| {
        let [x, bias, dy, db] = slices else {
            unreachable!()
        };
        let x = block::Images::Pixels(x);
        block::whiten::backward_bias(&prepared, 2, x, bias, dy, db)
    });
    assert_each_is_checked(&[("x", 96), ("bias", 5), ("y", 10)], |slices| {
        let [x, bias, y] = slices else { unreachable!() };
        prepared.run_pooled(2, block::Images::Pixels(x), bias, Activation::Gelu, y)
    });
    let shape = &ChannelShape::new(2, 3, 5).unwrap();
    assert_each_is_checked(&[("x", 30), ("y", 6)], |slices| {
        let [x, y] = slices else { unreachable!() };
        global_max_pool(context, shape, x, y, &mut [0; 6])
    });
    assert_each_is_checked(&[("dy", 6), ("dx", 30)], |slices| {
        let [dy, dx] = slices else { unreachable!() };
        global_max_pool_backward(context, shape, dy, &[4; 6], dx)
    });
    let refused = global_max_pool_backward(context, shape, &[0.0; 6], &[5; 6], &mut [0.0; 30]);
    let index = ShapeError::PoolIndex {
        index: 5,
        places: 5,
    };
    assert_eq!(refused, Err(index));
    let large = &ChannelShape::new(1, 1, 257).unwrap();
    let refused = global_max_pool(context, large, &[0.0; 257], &mut [0.0], &mut [0]);
    let too_large = ShapeError::PoolKernelTooLarge {
        kernel: 257,
        greatest: 256,
    };
    assert_eq!(refused, Err(too_large));
}

#[test]
fn average_pooling_and_steps_name_a_slice_of_the_wrong_length() {
    let context = &Context::new(1).unwrap();
    let shape = &ChannelShape::new(2, 3, 5).unwrap();
    assert_each_is_checked(&[("x", 30), ("y", 6)], |slices| {
        let [x, y] = slices else { unreachable!() };
        global_avg_pool(context, shape, x, y)
    });
    assert_each_is_checked(&[("dy", 6), ("dx", 30)], |slices| {
        let [dy, dx] = slices else { unreachable!() };
        global_avg_pool_backward(context, shape, dy, dx)
    });
    let step = &SgdStep {
        lr: 0.1,
        momentum: 0.9,
        nesterov: false,
        weight_decay: 0.0,
    };
    assert_each_is_checked(&[("gradient", 5), ("velocity", 5)], |slices| {
        let [gradient, velocity] = slices else {
            unreachable!()
        };
        sgd_step(context, step, &mut [0.0; 5], gradient, velocity, false)
    });
    let step = &AdamWStep {
        lr: 0.1,
        beta1: 0.9,
        beta2: 0.99,
        epsilon: 1e-3,
        weight_decay: 0.0,
        shares: [1.0; 2],
    };
    let operands = &[("gradient", 5), ("first", 5), ("second", 5)];
    assert_each_is_checked(operands, |slices| {
        let [gradient, first, second] = slices else {
            unreachable!()
        };
        adamw_step(context, step, &mut [0.0; 5], gradient, first, second)
    });
}

#[test]
fn cross_entropy_refuses_labels_that_are_no_classes() {
    let shape = &LossShape::new(2, 3).unwrap();
    let (logits, gradient) = (&[0.0; 6], &mut [0.0; 6]);
    for label in [-1, 3] {
        let refused = softmax_cross_entropy(shape, logits, &[0, label], 0.0, gradient);
        let expected = LossError::Label {
            row: 1,
            label,
            classes: 3,
        };
        assert_eq!(refused, Err(expected));
    }
    for smoothing in [-0.1, 1.5] {
        let refused = softmax_cross_entropy(shape, logits, &[0, 0], smoothing, gradient);
        assert_eq!(refused, Err(LossError::Smoothing { smoothing }));
    }
    let refused = softmax_cross_entropy(shape, &[0.0; 5], &[0, 0], 0.0, gradient);
    assert_eq!(refused, Err(length("logits", 6, 5).into()));
    let refused = softmax_cross_entropy(shape, logits, &[0], 0.0, gradient);
    assert_eq!(refused, Err(length("labels", 2, 1).into()));
    let refused = softmax_cross_entropy(shape, logits, &[0, 0], 0.0, &mut [0.0; 5]);
    assert_eq!(refused, Err(length("d_logits", 6, 5).into()));
}
