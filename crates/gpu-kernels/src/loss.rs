//! The loss.

use cubecl::prelude::*;

use crate::Buffer;
use crate::moments::{END_UNITS, over_units};

#[cube(launch_unchecked)]
fn cross_entropy_kernel(
    logits: &[f32],
    targets: &[i32],
    loss: &mut [f32],
    gradient: &mut [f32],
    batch: u32,
    classes: u32,
    smoothing: f32,
) {
    let mut shared = Shared::<[f32]>::new_slice(END_UNITS);
    let unit = UNIT_POS as usize;
    let classes = classes as usize;
    let count = f32::cast_from(batch);
    let everywhere = smoothing / f32::cast_from(classes as u32);
    let mut sum = 0.0f32;
    let mut row = unit;
    while row < batch as usize {
        let first = row * classes;
        let mut largest = logits[first];
        for class in 1..classes {
            largest = max(largest, logits[first + class]);
        }
        let mut total = 0.0f32;
        let mut of_all = 0.0f32;
        for class in 0..classes {
            let value = logits[first + class] - largest;
            total += value.exp();
            of_all += value;
        }
        let log_total = total.ln();
        let target = targets[row] as usize;
        // A target is 1 - smoothing for its class and a share of smoothing for every class.
        let of_target = logits[first + target] - largest;
        sum += log_total - (1.0 - smoothing) * of_target - everywhere * of_all;
        for class in 0..classes {
            let mut g = (logits[first + class] - largest - log_total).exp() - everywhere;
            if class == target {
                g -= 1.0 - smoothing;
            }
            gradient[first + class] = g / count;
        }
        row += END_UNITS;
    }
    let total = over_units(sum, &mut shared);
    if unit == 0 {
        loss[0] = total / count;
    }
}

/// The mean cross-entropy of `logits`, `[batch, classes]`, against `targets`, integers `[batch]`, and its
/// gradient by the logits.
pub fn cross_entropy(
    client: &Client,
    logits: &Buffer,
    targets: &Buffer,
    smoothing: f32,
) -> (Buffer, Buffer) {
    let batch = targets.length;
    let [loss, gradient] = Buffer::several(client, [1, logits.length]);
    // SAFETY: the kernel reads and writes below `batch * classes`, the length of the logits.
    unsafe {
        cross_entropy_kernel::launch_unchecked(
            client,
            CubeCount::new_single(),
            CubeDim::new_1d(END_UNITS as u32),
            logits.argument(1),
            targets.argument(1),
            loss.argument(1),
            gradient.argument(1),
            batch as u32,
            (logits.length / batch) as u32,
            smoothing,
        );
    }
    (loss, gradient)
}
