//! The section `schedule`.

use super::super::document::Document;
use super::super::error::RecipeError;
use super::super::{ScheduleSpec, document::Value};
use super::{MOST_EPOCHS, choice_of_section, unit};

pub(super) fn schedule(document: &Document) -> Result<ScheduleSpec, RecipeError> {
    let choices = [
        "constant",
        "step",
        "cosine",
        "one_cycle",
        "linear",
        "piecewise",
    ];
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
        "linear" => ScheduleSpec::Linear {
            warmup,
            final_fraction: final_fraction?,
        },
        "piecewise" => ScheduleSpec::Piecewise {
            points: points(document)?,
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

fn points(document: &Document) -> Result<Vec<[f64; 2]>, RecipeError> {
    const KEY: &str = "schedule.points";
    const EXAMPLE: &str = "an array of pairs such as [[0, 0.2], [0.23, 1], [1, 0.07]]";
    let Some(entry) = document.entry(KEY) else {
        return Err(document.conflict(
            &["schedule.name"],
            format!("the schedule \"piecewise\" needs `{KEY}`, {EXAMPLE}"),
        ));
    };
    let mut points = Vec::<[f64; 2]>::new();
    for item in entry.elements(KEY, EXAMPLE)? {
        let [part, rate] = item.elements(KEY, EXAMPLE)? else {
            return Err(item.invalid(format!(
                "a point of `{KEY}` is a part of the run and a fraction of the peak, such as [0.23, 1]"
            )));
        };
        let (part, rate) = (part.as_number(KEY)?, rate.as_number(KEY)?);
        // Negative zero would pass as 0 and yet change the recipe's hash.
        let [part, rate] = [part, rate].map(|number| if number == 0.0 { 0.0 } else { number });
        let rises = points
            .last()
            .map_or(part == 0.0, |last| part > last[0] && part <= 1.0);
        if !rises || !(0.0..=1.0).contains(&rate) {
            return Err(item.invalid(format!(
                "the points of `{KEY}` must rise from 0 to 1 with fractions from 0 to 1, found [{part}, {rate}]"
            )));
        }
        points.push([part, rate]);
    }
    if points.last().is_none_or(|last| last[0] < 1.0) {
        return Err(entry.invalid(format!("the last point of `{KEY}` must be at 1")));
    }
    if points.iter().all(|point| point[1] == 0.0) {
        return Err(entry.invalid(format!(
            "the fractions of `{KEY}` are all 0, so that nothing would be trained; raise one"
        )));
    }
    Ok(points)
}
