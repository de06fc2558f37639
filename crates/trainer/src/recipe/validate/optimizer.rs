//! The section `optimizer` and its groups.

use super::super::document::{Document, Entry};
use super::super::error::RecipeError;
use super::super::{GradientSpec, GroupSpec, OptimizerSpec, Role};
use super::{MOST_EPOCHS, choice_of_section, unit};

const GROUP: &str = "optimizer.group";
const EXAMPLE: &str = "an array of tables such as [{ role = \"biases\", lr = 0.2 }]";
/// The keys of a group that every optimiser has.
const SHARED: [&str; 6] = ["role", "name", "lr", "weight_decay", "epochs", "schedule"];
/// The optimisers by name, each with the keys that not all have.
const OWN: [(&str, &[&str]); 3] = [
    ("sgd", &["momentum", "nesterov"]),
    ("adamw", &["beta1", "beta2", "epsilon"]),
    (
        "muon",
        &["momentum", "nesterov", "newton_schulz_steps", "rescale"],
    ),
];

pub(super) fn optimizer(document: &Document) -> Result<OptimizerSpec, RecipeError> {
    let chosen = choice_of_section(document, "optimizer.name", "sgd", &["sgd", "adamw"])?;
    let decay_norm_and_bias = document.flag("optimizer.decay_norm_and_bias", false)?;
    settings(
        document,
        "optimizer",
        &defaults(chosen, decay_norm_and_bias),
    )
}

pub(super) fn gradients(document: &Document) -> Result<GradientSpec, RecipeError> {
    Ok(GradientSpec {
        clip_norm: document.number(
            "optimizer.clip_norm",
            0.0,
            "at least 0 and finite",
            |value| value >= 0.0 && value.is_finite(),
        )?,
        accumulate: document.count("optimizer.accumulate", 1, 1)?,
    })
}

pub(super) fn groups(document: &Document) -> Result<Vec<GroupSpec>, RecipeError> {
    let Some(entry) = document.entry(GROUP) else {
        return Ok(Vec::new());
    };
    let base = optimizer(document)?;
    let mut groups = Vec::<GroupSpec>::new();
    for item in entry.elements(GROUP, EXAMPLE)? {
        let group = group(item, &base)?;
        if groups.iter().any(|other| other.role == group.role) {
            return Err(item.invalid(format!(
                "a second group of `{GROUP}` has the role \"{}\"; leave one out",
                group.role.name()
            )));
        }
        groups.push(group);
    }
    Ok(groups)
}

/// What an optimiser has where nothing else is said.
fn defaults(name: &str, decay_norm_and_bias: bool) -> OptimizerSpec {
    match name {
        "adamw" => OptimizerSpec::AdamW {
            lr: 0.001,
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
            weight_decay: 0.01,
            decay_norm_and_bias,
        },
        "muon" => OptimizerSpec::Muon {
            lr: 0.24,
            momentum: 0.6,
            nesterov: true,
            weight_decay: 0.0,
            newton_schulz_steps: 3,
            rescale: true,
        },
        _ => OptimizerSpec::Sgd {
            lr: 0.1,
            momentum: 0.9,
            nesterov: true,
            weight_decay: 0.0005,
            decay_norm_and_bias,
        },
    }
}

/// A group. What it leaves out it has from the section where that has the same optimiser.
fn group(item: &Entry, base: &OptimizerSpec) -> Result<GroupSpec, RecipeError> {
    let Some(role) = item.field(GROUP, "role")? else {
        return Err(item.invalid(format!(
            "an element of `{GROUP}` needs a `role`: {}",
            Role::NAMES.join(", ")
        )));
    };
    let role_name = role.as_choice("optimizer.group.role", &Role::NAMES)?;
    let role = Role::ALL
        .into_iter()
        .find(|role| role.name() == role_name)
        .unwrap_or(Role::Filters);
    let base_name = match base {
        OptimizerSpec::AdamW { .. } => "adamw",
        _ => "sgd",
    };
    let name = match item.field(GROUP, "name")? {
        Some(entry) => entry.as_choice("optimizer.group.name", &OWN.map(|(name, _)| name))?,
        None => base_name,
    };
    if name == "muon" && role != Role::Filters {
        return Err(item.invalid(format!(
            "\"muon\" is for the role \"filters\", not for \"{role_name}\""
        )));
    }
    let own = OWN.iter().find(|(one, _)| *one == name);
    let known = [&SHARED[..], own.map_or(&[], |(_, keys)| *keys)].concat();
    let fields = Document::of_element(GROUP, name, item, &known)?;
    let defaults = if name == base_name {
        inherited(*base, role)
    } else {
        defaults(name, true)
    };
    let rule = "above 0 and at most 1000000";
    let epochs = match fields.entry("optimizer.group.epochs") {
        Some(_) => Some(fields.number("optimizer.group.epochs", 0.0, rule, |value| {
            value > 0.0 && value <= MOST_EPOCHS
        })?),
        None => None,
    };
    let schedule = fields.choice("optimizer.group.schedule", "run", &["run", "group"])?;
    if schedule == "group" && epochs.is_none() {
        return Err(fields.conflict(
            &["optimizer.group.schedule"],
            "`optimizer.group.schedule` = \"group\" needs `optimizer.group.epochs`",
        ));
    }
    Ok(GroupSpec {
        role,
        optimizer: settings(&fields, GROUP, &defaults)?,
        epochs,
        own_schedule: schedule == "group",
    })
}

/// The section's settings for the weights of `role`, whose decay is the section's where that decays them.
fn inherited(mut base: OptimizerSpec, role: Role) -> OptimizerSpec {
    let decayed = matches!(role, Role::Filters | Role::Head);
    match &mut base {
        OptimizerSpec::Sgd {
            weight_decay,
            decay_norm_and_bias,
            ..
        }
        | OptimizerSpec::AdamW {
            weight_decay,
            decay_norm_and_bias,
            ..
        } => {
            if !decayed && !*decay_norm_and_bias {
                *weight_decay = 0.0;
            }
            *decay_norm_and_bias = true;
        }
        OptimizerSpec::Muon { .. } => {}
    }
    base
}

/// `defaults` with what `document` sets in `section`.
fn settings(
    document: &Document,
    section: &str,
    defaults: &OptimizerSpec,
) -> Result<OptimizerSpec, RecipeError> {
    let key = |name: &str| format!("{section}.{name}");
    let lr = |default| {
        let range = |value| value > 0.0 && value <= 1000.0;
        document.number(&key("lr"), default, "above 0 and at most 1000", range)
    };
    let weight_decay = |default| {
        let range = |value: f64| value >= 0.0 && value.is_finite();
        document.number(
            &key("weight_decay"),
            default,
            "at least 0 and finite",
            range,
        )
    };
    let momentum = |default| unit(document, &key("momentum"), default);
    Ok(match *defaults {
        OptimizerSpec::AdamW {
            lr: default_lr,
            beta1,
            beta2,
            epsilon,
            weight_decay: default_decay,
            decay_norm_and_bias,
        } => OptimizerSpec::AdamW {
            lr: lr(default_lr)?,
            beta1: unit(document, &key("beta1"), beta1)?,
            beta2: unit(document, &key("beta2"), beta2)?,
            epsilon: document.number(
                &key("epsilon"),
                epsilon,
                "above 0 and at most 1",
                |value| value > 0.0 && value <= 1.0,
            )?,
            weight_decay: weight_decay(default_decay)?,
            decay_norm_and_bias,
        },
        OptimizerSpec::Sgd {
            lr: default_lr,
            momentum: default_momentum,
            nesterov,
            weight_decay: default_decay,
            decay_norm_and_bias,
        } => {
            let lr = lr(default_lr)?;
            let weight_decay = weight_decay(default_decay)?;
            let momentum = momentum(default_momentum)?;
            OptimizerSpec::Sgd {
                lr,
                momentum,
                nesterov: nesterov_of(document, section, momentum, nesterov)?,
                weight_decay,
                decay_norm_and_bias,
            }
        }
        OptimizerSpec::Muon {
            lr: default_lr,
            momentum: default_momentum,
            nesterov,
            weight_decay: default_decay,
            newton_schulz_steps,
            rescale,
        } => {
            let momentum = momentum(default_momentum)?;
            let steps = key("newton_schulz_steps");
            let newton_schulz_steps = document.count(&steps, newton_schulz_steps, 1)?;
            if newton_schulz_steps > 20 {
                return Err(document.conflict(
                    &[&steps],
                    format!("`{steps}` must be at most 20, found {newton_schulz_steps}"),
                ));
            }
            OptimizerSpec::Muon {
                lr: lr(default_lr)?,
                momentum,
                nesterov: nesterov_of(document, section, momentum, nesterov)?,
                weight_decay: weight_decay(default_decay)?,
                newton_schulz_steps,
                rescale: document.flag(&key("rescale"), rescale)?,
            }
        }
    })
}

/// Nesterov is the default only where there is a momentum, so that `momentum = 0` needs no second key.
fn nesterov_of(
    document: &Document,
    section: &str,
    momentum: f64,
    default: bool,
) -> Result<bool, RecipeError> {
    let key = format!("{section}.nesterov");
    let nesterov = document.flag(&key, default && momentum > 0.0)?;
    if nesterov && momentum == 0.0 {
        let momentum = format!("{section}.momentum");
        return Err(document.conflict(
            &[&key, &momentum],
            format!("`{key}` needs a momentum above 0; set `{momentum}`, or nesterov = false"),
        ));
    }
    Ok(nesterov)
}
