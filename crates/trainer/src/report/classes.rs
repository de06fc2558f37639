//! Confusion matrix, and accuracy by class.

use std::sync::Arc;

use cifar10::CLASS_NAMES;
use kuva::plot::{ColorMap, ForestPlot, Heatmap};
use kuva::prelude::TextAnnotation;

use super::page::{Figure, SERIES};
use crate::run::{CLASSES, ConfusionMatrix};
use crate::statistics::wilson;

/// True classes by predicted classes. A cell's colour is its share of the images of its row's class.
pub fn confusion(counts: &ConfusionMatrix) -> Figure {
    let shares = counts.map(|row| {
        let all: u64 = row.iter().sum();
        row.map(|count| count as f64 / all.max(1) as f64)
    });
    // A plot's rows begin at the bottom.
    let rows: Vec<Vec<f64>> = shares.iter().rev().map(|row| row.to_vec()).collect();
    let names: Vec<String> = CLASS_NAMES.iter().map(|name| (*name).to_owned()).collect();
    let most = shares.iter().flatten().copied().fold(0.0, f64::max);
    let color = move |t: f64| {
        // The root makes small shares visible; text stays legible on the darkest cell.
        let opacity = 0.75 * (t * most).max(0.0).sqrt();
        format!("rgba(31, 111, 214, {opacity:.2})")
    };
    let map = Heatmap::new()
        .with_data(rows)
        .with_color_map(ColorMap::Custom(Arc::new(color)));
    let mut texts = Vec::new();
    for (row, counts) in counts.iter().enumerate() {
        for (column, count) in counts.iter().enumerate() {
            // The text stands on its place, and a third of a cell below the middle centres it.
            let (x, y) = ((column + 1) as f64, (CLASSES - row) as f64 - 0.3);
            texts.push(TextAnnotation::new(count.to_string(), x, y).with_font_size(11));
        }
    }
    let caption = "Confusion matrix of the test set: images by their class and by the answer.";
    Figure::draw("confusion", caption, vec![map.into()], |mut layout| {
        layout.show_colorbar = false;
        let mut layout = layout
            .with_height(430.0)
            .with_show_grid(false)
            .with_x_label("answer")
            .with_y_label("class")
            .with_x_categories(names.clone())
            .with_y_categories(names.into_iter().rev().collect())
            .with_x_tick_rotate(-45.0);
        for text in texts {
            layout = layout.with_annotation(text);
        }
        layout
    })
}

/// The accuracy of each class with Wilson's interval of 95%, and that of all images as a line.
pub fn accuracy(counts: &ConfusionMatrix) -> Figure {
    let hits = |class: usize| counts.get(class).and_then(|row| row.get(class)).copied();
    let all: u64 = counts.iter().flatten().sum();
    let right: u64 = (0..CLASSES).filter_map(hits).sum();
    let mut plot = ForestPlot::new()
        .with_color(SERIES[0])
        .with_cap_size(4.0)
        .with_marker_size(3.0)
        .with_null_value(100.0 * right as f64 / all.max(1) as f64);
    let (mut least, mut most) = (100.0_f64, 0.0_f64);
    for ((class, name), row) in CLASS_NAMES.iter().enumerate().zip(counts) {
        let (count, hits) = (row.iter().sum::<u64>(), hits(class).unwrap_or_default());
        let (low, high) = wilson(hits, count);
        let share = 100.0 * hits as f64 / count.max(1) as f64;
        let (low, high) = (100.0 * low, 100.0 * high);
        (least, most) = (least.min(low), most.max(high));
        plot = plot.with_row(*name, share, low, high);
    }
    let caption = "Accuracy by class on the test set, with Wilson's interval of 95%. The line is the \
                   accuracy over all classes.";
    Figure::draw("class-accuracy", caption, vec![plot.into()], |layout| {
        // Marks and the ends of intervals are whole, also at 0% and 100%.
        let room = 0.03 * (most - least).max(1.0);
        layout
            .with_height(430.0)
            .with_x_label("accuracy, %")
            .with_x_axis_min(least - room)
            .with_x_axis_max(most + room)
    })
}
