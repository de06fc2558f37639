//! Loss, accuracy, learning rate and time over a run.

use kuva::plot::{LegendPosition, LinePlot, ScatterPlot};
use kuva::prelude::Plot;

use super::page::{Figure, SERIES};
use crate::run::{MetricsRow, StepRow};

/// More points than this are no use at the width of a plot.
const MOST_POINTS: usize = 400;

/// Up to this many points each gets a mark.
const MOST_MARKS: usize = 40;

/// The name of an axis of epochs.
const EPOCH: &str = "epoch";

/// Up to this many epochs each has its number.
const MOST_EPOCH_TICKS: f64 = 8.0;

/// A curve: its name and its points.
#[derive(Debug, Clone)]
pub struct Curve {
    /// What the legend calls it; nothing where there is no choice.
    pub name: Option<String>,
    /// Its colour.
    pub color: &'static str,
    /// Its points, which may have gaps where there is no finite number.
    pub points: Vec<(f64, f64)>,
    /// Whether it stands behind the others.
    pub faint: bool,
}

impl Curve {
    /// A curve over the rows of a table for which `point` has a finite number.
    pub fn over<R>(
        name: &str,
        color: &'static str,
        rows: &[R],
        point: impl Fn(&R) -> (u64, Option<f64>),
    ) -> Self {
        let points = rows.iter().filter_map(|row| {
            let (x, y) = point(row);
            y.filter(|y| y.is_finite()).map(|y| (x as f64, y))
        });
        Self {
            name: Some(name.to_owned()),
            color,
            points: points.collect(),
            faint: false,
        }
    }

    /// The curve with means in place of its points where they are too many.
    #[must_use]
    pub fn thinned(mut self) -> Self {
        let each = self.points.len().div_ceil(MOST_POINTS).max(1);
        self.points = self
            .points
            .chunks(each)
            .map(|chunk| {
                // Running means, which of equal values are exactly that value.
                let mut mean = (0.0, 0.0);
                for (seen, point) in chunk.iter().enumerate() {
                    let n = (seen + 1) as f64;
                    mean = (
                        mean.0 + (point.0 - mean.0) / n,
                        mean.1 + (point.1 - mean.1) / n,
                    );
                }
                mean
            })
            .collect();
        self
    }

    fn plots(&self) -> Vec<Plot> {
        let width = if self.faint { 1.0 } else { 2.0 };
        let mut line = LinePlot::new()
            .with_data(self.points.iter().copied())
            .with_color(self.color)
            .with_stroke_width(width);
        if let Some(name) = &self.name {
            line = line.with_legend(name);
        }
        let mut plots = vec![line.into()];
        if self.points.len() <= MOST_MARKS && !self.faint {
            let marks = ScatterPlot::new()
                .with_data(self.points.iter().copied())
                .with_color(self.color)
                .with_size(3.0);
            plots.push(marks.into());
        }
        plots
    }
}

/// What a figure's axes say.
#[derive(Clone, Copy)]
pub struct Axes {
    /// The name of the horizontal axis.
    pub x: &'static str,
    /// The name of the vertical axis.
    pub y: &'static str,
    /// Whether the vertical axis begins at zero.
    pub from_zero: bool,
    /// Where curves leave room for the legend.
    pub legend: LegendPosition,
}

/// Axes of a loss by steps.
pub const LOSS: Axes = Axes {
    x: "step",
    y: "loss",
    from_zero: false,
    legend: LegendPosition::InsideTopRight,
};

/// Axes of an accuracy by steps.
pub const ACCURACY: Axes = Axes {
    x: "step",
    y: "accuracy, %",
    from_zero: false,
    legend: LegendPosition::InsideBottomRight,
};

/// A figure of `curves`; nothing where none has a point.
pub fn figure(file: &'static str, caption: &str, axes: Axes, curves: &[Curve]) -> Option<Figure> {
    let plots: Vec<Plot> = curves
        .iter()
        .filter(|curve| !curve.points.is_empty())
        .flat_map(Curve::plots)
        .collect();
    if plots.is_empty() {
        return None;
    }
    let points = || curves.iter().flat_map(|curve| &curve.points);
    let last = points().map(|point| point.0).fold(0.0, f64::max);
    let (low, high) = points().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), point| {
        (low.min(point.1), high.max(point.1))
    });
    Some(Figure::draw(file, caption, plots, |layout| {
        let mut layout = layout
            .with_x_label(axes.x)
            .with_y_label(axes.y)
            .with_legend_position(axes.legend)
            .with_x_axis_min(0.0);
        if axes.x == EPOCH {
            // There are no parts of an epoch in a table of epochs.
            let step = (last / MOST_EPOCH_TICKS).ceil().max(1.0);
            // The mark of the last one is whole.
            let end = last * 1.03;
            layout = layout.with_x_axis_max(end).with_x_tick_step(step);
        }
        if low == high {
            // A range around one value says nothing of it; from zero it stands in the middle.
            let top = if high > 0.0 { 2.0 * high } else { 1.0 };
            layout = layout.with_y_axis_min(0.0).with_y_axis_max(top);
        } else if axes.from_zero {
            layout = layout.with_y_axis_min(0.0);
        }
        layout
    }))
}

/// The figures of one run.
pub fn figures(metrics: &[MetricsRow], steps: &[StepRow]) -> Vec<Figure> {
    let [train, valid, third, ..] = SERIES;
    let percent = |fraction: Option<f64>| fraction.map(|value| 100.0 * value);
    let mut each_step = Curve::over("each step", SERIES[7], steps, |r| (r.step, Some(r.loss)));
    each_step.faint = true;
    let alone = |mut curve: Curve| {
        curve.name = None;
        [curve]
    };
    let learning_rate = Curve::over("", third, steps, |r| (r.step, Some(r.learning_rate)));
    let seconds = Curve::over("", third, metrics, |r| (r.epoch, Some(r.seconds)));
    [
        figure(
            "loss",
            "Loss: the mean over each epoch and over each step's batch, and over the hold-out.",
            LOSS,
            &[
                each_step.thinned(),
                Curve::over("train", train, metrics, |r| (r.step, r.train_loss)),
                Curve::over("valid", valid, metrics, |r| (r.step, r.valid_loss)),
            ],
        ),
        figure(
            "accuracy",
            "Accuracy over each epoch's training images, and over the hold-out after it.",
            ACCURACY,
            &[
                Curve::over("train", train, metrics, |r| (r.step, percent(r.train_accuracy))),
                Curve::over("valid", valid, metrics, |r| (r.step, percent(r.valid_accuracy))),
            ],
        ),
        figure(
            "learning-rate",
            "Learning rate of each step.",
            Axes {
                y: "learning rate",
                from_zero: true,
                ..LOSS
            },
            &alone(learning_rate.thinned()),
        ),
        figure(
            "epoch-time",
            "Time of each epoch, its validation included. After a resumption, the part that came then.",
            Axes {
                x: EPOCH,
                y: "seconds",
                from_zero: true,
                ..LOSS
            },
            &alone(seconds),
        ),
    ]
    .into_iter()
    .flatten()
    .collect()
}
