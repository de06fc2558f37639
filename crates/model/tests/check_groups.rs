//! The check's convolutions of several groups of images are that on a GPU. Kernels are counted for the whole process,
//! so that this test has one of its own.
#![cfg(feature = "wgpu")]
#![allow(clippy::unwrap_used)]

use burn::tensor::{Device, DeviceKind};
use model::backend::launches;
use model::check::case::Case;
use model::check::cases::cases;
use model::check::operations::OnDevice;

/// How often `case` brings images to the points of Winograd's algorithm.
fn spreads(case: &Case, device: &Device) -> usize {
    let kernels = launches(|| {
        // No kernel runs while they are counted, so that its results are any.
        case.on(&OnDevice, device, 1).unwrap();
    });
    let names = kernels.iter();
    names
        .filter_map(|(name, count)| name.to_lowercase().contains("spread").then_some(count))
        .sum()
}

#[test]
fn a_case_in_groups_enters_five_of_them_forward_and_backward() {
    let device = Device::wgpu(DeviceKind::Cpu);
    // Nine images, two at once. A convolution with gradients brings four tensors to the points: its input twice, and the
    // gradient of its result twice.
    for (operation, tensors) in [("conv_norm_relu", 1), ("convolve", 4)] {
        let all = cases();
        let of_operation: Vec<&Case> = (all.iter())
            .filter(|case| case.operation == operation)
            .collect();
        let (in_groups, whole): (Vec<&Case>, Vec<&Case>) =
            (of_operation.into_iter()).partition(|case| case.is_in_groups());
        let sum = |cases: Vec<&Case>| -> usize {
            let cases = cases.into_iter();
            cases.map(|case| spreads(case, &device)).sum()
        };
        assert_eq!(sum(whole), tensors, "{operation}");
        assert_eq!(sum(in_groups), 5 * tensors, "{operation}");
    }
}
