//! What each kind of augmentation promises.

use super::*;
use crate::normalize::Normalization;

const ALL: [Augmentation; 10] = [
    Augmentation::Crop {
        padding: 4,
        border: Border::Reflect,
    },
    Augmentation::Translate { pixels: 2 },
    Augmentation::AlternatingFlip,
    Augmentation::Brightness { strength: 0.2 },
    Augmentation::Contrast { strength: 0.2 },
    Augmentation::TrivialAugment,
    Augmentation::Cutout { size: 12 },
    Augmentation::Mixup { alpha: 0.2 },
    Augmentation::Flip,
    Augmentation::CutMix { alpha: 1.0 },
];

fn noise_image(index: u64) -> [u8; IMAGE_BYTES] {
    let mut image = [0; IMAGE_BYTES];
    Stream::new(1, Purpose::Synthetic, 0, index).fill(&mut image);
    image
}

fn place(epoch: u64, index: u64) -> Place {
    Place {
        seed: 0,
        epoch,
        index,
    }
}

/// The images of `listed`, of a set of a hundred.
fn partners(listed: impl IntoIterator<Item = usize>) -> Partners {
    Partners::new(listed.into_iter().collect(), 100)
}

fn applied(augmentations: &[Augmentation], place: Place) -> Vec<f32> {
    let mut output = [f32::NAN; IMAGE_BYTES];
    let tables = Normalization::CHANNEL.tables();
    apply(augmentations, place, &noise_image(0), &tables, &mut output);
    output.to_vec()
}

#[test]
fn what_repeats_what_is_out_of_range_and_what_is_out_of_order_is_refused() {
    let black = |padding| Augmentation::Crop {
        padding,
        border: Border::Black,
    };
    assert_eq!(problem(&ALL[..8]), None);
    assert_eq!(problem(&[black(32), Augmentation::Flip]), None);
    for (list, words) in [
        (
            vec![black(4), black(2)],
            "`crop` stands twice; leave one of the two out",
        ),
        (
            vec![Augmentation::Flip, Augmentation::AlternatingFlip],
            "`flip` stands twice; leave one of the two out",
        ),
        (
            vec![ALL[7], ALL[9]],
            "`mixup` and `cutmix` both mix images, which happens once; leave one of the two out",
        ),
        (
            vec![ALL[6], Augmentation::Flip],
            "`flip` must stand before `cutout`: bytes are changed first, then a square is cut out, \
             then images are mixed; move it forward",
        ),
        (
            vec![ALL[7], ALL[6]],
            "`cutout` must stand before `mixup`: bytes are changed first, then a square is cut out, \
             then images are mixed; move it forward",
        ),
        (
            vec![black(33)],
            "`crop` pads by at most 32 pixels, found 33: a window beyond shows nothing of the image; \
             lower `padding`",
        ),
        (
            vec![Augmentation::Crop {
                padding: 32,
                border: Border::Reflect,
            }],
            "`crop` pads by at most 31 pixels over a border that reflects, found 32: the reflection \
             has no more; lower `padding` or take the border `zero`",
        ),
        (
            vec![Augmentation::Translate { pixels: 32 }],
            "`translate` moves by at most 31 pixels, found 32: the reflection has no more; lower \
             `pixels`",
        ),
        (
            vec![Augmentation::Cutout { size: 0 }],
            "`cutout` needs a `size` from 1 to 32 pixels, found 0; give one of these",
        ),
        (
            vec![Augmentation::Brightness { strength: 1.5 }],
            "`brightness` needs a `strength` from 0 to 1, found 1.5; give one of these",
        ),
        (
            vec![Augmentation::Contrast { strength: -0.1 }],
            "`contrast` needs a `strength` from 0 to 1, found -0.1; give one of these",
        ),
        (
            vec![Augmentation::Mixup { alpha: f64::NAN }],
            "`mixup` needs an `alpha` above 0 and at most 100, found NaN; give one of these",
        ),
        (
            vec![Augmentation::CutMix { alpha: 0.0 }],
            "`cutmix` needs an `alpha` above 0 and at most 100, found 0; give one of these",
        ),
    ] {
        assert_eq!(problem(&list).as_deref(), Some(words), "{list:?}");
    }
    let twice = [Augmentation::TrivialAugment; 2];
    assert!(problem(&twice).is_some_and(|words| words.starts_with("`trivial_augment` stands")));
}

#[test]
fn every_kind_is_a_function_of_seed_epoch_and_index_and_depends_on_each() {
    for kind in &ALL {
        let kind = std::slice::from_ref(kind);
        let shown = |place| {
            (
                applied(kind, place),
                Mix::draw(kind, place, &partners(0..100)),
            )
        };
        assert_eq!(shown(place(3, 5)), shown(place(3, 5)), "{kind:?}");
        // A coin falls alike now and then, so that several draws are looked at.
        let differs =
            |other: &dyn Fn(u64) -> Place| (0..16).any(|n| shown(other(n)) != shown(place(0, 0)));
        assert!(differs(&|n| place(n, 0)), "{kind:?}");
        assert!(differs(&|n| place(0, n)), "{kind:?}");
        assert!(
            differs(&|seed| Place {
                seed,
                ..place(0, 0)
            }),
            "{kind:?}"
        );
    }
}

#[test]
fn an_alternating_flip_shows_every_image_both_ways_in_each_two_epochs() {
    let mut flipped = 0;
    for index in 0..1_000 {
        let flips = |epoch| flips(&Augmentation::AlternatingFlip, 0, epoch, index);
        flipped += u32::from(flips(0));
        for epoch in 0..6 {
            assert_ne!(flips(epoch), flips(epoch + 1));
        }
    }
    // Five standard deviations of a fair coin are 79.
    assert!(flipped.abs_diff(500) < 80, "{flipped}");
}

#[test]
fn a_reflecting_border_mirrors_the_image_without_its_edge() {
    let image = noise_image(0);
    let mut shifted = image;
    pixels::shift(&mut shifted, [-2, 3], Border::Reflect);
    let at = |image: &[u8], x: usize, y: usize| image[y * SIZE + x];
    assert_eq!(at(&shifted, 0, 0), at(&image, 2, 3));
    assert_eq!(at(&shifted, 1, 0), at(&image, 1, 3));
    assert_eq!(at(&shifted, 2, 0), at(&image, 0, 3));
    assert_eq!(at(&shifted, 5, 31), at(&image, 3, 28));
    // Over black the same window is the one of the fast way.
    let crop = [Augmentation::Crop {
        padding: 4,
        border: Border::Black,
    }];
    let tables = Normalization::CHANNEL.tables();
    for index in 0..20 {
        let mut slow = image;
        change_bytes(&crop[0], place(0, index), &mut slow);
        let mut expected = [0.0; IMAGE_BYTES];
        Placement::default().apply(&slow, &tables, &mut expected);
        assert_eq!(applied(&crop, place(0, index)), expected);
    }
}

#[test]
fn a_cut_out_square_is_zero_and_the_rest_is_as_it_was() {
    let whole = applied(&[], place(0, 0));
    for index in 0..50 {
        let cut = applied(&[Augmentation::Cutout { size: 12 }], place(0, index));
        let zeros: Vec<usize> = (0..PLANE_BYTES).filter(|at| cut[*at] == 0.0).collect();
        let (first, last) = (zeros[0], zeros[zeros.len() - 1]);
        assert_eq!(zeros.len(), 144);
        assert_eq!(
            (last / SIZE - first / SIZE, last % SIZE - first % SIZE),
            (11, 11)
        );
        assert!((0..IMAGE_BYTES).all(|at| cut[at] == 0.0 || cut[at] == whole[at]));
    }
}

#[test]
fn brightness_and_contrast_keep_their_formulas() {
    let mut image = noise_image(2);
    image[0] = 200;
    let mut bright = image;
    pixels::brightness(&mut bright, 1.5);
    assert_eq!(
        (bright[0], bright[1]),
        (255, (f32::from(image[1]) * 1.5).min(255.0) as u8)
    );
    let mut flat = image;
    pixels::contrast(&mut flat, 0.0);
    assert!(
        flat.iter().all(|byte| *byte == flat[0]),
        "no contrast is one grey"
    );
    let mut same = image;
    pixels::contrast(&mut same, 1.0);
    assert_eq!(same, image);
}

#[test]
fn trivial_augment_draws_every_operation_and_leaves_an_image_alone_at_no_strength() {
    let mut seen = std::collections::HashSet::new();
    for index in 0..1_000 {
        let (operation, strength) = Operation::draw(&mut place(0, index).stream(Purpose::Trivial));
        assert!(strength.unsigned_abs() < STRENGTHS);
        seen.insert(format!("{operation:?}"));
    }
    assert_eq!(seen.len(), Operation::ALL.len());
    for operation in &Operation::ALL[..10] {
        let mut image = noise_image(3);
        operation.apply(0, &mut image);
        assert!(image == noise_image(3), "{operation:?}");
    }
}

#[test]
fn a_mixture_holds_the_shares_that_it_names() {
    let (ones, zeros) = ([1.0; IMAGE_BYTES], [0.0; IMAGE_BYTES]);
    for kind in [
        Augmentation::Mixup { alpha: 0.5 },
        Augmentation::CutMix { alpha: 1.0 },
    ] {
        let mut shares = 0.0;
        for index in 0..500 {
            let mix = Mix::draw(&[kind], place(0, index), &partners(0..100)).unwrap();
            assert!(mix.other < 100);
            let mut image = ones;
            mix.apply(&mut image, &zeros);
            let mean = image.iter().sum::<f32>() / IMAGE_BYTES as f32;
            assert!((mean - mix.share).abs() < 1e-4, "{kind:?} {mix:?} {mean}");
            shares += f64::from(mix.share) / 500.0;
        }
        // A box that hangs over the edge leaves more of the image, so that CutMix keeps more than half.
        assert!((0.45..0.75).contains(&shares), "{kind:?} {shares}");
    }
    let draw = |kind, listed| Mix::draw(&[kind], place(0, 0), &partners(listed));
    assert_eq!(draw(Augmentation::Flip, 0..100), None);
    assert_eq!(draw(ALL[9], 0..0), None, "there is no image to mix in");
}

#[test]
fn another_list_mixes_the_same_image_in_where_it_has_it_and_keeps_the_share() {
    // Lists that leave out what is held out, and one so short that draws of the whole set miss it.
    let lists = [
        (0..100).filter(|index| index % 5 != 3).collect(),
        (0..100).filter(|index| index % 7 != 2).collect(),
        (20..30).rev().collect(),
        vec![41],
    ];
    for kind in [ALL[7], ALL[9]] {
        let mut others = std::collections::HashSet::new();
        for index in 0..500 {
            let draw = |listed: &[usize]| {
                let listed = partners(listed.iter().copied());
                Mix::draw(&[kind], place(1, index), &listed).unwrap()
            };
            let whole = draw(&Vec::from_iter(0..100));
            for list in &lists {
                let mix = draw(list);
                assert!(list.contains(&mix.other));
                assert_eq!((mix.share, &mix.pasted), (whole.share, &whole.pasted));
                assert!(mix.other == whole.other || !list.contains(&whole.other));
            }
            others.insert(draw(&lists[2]).other);
        }
        assert_eq!(others.len(), 10, "every image of a list is mixed in");
    }
}

/// What a view says, pixel by pixel.
fn viewed(view: &View, image: &[u8; IMAGE_BYTES]) -> Vec<f32> {
    let tables = Normalization::CHANNEL.tables();
    let [left, top, side] = view.square.map(usize::from);
    let mut output = Vec::new();
    for (channel, table) in tables.iter().enumerate() {
        for (y, row) in view.rows.map(usize::from).into_iter().enumerate() {
            for (x, column) in view.columns.map(usize::from).into_iter().enumerate() {
                let is_cut = (left..left + side).contains(&x) && (top..top + side).contains(&y);
                let is_black = row >= SIZE || column >= SIZE;
                let byte = match is_black {
                    true => 0,
                    false => image[(channel * SIZE + row) * SIZE + column],
                };
                output.push(if is_cut {
                    0.0
                } else {
                    table[usize::from(byte)]
                });
            }
        }
    }
    output
}

#[test]
fn a_view_shows_what_the_augmentations_that_it_covers_do() {
    let crop = |padding, border| Augmentation::Crop { padding, border };
    let lists = [
        vec![],
        vec![crop(4, Border::Black), Augmentation::Flip],
        vec![Augmentation::Flip, crop(32, Border::Black)],
        vec![
            crop(31, Border::Reflect),
            Augmentation::AlternatingFlip,
            Augmentation::Translate { pixels: 31 },
        ],
        vec![
            crop(9, Border::Black),
            Augmentation::Translate { pixels: 3 },
            Augmentation::Flip,
            Augmentation::Cutout { size: 12 },
        ],
        vec![Augmentation::Cutout { size: 32 }],
    ];
    let image = noise_image(0);
    for list in &lists {
        assert!(View::covers(list));
        for index in 0..60 {
            let place = place(index % 3, index);
            let shown = viewed(&View::draw(list, place), &image);
            assert!(shown == applied(list, place), "{list:?}, image {index}");
        }
    }
    for other in [&ALL[3..6], &ALL[7..8], &ALL[9..]].concat() {
        assert!(!View::covers(&[Augmentation::Flip, other]), "{other:?}");
    }
}
