//! A run on one page: `report.html`, and its plots as files in `plots/`.
//!
//! Everything is read from the run's folder, so that the page can be written again at any time. Only
//! the pictures of mistakes come from the data set.
//!
//! | file | what it holds |
//! | --- | --- |
//! | `contents` | what a run's folder says |
//! | `page` | the frame of a page, its style, and a figure in it |
//! | `summary` | the first figures of a run |
//! | `curves` | loss, accuracy, learning rate and time |
//! | `classes` | confusion matrix, accuracy by class |
//! | `reliability` | probabilities beside shares of right answers |
//! | `mistakes` | the most confident mistakes as pictures |
//! | `filters` | the first layer's weights as a picture |
//! | `facts` | recipe, environment, commands |
//! | `picture` | pixels to a PNG file, and to a data URI |

mod classes;
mod contents;
pub(crate) mod curves;
mod error;
mod facts;
mod filters;
pub(crate) mod mistakes;
pub(crate) mod page;
pub(crate) mod picture;
mod reliability;
pub(crate) mod summary;
#[cfg(test)]
mod tests;

use std::fs;
use std::path::PathBuf;

use cifar10::Images;
use maud::html;

pub use contents::Contents;
pub use error::ReportError;

use crate::run::{self, RunError, RunFolder};

/// Writes `report.html` and `plots/` of a run. `test` are the images of the run's test set, for the
/// pictures of mistakes; a run without predictions needs none.
///
/// # Errors
/// [`ReportError`] with the file that cannot be read or written.
pub fn write(folder: &RunFolder, test: Option<&Images>) -> Result<PathBuf, ReportError> {
    let contents = Contents::read(folder)?;
    let curves = curves::figures(&contents.metrics, &contents.steps);
    let tested = contents
        .predictions
        .as_deref()
        .map(|predictions| -> Result<_, ReportError> {
            let confusion = run::confusion(predictions)?;
            let figures = vec![
                classes::confusion(&confusion),
                classes::accuracy(&confusion),
                reliability::diagram(predictions, contents.temperature()),
            ];
            Ok((figures, mistakes::section(predictions, test)?))
        })
        .transpose()?;
    let filters = filters::picture(&folder.model_safetensors())?;
    let (test_figures, mistakes) = tested.unzip();
    let figures: Vec<_> = curves
        .into_iter()
        .chain(test_figures.into_iter().flatten())
        .collect();
    let body = html! {
        (summary::section(folder, &contents))
        (page::figures(&figures))
        @if let Some(mistakes) = mistakes { (mistakes) }
        @if let Some(filters) = &filters { (filters::section(filters)?) }
        (facts::section(folder, &contents))
    };
    let plots = folder.plots();
    fs::create_dir_all(&plots).map_err(RunError::io("create", &plots))?;
    for figure in &figures {
        let path = plots.join(figure.file).with_extension("svg");
        run::write_atomic(&path, figure.svg.as_bytes())?;
    }
    if let Some(filters) = &filters {
        run::write_atomic(&plots.join("filters.png"), &filters.png()?)?;
    }
    let page = page::page(&folder.name(), &body);
    run::write_atomic(&folder.report(), page.as_bytes())?;
    Ok(folder.report())
}
