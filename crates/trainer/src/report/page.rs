//! The frame of a page, its style, and a figure in it.
//!
//! Plots name their colours as variables of the page's style, so that one SVG text serves light, dark
//! and paper. As files they have no such style, and show the colours that stand beside each variable.

use kuva::plot::LegendPosition;
use kuva::prelude::{Layout, Plot, Theme, render_to_svg};
use maud::{DOCTYPE, Markup, PreEscaped, html};

/// The colours of text, grid and paper in a plot.
const INK: &str = "var(--ink, #1c2024)";
const GRID: &str = "var(--grid, #dde1e5)";
const PAPER: &str = "var(--paper, #fff)";

/// The colours of lines that stand for something, in the order of use.
pub const SERIES: [&str; 8] = [
    "var(--series-0, #1f6fd6)",
    "var(--series-1, #c4560a)",
    "var(--series-2, #1c8a4c)",
    "var(--series-3, #8a4bc9)",
    "var(--series-4, #b3264a)",
    "var(--series-5, #0f8b94)",
    "var(--series-6, #7a6a00)",
    "var(--series-7, #666f78)",
];

/// A plot with what is said of it.
#[derive(Debug, Clone)]
pub struct Figure {
    /// The file's name in `plots/`, without its extension.
    pub file: &'static str,
    /// What it shows.
    pub caption: String,
    /// The plot.
    pub svg: String,
}

/// Width and height of most plots, in pixels. On a phone they shrink by a quarter, and stay legible.
const SIZE: (f64, f64) = (480.0, 300.0);

/// Room for a legend below a plot, in pixels.
const LEGEND: f64 = 48.0;

impl Figure {
    /// Draws `plots` with the house's colours. `change` sets titles, axes and whatever differs.
    pub fn draw(
        file: &'static str,
        caption: impl Into<String>,
        plots: Vec<Plot>,
        change: impl FnOnce(Layout) -> Layout,
    ) -> Self {
        let theme = Theme {
            background: PAPER.to_owned(),
            axis_color: INK.to_owned(),
            grid_color: GRID.to_owned(),
            tick_color: INK.to_owned(),
            text_color: INK.to_owned(),
            legend_bg: PAPER.to_owned(),
            legend_border: "none".to_owned(),
            ..Theme::light()
        };
        let layout = Layout::auto_from_plots(&plots)
            .with_theme(theme)
            .with_width(SIZE.0)
            .with_height(SIZE.1)
            // No corner of a plot is free of curves in every run, so that legends stand below.
            .with_legend_position(LegendPosition::OutsideBottomColumns)
            .with_legend_box(false);
        let mut layout = change(layout);
        if layout.show_legend {
            // Two lines of it take nothing from the curves' own height.
            layout.height = layout.height.map(|height| height + LEGEND);
        }
        let svg = render_to_svg(plots, layout);
        Self {
            file,
            caption: caption.into(),
            svg: fit_into_a_page(&svg, file),
        }
    }
}

/// Lets a plot take any width, and gives its parts names of its own: several plots share a page.
fn fit_into_a_page(svg: &str, name: &str) -> String {
    let attribute = |key: &str| {
        let (_, rest) = svg.split_once(&format!(" {key}=\""))?;
        rest.split_once('"').map(|(value, _)| value)
    };
    let size = attribute("width").zip(attribute("height"));
    let (width, height) = size.unwrap_or(("480", "300"));
    svg.replacen(
        "<svg ",
        &format!("<svg viewBox=\"0 0 {width} {height}\" "),
        1,
    )
    .replace("kuva-clip-", &format!("{name}-clip-"))
}

/// Figures side by side, or below each other where there is no room.
pub fn figures(figures: &[Figure]) -> Markup {
    html! {
        div.figures {
            @for figure in figures {
                figure role="img" aria-label=(figure.caption) {
                    (PreEscaped(&figure.svg))
                    figcaption { (figure.caption) }
                }
            }
        }
    }
}

/// A whole page, which loads nothing.
pub fn page(title: &str, body: &Markup) -> String {
    page_with(title, "", body)
}

/// A whole page with a style of its own beside that of every page.
pub fn page_with(title: &str, style: &str, body: &Markup) -> String {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="generator" content=(concat!("trainer ", env!("CARGO_PKG_VERSION")));
                link rel="icon" href="data:,";
                title { (title) }
                style { (PreEscaped(include_str!("page.css"))) (PreEscaped(style)) }
            }
            body { main { (body) } }
        }
    }
    .into_string()
}
