//! Augmentations, groups of weights, schedules and averages in recipes.

use super::*;

fn recipe(text: &str) -> Recipe {
    parse_text(text, &[]).unwrap()
}

/// A recipe, and that its own text reads back to it.
fn round_trip(text: &str) -> Recipe {
    let recipe = recipe(text);
    assert_eq!(parse_text(&recipe.to_toml(), &[]).unwrap(), recipe);
    recipe
}

#[test]
fn every_augmentation_survives_its_own_text() {
    let recipe = round_trip(
        "data.augment = [
           { name = \"translate\", pixels = 4 }, { name = \"crop\", border = \"reflect\" },
           { name = \"flip\", mode = \"alternating\" }, { name = \"brightness\", strength = 0.14 },
           { name = \"contrast\" }, { name = \"trivial_augment\" }, { name = \"cutout\", size = 12 },
           { name = \"cutmix\" } ]",
    );
    assert_eq!(
        recipe.data.augment,
        [
            Augmentation::Translate { pixels: 4 },
            Augmentation::Crop {
                padding: 4,
                border: Border::Reflect
            },
            Augmentation::AlternatingFlip,
            Augmentation::Brightness { strength: 0.14 },
            Augmentation::Contrast { strength: 0.2 },
            Augmentation::TrivialAugment,
            Augmentation::Cutout { size: 12 },
            Augmentation::CutMix { alpha: 1.0 },
        ]
    );
    let mixup = round_trip("data.augment = [{ name = \"mixup\", alpha = 0.4 }]");
    assert_eq!(mixup.data.augment, [Augmentation::Mixup { alpha: 0.4 }]);
}

#[test]
fn a_group_has_from_the_section_what_it_does_not_say() {
    let text = "[optimizer]\nlr = 0.5\nmomentum = 0.85\n\
                [[optimizer.group]]\nrole = \"filters\"\nname = \"muon\"\nlr = 0.25\n\
                [[optimizer.group]]\nrole = \"biases\"\nlr = 0.125\n\
                [[optimizer.group]]\nrole = \"head\"\nepochs = 3\nschedule = \"group\"\n\
                [[optimizer.group]]\nrole = \"normalisation\"\nname = \"adamw\"\nbeta1 = 0.5\n";
    let recipe = round_trip(text);
    let sgd = |lr, weight_decay| OptimizerSpec::Sgd {
        lr,
        momentum: 0.85,
        nesterov: true,
        weight_decay,
        decay_norm_and_bias: true,
    };
    let found: Vec<_> = recipe
        .groups
        .iter()
        .map(|group| (group.role, group.optimizer))
        .collect();
    let muon = OptimizerSpec::Muon {
        lr: 0.25,
        momentum: 0.6,
        nesterov: true,
        weight_decay: 0.0,
        newton_schulz_steps: 3,
        rescale: true,
    };
    // What the section spares from decay a group spares too.
    assert_eq!(found[0], (Role::Filters, muon));
    assert_eq!(found[1], (Role::Biases, sgd(0.125, 0.0)));
    assert_eq!(found[2], (Role::Head, sgd(0.5, 5e-4)));
    assert!(matches!(
        found[3].1,
        OptimizerSpec::AdamW { lr, beta1, .. } if lr == 0.001 && beta1 == 0.5
    ));
    assert_eq!(recipe.groups[2].epochs, Some(3.0));
    assert!(recipe.groups[2].own_schedule && !recipe.groups[0].own_schedule);
}

#[test]
fn the_published_settings_of_airbench_are_a_recipe() {
    let recipe = round_trip(
        "epochs = 15\nbatch_size = 1024\ndata.drop_last = true\nloss.reduction = \"sum\"\n\
         schedule = { name = \"piecewise\", points = [[0, 0.2], [0.23, 1], [1, 0.07]] }\n\
         lookahead = { every_steps = 5, decay = 0.7738, power = 3 }\n\
         evaluation.tta = \"flip_translate\"\n\
         optimizer.group = [{ role = \"whitening\", lr = 0.08, epochs = 3 }]\n",
    );
    assert_eq!(recipe.loss.reduction, Reduction::Sum);
    assert_eq!(recipe.lookahead.power, 3.0);
    assert_eq!(recipe.tta, Tta::FlipTranslate);
    assert!(recipe.data.drop_last);
    round_trip("schedule = { name = \"linear\", final = 0.1, warmup = 0.2 }");
    round_trip("select = \"average\"\naverage = { decay = 0.99, every_steps = 3 }");
}

/// The published rates are of 1,024 images under momentum 0.85, biases of normalisations have 64 times as
/// much, and the decay of a step is the same for all: see airbench95 and airbench96.
#[test]
fn the_speedruns_have_the_published_rates_and_decays() {
    for (name, lr, decay) in [("speedrun-95", 10.0, 0.0153), ("speedrun-96", 9.0, 0.012)] {
        let recipe = load(name, &[], NETWORKS).unwrap();
        let of_role = |role| recipe.groups.iter().find(|group| group.role == role);
        let filters = lr / (1024.0 * (1.0 + 1.0 / (1.0 - 0.85)));
        let decay = decay * 1024.0 / lr;
        for (optimizer, factor) in [
            (recipe.optimizer, 1.0),
            (of_role(Role::Biases).unwrap().optimizer, 64.0),
            (of_role(Role::Whitening).unwrap().optimizer, 1.0),
        ] {
            let OptimizerSpec::Sgd {
                lr,
                momentum,
                nesterov,
                weight_decay,
                decay_norm_and_bias,
            } = optimizer
            else {
                unreachable!("{name} has another optimiser");
            };
            assert!(
                (lr / (filters * factor) - 1.0).abs() < 1e-12,
                "{name}: {lr}"
            );
            let ratio = weight_decay * factor / decay;
            assert!((ratio - 1.0).abs() < 1e-12, "{name}: {weight_decay}");
            assert!(momentum == 0.85 && nesterov && decay_norm_and_bias);
        }
        assert!((recipe.lookahead.decay - 0.95_f64.powi(5)).abs() < 1e-12);
        assert_eq!(recipe.loss.reduction, Reduction::Sum);
    }
}

#[test]
fn wrong_values_of_these_keys_are_refused_at_their_place() {
    let group = |fields: &str| format!("optimizer.group = [{{ {fields} }}]");
    let element = |fields: &str| format!("data.augment = [{{ {fields} }}]");
    let cases = [
        (
            group("lr = 1"),
            "x.toml:1:20: an element of `optimizer.group` needs a `role`: filters",
        ),
        (group("role = \"filter\""), "did you mean `filters`?"),
        (
            group("role = \"head\", momentun = 0"),
            "x.toml:1:37: unknown key `optimizer.group.sgd.momentun`; did you mean `momentum`?",
        ),
        (
            group("role = \"head\", beta1 = 0"),
            "unknown key `optimizer.group.sgd.beta1`",
        ),
        (
            group("role = \"head\", name = \"muon\""),
            "\"muon\" is for the role \"filters\"",
        ),
        (
            group("role = \"head\", name = \"lion\""),
            "`optimizer.group.name` cannot be \"lion\"",
        ),
        (
            group("role = \"head\", lr = 0"),
            "`optimizer.group.lr` must be above 0",
        ),
        (
            group("role = \"head\", momentum = 0, nesterov = true"),
            "`optimizer.group.nesterov` needs a momentum",
        ),
        (
            group("role = \"head\", epochs = 0"),
            "`optimizer.group.epochs` must be above 0",
        ),
        (
            group("role = \"head\", schedule = \"group\""),
            "needs `optimizer.group.epochs`",
        ),
        (
            group("role = \"filters\", name = \"muon\", newton_schulz_steps = 21"),
            "at most 20, found 21",
        ),
        (
            "optimizer.group = [{ role = \"head\" }, { role = \"head\" }]".to_owned(),
            "x.toml:1:39: a second group",
        ),
        (
            "optimizer.group = 3".to_owned(),
            "must be an array of tables",
        ),
        (
            "optimizer.name = \"muon\"".to_owned(),
            "`optimizer.name` cannot be \"muon\"; known here: sgd, adamw",
        ),
        (
            "optimizer.clip_norm = -1".to_owned(),
            "`optimizer.clip_norm` must be at least 0",
        ),
        (
            "optimizer.accumulate = 0".to_owned(),
            "`optimizer.accumulate` must be at least 1",
        ),
        (
            "batch_size = 4\noptimizer.accumulate = 5".to_owned(),
            "x.toml:2:24: `optimizer.accumulate` is above `batch_size`",
        ),
        (
            element("name = \"crop\", border = \"wrap\""),
            "`data.augment.border` cannot be \"wrap\"; known here: zero, reflect",
        ),
        (
            element("name = \"crop\", border = \"reflect\", padding = 32"),
            "`data.augment`: `crop` pads by at most 31 pixels over a border that reflects, found 32",
        ),
        (
            element("name = \"cutout\", size = 33"),
            "`data.augment.size` must be from 1 to 32",
        ),
        (
            element("name = \"mixup\", alpha = 0"),
            "`data.augment.alpha` must be above 0",
        ),
        (
            element("name = \"contrast\", strength = 2"),
            "`data.augment.strength` must be from 0 to 1",
        ),
        (
            element("name = \"flip\" }, { name = \"flip\", mode = \"alternating\""),
            "`data.augment`: `flip` stands twice",
        ),
        (
            element("name = \"cutout\" }, { name = \"flip\""),
            "`data.augment`: `flip` must stand before `cutout`",
        ),
        (
            "loss.reduction = \"max\"".to_owned(),
            "known here: mean, sum",
        ),
        ("average.decay = 0.5".to_owned(), "belong together"),
        ("select = \"average\"".to_owned(), "belong together"),
        ("average.decay = 1".to_owned(), "at least 0 and below 1"),
        ("average.every_steps = 0".to_owned(), "at least 1"),
        ("lookahead.decay = 1".to_owned(), "at least 0 and below 1"),
        (
            "average.every_steps = 3".to_owned(),
            "x.toml:1:23: `average.every_steps` has no effect while `average.decay` is 0",
        ),
        (
            "lookahead.decay = 0.9".to_owned(),
            "`lookahead.decay` has no effect while `lookahead.every_steps` is 0",
        ),
        (
            "lookahead.power = 3".to_owned(),
            "`lookahead.power` has no effect",
        ),
        (
            "epochs = 0.5\nlookahead.every_steps = 177".to_owned(),
            "`lookahead.every_steps` is 177, but the run ends after 176 steps",
        ),
        (
            "epochs = 1\nselect = \"average\"\naverage = { decay = 0.9, every_steps = 353 }"
                .to_owned(),
            "`average.every_steps` is 353, but the run ends after 352 steps",
        ),
        (
            "schedule = { name = \"piecewise\", points = [[0, 0], [1, 0]] }".to_owned(),
            "are all 0",
        ),
        ("lookahead.power = -1".to_owned(), "from 0 to 100"),
        (
            "validation = 0\nearly_stopping.patience = 2".to_owned(),
            "x.toml:2:27: `early_stopping.patience` needs held-out images",
        ),
        (
            "evaluation.tta = \"mirror\"".to_owned(),
            "known here: none, flip, flip_translate",
        ),
        (
            "schedule.name = \"piecewise\"".to_owned(),
            "needs `schedule.points`",
        ),
        (
            "schedule = { name = \"piecewise\", points = [[0, 1], [0.5, 2], [1, 0]] }".to_owned(),
            "found [0.5, 2]",
        ),
        (
            "schedule = { name = \"piecewise\", points = [[0, 1], [0, 1], [1, 0]] }".to_owned(),
            "must rise",
        ),
        (
            "schedule = { name = \"piecewise\", points = [[0, 1], [0.5, 0]] }".to_owned(),
            "must be at 1",
        ),
        (
            "schedule = { name = \"piecewise\", points = [[0, 1, 2]] }".to_owned(),
            "a point of `schedule.points` is",
        ),
        (
            "schedule = { name = \"piecewise\", points = [[0, 1], [1, 0]], warmup = 0.1 }"
                .to_owned(),
            "`schedule.warmup` has no effect",
        ),
    ];
    for (text, expected) in &cases {
        let message = message(text, &[]);
        assert!(
            message.contains(expected),
            "{text}\n gave: {message}\n expected: {expected}"
        );
    }
}
