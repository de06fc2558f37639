//! What corruptions promise: one result for one seed, more of it with severity, the distributions that
//! their names say.

use super::*;
use crate::record::SIZE;
use crate::synthetic::{Part, generate};

/// A photograph's likeness: stripes with a colour, and no noise of its own.
fn smooth() -> Image {
    let mut image = [0; IMAGE_BYTES];
    for (place, byte) in image.iter_mut().enumerate() {
        let (channel, x, y) = (place / PLANE_BYTES, place % SIZE, place / SIZE % SIZE);
        let wave = ((x as f64 * 0.6).sin() + (y as f64 * 0.35 + channel as f64).cos()) * 40.0;
        *byte = (118.0 + 12.0 * channel as f64 + wave) as u8;
    }
    image
}

fn constant(value: u8) -> Image {
    [value; IMAGE_BYTES]
}

fn mean(values: &[u8]) -> f64 {
    values.iter().map(|byte| f64::from(*byte)).sum::<f64>() / values.len() as f64
}

fn deviation(values: &[u8]) -> f64 {
    let mean = mean(values);
    let squares = values.iter().map(|byte| (f64::from(*byte) - mean).powi(2));
    (squares.sum::<f64>() / values.len() as f64).sqrt()
}

/// The root of the mean squared difference of bytes.
fn distance(a: &Image, b: &Image) -> f64 {
    let squares = a
        .iter()
        .zip(b)
        .map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2));
    (squares.sum::<f64>() / IMAGE_BYTES as f64).sqrt()
}

#[test]
fn a_corruption_is_a_function_of_image_severity_seed_and_index() {
    let image = smooth();
    let random = [
        Corruption::GaussianNoise,
        Corruption::ShotNoise,
        Corruption::ImpulseNoise,
        Corruption::SpeckleNoise,
        Corruption::GlassBlur,
        Corruption::MotionBlur,
        Corruption::Snow,
        Corruption::Fog,
        Corruption::ElasticTransform,
    ];
    for corruption in Corruption::ALL {
        for severity in Severity::ALL {
            let of = |seed, index| corruption.apply(&image, severity, seed, index);
            assert_eq!(of(3, 5), of(3, 5), "{}", corruption.name());
            assert_ne!(of(3, 5), image, "{} does nothing", corruption.name());
            // Two motions may have the same direction to the pixel, eight may not.
            let by_seed = (4..12).any(|seed| of(3, 5) != of(seed, 5));
            let by_index = (6..14).any(|index| of(3, 5) != of(3, index));
            assert_eq!(by_seed, by_index, "{}", corruption.name());
            let depends = by_seed && by_index;
            assert_eq!(
                depends,
                random.contains(&corruption),
                "{}",
                corruption.name()
            );
        }
    }
}

#[test]
fn a_set_is_its_images_one_by_one_and_keeps_their_labels() {
    let images = generate(Part::Test, 23, 1);
    for corruption in [Corruption::ShotNoise, Corruption::JpegCompression] {
        let severity = Severity::ALL[2];
        for range in [0..images.len(), 3..20, 22..40] {
            let part = corruption.apply_to(&images, range.clone(), severity, 9, 2);
            assert_eq!(part.len(), range.end.min(images.len()) - range.start);
            for (place, index) in range.take(part.len()).enumerate() {
                let (image, label) = images.get(index).unwrap();
                let alone = corruption.apply(image, severity, 9, index as u64);
                assert_eq!(part.get(place).unwrap(), (&alone, label), "{index}");
            }
        }
    }
    let none = Images::new(Vec::new(), Vec::new()).unwrap();
    assert!(
        Corruption::Fog
            .apply_to(&none, 0..5, Severity::ALL[0], 0, 0)
            .is_empty()
    );
}

#[test]
fn a_set_is_the_same_by_any_number_of_threads() {
    let images = generate(Part::Test, 23, 1);
    let by = |threads| Corruption::GlassBlur.apply_to(&images, 2..21, Severity::ALL[3], 9, threads);
    let alone = by(1);
    for threads in [0, 2, 3, 7, 19, 100] {
        assert!(by(threads) == alone, "{threads} threads");
    }
}

#[test]
fn kinds_keep_the_numbers_that_their_random_numbers_are_drawn_by() {
    let first = Corruption::ALL
        .into_iter()
        .filter(|kind| *kind != Corruption::Snow);
    assert!(first.map(|kind| kind as u64).eq(0..16));
    assert_eq!(Corruption::Snow as u64, 16);
}

/// The mean distance over a few images.
fn distances(corruption: Corruption) -> [f64; 5] {
    let images = generate(Part::Test, 8, 1);
    let clean = || {
        (0..8)
            .map(|index| *images.get(index).unwrap().0)
            .chain([smooth()])
    };
    Severity::ALL.map(|severity| {
        let of_image =
            |(index, image)| distance(&image, &corruption.apply(&image, severity, 7, index));
        (0..).zip(clean()).map(of_image).sum::<f64>()
    })
}

#[test]
fn the_more_severe_the_farther_from_the_clean_image() {
    for corruption in Corruption::ALL {
        let found = distances(corruption);
        let rises = |part: &[f64]| part.windows(2).all(|pair| pair[0] < pair[1]);
        // The published constants take colour away first and then add it, lengthen a motion where its weights
        // have faded, move glass's pixels once and then twice with the same blurs, and trade a transformation
        // of the whole for one of its parts.
        let as_expected = match corruption {
            Corruption::Saturate => rises(&found[..2]) && rises(&found[2..]),
            Corruption::MotionBlur => rises(&found[..3]) && rises(&found[3..]),
            Corruption::GlassBlur => found[3] > found[1] && found[4] > found[2],
            Corruption::ElasticTransform => found.iter().all(|distance| *distance > 1.0),
            _ => rises(&found),
        };
        assert!(as_expected, "{}: {found:?}", corruption.name());
    }
}

#[test]
fn bytes_at_the_ends_of_their_range_stay_in_it() {
    for corruption in Corruption::ALL {
        for severity in Severity::ALL {
            let white = mean(&corruption.apply(&constant(255), severity, 1, 0));
            let black = mean(&corruption.apply(&constant(0), severity, 1, 0));
            // A byte that went round its range would bring the means near each other.
            assert!(
                white - black > 120.0,
                "{}: {white} {black}",
                corruption.name()
            );
        }
    }
}

#[test]
fn noises_have_the_mean_and_deviation_of_their_distributions() {
    let grey = 100.0 / 255.0;
    let cases: [(Corruption, [f64; 5]); 3] = [
        (Corruption::GaussianNoise, [0.04, 0.06, 0.08, 0.09, 0.10]),
        (
            Corruption::ShotNoise,
            [500.0, 250.0, 100.0, 75.0, 50.0].map(|white: f64| (grey / white).sqrt()),
        ),
        (
            Corruption::SpeckleNoise,
            [0.06, 0.1, 0.12, 0.16, 0.2].map(|deviation| grey * deviation),
        ),
    ];
    for (corruption, expected) in cases {
        for (severity, expected) in Severity::ALL.into_iter().zip(expected) {
            let found = corruption.apply(&constant(100), severity, 5, 0);
            // Bytes are cut off, which takes half a unit on average. 3,072 values have a mean within five
            // of its standard errors, and a deviation within 7%.
            let error = 5.0 * 255.0 * expected / (IMAGE_BYTES as f64).sqrt();
            let off = mean(&found) - 99.5;
            assert!(off.abs() < error + 0.1, "{}: {off}", corruption.name());
            let ratio = deviation(&found) / (255.0 * expected);
            assert!((ratio - 1.0).abs() < 0.07, "{}: {ratio}", corruption.name());
        }
    }
}

#[test]
fn impulses_are_black_or_white_and_as_many_as_the_severity_says() {
    for (severity, share) in Severity::ALL
        .into_iter()
        .zip([0.01, 0.02, 0.03, 0.05, 0.07])
    {
        let images =
            (0..8).map(|index| Corruption::ImpulseNoise.apply(&constant(100), severity, 2, index));
        let values: Vec<u8> = images.flatten().collect();
        let count = |value| values.iter().filter(|byte| **byte == value).count() as f64;
        assert_eq!(count(0) + count(255) + count(100), values.len() as f64);
        for found in [count(0), count(255)] {
            let expected = values.len() as f64 * share / 2.0;
            assert!(
                (found - expected).abs() < 5.0 * expected.sqrt(),
                "{found} {expected}"
            );
        }
    }
}

#[test]
fn what_has_no_edges_is_not_changed_by_blurs() {
    for corruption in [
        Corruption::GaussianBlur,
        Corruption::DefocusBlur,
        Corruption::GlassBlur,
        Corruption::MotionBlur,
        Corruption::ZoomBlur,
        Corruption::ElasticTransform,
        Corruption::Contrast,
        Corruption::Pixelate,
    ] {
        for severity in Severity::ALL {
            let found = corruption.apply(&constant(77), severity, 1, 0);
            assert_eq!(found, constant(77), "{}", corruption.name());
        }
    }
}

#[test]
fn a_point_spreads_by_the_kernel_of_its_blur() {
    let mut image = constant(0);
    let middle = 16 * SIZE + 16;
    image[middle] = 255;
    // A normal distribution with deviation 1: shares 0.399 and 0.242 in each direction.
    let found = Corruption::GaussianBlur.apply(&image, Severity::ALL[4], 0, 0);
    assert_eq!(found[middle], (255.0_f64 * 0.398_94 * 0.398_94) as u8);
    assert_eq!(found[middle + 1], (255.0_f64 * 0.398_94 * 0.241_97) as u8);
    assert_eq!(found[middle + PLANE_BYTES], 0);
    // A disk of radius 1.5: nine pixels.
    let found = Corruption::DefocusBlur.apply(&image, Severity::ALL[4], 0, 0);
    for (right, down) in [(0, 0), (1, 0), (1, 1)] {
        assert_eq!(found[middle + down * SIZE + right], 28);
    }
    assert_eq!(found[middle + 2], 0);
}

#[test]
fn colours_keep_what_their_corruption_does_not_name() {
    let orange = |value: u8| {
        let mut image = constant(value);
        image[..PLANE_BYTES].fill(2 * value);
        image[2 * PLANE_BYTES..].fill(value / 2);
        image
    };
    // Brightness adds 0.3 to the largest channel and keeps proportions.
    let found = Corruption::Brightness.apply(&orange(60), Severity::ALL[4], 0, 0);
    let bright = 120.0 + 0.3 * 255.0;
    for (plane, share) in found.chunks_exact(PLANE_BYTES).zip([1.0, 0.5, 0.25]) {
        assert!(
            (f64::from(plane[0]) - bright * share).abs() <= 1.0,
            "{}",
            plane[0]
        );
    }
    // Saturation leaves the largest channel, and takes nine tenths of the others' distance from it.
    let found = Corruption::Saturate.apply(&orange(60), Severity::ALL[1], 0, 0);
    for (plane, value) in found.chunks_exact(PLANE_BYTES).zip([120.0, 114.0, 111.0]) {
        assert!((f64::from(plane[0]) - value).abs() <= 1.0, "{}", plane[0]);
    }
    // Contrast keeps each channel's mean.
    let (clean, found) = (
        smooth(),
        Corruption::Contrast.apply(&smooth(), Severity::ALL[4], 0, 0),
    );
    let planes = clean
        .chunks_exact(PLANE_BYTES)
        .zip(found.chunks_exact(PLANE_BYTES));
    for (clean, found) in planes {
        assert!((mean(clean) - mean(found) - 0.5).abs() < 0.5);
        assert!((deviation(found) / deviation(clean) - 0.15).abs() < 0.02);
    }
}

#[test]
fn snow_is_white_falls_and_takes_colour_away() {
    let colour = [150.0, 90.0, 30.0];
    let mut image = constant(0);
    for (plane, value) in image.chunks_exact_mut(PLANE_BYTES).zip(colour) {
        plane.fill(value as u8);
    }
    let bright = 1.5 * (0.299 * 150.0 + 0.587 * 90.0 + 0.114 * 30.0) + 0.5 * 255.0;
    for (severity, kept) in Severity::ALL.into_iter().zip([0.95, 0.9, 0.9, 0.85, 0.8]) {
        let bare = colour.map(|value| kept * value + (1.0 - kept) * bright);
        let (mut across, mut along, mut snowed) = (0, 0, 0);
        for index in 0..20 {
            let found = Corruption::Snow.apply(&image, severity, 4, index);
            let planes: Vec<&[u8]> = found.chunks_exact(PLANE_BYTES).collect();
            for pixel in 0..PLANE_BYTES {
                // A flake is as bright in every channel, until the channel is full.
                let blue = f64::from(planes[2][pixel]);
                let flake = blue - bare[2];
                for (plane, bare) in planes.iter().zip(bare) {
                    let expected = (bare + flake).min(255.0);
                    let off = f64::from(plane[pixel]) - expected;
                    assert!(off.abs() < 2.0 || blue == 255.0, "{off}");
                }
                assert!(flake > -1.0, "{flake}");
                assert_eq!(planes[2][pixel], planes[2][PLANE_BYTES - 1 - pixel]);
                snowed += u32::from(flake > 20.0);
            }
            let lines = |step: usize| {
                let pairs = planes[2].iter().zip(&planes[2][step..]);
                pairs
                    .map(|(one, next)| u32::from(one.abs_diff(*next)))
                    .sum::<u32>()
            };
            across += lines(1);
            along += lines(SIZE);
        }
        assert!(snowed > 100, "{snowed} pixels of flakes");
        assert!(along < across, "{along} {across}");
    }
}

#[test]
fn pixels_are_the_means_of_boxes() {
    let mut image = constant(0);
    // The fourth severity makes three pixels of four: of each four the middle two become one.
    image[1] = 200;
    let found = Corruption::Pixelate.apply(&image, Severity::ALL[3], 0, 0);
    assert_eq!(found[..4], [0, 100, 100, 0]);
    let distinct = |row: &[u8]| row.windows(2).filter(|pair| pair[0] != pair[1]).count() + 1;
    let mut ramp = [0; IMAGE_BYTES];
    for (place, byte) in ramp.iter_mut().enumerate() {
        *byte = (place % SIZE * 8) as u8;
    }
    for (severity, side) in Severity::ALL.into_iter().zip([30, 28, 27, 24, 20]) {
        let found = Corruption::Pixelate.apply(&ramp, severity, 0, 0);
        assert_eq!(distinct(&found[..SIZE]), side);
    }
}
