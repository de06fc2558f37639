//! What the recipes promise: built-in ones load, round trips lose nothing, errors name their place.

#![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

use std::fs;
use std::path::Path;

use super::file::RecipeText;
use super::*;

mod messages;
mod optimisation;

const NETWORKS: &[&str] = &model::NetworkKind::NAMES;

fn parse_text(text: &str, overrides: &[Override]) -> Result<Recipe, RecipeError> {
    let text = RecipeText {
        label: "x.toml".to_owned(),
        stem: "x".to_owned(),
        text: text.to_owned(),
    };
    parse(&text, overrides, NETWORKS)
}

fn set(text: &str) -> Override {
    Override::parse_set(text).unwrap()
}

/// The message for a text with overrides, which must be one line.
fn message(text: &str, overrides: &[Override]) -> String {
    let message = parse_text(text, overrides).unwrap_err().to_string();
    assert!(!message.contains('\n'), "more than one line: {message}");
    message
}

#[test]
fn every_file_of_configs_is_built_in_and_loads() {
    let configs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs");
    let mut files: Vec<String> = fs::read_dir(configs)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "toml")
        })
        .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    let mut embedded: Vec<String> = builtin()
        .iter()
        .map(|found| found.name.to_owned())
        .collect();
    files.sort();
    embedded.sort();
    assert_eq!(files, embedded);
    for name in embedded {
        let recipe = load(&name, &[], NETWORKS).unwrap();
        assert_eq!(recipe.name, name);
    }
}

#[test]
fn every_built_in_recipe_begins_with_what_it_gives_and_how_it_was_measured() {
    for recipe in builtin() {
        assert!(recipe.summary().ends_with('.'), "{}", recipe.name);
        for line in ["# Command:", "# Hardware:", "# Result:", "# Seeds:"] {
            assert!(recipe.text.contains(line), "{} lacks {line}", recipe.name);
        }
    }
}

#[test]
fn an_empty_recipe_has_the_documented_defaults() {
    let recipe = parse_text("", &[]).unwrap();
    assert_eq!(
        recipe,
        Recipe {
            name: "x".to_owned(),
            based_on: None,
            network: "resnet20".to_owned(),
            epochs: 8.0,
            batch_size: 128,
            seed: 0,
            validation: 5_000,
            select: Select::Last,
            data: DataSpec {
                source: DatasetSpec::Cifar10,
                normalize: Normalize::Channel,
                drop_last: false,
                augment: vec![
                    Augmentation::Crop {
                        padding: 4,
                        border: Border::Black,
                    },
                    Augmentation::Flip,
                ],
            },
            optimizer: OptimizerSpec::Sgd {
                lr: 0.1,
                momentum: 0.9,
                nesterov: true,
                weight_decay: 5e-4,
                decay_norm_and_bias: false,
            },
            gradients: GradientSpec {
                clip_norm: 0.0,
                accumulate: 1,
            },
            groups: vec![],
            schedule: ScheduleSpec::OneCycle {
                warmup: 0.25,
                final_fraction: 0.0,
            },
            loss: LossSpec {
                label_smoothing: 0.0,
                reduction: Reduction::Mean,
            },
            average: AverageSpec {
                decay: 0.0,
                every_steps: 1,
            },
            lookahead: LookaheadSpec {
                every_steps: 0,
                decay: 0.5,
                power: 0.0,
            },
            patience: 0,
            tta: Tta::None,
            checkpoint: CheckpointSpec {
                every_epochs: 1,
                every_steps: 0,
                every_minutes: 0.0,
                keep: 2,
                keep_every: 0,
            },
        }
    );
}

#[test]
fn the_tutorial_recipe_has_the_settings_of_the_tutorial() {
    let recipe = load("tutorial", &[], NETWORKS).unwrap();
    assert_eq!((recipe.epochs, recipe.batch_size), (2.0, 4));
    assert_eq!(recipe.training_images(), 50_000);
    assert!(recipe.data.augment.is_empty());
    assert_eq!(
        recipe.optimizer,
        OptimizerSpec::Sgd {
            lr: 0.001,
            momentum: 0.9,
            nesterov: false,
            weight_decay: 0.0,
            decay_norm_and_bias: false,
        }
    );
    assert_eq!(recipe.schedule, ScheduleSpec::Constant { warmup: 0.0 });
}

#[test]
fn a_byte_order_mark_and_windows_line_ends_change_nothing() {
    let text = "\u{feff}epochs = 3\r\n[optimizer]\r\nlr = 0.5\r\n";
    let recipe = parse_text(text, &[]).unwrap();
    assert_eq!((recipe.epochs, recipe.optimizer.lr()), (3.0, 0.5));
    assert!(message("\u{feff}a = 1", &[]).starts_with("x.toml:1:1: "));
}

#[test]
fn overrides_come_after_the_file_in_their_order() {
    let overrides = [
        set("network = simple_cnn"),
        set("optimizer.lr=0.5"),
        Override::flag("--lr", "optimizer.lr", &0.25),
        set("data.augment=[]"),
        set("data={normalize=\"half\"}"),
        Override::flag("--name", "name", &2024),
    ];
    let recipe = parse_text("optimizer.lr = 0.125", &overrides).unwrap();
    assert_eq!(recipe.network, "simple_cnn");
    assert_eq!(recipe.optimizer.lr(), 0.25);
    assert_eq!(recipe.data.augment, []);
    assert_eq!(recipe.data.normalize, Normalize::Half);
    assert_eq!(recipe.name, "2024");
}

#[test]
fn a_name_from_the_command_line_leaves_the_recipes_own_beside_it() {
    let named = |text: &str, name: &str| {
        let overrides = [Override::flag("--name", "name", &name)];
        parse_text(text, &overrides).unwrap()
    };
    let run = named("", "mine");
    assert_eq!((&*run.name, run.based_on.as_deref()), ("mine", Some("x")));
    let file = parse_text("name = \"own\"", &[]).unwrap();
    assert_eq!(file.based_on, None);
    assert_eq!(named("name = \"own\"", "own").based_on, None);
    // A run that is repeated under a third name is still a run of the first.
    let stored = run.to_toml();
    assert_eq!(parse_text(&stored, &[]).unwrap(), run);
    let again = named(&stored, "other");
    assert_eq!(again.based_on.as_deref(), Some("x"));
    assert_eq!(again.hash(), parse_text("", &[]).unwrap().hash());
    assert!(message("based_on = \"a/b\"", &[]).contains("a/b"));
}

#[test]
fn a_choice_made_on_the_command_line_drops_the_files_keys_for_another_choice() {
    let file = "optimizer.momentum = 0.5\nschedule = { name = \"step\", milestones = [1] }";
    let overrides = [set("optimizer.name=adamw"), set("schedule.name=cosine")];
    let recipe = parse_text(file, &overrides).unwrap();
    assert!(matches!(recipe.optimizer, OptimizerSpec::AdamW { lr, .. } if lr == 0.001));
    assert!(matches!(recipe.schedule, ScheduleSpec::Cosine { .. }));
    let both = [set("optimizer.name=adamw"), set("optimizer.momentum=0.5")];
    assert!(message(file, &both).starts_with("`--set optimizer.momentum=0.5`: "));
    let smoke = load(
        "smoke",
        &[Override::flag("--dataset", "data.dataset", &"cifar10")],
        NETWORKS,
    );
    assert_eq!(smoke.unwrap().training_images(), 49_800);
}

#[test]
fn a_resolved_recipe_loads_again_from_any_file_and_is_equal() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.toml");
    for found in builtin() {
        let recipe = load(found.name, &[set("seed=7")], NETWORKS).unwrap();
        fs::write(&path, recipe.to_toml()).unwrap();
        let again = load(path.to_str().unwrap(), &[], NETWORKS).unwrap();
        assert_eq!(again, recipe);
        assert_eq!(again.hash(), recipe.hash());
    }
}

#[test]
fn the_hash_ignores_the_name_and_sees_every_setting() {
    let hash = |text: &str| parse_text(text, &[]).unwrap().hash();
    let plain = hash("");
    assert_eq!(plain.len(), 64);
    assert_eq!(plain, hash("name = \"other\""));
    assert_eq!(plain, hash("epochs = 8.0 # the default, written out"));
    for text in [
        "seed = 1",
        "optimizer.lr = 0.2",
        "data.augment = []",
        "checkpoint.keep = 3",
        "checkpoint.keep_every = 3",
        "data.augment = [{ name = \"crop\", border = \"reflect\" }, { name = \"flip\" }]",
        "data.augment = [{ name = \"crop\" }, { name = \"flip\", mode = \"alternating\" }]",
        "data.drop_last = true",
        "optimizer.clip_norm = 1",
        "optimizer.accumulate = 2",
        "optimizer.group = [{ role = \"biases\" }]",
        "loss.reduction = \"sum\"",
        "lookahead.every_steps = 5",
        "select = \"average\"\naverage.decay = 0.5",
        "early_stopping.patience = 3",
        "evaluation.tta = \"flip\"",
    ] {
        assert_ne!(plain, hash(text), "{text}");
    }
}

#[test]
fn every_optimizer_and_schedule_survives_its_own_text_with_extreme_numbers() {
    let smallest = f64::MIN_POSITIVE;
    let below_one = 1.0 - f64::EPSILON / 2.0;
    let optimizers = ["name = \"sgd\"", "name = \"adamw\", beta2 = 0.5"];
    let schedules = [
        "name = \"constant\"",
        "name = \"step\", milestones = [0.1, 1e5], gamma = 1e-3",
        "name = \"cosine\", final = 1",
        "name = \"one_cycle\", final = 0.3333333333333333",
    ];
    for (optimizer, schedule) in optimizers.iter().flat_map(|o| schedules.map(|s| (o, s))) {
        for (number, fraction) in [(smallest, 0.1 + 0.2), (1e-5, below_one), (999.9, 0.0)] {
            let text = format!(
                "epochs = {number:?}\nseed = {}\nselect = \"best\"\n\
                 optimizer = {{ {optimizer}, lr = {number:?} }}\n\
                 schedule = {{ {schedule}, warmup = {fraction:?} }}\n\
                 loss.label_smoothing = {fraction:?}\n",
                i64::MAX
            );
            let recipe = parse_text(&text, &[]).unwrap();
            assert_eq!(recipe.epochs, number);
            assert_eq!(parse_text(&recipe.to_toml(), &[]).unwrap(), recipe);
        }
    }
}
