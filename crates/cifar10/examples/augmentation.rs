//! What each augmentation costs beside loading an image: microseconds of one thread an image, the fastest of
//! some epochs. Run it with `cargo run -p cifar10 --example augmentation`.

use std::error::Error;
use std::time::Instant;

use cifar10::synthetic::{Part, generate};
use cifar10::{Augmentation, Border, HostBatch, Loader, LoaderConfig};

const IMAGES: usize = 12_800;
const BATCH: usize = 128;
const EPOCHS: u64 = 7;

/// Microseconds an image of the fastest epoch.
fn fastest(augmentations: &[Augmentation]) -> Result<f64, cifar10::Error> {
    let config = LoaderConfig {
        augmentations: augmentations.to_vec(),
        ..LoaderConfig::training(BATCH, 0)
    };
    let loader = Loader::all(generate(Part::Train, IMAGES, 0), config)?;
    let mut batch = HostBatch::default();
    let mut least = f64::INFINITY;
    for epoch in 0..EPOCHS {
        let epoch = loader.epoch(epoch);
        let start = Instant::now();
        for step in 0..epoch.steps() {
            epoch.batch(step, &mut batch)?;
        }
        least = least.min(start.elapsed().as_secs_f64() * 1e6 / IMAGES as f64);
    }
    Ok(least)
}

fn main() -> Result<(), Box<dyn Error>> {
    let border = Border::Black;
    let kinds: [(&str, &[Augmentation]); 10] = [
        (
            "crop, flip",
            &[
                Augmentation::Crop { padding: 4, border },
                Augmentation::Flip,
            ],
        ),
        (
            "crop over reflection, alternating flip",
            &[
                Augmentation::Crop {
                    padding: 4,
                    border: Border::Reflect,
                },
                Augmentation::AlternatingFlip,
            ],
        ),
        (
            "alternating flip, translate",
            &[
                Augmentation::AlternatingFlip,
                Augmentation::Translate { pixels: 2 },
            ],
        ),
        ("brightness", &[Augmentation::Brightness { strength: 0.2 }]),
        ("contrast", &[Augmentation::Contrast { strength: 0.2 }]),
        ("trivial_augment", &[Augmentation::TrivialAugment]),
        ("cutout", &[Augmentation::Cutout { size: 12 }]),
        ("mixup", &[Augmentation::Mixup { alpha: 0.2 }]),
        ("cutmix", &[Augmentation::CutMix { alpha: 1.0 }]),
        (
            "crop, flip, trivial_augment, cutout, cutmix",
            &[
                Augmentation::Crop { padding: 4, border },
                Augmentation::Flip,
                Augmentation::TrivialAugment,
                Augmentation::Cutout { size: 8 },
                Augmentation::CutMix { alpha: 1.0 },
            ],
        ),
    ];
    let plain = fastest(&[])?;
    println!("none: {plain:.2} us an image");
    for (name, augmentations) in kinds {
        let more = fastest(augmentations)? - plain;
        println!("{name}: {more:.2} us more");
    }
    Ok(())
}
