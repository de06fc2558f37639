//! Loss, accuracy, learning rate and time over a run.

use std::sync::Arc;

use kuva::plot::{LinePlot, ScatterPlot};
use kuva::prelude::{Plot, TickFormat};

use super::page::{Figure, SERIES};
use crate::run::{MetricsRow, StepRow};

/// More points than this are no use at the width of a plot.
pub const MOST_POINTS: usize = 400;

/// Up to this many points each gets a mark.
const MOST_MARKS: usize = 40;

/// Room between the outermost marks and the edge, as a part of the range.
const ROOM: f64 = 0.03;

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
    /// Rows of the table for each point, but perhaps for the last one.
    pub each: usize,
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
            each: 1,
            faint: false,
        }
    }

    /// The curve with means in place of its points where those are more than `most`. A mean stands where the
    /// last of its points did, as an epoch's mean stands at the epoch's end, so that the curve ends with its data.
    #[must_use]
    pub fn means(self, most: usize) -> Self {
        self.thinned(most, |points| {
            // Running means, which of equal values are exactly that value.
            let values = points.iter().map(|point| point.1);
            let mean = (1_u32..).zip(values);
            mean.fold(0.0, |mean, (n, value)| mean + (value - mean) / f64::from(n))
        })
    }

    /// The curve with every so manyth of its points, and the last one, where they are more than `most`.
    #[must_use]
    pub fn sampled(self, most: usize) -> Self {
        self.thinned(most, |points| points.last().map_or(0.0, |point| point.1))
    }

    /// The curve with one value for each group of its points, at the last of them.
    fn thinned(mut self, most: usize, value: impl Fn(&[(f64, f64)]) -> f64) -> Self {
        self.each = self.points.len().div_ceil(most.max(1)).max(1);
        let groups = self.points.chunks(self.each);
        self.points = groups
            .filter_map(|group| group.last().map(|last| (last.0, value(group))))
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
}

/// Axes of a loss by steps.
pub const LOSS: Axes = Axes {
    x: "step",
    y: "loss",
    from_zero: false,
};

/// Axes of an accuracy by steps.
pub const ACCURACY: Axes = Axes {
    x: "step",
    y: "accuracy, %",
    from_zero: false,
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
            .with_y_tick_format(TickFormat::Custom(Arc::new(tick)))
            .with_x_axis_min(0.0);
        if axes.x == EPOCH {
            // There are no parts of an epoch in a table of epochs.
            let step = (last / MOST_EPOCH_TICKS).ceil().max(1.0);
            layout = layout.with_x_tick_step(step);
        }
        if last > 0.0 {
            // The mark of the last one is whole.
            layout = layout.with_x_axis_max(last * (1.0 + ROOM));
        }
        if low == high {
            // A range around one value says nothing of it; from zero it stands in the middle.
            let top = if high > 0.0 { 2.0 * high } else { 1.0 };
            layout = layout.with_y_axis_min(0.0).with_y_axis_max(top);
        } else {
            // So are the marks of the least and the largest value.
            let bottom = if axes.from_zero {
                0.0
            } else {
                low - ROOM * (high - low)
            };
            let top = high + ROOM * (high - bottom);
            layout = layout.with_y_axis_min(bottom).with_y_axis_max(top);
        }
        layout
    }))
}

/// A number beside the vertical axis, with a power of ten where its digits would leave no room for the
/// curves: a loss that diverges has many of them.
fn tick(value: f64) -> String {
    /// From here on.
    const LONG: f64 = 1e5;
    if value.abs() < LONG {
        return TickFormat::Auto.format(value);
    }
    // Marks are sums of steps, whose last digits are rounding errors.
    let rounded = format!("{value:.3e}").parse().unwrap_or(value);
    TickFormat::Sci.format(rounded)
}

/// The figures of one run.
pub fn figures(metrics: &[MetricsRow], steps: &[StepRow]) -> Vec<Figure> {
    let [train, valid, third, ..] = SERIES;
    let percent = |fraction: Option<f64>| fraction.map(|value| 100.0 * value);
    let each_step = Curve::over("each step", SERIES[7], steps, |r| (r.step, Some(r.loss)));
    let mut each_step = each_step.means(MOST_POINTS);
    each_step.faint = true;
    if each_step.each > 1 {
        each_step.name = Some(format!("means of {} steps", each_step.each));
    }
    let alone = |mut curve: Curve| {
        curve.name = None;
        [curve]
    };
    let learning_rate = Curve::over("", third, steps, |r| (r.step, Some(r.learning_rate)));
    let learning_rate = learning_rate.sampled(MOST_POINTS);
    let seconds = Curve::over("", third, metrics, |r| (r.epoch, Some(r.seconds)));
    let train_loss = Curve::over("train", train, metrics, |r| (r.step, r.train_loss));
    let valid_loss = Curve::over("valid", valid, metrics, |r| (r.step, r.valid_loss));
    let has_holdout = !valid_loss.points.is_empty();
    let where_held_out = |text: &'static str| if has_holdout { text } else { "" };
    [
        figure(
            "loss",
            &format!(
                "Loss: {}{}{}.",
                over_steps("each step's batch", "means of", each_step.each),
                if train_loss.points.is_empty() {
                    ""
                } else {
                    ", the mean over each epoch"
                },
                where_held_out(", and over the hold-out after it"),
            ),
            LOSS,
            &[each_step, train_loss, valid_loss],
        ),
        figure(
            "accuracy",
            &format!(
                "Accuracy over each epoch's training images{}.",
                where_held_out(", and over the hold-out after it")
            ),
            ACCURACY,
            &[
                Curve::over("train", train, metrics, |r| {
                    (r.step, percent(r.train_accuracy))
                }),
                Curve::over("valid", valid, metrics, |r| {
                    (r.step, percent(r.valid_accuracy))
                }),
            ],
        ),
        figure(
            "learning-rate",
            &format!(
                "Learning rate {}.",
                over_steps("of each step", "at the end of every", learning_rate.each)
            ),
            Axes {
                y: "learning rate",
                from_zero: true,
                ..LOSS
            },
            &alone(learning_rate),
        ),
        figure(
            "epoch-time",
            &format!(
                "Time of each epoch{}. After a resumption, the part that came then.",
                where_held_out(", its validation included")
            ),
            Axes {
                x: EPOCH,
                y: "seconds",
                from_zero: true,
            },
            &alone(seconds),
        ),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// What a point of a curve over steps stands for: `one` step, or `several` with their number.
pub fn over_steps(one: &str, several: &str, each: usize) -> String {
    match each {
        0 | 1 => one.to_owned(),
        each => format!("{several} {each} steps"),
    }
}
