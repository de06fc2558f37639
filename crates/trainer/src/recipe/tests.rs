//! What the recipes promise: built-in ones load, round trips lose nothing, errors name their place.

use std::fs;
use std::path::Path;

use super::file::RecipeText;
use super::*;

const NETWORKS: &[&str] = &["simple_cnn", "resnet20", "resnet18"];

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

fn assert_messages(cases: &[(&str, &str)], of: impl Fn(&str) -> String) {
    for (given, expected) in cases {
        let message = of(given);
        assert!(
            message.contains(expected),
            "{given}\n gave:     {message}\n expected: {expected}"
        );
    }
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
            network: "resnet20".to_owned(),
            epochs: 8.0,
            batch_size: 128,
            seed: 0,
            validation: 5_000,
            select: Select::Last,
            data: DataSpec {
                source: DatasetSpec::Cifar10,
                normalize: Normalize::Channel,
                augment: vec![Augmentation::Crop { padding: 4 }, Augmentation::Flip],
            },
            optimizer: OptimizerSpec::Sgd {
                lr: 0.1,
                momentum: 0.9,
                nesterov: true,
                weight_decay: 5e-4,
                decay_norm_and_bias: false,
            },
            schedule: ScheduleSpec::OneCycle {
                warmup: 0.25,
                final_fraction: 0.0,
            },
            loss: LossSpec {
                label_smoothing: 0.0
            },
            checkpoint: CheckpointSpec {
                every_epochs: 1,
                every_steps: 0,
                every_minutes: 0.0,
                keep: 2,
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
fn errors_of_a_file_name_line_column_and_the_way_out() {
    assert_messages(
        &[
            (
                "\n\nbach_size = 1",
                "x.toml:3:1: unknown key `bach_size`; did you mean `batch_size`?",
            ),
            (
                "[optimizer]\n  lrr = 1",
                "x.toml:2:3: unknown key `optimizer.lrr`; did you mean `optimizer.lr`?",
            ),
            (
                "[optimiser]\nlr = 1",
                "x.toml:1:2: unknown key `optimiser`; did you mean `optimizer`?",
            ),
            ("momentum = 0.5", "did you mean `optimizer.momentum`?"),
            ("zzzzzz = 1", "Known here: name, network"),
            (
                "seed = 0\nlr = \"ü\" # ü\nepochs = 2",
                "x.toml:2:1: unknown key `lr`; did you mean `optimizer.lr`?",
            ),
            (
                "epochs = \"many\"",
                "x.toml:1:10: `epochs` must be a number, found the string \"many\"",
            ),
            (
                "batch_size = 1.5",
                "x.toml:1:14: `batch_size` must be an integer, found the number 1.5",
            ),
            (
                "network = 3",
                "`network` must be a string, found the integer 3",
            ),
            (
                "network = { options = 3 }",
                "`network` must be a string, found a table",
            ),
            (
                "optimizer = 3",
                "x.toml:1:13: `optimizer` must be a table, found the integer 3",
            ),
            (
                "[optimizer]\nnesterov = 1",
                "x.toml:2:12: `optimizer.nesterov` must be true or false",
            ),
            (
                "network = \"resnet02\"",
                "x.toml:1:11: `network` cannot be \"resnet02\"; did you mean `resnet20`?",
            ),
            (
                "select = \"average\"",
                "`select` cannot be \"average\"; Known here: last, best",
            ),
            ("seed = 1\nseed = 2", "x.toml:2:1: not valid TOML"),
            ("seed = ", "x.toml:1:"),
            (
                "[data]\naugment = [{ name = \"crop\", pading = 2 }]",
                "x.toml:2:28: unknown key `data.augment.crop.pading`; did you mean `padding`?",
            ),
            (
                "[data]\naugment = [{ name = \"flip\", padding = 2 }]",
                "x.toml:2:28: unknown key",
            ),
            (
                "[data]\naugment = [{ name = \"flop\" }]",
                "did you mean `flip`?",
            ),
            (
                "[data]\naugment = [{ padding = 2 }]",
                "x.toml:2:12: an element of `data.augment` needs a `name`",
            ),
            ("[data]\naugment = \"flip\"", "must be an array of tables"),
            (
                "[data]\naugment = [\"flip\"]",
                "x.toml:2:12: `data.augment` must be an array of tables",
            ),
        ],
        |text| message(text, &[]),
    );
}

#[test]
fn columns_are_counted_in_characters() {
    let text = "[data]\naugment = [{ name = \"ü\" }, 3]";
    // The name is refused first; with a valid one the second element is.
    assert!(message(text, &[]).starts_with("x.toml:2:21: "));
    let text = "data = { normalize = \"half\" } # ü\noptimizer = { name = \"ü\" }";
    assert!(message(text, &[]).starts_with("x.toml:2:22: "));
}

#[test]
fn a_byte_order_mark_and_windows_line_ends_change_nothing() {
    let text = "\u{feff}epochs = 3\r\n[optimizer]\r\nlr = 0.5\r\n";
    let recipe = parse_text(text, &[]).unwrap();
    assert_eq!((recipe.epochs, recipe.optimizer.lr()), (3.0, 0.5));
    assert!(message("\u{feff}a = 1", &[]).starts_with("x.toml:1:1: "));
}

#[test]
fn values_out_of_range_are_refused_at_their_place() {
    assert_messages(
        &[
            (
                "batch_size = 0",
                "x.toml:1:14: `batch_size` must be at least 1, found 0",
            ),
            ("batch_size = -4", "`batch_size` must be from 0"),
            ("epochs = 0", "x.toml:1:10: `epochs` must be above 0"),
            ("epochs = -1.5", "above 0"),
            ("epochs = nan", "found NaN"),
            ("epochs = inf", "found inf"),
            (
                "seed = -1",
                "`seed` must be from 0 to 9223372036854775807, found -1",
            ),
            (
                "seed = 9223372036854775808",
                "`seed` must be from 0 to 9223372036854775807",
            ),
            (
                "optimizer.lr = nan",
                "x.toml:1:16: `optimizer.lr` must be above 0 and at most 1000",
            ),
            ("optimizer.lr = 0", "above 0"),
            ("optimizer.lr = -0.1", "above 0"),
            ("optimizer.lr = 1000.5", "at most 1000"),
            (
                "optimizer.momentum = 1.0",
                "`optimizer.momentum` must be at least 0 and below 1, found 1",
            ),
            ("optimizer.momentum = -0.1", "below 1"),
            (
                "optimizer.weight_decay = -1e-4",
                "`optimizer.weight_decay` must be at least 0",
            ),
            ("optimizer.weight_decay = inf", "finite"),
            (
                "optimizer = { momentum = 0, nesterov = true }",
                "x.toml:1:40: `optimizer.nesterov` needs a momentum",
            ),
            (
                "optimizer = { name = \"adamw\", epsilon = 0 }",
                "`optimizer.epsilon` must be above 0",
            ),
            ("optimizer = { name = \"adamw\", beta2 = 1 }", "below 1"),
            (
                "optimizer = { name = \"adamw\", momentum = 0.9 }",
                "`optimizer.momentum` has no effect with `optimizer.name` = \"adamw\"",
            ),
            (
                "optimizer.beta1 = 0.9",
                "has no effect with `optimizer.name` = \"sgd\"",
            ),
            (
                "data.train_images = 10",
                "has no effect with `data.dataset` = \"cifar10\"",
            ),
            (
                "schedule.warmup = 1",
                "`schedule.warmup` must be at least 0 and below 1",
            ),
            ("schedule.final = 1.5", "from 0 to 1"),
            (
                "schedule.name = \"step\"",
                "x.toml:1:17: the schedule \"step\" needs `schedule.milestones`",
            ),
            (
                "schedule = { name = \"step\", milestones = [] }",
                "at least one epoch",
            ),
            (
                "schedule = { name = \"step\", milestones = [5, 5] }",
                "x.toml:1:46: `schedule.milestones` must be epochs above 0 that rise",
            ),
            (
                "schedule = { name = \"step\", milestones = [nan] }",
                "that rise",
            ),
            (
                "schedule = { name = \"step\", milestones = [1], gamma = 0 }",
                "`schedule.gamma` must be above 0",
            ),
            (
                "loss.label_smoothing = 1",
                "`loss.label_smoothing` must be at least 0 and below 1",
            ),
            (
                "checkpoint.keep = 0",
                "`checkpoint.keep` must be at least 1",
            ),
            ("checkpoint.every_minutes = -1", "at least 0"),
            (
                "data.augment = [{ name = \"crop\", padding = 0 }]",
                "from 1 to 32 pixels",
            ),
            (
                "validation = 50000",
                "x.toml:1:14: `validation` must leave images to train on",
            ),
            (
                "data = { dataset = \"synthetic\", train_images = 5000 }",
                "x.toml:1:48: `validation` must leave",
            ),
            (
                "batch_size = 45001",
                "x.toml:1:14: `batch_size` is 45001, but the hold-out leaves 45000",
            ),
            (
                "validation = 0\nselect = \"best\"",
                "x.toml:2:10: `select` = \"best\" needs held-out images",
            ),
            ("name = \"a/b\"", "x.toml:1:8: \"a/b\" cannot name a run"),
            ("name = \"..\"", "cannot name a run"),
            ("name = \"\"", "cannot name a run"),
        ],
        |text| message(text, &[]),
    );
}

#[test]
fn errors_of_the_command_line_name_the_option() {
    let of = |text: &str| message("epochs = 1", &[set(text)]);
    assert_messages(
        &[
            (
                "optimizer.lr=5000",
                "`--set optimizer.lr=5000`: `optimizer.lr` must be above 0",
            ),
            (
                "lr=0.1",
                "`--set lr=0.1`: unknown key `lr`; did you mean `optimizer.lr`?",
            ),
            ("optimiser.lr=0.1", "did you mean `optimizer.lr`?"),
            ("seed=", "must be an integer, found the string \"\""),
            ("data.augment=[", "`--set data.augment=[`: not valid TOML"),
            (
                "optimizer=sgd",
                "`optimizer` must be a table, found the string \"sgd\"",
            ),
            (
                "optimizer={lrr=1}",
                "`--set optimizer={lrr=1}`: unknown key `optimizer.lrr`",
            ),
            (
                "validation=50000",
                "`--set validation=50000`: `validation` must leave",
            ),
            (
                "select=best x",
                "`select` cannot be \"best x\"; did you mean `best`?",
            ),
        ],
        of,
    );
    let flag = Override::flag("--batch-size", "batch_size", &60_000);
    assert!(message("batch_size = 4", &[flag]).starts_with("`--batch-size 60000`: `batch_size`"));
    let error = Override::parse_set("lr").unwrap_err().to_string();
    assert!(
        error.starts_with("`--set lr`: expected KEY=VALUE"),
        "{error}"
    );
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
fn files_that_are_no_recipes_are_refused_with_their_reason() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let error = |name: &str| load(name, &[], NETWORKS).unwrap_err();
    fs::write(path("latin.toml"), b"# \xfc").unwrap();
    fs::create_dir(path("folder.toml")).unwrap();
    fs::write(path("large.toml"), vec![b' '; (1 << 20) + 1]).unwrap();
    assert!(matches!(
        error(&path("latin.toml")),
        RecipeError::NotUtf8 { offset: 2, .. }
    ));
    assert!(matches!(
        error(&path("folder.toml")),
        RecipeError::IsFolder { .. }
    ));
    assert!(matches!(
        error(&path("large.toml")),
        RecipeError::TooLarge { .. }
    ));
    assert!(matches!(
        error(&path("none.toml")),
        RecipeError::NotFound { .. }
    ));
    assert!(matches!(error("none.toml"), RecipeError::NotFound { .. }));
    let unknown = error("smokey").to_string();
    assert!(unknown.contains("did you mean `smoke`?"), "{unknown}");
    assert!(error("").to_string().contains("resnet18"));
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

#[test]
fn a_recipe_damaged_anywhere_never_panics_and_its_message_is_one_line() {
    let text = parse_text("data.dataset = \"synthetic\"", &[])
        .unwrap()
        .to_toml();
    let mut refused = 0;
    for (at, _) in text.char_indices() {
        for damage in ["", "\"", "[", "{", "=", "\n", "-9e999", "\u{fffd}", "\0"] {
            let damaged = format!("{}{damage}{}", &text[..at], &text[at + 1..]);
            let given = Override {
                key: damaged.clone(),
                value: damaged.clone(),
                origin: Origin::Set,
            };
            for error in [
                parse_text(&damaged, &[]).err(),
                parse_text("", &[given]).err(),
            ]
            .into_iter()
            .flatten()
            {
                refused += 1;
                assert!(!error.to_string().contains('\n'), "{error}");
            }
        }
    }
    assert!(refused > text.len());
}
