//! A check passes on backends that compute what they should, and catches one wrong operation among right
//! ones.
#![allow(deprecated, clippy::unwrap_used)]

mod wrong;

use burn::tensor::Device;
use model::check::case::{BOUNDS, Case};
use model::check::cases::cases;
use model::check::half::InHalf;
use model::check::networks;
use model::check::operations::{OnDevice, Operations};
use model::check::tape::Outcome;
use model::{NetworkKind, check::Errors};
use wrong::{Fault, Wrong};

/// Two computations one after the other, so that a result of the first cannot pass for one of the second.
const SEEDS: [u64; 2] = [1, 2];

/// What a case should give for each seed.
fn expected(case: &Case) -> [Outcome; 2] {
    SEEDS.map(|seed| case.expected(seed).unwrap())
}

fn errors(
    case: &Case,
    expected: &[Outcome; 2],
    operations: &dyn Operations,
    device: &Device,
) -> Errors {
    let of_each = SEEDS.iter().zip(expected).map(|(seed, expected)| {
        let found = case.on(operations, device, *seed).unwrap();
        case.errors(&found, expected).0
    });
    of_each.fold(Errors::default(), Errors::or_larger)
}

#[test]
fn every_operation_of_ndarray_and_flex_is_far_within_its_bounds() {
    for case in cases() {
        let expected = expected(&case);
        for device in [Device::ndarray(), Device::flex()] {
            let errors = errors(&case, &expected, &OnDevice, &device);
            // Far within, so that no rectifier is near to opening on one side alone.
            let bounds = Errors {
                value: BOUNDS.value / 5.0,
                gradient: BOUNDS.gradient / 5.0,
            };
            assert!(errors.are_within(bounds), "{case:?}: {errors:?}");
        }
    }
}

#[cfg(feature = "wgpu")]
#[test]
fn every_operation_of_wgpu_is_within_its_bounds() {
    let device = Device::wgpu(burn::tensor::DeviceKind::Cpu);
    for case in cases() {
        let errors = errors(&case, &expected(&case), &OnDevice, &device);
        assert!(errors.are_within(BOUNDS), "{case:?}: {errors:?}");
    }
    // The one device of this process.
    for case in cases().into_iter().map(Case::in_half) {
        let errors = errors(&case, &expected(&case), &InHalf, &device);
        assert!(errors.are_within(case.bounds()), "{case:?}: {errors:?}");
    }
}

#[test]
fn each_planted_fault_is_caught_and_laid_to_its_operation() {
    let device = Device::ndarray();
    let cases = cases();
    let expected: Vec<_> = cases.iter().map(expected).collect();
    for fault in Fault::ALL {
        let wrong = Wrong::new(fault);
        let is_caught = |case: &Case, expected: &[Outcome; 2]| {
            !errors(case, expected, &wrong, &device).are_within(BOUNDS)
        };
        let caught: Vec<&Case> = (cases.iter().zip(&expected))
            .filter_map(|(case, expected)| is_caught(case, expected).then_some(case))
            .collect();
        assert!(!caught.is_empty(), "{fault:?} was not caught");
        for case in caught {
            assert_eq!(case.operation, fault.operation(), "{fault:?}: {case:?}");
        }
    }
    assert!(Fault::ALL.len() >= 10);
}

/// The bounds of half precision leave to those of single precision what is as small as rounding is there.
#[test]
fn the_bounds_of_half_precision_catch_every_fault_but_small_ones() {
    let device = Device::ndarray();
    let cases: Vec<Case> = cases().into_iter().map(Case::in_half).collect();
    let small = [Fault::Rounded, Fault::GradientScaled, Fault::OnlyLarge];
    for case in &cases {
        let errors = errors(case, &expected(case), &InHalf, &device);
        assert!(errors.are_within(BOUNDS), "{case:?}: {errors:?}");
    }
    for fault in Fault::ALL {
        let of_fault = cases.iter().filter(|c| c.operation == fault.operation());
        let caught = of_fault.into_iter().any(|case| {
            let errors = errors(case, &expected(case), &Wrong::new(fault), &device);
            !errors.are_within(case.bounds())
        });
        assert_eq!(caught, !small.contains(&fault), "{fault:?}");
    }
}

#[test]
fn a_network_is_within_its_bounds_and_out_of_them_on_another_batch() {
    let device = Device::ndarray().autodiff();
    let kind = NetworkKind::SimpleCnn;
    let network = networks::network(kind, &device).unwrap();
    let parameters = networks::parameters(&network).unwrap();
    let errors = |seed| {
        networks::errors(&[2, 3].map(|size| {
            let found = networks::answer(&network, networks::batch(size, seed, &device)).unwrap();
            let expected = networks::expected(kind, &parameters, size, 1).unwrap();
            (found, expected)
        }))
    };
    assert!(errors(1).are_within(networks::BOUNDS), "{:?}", errors(1));
    assert!(!errors(2).are_within(networks::BOUNDS), "{:?}", errors(2));
}
