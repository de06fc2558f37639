#![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

#[cfg(any(feature = "wgpu", feature = "remote"))]
use cifar10::Border;
use cifar10::synthetic::{Part, generate};
use cifar10::{Augmentation, LoaderConfig, Normalization};

use super::*;
#[cfg(feature = "wgpu")]
use crate::device::{BackendName, DeviceChoice, DeviceName};

/// The software adapter, which Burn opens once.
#[cfg(feature = "wgpu")]
fn gpu() -> Device {
    static GPU: std::sync::OnceLock<Device> = std::sync::OnceLock::new();
    let software = DeviceChoice {
        backend: BackendName::Wgpu,
        device: DeviceName::Software,
        threads: None,
        precision: Default::default(),
        token_file: None,
    };
    GPU.get_or_init(|| software.open().unwrap()).clone()
}

/// Devices that hold images.
fn holders() -> Vec<Device> {
    vec![
        #[cfg(feature = "wgpu")]
        gpu(),
        #[cfg(feature = "remote")]
        crate::remote::local::worker(),
    ]
}

const FLIP: Augmentation = Augmentation::Flip;

#[cfg(any(feature = "wgpu", feature = "remote"))]
fn crop(padding: usize, border: Border) -> Augmentation {
    Augmentation::Crop { padding, border }
}

/// A part of a set, in an order of its own.
fn loader(augmentations: &[Augmentation], batch_size: usize) -> Loader {
    let images = generate(Part::Train, 61, 3);
    let listed: Vec<usize> = (0..61).rev().filter(|index| index % 4 != 1).collect();
    let config = LoaderConfig {
        normalization: Normalization::CHANNEL,
        augmentations: augmentations.to_vec(),
        ..LoaderConfig::training(batch_size, 5)
    };
    Loader::new(images, listed, config).unwrap()
}

#[cfg(any(feature = "wgpu", feature = "remote"))]
/// The bits of the images, and the classes, of an epoch from a step on.
fn bits(batches: &Batches, epoch: u64, first_step: usize) -> Vec<(Vec<u32>, Vec<i32>)> {
    let mut made = batches.epoch(epoch, first_step).unwrap();
    (first_step..batches.loader().steps())
        .map(|step| {
            let batch = made.batch(step).unwrap();
            assert!(batch.mixed.is_none());
            let images: Vec<f32> = batch.images.into_data().try_to_vec().unwrap();
            let classes = batch.targets.into_data().try_to_vec().unwrap();
            (images.into_iter().map(f32::to_bits).collect(), classes)
        })
        .collect()
}

#[cfg(any(feature = "wgpu", feature = "remote"))]
#[test]
fn a_device_that_holds_images_makes_the_batches_of_the_processor_bit_for_bit() {
    let holders = holders();
    let host = Device::flex();
    let lists: [&[Augmentation]; 9] = [
        &[],
        &[crop(4, Border::Black), FLIP],
        &[FLIP, crop(32, Border::Black)],
        &[crop(4, Border::Reflect), Augmentation::AlternatingFlip],
        &[crop(31, Border::Reflect)],
        &[
            Augmentation::AlternatingFlip,
            Augmentation::Translate { pixels: 2 },
        ],
        &[Augmentation::Cutout { size: 12 }],
        &[Augmentation::Cutout { size: 32 }],
        &[
            crop(9, Border::Black),
            FLIP,
            Augmentation::Translate { pixels: 31 },
            Augmentation::Cutout { size: 7 },
        ],
    ];
    for augmentations in lists {
        // Batches of one, of some with a rest, of all, and of more than there are.
        for (batch_size, epoch, step) in [(1, 0, 40), (7, 1, 0), (7, 4, 5), (46, 2, 0), (100, 3, 0)]
        {
            let loader = loader(augmentations, batch_size);
            let by_host = bits(&Batches::of_host(loader.clone(), host.clone()), epoch, step);
            assert!(!by_host.is_empty());
            for device in &holders {
                let by_device = Batches::new(loader.clone(), device.clone());
                assert!(by_device.held.is_some());
                assert!(
                    bits(&by_device, epoch, step) == by_host,
                    "{device:?}: {augmentations:?} in batches of {batch_size} from step {step} of epoch {epoch}"
                );
            }
        }
    }
}

#[cfg(any(feature = "wgpu", feature = "remote"))]
#[test]
fn an_epoch_whose_views_are_brought_onto_the_device_in_several_parts_is_whole() {
    let images = generate(Part::Train, 5_000, 0);
    let loader = Loader::all(images, LoaderConfig::training(700, 0)).unwrap();
    let by_host = bits(&Batches::of_host(loader.clone(), Device::flex()), 1, 2);
    // Five steps of seven fit into the first part.
    assert_eq!(by_host.len(), 6);
    for device in holders() {
        let by_device = Batches::new(loader.clone(), device.autodiff());
        assert!(bits(&by_device, 1, 2) == by_host);
    }
}

#[test]
fn what_changes_pixels_is_left_to_the_processor() {
    let holders = holders();
    for augmentation in [
        Augmentation::Brightness { strength: 0.2 },
        Augmentation::Contrast { strength: 0.2 },
        Augmentation::TrivialAugment,
        Augmentation::Mixup { alpha: 0.2 },
        Augmentation::CutMix { alpha: 1.0 },
    ] {
        let expected = matches!(
            augmentation,
            Augmentation::Mixup { .. } | Augmentation::CutMix { .. }
        );
        for device in holders.iter().chain([&Device::flex()]) {
            let batches = Batches::new(loader(&[FLIP, augmentation], 8), device.clone());
            assert!(batches.held.is_none(), "{augmentation:?}");
            let mixes = batches.epoch(0, 0).unwrap().batch(0).unwrap().mixed;
            assert_eq!(mixes.is_some(), expected, "{augmentation:?}");
        }
    }
}

#[test]
fn a_step_beyond_the_end_is_an_error_whoever_makes_batches() {
    for device in holders().into_iter().chain([Device::flex()]) {
        let batches = Batches::new(loader(&[FLIP], 8), device);
        let mut made = batches.epoch(0, 6).unwrap();
        let error = made.batch(6).unwrap_err();
        assert!(matches!(error, cifar10::Error::Step { step: 6, steps: 6 }));
    }
}
