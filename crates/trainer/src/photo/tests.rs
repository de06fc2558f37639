use std::path::Path;

use super::*;

const PHOTOS: [&str; 3] = ["turned.jpg", "turned.png", "turned.webp"];

fn file(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/files");
    std::fs::read(folder.join(name)).unwrap()
}

fn png(width: u32, height: u32, color: png::ColorType, pixels: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(color);
    encoder
        .write_header()
        .unwrap()
        .write_image_data(pixels)
        .unwrap();
    bytes
}

/// Red, green and blue of a pixel.
fn pixel(photo: &Photo, row: usize, column: usize) -> [u8; 3] {
    [0, 1, 2].map(|channel| photo.pixels[channel * 1024 + row * 32 + column])
}

/// The references are Pillow's: `exif_transpose`, the middle square, and its bilinear filter.
#[test]
fn a_photo_in_each_format_is_turned_as_its_exif_says_and_agrees_with_pillow() {
    for name in PHOTOS {
        let photo = Photo::decode(&file(name)).unwrap();
        for (row, column, expected) in [
            (0, 0, [21, 233, 128]),
            (0, 31, [21, 2, 128]),
            (31, 0, [214, 233, 128]),
            (31, 31, [214, 2, 128]),
        ] {
            let found = pixel(&photo, row, column);
            let near = found.iter().zip(expected).all(|(a, b)| a.abs_diff(b) <= 4);
            assert!(
                near,
                "{name} at {row}, {column}: {found:?} for {expected:?}"
            );
        }
    }
}

#[test]
fn a_picture_of_one_colour_stays_it_and_what_is_transparent_becomes_white() {
    let orange = [255, 128, 0].repeat(3 * 200);
    let photo = Photo::decode(&png(3, 200, png::ColorType::Rgb, &orange)).unwrap();
    assert!((0..32).all(|i| pixel(&photo, i, 31 - i) == [255, 128, 0]));
    let clear = [9, 9, 9, 0].repeat(64 * 64);
    let photo = Photo::decode(&png(64, 64, png::ColorType::Rgba, &clear)).unwrap();
    assert_eq!(pixel(&photo, 7, 7), [255; 3]);
    let photo = Photo::decode(&png(1, 1, png::ColorType::Grayscale, &[77])).unwrap();
    assert_eq!(pixel(&photo, 31, 31), [77; 3]);
}

/// Lines of one pixel become grey, where a filter that picks pixels would give black or white.
#[test]
fn fine_patterns_average_out() {
    let stripes: Vec<u8> = (0..320 * 320)
        .map(|i| if i % 2 == 0 { 0 } else { 255 })
        .collect();
    let photo = Photo::decode(&png(320, 320, png::ColorType::Grayscale, &stripes)).unwrap();
    for column in 1..31 {
        let [value, ..] = pixel(&photo, 16, column);
        assert!((100..156).contains(&value), "{value}");
    }
}

#[test]
fn a_small_file_that_says_it_is_huge_is_refused_by_its_size() {
    let mut bomb = png(1, 1, png::ColorType::Grayscale, &[0]);
    let mut claim = |side: u32| {
        bomb[16..20].copy_from_slice(&side.to_be_bytes());
        bomb[20..24].copy_from_slice(&side.to_be_bytes());
        // The header's checksum, so that the size alone is wrong.
        let crc = bomb[12..29].iter().fold(u32::MAX, |crc, byte| {
            (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
                (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg())
            })
        });
        bomb[29..33].copy_from_slice(&(!crc).to_be_bytes());
        bomb.clone()
    };
    // A size that is allowed, and that so few bytes cannot fill.
    let error = Photo::decode(&claim(8_000)).unwrap_err();
    assert!(error.to_string().contains("ends before"), "{error}");
    let bomb = claim(60_000);
    let error = Photo::decode(&bomb).unwrap_err();
    assert!(
        matches!(error, PhotoError::TooLarge { width: 60_000, .. }),
        "{error}"
    );
    assert!(
        error.to_string().ends_with("more than 64 million"),
        "{error}"
    );
    let error = Photo::decode(&vec![0; 32_000_001]).unwrap_err();
    assert_eq!(error.to_string(), "this has more than 32 megabytes");
    let error = Photo::decode(&vec![0; 32_000_000]).unwrap_err();
    assert!(matches!(error, PhotoError::Unknown), "{error}");
}

#[test]
fn what_is_no_image_is_refused() {
    assert!(matches!(Photo::decode(b""), Err(PhotoError::Empty)));
    for bytes in [&b"GIF89a"[..], b"a text", b"\xff", b"RIFF....WAVE"] {
        assert!(matches!(Photo::decode(bytes), Err(PhotoError::Unknown)));
    }
}

#[test]
fn a_photo_that_is_cut_off_before_its_last_bytes_is_refused() {
    for name in PHOTOS {
        let bytes = file(name);
        // The last bytes are marks of the end, padding, and the last bits of a JPEG's last block, without
        // which its decoder still makes the same picture but for that block.
        for length in 0..bytes.len() - 32 {
            assert!(
                Photo::decode(&bytes[..length]).is_err(),
                "{name} cut at {length}"
            );
        }
    }
}

#[test]
fn a_photo_with_any_damage_is_an_answer_or_an_error_and_never_a_panic() {
    let mut state = 1_u64;
    let mut random = move |below: usize| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 33) as usize % below
    };
    for name in PHOTOS {
        let whole = file(name);
        for _ in 0..1_500 {
            let mut bytes = whole.clone();
            for _ in 0..=random(4) {
                let place = random(bytes.len());
                bytes[place] = random(256) as u8;
            }
            if let Err(PhotoError::Damaged { reason, .. }) = Photo::decode(&bytes) {
                assert_ne!(reason, "its decoder failed", "{name}");
            }
        }
    }
}
