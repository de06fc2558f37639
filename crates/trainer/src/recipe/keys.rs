//! The list of all keys of a recipe, and the nearest name to a misspelt one.

/// Every key that a recipe may have, with its sections. `file` refuses all others.
///
/// The elements of `data.augment` and `optimizer.group` have keys of their own, which `validate` checks.
pub(super) const KEYS: &[&str] = &[
    "name",
    "based_on",
    "network",
    "epochs",
    "batch_size",
    "seed",
    "validation",
    "select",
    "data.dataset",
    "data.train_images",
    "data.test_images",
    "data.normalize",
    "data.drop_last",
    "data.augment",
    "optimizer.name",
    "optimizer.lr",
    "optimizer.momentum",
    "optimizer.nesterov",
    "optimizer.weight_decay",
    "optimizer.decay_norm_and_bias",
    "optimizer.beta1",
    "optimizer.beta2",
    "optimizer.epsilon",
    "optimizer.clip_norm",
    "optimizer.accumulate",
    "optimizer.group",
    "schedule.name",
    "schedule.warmup",
    "schedule.final",
    "schedule.milestones",
    "schedule.gamma",
    "schedule.points",
    "loss.label_smoothing",
    "loss.reduction",
    "average.decay",
    "average.every_steps",
    "lookahead.every_steps",
    "lookahead.decay",
    "lookahead.power",
    "early_stopping.patience",
    "evaluation.tta",
    "checkpoint.every_epochs",
    "checkpoint.every_steps",
    "checkpoint.every_minutes",
    "checkpoint.keep",
    "checkpoint.keep_every",
];

/// Whether `key` is a section, such as `optimizer`.
pub(super) fn is_section(key: &str) -> bool {
    KEYS.iter().any(|known| section(known) == key) && !key.is_empty()
}

/// The section of a key: `optimizer` for `optimizer.lr`, and nothing for `epochs`.
pub(super) fn section(key: &str) -> &str {
    key.rsplit_once('.').map_or("", |(section, _)| section)
}

/// The keys that may stand beside `key`: those of its section, or the top ones and the sections.
pub(super) fn siblings(key: &str) -> Vec<String> {
    let wanted = if is_section(section(key)) {
        section(key)
    } else {
        ""
    };
    let mut names = Vec::<String>::new();
    for known in KEYS {
        let name = match known.split_once('.') {
            Some((first, rest)) if first == wanted => rest,
            Some((first, _)) if wanted.is_empty() => first,
            None if wanted.is_empty() => known,
            _ => continue,
        };
        if names.iter().all(|present| present != name) {
            names.push(name.to_owned());
        }
    }
    names
}

/// The key that the writer of `key` most likely meant: a name of the same section, a section that is
/// misspelt, or the same name in another section.
pub(super) fn nearest_key(key: &str) -> Option<String> {
    let (section, last) = (section(key), last(key));
    if section.is_empty() || is_section(section) {
        let siblings = siblings(key);
        if let Some(name) = nearest(last, siblings.iter().map(String::as_str)) {
            return Some(match section {
                "" => name,
                _ => format!("{section}.{name}"),
            });
        }
    } else if let Some(whole) = nearest(key, KEYS.iter().copied()) {
        return Some(whole);
    }
    let name = nearest(last, KEYS.iter().map(|known| self::last(known)))?;
    KEYS.iter()
        .find(|known| self::last(known) == name)
        .map(|known| (*known).to_owned())
}

/// The name at the end of a key: `lr` for `optimizer.lr`.
fn last(key: &str) -> &str {
    key.rsplit_once('.').map_or(key, |(_, last)| last)
}

/// The candidate nearest to `name`, where one is near enough to be meant: at most a third of the
/// letters differ (Damerau-Levenshtein), or one of the two begins with the other.
pub(crate) fn nearest<'a>(
    name: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<String> {
    let name = name.to_lowercase();
    candidates
        .into_iter()
        .filter(|candidate| !candidate.is_empty())
        .map(|candidate| (strsim::damerau_levenshtein(&name, candidate), candidate))
        .filter(|(distance, candidate)| {
            let longer = name.chars().count().max(candidate.chars().count());
            let begins = name.len() >= 3 && (candidate.starts_with(&name))
                || candidate.len() >= 3 && name.starts_with(candidate);
            begins || distance * 3 <= longer
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate.to_owned())
}
