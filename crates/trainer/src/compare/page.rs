//! The comparison as an HTML page.

use cifar10::Images;
use maud::{Markup, html};

use super::{Compared, Doubts, differing_keys, doubts, paired};
use crate::report::ReportError;
use crate::report::curves::{ACCURACY, Axes, Curve, LOSS, figure};
use crate::report::page::{Figure, SERIES, figures, page as whole_page};
use crate::run::MetricsRow;
use crate::statistics::percent;

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
    Ok(whole_page("Comparison", &body))
}

/// A run's colour; with more runs than colours they come again.
fn color(place: usize) -> &'static str {
    SERIES.into_iter().cycle().nth(place).unwrap_or(SERIES[0])
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
                        td { span.key style={ "background:" (color(place)) } {} (run.name) }
                        @if let Some(accuracy) = run.contents.accuracy() {
                            td { (percent(accuracy.share)) }
                            td { (percent(accuracy.interval.0)) " to " (percent(accuracy.interval.1)) }
                        } @else {
                            td { "-" } td { "-" }
                        }
                        td {
                            @if let Some(first) = runs.first().filter(|_| place > 0) {
                                (paired(first, run).describe(runs.len() - 1))
                            }
                        }
                    }
                }
            }
        }
    }
}

fn curves(runs: &[Compared]) -> Vec<Figure> {
    let draw = |file, caption: &str, axes: Axes, value: fn(&MetricsRow) -> Option<f64>| {
        let curves: Vec<Curve> = runs
            .iter()
            .enumerate()
            .map(|(place, run)| {
                let metrics = &run.contents.metrics;
                let point = |row: &MetricsRow| (row.step, value(row));
                let mut curve = Curve::over(&run.name, color(place), metrics, point);
                // The table above says which colour is whose, and a legend would cover curves.
                curve.name = None;
                curve
            })
            .collect();
        figure(file, caption, axes, &curves)
    };
    let rate = Axes {
        y: "learning rate",
        from_zero: true,
        ..LOSS
    };
    [
        draw("train-loss", "Training loss of each epoch.", LOSS, |row| {
            row.train_loss
        }),
        draw(
            "valid-loss",
            "Validation loss of each epoch.",
            LOSS,
            |row| row.valid_loss,
        ),
        draw(
            "train-accuracy",
            "Training accuracy of each epoch.",
            ACCURACY,
            |row| row.train_accuracy.map(|share| 100.0 * share),
        ),
        draw(
            "valid-accuracy",
            "Validation accuracy of each epoch.",
            ACCURACY,
            |row| row.valid_accuracy.map(|share| 100.0 * share),
        ),
        draw(
            "learning-rate",
            "Learning rate at each epoch's end.",
            rate,
            |row| Some(row.learning_rate),
        ),
    ]
    .into_iter()
    .flatten()
    .collect()
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
                    tr { th { "key" } @for run in runs { th { (run.name) } } }
                    @for key in &keys {
                        tr {
                            td { code { (key.key) } }
                            @for value in &key.values { td { (value.as_deref().unwrap_or("-")) } }
                        }
                    }
                }
            }
        }
    }
}
