//! A [`Document`] to a [`Recipe`]: the defaults, the ranges, and what does not go together.
//!
//! The defaults stand here once, beside the range of the key they belong to.

use super::document::{Document, Entry, Value};
use super::error::{Candidates, Place, RecipeError};
use super::{
    Augmentation, CIFAR10_TEST_IMAGES, CIFAR10_TRAIN_IMAGES, CheckpointSpec, DataSpec, DatasetSpec,
    LossSpec, Normalize, OptimizerSpec, Recipe, ScheduleSpec, Select,
};

/// More passes than anyone means. It keeps step counts far from their limits.
const MOST_EPOCHS: f64 = 1e6;

/// Keys that only some choices of a section's name have: the key, the naming key, the choices.
const KEYS_OF_A_CHOICE: &[(&str, &str, &[&str])] = &[
    ("data.train_images", "data.dataset", &["synthetic"]),
    ("data.test_images", "data.dataset", &["synthetic"]),
    ("optimizer.momentum", "optimizer.name", &["sgd"]),
    ("optimizer.nesterov", "optimizer.name", &["sgd"]),
    ("optimizer.beta1", "optimizer.name", &["adamw"]),
    ("optimizer.beta2", "optimizer.name", &["adamw"]),
    ("optimizer.epsilon", "optimizer.name", &["adamw"]),
    ("schedule.final", "schedule.name", &["cosine", "one_cycle"]),
    ("schedule.milestones", "schedule.name", &["step"]),
    ("schedule.gamma", "schedule.name", &["step"]),
];

/// Checks every value of `document`.
pub(super) fn recipe(document: &Document, networks: &[&str]) -> Result<Recipe, RecipeError> {
    let source = dataset(document)?;
    let recipe = Recipe {
        name: name(document)?,
        network: network(document, networks)?,
        epochs: document.number("epochs", 8.0, "above 0 and at most 1000000", |value| {
            value > 0.0 && value <= MOST_EPOCHS
        })?,
        batch_size: document.count("batch_size", 128, 1)?,
        seed: document
            .entry("seed")
            .map_or(Ok(0), |entry| entry.as_integer("seed"))?,
        validation: document.count("validation", 5_000, 0)?,
        select: match document.choice("select", "last", &["last", "best"])? {
            "best" => Select::Best,
            _ => Select::Last,
        },
        data: DataSpec {
            source,
            normalize: match document.choice("data.normalize", "channel", &["channel", "half"])? {
                "half" => Normalize::Half,
                _ => Normalize::Channel,
            },
            augment: augment(document)?,
        },
        optimizer: optimizer(document)?,
        schedule: schedule(document)?,
        loss: LossSpec {
            label_smoothing: unit(document, "loss.label_smoothing", 0.0)?,
        },
        checkpoint: checkpoint(document)?,
    };
    check_hold_out(document, &recipe)?;
    Ok(recipe)
}

/// A number in [0, 1).
fn unit(document: &Document, key: &str, default: f64) -> Result<f64, RecipeError> {
    let range = |value: f64| (0.0..1.0).contains(&value);
    document.number(key, default, "at least 0 and below 1", range)
}

fn name(document: &Document) -> Result<String, RecipeError> {
    let text = match document.entry("name") {
        Some(entry) => entry.as_text("name")?,
        None => &document.stem,
    };
    if is_plain_name(text) {
        return Ok(text.to_owned());
    }
    Err(document.conflict(
        &["name"],
        format!(
            "\"{}\" cannot name a run: use 1 to 100 letters, digits, `-`, `_` or `.`, not `.` first; \
             set `name` or rename the file",
            text.escape_debug()
        ),
    ))
}

/// Whether a text is a safe folder name on every system.
fn is_plain_name(text: &str) -> bool {
    (1..=100).contains(&text.len())
        && !text.starts_with('.')
        && text
            .chars()
            .all(|character| character.is_ascii_alphanumeric() || "-_.".contains(character))
}

fn network(document: &Document, known: &[&str]) -> Result<String, RecipeError> {
    let default = "resnet20";
    let Some(entry) = document.entry("network") else {
        return Ok(default.to_owned());
    };
    let text = entry.as_text("network")?;
    if known.contains(&text) {
        Ok(text.to_owned())
    } else {
        Err(entry.unknown_choice("network", known))
    }
}

/// The value of a section's naming key, with an error for keys that this choice does not have.
///
/// The file's keys for another choice are passed over where the command line made the choice.
fn choice_of_section(
    document: &Document,
    naming: &str,
    default: &'static str,
    choices: &[&'static str],
) -> Result<&'static str, RecipeError> {
    let chosen = document.choice(naming, default, choices)?;
    for (key, _, owners) in KEYS_OF_A_CHOICE.iter().filter(|row| row.1 == naming) {
        let foreign = document.entry(key).is_some() && !owners.contains(&chosen);
        let passed_over = document.is_override(naming) && !document.is_override(key);
        if foreign && !passed_over {
            return Err(document.conflict(
                &[key],
                format!(
                    "`{key}` has no effect with `{naming}` = \"{chosen}\"; remove it, or choose {}",
                    owners.join(" or ")
                ),
            ));
        }
    }
    Ok(chosen)
}

fn dataset(document: &Document) -> Result<DatasetSpec, RecipeError> {
    let choices = ["cifar10", "synthetic"];
    Ok(
        match choice_of_section(document, "data.dataset", "cifar10", &choices)? {
            "synthetic" => DatasetSpec::Synthetic {
                train_images: document.count("data.train_images", CIFAR10_TRAIN_IMAGES, 1)?,
                test_images: document.count("data.test_images", CIFAR10_TEST_IMAGES, 1)?,
            },
            _ => DatasetSpec::Cifar10,
        },
    )
}

fn augment(document: &Document) -> Result<Vec<Augmentation>, RecipeError> {
    let key = "data.augment";
    let Some(entry) = document.entry(key) else {
        return Ok(vec![Augmentation::Crop { padding: 4 }, Augmentation::Flip]);
    };
    let Value::Array(items) = &entry.value else {
        return Err(entry.wrong_type(key, "an array of tables such as [{ name = \"flip\" }]"));
    };
    items.iter().map(augmentation).collect()
}

fn augmentation(item: &Entry) -> Result<Augmentation, RecipeError> {
    let key = "data.augment";
    let Value::Table(fields) = &item.value else {
        return Err(item.wrong_type(key, "an array of tables such as [{ name = \"flip\" }]"));
    };
    let field = |wanted: &str| {
        fields
            .iter()
            .find(|(name, ..)| name == wanted)
            .map(|(.., entry)| entry)
    };
    let Some(name) = field("name") else {
        return Err(item.invalid("an element of `data.augment` needs a `name`: crop or flip"));
    };
    let name = name.as_choice("data.augment.name", &["crop", "flip"])?;
    let known: &[&str] = match name {
        "crop" => &["name", "padding"],
        _ => &["name"],
    };
    for (field, place, _) in fields {
        if !known.contains(&field.as_str()) {
            return Err(unknown_field(name, field, place, known));
        }
    }
    if name == "flip" {
        return Ok(Augmentation::Flip);
    }
    let padding = match field("padding") {
        Some(entry) => {
            let padding = entry.as_count("data.augment.padding")?;
            if !(1..=32).contains(&padding) {
                return Err(entry.invalid(format!(
                    "`data.augment.padding` must be from 1 to 32 pixels, found {padding}"
                )));
            }
            padding
        }
        None => 4,
    };
    Ok(Augmentation::Crop { padding })
}

fn unknown_field(augmentation: &str, field: &str, place: &Place, known: &[&str]) -> RecipeError {
    RecipeError::UnknownKey {
        place: place.clone(),
        key: format!("data.augment.{augmentation}.{field}"),
        candidates: Box::new(Candidates::of(field, known)),
    }
}

fn optimizer(document: &Document) -> Result<OptimizerSpec, RecipeError> {
    let chosen = choice_of_section(document, "optimizer.name", "sgd", &["sgd", "adamw"])?;
    let default_lr = if chosen == "adamw" { 0.001 } else { 0.1 };
    let lr = document.number(
        "optimizer.lr",
        default_lr,
        "above 0 and at most 1000",
        |value| value > 0.0 && value <= 1000.0,
    )?;
    let default_decay = if chosen == "adamw" { 0.01 } else { 0.0005 };
    let weight_decay = document.number(
        "optimizer.weight_decay",
        default_decay,
        "at least 0 and finite",
        |value| value >= 0.0 && value.is_finite(),
    )?;
    let decay_norm_and_bias = document.flag("optimizer.decay_norm_and_bias", false)?;
    if chosen == "adamw" {
        return Ok(OptimizerSpec::AdamW {
            lr,
            beta1: unit(document, "optimizer.beta1", 0.9)?,
            beta2: unit(document, "optimizer.beta2", 0.999)?,
            epsilon: document.number(
                "optimizer.epsilon",
                1e-8,
                "above 0 and at most 1",
                |value| value > 0.0 && value <= 1.0,
            )?,
            weight_decay,
            decay_norm_and_bias,
        });
    }
    let momentum = unit(document, "optimizer.momentum", 0.9)?;
    // Nesterov is the default only where there is a momentum, so that `momentum = 0` needs no second key.
    let nesterov = document.flag("optimizer.nesterov", momentum > 0.0)?;
    if nesterov && momentum == 0.0 {
        return Err(document.conflict(
            &["optimizer.nesterov", "optimizer.momentum"],
            "`optimizer.nesterov` needs a momentum above 0; set `optimizer.momentum`, or nesterov = false",
        ));
    }
    Ok(OptimizerSpec::Sgd {
        lr,
        momentum,
        nesterov,
        weight_decay,
        decay_norm_and_bias,
    })
}

fn schedule(document: &Document) -> Result<ScheduleSpec, RecipeError> {
    let choices = ["constant", "step", "cosine", "one_cycle"];
    let chosen = choice_of_section(document, "schedule.name", "one_cycle", &choices)?;
    let default_warmup = if chosen == "one_cycle" { 0.25 } else { 0.0 };
    let warmup = unit(document, "schedule.warmup", default_warmup)?;
    let final_fraction = document.number("schedule.final", 0.0, "from 0 to 1", |value| {
        (0.0..=1.0).contains(&value)
    });
    Ok(match chosen {
        "constant" => ScheduleSpec::Constant { warmup },
        "step" => ScheduleSpec::Step {
            warmup,
            milestones: milestones(document)?,
            gamma: document.number("schedule.gamma", 0.1, "above 0 and at most 1", |value| {
                value > 0.0 && value <= 1.0
            })?,
        },
        "cosine" => ScheduleSpec::Cosine {
            warmup,
            final_fraction: final_fraction?,
        },
        _ => ScheduleSpec::OneCycle {
            warmup,
            final_fraction: final_fraction?,
        },
    })
}

fn milestones(document: &Document) -> Result<Vec<f64>, RecipeError> {
    let key = "schedule.milestones";
    let Some(entry) = document.entry(key) else {
        return Err(document.conflict(
            &["schedule.name"],
            "the schedule \"step\" needs `schedule.milestones`, the epochs after which the rate falls, \
             such as [100, 150]",
        ));
    };
    let Value::Array(items) = &entry.value else {
        return Err(entry.wrong_type(key, "an array of epochs such as [100, 150]"));
    };
    let mut epochs = Vec::<f64>::with_capacity(items.len());
    for item in items {
        let epoch = item.as_number(key)?;
        let previous = epochs.last().copied().unwrap_or(0.0);
        if !(epoch > previous && epoch <= MOST_EPOCHS) {
            return Err(item.invalid(format!(
                "`{key}` must be epochs above 0 that rise, found {epoch} after {previous}"
            )));
        }
        epochs.push(epoch);
    }
    if epochs.is_empty() {
        return Err(entry.invalid(format!(
            "`{key}` must hold at least one epoch; the schedule \"constant\" has none"
        )));
    }
    Ok(epochs)
}

fn checkpoint(document: &Document) -> Result<CheckpointSpec, RecipeError> {
    Ok(CheckpointSpec {
        every_epochs: document.count("checkpoint.every_epochs", 1, 0)?,
        every_steps: document.count("checkpoint.every_steps", 0, 0)?,
        every_minutes: document.number(
            "checkpoint.every_minutes",
            0.0,
            "at least 0 and finite",
            |value| value >= 0.0 && value.is_finite(),
        )?,
        keep: document.count("checkpoint.keep", 2, 1)?,
        keep_every: document.count("checkpoint.keep_every", 0, 0)?,
    })
}

/// Checks the numbers of images against each other.
fn check_hold_out(document: &Document, recipe: &Recipe) -> Result<(), RecipeError> {
    let all = recipe.data.source.train_images();
    if recipe.validation >= all {
        return Err(document.conflict(
            &["validation", "data.train_images", "data.dataset"],
            format!(
                "`validation` must leave images to train on: {} are held out of {all} training images; \
                 lower `validation`",
                recipe.validation
            ),
        ));
    }
    if recipe.batch_size > recipe.training_images() {
        return Err(document.conflict(
            &["batch_size", "validation", "data.train_images"],
            format!(
                "`batch_size` is {}, but the hold-out leaves {} training images; lower `batch_size`",
                recipe.batch_size,
                recipe.training_images()
            ),
        ));
    }
    if recipe.select == Select::Best && recipe.validation == 0 {
        return Err(document.conflict(
            &["select", "validation"],
            "`select` = \"best\" needs held-out images; set `validation` above 0, or select = \"last\"",
        ));
    }
    Ok(())
}
