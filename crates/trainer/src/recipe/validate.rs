//! A [`Document`] to a [`Recipe`]: the defaults, the ranges, and what does not go together.
//!
//! The defaults stand here once, beside the range of the key they belong to.

mod augment;
mod optimizer;
mod schedule;

use super::document::Document;
use super::error::RecipeError;
use super::{
    AverageSpec, CIFAR10_TEST_IMAGES, CIFAR10_TRAIN_IMAGES, CheckpointSpec, DataSpec, DatasetSpec,
    LookaheadSpec, LossSpec, Normalize, Recipe, Reduction, Select, Tta,
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
    (
        "schedule.warmup",
        "schedule.name",
        &["constant", "step", "cosine", "one_cycle", "linear"],
    ),
    (
        "schedule.final",
        "schedule.name",
        &["cosine", "one_cycle", "linear"],
    ),
    ("schedule.points", "schedule.name", &["piecewise"]),
    ("schedule.milestones", "schedule.name", &["step"]),
    ("schedule.gamma", "schedule.name", &["step"]),
];

/// Checks every value of `document`.
pub(super) fn recipe(document: &Document, networks: &[&str]) -> Result<Recipe, RecipeError> {
    let source = dataset(document)?;
    let name = name(document)?;
    let recipe = Recipe {
        based_on: based_on(document, &name)?,
        name,
        network: network(document, networks)?,
        epochs: document.number("epochs", 8.0, "above 0 and at most 1000000", |value| {
            value > 0.0 && value <= MOST_EPOCHS
        })?,
        batch_size: document.count("batch_size", 128, 1)?,
        seed: document
            .entry("seed")
            .map_or(Ok(0), |entry| entry.as_integer("seed"))?,
        validation: document.count("validation", 5_000, 0)?,
        select: match document.choice("select", "last", &["last", "best", "average"])? {
            "best" => Select::Best,
            "average" => Select::Average,
            _ => Select::Last,
        },
        data: DataSpec {
            source,
            normalize: match document.choice("data.normalize", "channel", &["channel", "half"])? {
                "half" => Normalize::Half,
                _ => Normalize::Channel,
            },
            drop_last: document.flag("data.drop_last", false)?,
            augment: augment::augment(document)?,
        },
        optimizer: optimizer::optimizer(document)?,
        gradients: optimizer::gradients(document)?,
        groups: optimizer::groups(document)?,
        schedule: schedule::schedule(document)?,
        loss: loss(document)?,
        average: average(document)?,
        lookahead: lookahead(document)?,
        patience: document.count("early_stopping.patience", 0, 0)?,
        tta: tta(document)?,
        checkpoint: checkpoint(document)?,
    };
    check_hold_out(document, &recipe)?;
    check_average(document, &recipe)?;
    Ok(recipe)
}

fn tta(document: &Document) -> Result<Tta, RecipeError> {
    let name = document.choice("evaluation.tta", Tta::None.name(), &Tta::NAMES)?;
    let found = Tta::ALL.into_iter().find(|tta| tta.name() == name);
    Ok(found.unwrap_or(Tta::None))
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

/// The recipe's own name, where it is another than the run's.
fn based_on(document: &Document, name: &str) -> Result<Option<String>, RecipeError> {
    let Some(entry) = document.entry("based_on") else {
        return Ok(None);
    };
    let text = entry.as_text("based_on")?;
    if is_plain_name(text) {
        return Ok((text != name).then(|| text.to_owned()));
    }
    Err(document.conflict(
        &["based_on"],
        format!("\"{}\" is no recipe's name", text.escape_debug()),
    ))
}

/// Whether a text is a safe folder name on every system.
pub(super) fn is_plain_name(text: &str) -> bool {
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

/// Whether the command line made a choice, and a file alone has a `key` that goes with another one, which is
/// no mistake.
fn is_passed_over(document: &Document, choice: &str, key: &str) -> bool {
    document.is_override(choice) && !document.is_override(key)
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
        if foreign && !is_passed_over(document, naming, key) {
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

/// Ten times CIFAR-10.
const MOST_SYNTHETIC_IMAGES: usize = 500_000;

fn dataset(document: &Document) -> Result<DatasetSpec, RecipeError> {
    Ok(
        match choice_of_section(document, "data.dataset", "cifar10", &DatasetSpec::NAMES)? {
            "synthetic" => DatasetSpec::Synthetic {
                train_images: synthetic_images(
                    document,
                    "data.train_images",
                    CIFAR10_TRAIN_IMAGES,
                )?,
                test_images: synthetic_images(document, "data.test_images", CIFAR10_TEST_IMAGES)?,
            },
            _ => DatasetSpec::Cifar10,
        },
    )
}

/// How many images are generated. All of them are held in memory, 3,072 bytes each.
fn synthetic_images(document: &Document, key: &str, default: usize) -> Result<usize, RecipeError> {
    let count = document.count(key, default, 1)?;
    if count > MOST_SYNTHETIC_IMAGES {
        return Err(document.conflict(
            &[key],
            format!("`{key}` must be at most {MOST_SYNTHETIC_IMAGES}, found {count}"),
        ));
    }
    Ok(count)
}

fn loss(document: &Document) -> Result<LossSpec, RecipeError> {
    Ok(LossSpec {
        label_smoothing: unit(document, "loss.label_smoothing", 0.0)?,
        reduction: match document.choice("loss.reduction", "mean", &["mean", "sum"])? {
            "sum" => Reduction::Sum,
            _ => Reduction::Mean,
        },
    })
}

fn average(document: &Document) -> Result<AverageSpec, RecipeError> {
    let average = AverageSpec {
        decay: unit(document, "average.decay", 0.0)?,
        every_steps: document.count("average.every_steps", 1, 1)?,
    };
    if average.decay > 0.0 {
        return Ok(average);
    }
    let key = "average.every_steps";
    without_effect(document, key, average.every_steps != 1, "average.decay")?;
    Ok(AverageSpec {
        every_steps: 1,
        ..average
    })
}

fn lookahead(document: &Document) -> Result<LookaheadSpec, RecipeError> {
    let plain = LookaheadSpec {
        every_steps: 0,
        decay: 0.5,
        power: 0.0,
    };
    let lookahead = LookaheadSpec {
        every_steps: document.count("lookahead.every_steps", plain.every_steps, 0)?,
        decay: unit(document, "lookahead.decay", plain.decay)?,
        power: document.number("lookahead.power", plain.power, "from 0 to 100", |value| {
            (0.0..=100.0).contains(&value)
        })?,
    };
    if lookahead.every_steps > 0 {
        return Ok(lookahead);
    }
    for (key, differs) in [
        ("lookahead.decay", lookahead.decay != plain.decay),
        ("lookahead.power", lookahead.power != plain.power),
    ] {
        without_effect(document, key, differs, "lookahead.every_steps")?;
    }
    Ok(plain)
}

/// Refuses `key` where it `differs` from its default and `switch`, which is 0, leaves it without an effect.
fn without_effect(
    document: &Document,
    key: &str,
    differs: bool,
    switch: &str,
) -> Result<(), RecipeError> {
    if !differs || is_passed_over(document, switch, key) {
        return Ok(());
    }
    Err(document.conflict(
        &[key],
        format!("`{key}` has no effect while `{switch}` is 0; remove it, or set `{switch}`"),
    ))
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
    if recipe.patience > 0 && recipe.validation == 0 {
        return Err(document.conflict(
            &["early_stopping.patience", "validation"],
            "`early_stopping.patience` needs held-out images; set `validation` above 0",
        ));
    }
    if recipe.gradients.accumulate > recipe.batch_size {
        return Err(document.conflict(
            &["optimizer.accumulate", "batch_size"],
            "`optimizer.accumulate` is above `batch_size`, and a part needs an image",
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

/// Checks that what is selected is kept, that what is kept is selected, and that it moves at all.
fn check_average(document: &Document, recipe: &Recipe) -> Result<(), RecipeError> {
    if (recipe.select == Select::Average) != (recipe.average.decay > 0.0) {
        return Err(document.conflict(
            &["select", "average.decay"],
            "`select` = \"average\" and `average.decay` above 0 belong together; set both, or neither",
        ));
    }
    let steps = recipe.steps();
    for (key, every) in [
        ("average.every_steps", recipe.average.every_steps),
        ("lookahead.every_steps", recipe.lookahead.every_steps),
    ] {
        if every as u64 > steps {
            return Err(document.conflict(
                &[key],
                format!(
                    "`{key}` is {every}, but the run ends after {steps} steps, before the first of them; lower it"
                ),
            ));
        }
    }
    Ok(())
}
