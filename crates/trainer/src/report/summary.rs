//! The first figures of a run.

use maud::{Markup, html};

use super::Contents;
use crate::run::{RunFolder, RunResult, RunState};
use crate::shell;
use crate::statistics::{Share, percent};

/// What the run gave, in a few tiles.
pub fn section(folder: &RunFolder, contents: &Contents) -> Markup {
    let Contents {
        recipe,
        environment,
        result,
        ..
    } = contents;
    let state = result
        .as_ref()
        .map_or("not finished", |result| result.state.name());
    let interrupted = result
        .as_ref()
        .is_none_or(|r| r.state == RunState::Interrupted);
    html! {
        h1 { (folder.name()) }
        p {
            (recipe.network) " on " (recipe.data.source.name()) ", " (environment.backend) ", "
            (state) ". " span.faint { "Started " (environment.started) "." }
        }
        @if let Some(error) = result.as_ref().and_then(|result| result.error.as_ref()) {
            pre { (error) }
        }
        @if interrupted {
            p {
                "It is tested when it is finished: "
                code { (resume(folder, &environment.backend)) }
            }
        }
        @if let Some(missing) = contents.what_is_missing() {
            p { (missing) }
        }
        dl.tiles {
            @if let Some(Share { share, interval: (low, high) }) = contents.accuracy() {
                (tile("test accuracy", &percent(share),
                    &format!("{} to {}, Wilson's 95%", percent(low), percent(high))))
            }
            @if let Some(result) = result {
                @if let Some(accuracy) = result.test_accuracy_tta {
                    (tile("with augmentation", &percent(accuracy), "of the test images, in several views"))
                }
                @if let Some(error) = result.test_calibration_error {
                    (tile("calibration error", &percent(error), &scaling(result)))
                }
                @if let Some(accuracy) = result.valid_accuracy {
                    (tile("valid accuracy", &percent(accuracy), "of the last epoch"))
                }
                @if let (Some(accuracy), Some(epoch)) = (result.best_valid_accuracy, result.best_epoch) {
                    (tile("best valid accuracy", &percent(accuracy), &format!("epoch {epoch}")))
                }
                (tile("epochs", &contents.epochs(), &format!("{} steps", result.steps)))
                (tile("training time", &format!("{:.1} s", result.seconds),
                    &format!("{:.0} images a second", result.images_per_second)))
            }
            (tile("seed", &recipe.seed.to_string(), ""))
        }
    }
}

/// The command that goes on with the run, from any folder and as it began.
fn resume(folder: &RunFolder, backend: &str) -> String {
    let path = shell::whole_path(folder.path());
    shell::line(["trainer", "train", "--resume", &path, "--backend", backend])
}

/// What the temperature of the hold-out does to the calibration error.
fn scaling(result: &RunResult) -> String {
    match (result.temperature, result.test_calibration_error_scaled) {
        (Some(temperature), Some(error)) => {
            format!("{} with temperature {temperature:.3}", percent(error))
        }
        _ => "no temperature without a hold-out".to_owned(),
    }
}

/// A figure with its name and a remark, which may be empty.
pub fn tile(name: &str, value: &str, remark: &str) -> Markup {
    html! {
        div {
            dt { (name) }
            dd { (value) @if !remark.is_empty() { small { (remark) } } }
        }
    }
}
