//! The run so far, drawn when it has grown.

use std::fs;
use std::sync::Mutex;

use maud::{Markup, html};

use crate::recipe::Recipe;
use crate::report::summary::tile;
use crate::report::{curves, page};
use crate::run::{MetricsRow, RunError, RunFolder, RunResult, StepRow, if_there, read_rows};
use crate::statistics::percent;
use crate::training;

/// Lengths of the files that a drawing was made from; a file that is not there has none.
type Lengths = [Option<u64>; 3];

/// Draws a run, and keeps the drawing until the run's tables have grown.
#[derive(Debug)]
pub struct Curves {
    folder: RunFolder,
    recipe: Recipe,
    drawn: Mutex<Option<(Lengths, String)>>,
}

impl Curves {
    /// The curves of the run in `folder`, trained by `recipe`.
    pub fn new(folder: RunFolder, recipe: Recipe) -> Self {
        Self {
            folder,
            recipe,
            drawn: Mutex::default(),
        }
    }

    /// A part of a page with the run's state, figures and curves.
    ///
    /// # Errors
    /// [`RunError`] where a table cannot be read.
    pub fn draw(&self) -> Result<String, RunError> {
        let files = [
            self.folder.metrics(),
            self.folder.steps(),
            self.folder.result(),
        ];
        let lengths = files
            .each_ref()
            .map(|file| Some(fs::metadata(file).ok()?.len()));
        let mut drawn = training::lock(&self.drawn);
        if let Some((of, text)) = &*drawn
            && *of == lengths
        {
            return Ok(text.clone());
        }
        let [metrics, steps, result] = &files;
        let metrics: Vec<MetricsRow> = if_there(metrics, read_rows)?.unwrap_or_default();
        let steps: Vec<StepRow> = if_there(steps, read_rows)?.unwrap_or_default();
        let result = if_there(result, RunResult::read)?;
        let figures = curves::figures(&metrics, &steps);
        let text = html! {
            (tiles(&self.recipe, &metrics, &steps, result.as_ref()))
            @if figures.is_empty() { p.faint { "The first curves come with the first steps." } }
            (page::figures(&figures))
        }
        .into_string();
        *drawn = Some((lengths, text.clone()));
        Ok(text)
    }
}

fn tiles(
    recipe: &Recipe,
    metrics: &[MetricsRow],
    steps: &[StepRow],
    result: Option<&RunResult>,
) -> Markup {
    // A run that was interrupted and goes on keeps its old result until its end.
    let last = steps.last();
    let result = result.filter(|result| last.is_none_or(|row| row.step <= result.steps));
    let valid = metrics.iter().rev().find_map(|row| row.valid_accuracy);
    let training = metrics.iter().rev().find_map(|row| row.train_accuracy);
    html! {
        dl.tiles {
            (tile("state", result.map_or("not finished", |result| result.state.name()), ""))
            @if let Some(row) = last {
                // The last epoch may be a part of one, and counts, as on the terminal.
                (tile("step", &row.step.to_string(), &format!("epoch {} of {}", row.epoch, recipe.epochs.ceil())))
                (tile("loss", &format!("{:.4}", row.loss), "of the last step"))
            }
            @if let Some(accuracy) = training {
                (tile("train accuracy", &percent(accuracy), "of the last epoch"))
            }
            @if let Some(accuracy) = valid {
                (tile("valid accuracy", &percent(accuracy), "of the last epoch"))
            }
            @if let Some(accuracy) = result.and_then(|result| result.test_accuracy) {
                (tile("test accuracy", &percent(accuracy), ""))
            }
        }
    }
}
