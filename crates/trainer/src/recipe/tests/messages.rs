//! Every mistake in a recipe has a message that names its place and the way out.

use std::fs;

use super::*;

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
            ("zzzzzz = 1", "known here: name, based_on, network"),
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
                "select = \"averag\"",
                "`select` cannot be \"averag\"; did you mean `average`? (known here: last, best, average)",
            ),
            ("seed = 1\nseed = 2", "x.toml:2:1: not valid TOML"),
            ("seed = ", "x.toml:1:"),
            (
                "[data]\naugment = [{ name = \"crop\", pading = 2 }]",
                "x.toml:2:29: unknown key `data.augment.crop.pading`; did you mean `padding`?",
            ),
            (
                "[data]\naugment = [{ name = \"flip\", padding = 2 }]",
                "x.toml:2:29: unknown key",
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
    let text = "optimizer = { name = \"ü\", zz = 1 }";
    assert!(message(text, &[]).starts_with("x.toml:1:27: unknown key `optimizer.zz`"));
}

#[test]
fn values_out_of_range_are_refused_at_their_place() {
    assert_messages(
        &[
            (
                "batch_size = 0",
                "x.toml:1:14: `batch_size` must be at least 1, found 0",
            ),
            (
                "batch_size = -4",
                "`batch_size` must not be negative, found -4",
            ),
            ("epochs = 0", "x.toml:1:10: `epochs` must be above 0"),
            ("epochs = -1.5", "above 0"),
            ("epochs = nan", "found NaN"),
            ("epochs = inf", "found inf"),
            ("seed = -1", "`seed` must not be negative, found -1"),
            (
                "seed = 9223372036854775808",
                "`seed` is too large: 9223372036854775808; the largest whole number in a recipe is 9223372036854775807",
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
                "`data.augment.padding` must be from 1 to 32 pixels, found 0",
            ),
            (
                "data.augment = [{ name = \"translate\", pixels = 32 }]",
                "`data.augment.pixels` must be from 1 to 31 pixels, found 32",
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
fn files_that_are_no_recipes_are_refused_with_their_reason() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let error = |name: &str| load(name, &[], NETWORKS).unwrap_err();
    fs::write(path("latin.toml"), b"# \xfc").unwrap();
    fs::create_dir(path("folder.toml")).unwrap();
    fs::write(path("large.toml"), vec![b' '; (1 << 16) + 1]).unwrap();
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
    assert!(!error("a\nb").to_string().contains('\n'));
}

#[test]
fn a_recipe_damaged_anywhere_never_panics_and_its_message_is_one_line() {
    let text = "# ü\nseed = 3\n[data]\naugment = [{ name = \"crop\", padding = 2 }]\n\
                [optimizer]\nlr = 1e-2\nnesterov = true\n";
    let damages = ["", "\"", "[", "{", "=", "\n", "-9e999", "\u{fffd}", "\0"];
    let mut refused = 0;
    let mut check = |parsed: Result<Recipe, RecipeError>| {
        if let Err(error) = parsed {
            refused += 1;
            assert!(!error.to_string().contains('\n'), "{error}");
        }
    };
    for (at, character) in text.char_indices() {
        for damage in damages {
            let (before, after) = (&text[..at], &text[at + character.len_utf8()..]);
            check(parse_text(&format!("{before}{damage}{after}"), &[]));
            let given = Override {
                key: format!("seed{damage}{character}"),
                value: format!("{damage}{after}"),
                origin: Origin::Set,
            };
            check(parse_text("", &[given]));
        }
    }
    assert!(refused > text.len());
}
