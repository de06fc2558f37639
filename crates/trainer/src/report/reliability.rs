//! Probabilities beside shares of right answers.

use kuva::plot::{LinePlot, ScatterPlot};
use kuva::prelude::Plot;

use super::page::{Figure, SERIES};
use crate::calibration::scaled;
use crate::run::Prediction;
use crate::statistics::{Calibration, calibration, wilson};

/// Room beyond 0% and 100% in which marks are whole, in the same unit.
const ROOM: f64 = 3.0;

/// The reliability diagram of `predictions`, with the expected calibration error in its caption; and the
/// same with logits divided by the temperature of the hold-out, where there is one.
pub fn diagram(predictions: &[Prediction], temperature: Option<f64>) -> Figure {
    let found = calibration(predictions);
    let ideal = LinePlot::new()
        .with_data([(0.0, 0.0), (100.0, 100.0)])
        .with_color(SERIES[7])
        .with_dashed()
        .with_legend("well calibrated");
    let mut plots = vec![ideal.into()];
    plots.extend(series(&found, SERIES[0], "this network"));
    let mut caption = format!(
        "Reliability: the share of right answers among test images whose highest probability lies in one \
         of {} ranges, with Wilson's interval of 95%. Expected calibration error {:.2}%",
        found.bins.len(),
        100.0 * found.error
    );
    if let Some(temperature) = temperature {
        let found = calibration(&scaled(predictions, temperature));
        plots.extend(series(&found, SERIES[1], "with temperature"));
        caption += &format!(
            ", {:.2}% with logits divided by {temperature:.3}, the temperature of the hold-out",
            100.0 * found.error
        );
    }
    caption.push('.');
    Figure::draw("reliability", caption, plots, |layout| {
        layout
            .with_height(430.0)
            .with_x_label("highest probability, %")
            .with_y_label("accuracy, %")
            .with_x_axis_min(-ROOM)
            .with_x_axis_max(100.0 + ROOM)
            .with_y_axis_min(-ROOM)
            .with_y_axis_max(100.0 + ROOM)
    })
}

/// A line over the ranges that have images, and their marks with intervals.
fn series(found: &Calibration, color: &str, name: &str) -> [Plot; 2] {
    let bins = || found.bins.iter().filter(|bin| bin.count > 0);
    let points: Vec<(f64, f64)> = bins()
        .map(|bin| {
            (
                100.0 * bin.confidence,
                100.0 * bin.hits as f64 / bin.count as f64,
            )
        })
        .collect();
    let errors: Vec<(f64, f64)> = bins()
        .zip(&points)
        .map(|(bin, (_, accuracy))| {
            let (low, high) = wilson(bin.hits, bin.count);
            (
                (accuracy - 100.0 * low).max(0.0),
                (100.0 * high - accuracy).max(0.0),
            )
        })
        .collect();
    let line = LinePlot::new()
        .with_data(points.iter().copied())
        .with_color(color)
        .with_legend(name);
    let marks = ScatterPlot::new()
        .with_data(points)
        .with_y_err_asymmetric(errors)
        .with_color(color)
        .with_size(3.0);
    [line.into(), marks.into()]
}
