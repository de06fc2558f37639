//! The comparison as an HTML page.

use cifar10::Images;
use maud::{Markup, html};

use super::{Compared, Doubts, differing_keys, doubts, paired};
use crate::report::ReportError;
use crate::report::curves::{ACCURACY, Axes, Curve, LOSS, figure, over_steps};
use crate::report::page::{Figure, SERIES, figures, page_with};
use crate::run::{MetricsRow, StepRow};
use crate::statistics::percent;

/// Where columns have no room side by side a row becomes a block with a line a cell, which says what it is of.
const STYLE: &str = "
td { overflow-wrap: anywhere; }
td code { white-space: nowrap; }
.of { display: none; }
@media (max-width: 40rem) {
  th { display: none; }
  td { display: block; border: 0; padding: .1rem 0; }
  td:first-child { padding-top: .5rem; }
  tr { display: block; border-bottom: 1px solid var(--grid); padding-bottom: .5rem; }
  .of { display: inline; color: var(--faint); }
}
";

/// The page of `runs`, the first of which the others are compared with. It loads nothing. `found` are the
/// labels in doubt from `confidence` on, and `test` the images that they are of.
///
/// # Errors
/// [`ReportError`] where `test` are not the images of the runs.
pub fn page(
    runs: &[Compared],
    found: &Doubts,
    confidence: f64,
    test: Option<&Images>,
) -> Result<String, ReportError> {
    let doubts = doubts::section(found, runs.len(), confidence, test)?;
    let body = html! {
        h1 { "Comparison of " (runs.len()) " runs" }
        (accuracies(runs))
        (figures(&curves(runs)))
        (doubts)
        (recipes(runs))
    };
    Ok(page_with("Comparison", STYLE, &body))
}

/// A run's colour; with more runs than colours they come again.
fn color(place: usize) -> &'static str {
    SERIES.into_iter().cycle().nth(place).unwrap_or(SERIES[0])
}

/// A dot in a run's colour.
fn key(place: usize) -> Markup {
    html! { span.key style={ "background:" (color(place)) } {} }
}

fn accuracies(runs: &[Compared]) -> Markup {
    html! {
        div.scroll {
            table {
                tr {
                    th { "run" } th { "test accuracy" } th { "Wilson's 95%" }
                    th { "against the first, McNemar's exact test" }
                }
                @for (place, run) in runs.iter().enumerate() {
                    tr {
                        td { (key(place)) (run.name) }
                        @if let Some(accuracy) = run.contents.accuracy() {
                            td { span.of { "test accuracy: " } (percent(accuracy.share)) }
                            td { span.of { "Wilson's 95%: " } (percent(accuracy.interval.0)) " to " (percent(accuracy.interval.1)) }
                        } @else {
                            td { span.of { "test accuracy: " } "-" }
                            td { span.of { "Wilson's 95%: " } "-" }
                        }
                        td {
                            @if let Some(first) = runs.first().filter(|_| place > 0) {
                                span.of { "against the first: " }
                                (paired(first, run).describe(runs.len() - 1))
                            }
                        }
                    }
                }
            }
        }
    }
}

/// More points than this of one run would hide the other runs behind its noise.
const MOST_POINTS: usize = 100;

fn curves(runs: &[Compared]) -> Vec<Figure> {
    // The table above says which colour is whose, once for all figures.
    let unnamed = |mut curve: Curve| {
        curve.name = None;
        curve
    };
    let of_steps = |value: fn(&StepRow) -> f64| {
        let curves = runs.iter().enumerate().map(move |(place, run)| {
            let point = |row: &StepRow| (row.step, Some(value(row)));
            unnamed(Curve::over("", color(place), &run.contents.steps, point))
        });
        curves.collect::<Vec<_>>()
    };
    let of_epochs = |value: fn(&MetricsRow) -> Option<f64>| {
        let curves = runs.iter().enumerate().map(move |(place, run)| {
            let point = |row: &MetricsRow| (row.step, value(row));
            unnamed(Curve::over("", color(place), &run.contents.metrics, point))
        });
        curves.collect::<Vec<_>>()
    };
    let loss = of_steps(|row| row.loss).into_iter();
    let loss: Vec<Curve> = loss.map(|curve| curve.means(MOST_POINTS)).collect();
    let of_loss = caption("Training loss", "of each step", "means of", &loss);
    let rate = of_steps(|row| row.learning_rate).into_iter();
    let rate: Vec<Curve> = rate.map(|curve| curve.sampled(MOST_POINTS)).collect();
    let of_rate = caption(
        "Learning rate",
        "of each step",
        "at the end of every",
        &rate,
    );
    let rate_axes = Axes {
        y: "learning rate",
        from_zero: true,
        ..LOSS
    };
    [
        figure("train-loss", &of_loss, LOSS, &loss),
        figure(
            "valid-loss",
            "Validation loss of each epoch.",
            LOSS,
            &of_epochs(|row| row.valid_loss),
        ),
        figure(
            "train-accuracy",
            "Training accuracy of each epoch.",
            ACCURACY,
            &of_epochs(|row| row.train_accuracy.map(|share| 100.0 * share)),
        ),
        figure(
            "valid-accuracy",
            "Validation accuracy of each epoch.",
            ACCURACY,
            &of_epochs(|row| row.valid_accuracy.map(|share| 100.0 * share)),
        ),
        figure("learning-rate", &of_rate, rate_axes, &rate),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// What `curves` show, each of which may stand for another number of steps a point.
fn caption(what: &str, one: &str, several: &str, curves: &[Curve]) -> String {
    let each = || curves.iter().map(|curve| curve.each);
    let (least, most) = (each().min().unwrap_or(1), each().max().unwrap_or(1));
    if least == most {
        return format!("{what}, {}.", over_steps(one, several, most));
    }
    format!("{what}, {several} {least} to {most} steps.")
}

fn recipes(runs: &[Compared]) -> Markup {
    let keys = differing_keys(runs);
    html! {
        h2 { "Recipes" }
        @if keys.is_empty() {
            p { "The recipes are the same." }
        } @else {
            div.scroll {
                table {
                    tr { th { "key" } @for (place, run) in runs.iter().enumerate() { th { (key(place)) (run.name) } } }
                    @for differing in &keys {
                        tr {
                            td { code { (differing.key) } }
                            @for (place, (run, value)) in runs.iter().zip(&differing.values).enumerate() {
                                td {
                                    span.of { (key(place)) (run.name) ": " }
                                    (value.as_deref().unwrap_or("-"))
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}
