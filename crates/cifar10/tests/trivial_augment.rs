//! TrivialAugment's operations against torchvision's bytes, which `bench/augment_golden.py` writes. Those of
//! brightness and contrast are the augmentations of these names too.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;
use std::io::Cursor;

use cifar10::augment::{Operation, STRENGTHS};
use cifar10::record::{CHANNELS, IMAGE_BYTES, PLANE_BYTES, SIZE};

/// The picture that the script changes.
fn picture() -> [u8; IMAGE_BYTES] {
    std::array::from_fn(|place| {
        let (channel, x, y) = (place / PLANE_BYTES, place % SIZE, place / SIZE % SIZE);
        let value = match channel {
            0 => 20 + 6 * x,
            1 => 225 - 5 * y,
            _ => 10 + 3 * (x + y) + 29 * (x * y / 4 % 2),
        };
        value as u8
    })
}

/// A sheet's bytes, pixel by pixel, and its width.
fn sheet() -> (Vec<u8>, usize) {
    let stored = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/data/trivial_augment.png"
    );
    let file = std::env::var("CIFAR10_GOLDEN").unwrap_or_else(|_| stored.to_owned());
    let mut reader = png::Decoder::new(Cursor::new(fs::read(file).unwrap()))
        .read_info()
        .unwrap();
    let mut bytes = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut bytes).unwrap();
    assert_eq!(info.color_type, png::ColorType::Rgb);
    assert_eq!(info.height as usize, Operation::ALL.len() * SIZE);
    (bytes, info.width as usize)
}

#[test]
fn every_operation_gives_torchvisions_bytes_to_within_one() {
    let (sheet, width) = sheet();
    let last = STRENGTHS as i32 - 1;
    let columns = width / SIZE;
    let step = 2 * last as usize / (columns - 1);
    let strengths: Vec<i32> = (-last..=last).step_by(step).collect();
    assert_eq!(strengths.len(), columns);
    let mut wrong = Vec::new();
    for (row, operation) in Operation::ALL.into_iter().enumerate() {
        for (column, strength) in strengths.iter().enumerate() {
            let mut image = picture();
            operation.apply(*strength, &mut image);
            let differs = (0..IMAGE_BYTES).filter(|place| {
                let (channel, x, y) = (place / PLANE_BYTES, place % SIZE, place / SIZE % SIZE);
                let pixel = (row * SIZE + y) * width + column * SIZE + x;
                image[*place].abs_diff(sheet[pixel * CHANNELS + channel]) > 1
            });
            let differs = differs.count();
            if differs > 0 {
                wrong.push(format!("{operation:?} at {strength}: {differs} bytes"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
