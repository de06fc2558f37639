//! The elements of `data.augment`.

use super::super::document::{Document, Entry};
use super::super::error::RecipeError;
use super::super::{Augmentation, Border};

const SECTION: &str = "data.augment";
const EXAMPLE: &str = "an array of tables such as [{ name = \"flip\" }]";

/// The kinds by name, each with its keys beside `name`.
const KINDS: [(&str, &[&str]); 9] = [
    ("crop", &["padding", "border"]),
    ("flip", &["mode"]),
    ("translate", &["pixels"]),
    ("brightness", &["strength"]),
    ("contrast", &["strength"]),
    ("trivial_augment", &[]),
    ("cutout", &["size"]),
    ("mixup", &["alpha"]),
    ("cutmix", &["alpha"]),
];

pub(super) fn augment(document: &Document) -> Result<Vec<Augmentation>, RecipeError> {
    let Some(entry) = document.entry(SECTION) else {
        let padding = 4;
        let border = Border::Black;
        return Ok(vec![
            Augmentation::Crop { padding, border },
            Augmentation::Flip,
        ]);
    };
    let items = entry.elements(SECTION, EXAMPLE)?;
    let list = items.iter().map(element).collect::<Result<Vec<_>, _>>()?;
    match cifar10::augment::problem(&list) {
        None => Ok(list),
        Some(problem) => Err(entry.invalid(format!("`{SECTION}`: {problem}"))),
    }
}

fn element(item: &Entry) -> Result<Augmentation, RecipeError> {
    let names = KINDS.map(|(name, _)| name);
    let Some(name) = item.field(SECTION, "name")? else {
        return Err(item.invalid(format!(
            "an element of `{SECTION}` needs a `name`: {}",
            names.join(", ")
        )));
    };
    let name = name.as_choice("data.augment.name", &names)?;
    let own = KINDS.iter().find(|(kind, _)| *kind == name);
    let known = [&["name"][..], own.map_or(&[], |(_, keys)| *keys)].concat();
    let fields = Document::of_element(SECTION, name, item, &known)?;
    Ok(match name {
        "crop" => Augmentation::Crop {
            // A border that reflects has a pixel less, which only both keys together say.
            padding: pixels(&fields, "padding", 4, 32)?,
            border: match fields.choice("data.augment.border", "zero", &["zero", "reflect"])? {
                "reflect" => Border::Reflect,
                _ => Border::Black,
            },
        },
        "translate" => Augmentation::Translate {
            pixels: pixels(&fields, "pixels", 2, 31)?,
        },
        "brightness" => Augmentation::Brightness {
            strength: strength(&fields)?,
        },
        "contrast" => Augmentation::Contrast {
            strength: strength(&fields)?,
        },
        "trivial_augment" => Augmentation::TrivialAugment,
        "cutout" => Augmentation::Cutout {
            size: pixels(&fields, "size", 8, 32)?,
        },
        "mixup" => Augmentation::Mixup {
            alpha: alpha(&fields, 0.2)?,
        },
        "cutmix" => Augmentation::CutMix {
            alpha: alpha(&fields, 1.0)?,
        },
        _ => match fields.choice("data.augment.mode", "random", &["random", "alternating"])? {
            "alternating" => Augmentation::AlternatingFlip,
            _ => Augmentation::Flip,
        },
    })
}

/// A number of pixels, at most as many as the kind has a use for.
fn pixels(
    fields: &Document,
    name: &str,
    default: usize,
    most: usize,
) -> Result<usize, RecipeError> {
    let key = format!("{SECTION}.{name}");
    let Some(entry) = fields.entry(&key) else {
        return Ok(default);
    };
    let pixels = entry.as_count(&key)?;
    if !(1..=most).contains(&pixels) {
        return Err(entry.invalid(format!(
            "`{key}` must be from 1 to {most} pixels, found {pixels}"
        )));
    }
    Ok(pixels)
}

fn strength(fields: &Document) -> Result<f64, RecipeError> {
    fields.number("data.augment.strength", 0.2, "from 0 to 1", |value| {
        (0.0..=1.0).contains(&value)
    })
}

fn alpha(fields: &Document, default: f64) -> Result<f64, RecipeError> {
    let rule = "above 0 and at most 100";
    fields.number("data.augment.alpha", default, rule, |value| {
        value > 0.0 && value <= 100.0
    })
}
