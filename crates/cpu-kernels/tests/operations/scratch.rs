//! What a context keeps does not grow after the first step.

use cpu_kernels::*;

use super::random::Random;
use super::steps;

/// One training step of small networks for `batch` images, and inference with them.
fn step(batch: usize) -> impl Fn(&Context) {
    let random = &mut Random::new(batch as u64);
    let stem = ConvShape::new([batch, 3, 12, 12], [16, 3, 3, 3], 1, 1).unwrap();
    let stem = steps::stem(random, stem);
    let plain = steps::residual(random, [batch, 16, 12, 12], 16, 1);
    let projected = steps::residual(random, [batch, 16, 12, 12], 32, 2);
    let group = steps::group(random, [batch, 16, 12, 12], 32, true);
    let folded = ConvShape::new([batch, 16, 12, 12], [32, 16, 3, 3], 1, 1).unwrap();
    let folded = steps::folded(random, folded);
    let pooled = ConvPoolShape::new([batch, 3, 12, 12], [6, 3, 5, 5], 2).unwrap();
    let images = random.values(pooled.input_len());
    let weight = random.values(pooled.weight_len());
    let bias = random.values(pooled.bias_len());
    let dy = random.values(pooled.output_len());
    move |context| {
        stem(context);
        plain(context);
        projected(context);
        group(context);
        folded(context);
        let x = block::Images::Planes(&images);
        let (mut y, mut indices) = (dy.clone(), vec![0; dy.len()]);
        let (mut dw, mut db, mut dx) = (weight.clone(), bias.clone(), images.clone());
        block::conv_pool::forward(context, &pooled, x, &weight, &bias, &mut y, &mut indices)
            .unwrap();
        block::conv_pool::backward(
            context, &pooled, x, &weight, &y, &indices, &dy, &mut dw, &mut db, &mut dx,
        )
        .unwrap();
    }
}

#[test]
fn scratch_buffers_do_not_grow_after_the_first_step() {
    // Sixty-four images have as many chunks as any batch, and the most images in each.
    let first = step(64);
    let others = [7, 64, 33, 2, 64, 50, 17, 64].map(step);
    for threads in [1, 2, 3] {
        // Which thread does which chunk is chance, and differs from context to context.
        for _ in 0..3 {
            let context = Context::new(threads).unwrap();
            first(&context);
            let held = context.scratch_bytes();
            assert!(held > 0);
            for round in 0..4 {
                for other in &others {
                    other(&context);
                    let now = context.scratch_bytes();
                    assert_eq!(now, held, "{threads} threads, round {round}");
                }
            }
        }
    }
}

#[test]
fn what_is_held_is_one_set_and_one_more_for_each_thread() {
    let context = &Context::new(2).unwrap();
    let step = step(8);
    let alone = Context::new(1).unwrap();
    step(&alone);
    step(context);
    let held = context.scratch_bytes();
    // One set for operations as a whole, and one for a chunk of each of the two threads.
    assert!(held > alone.scratch_bytes());
    assert!(held < 2 * alone.scratch_bytes());
}
