//! Columns side by side, as many as there is room for.

use unicode_width::UnicodeWidthStr;

use super::shortened;

/// A column of a [`table`].
#[derive(Debug, Clone)]
pub struct Column {
    /// What stands above it.
    pub heading: String,
    /// A cell a row.
    pub cells: Vec<String>,
    /// Where its cells stand.
    pub kind: Kind,
    /// Where there is no room, columns are left out, the highest rank first; rank 0 stays.
    pub rank: usize,
}

/// A kind of column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Text that may be shortened, to this many columns of the terminal at least.
    Name(usize),
    /// Text.
    Text,
    /// Figures, to the right.
    Figure,
}

impl Column {
    fn width(&self) -> usize {
        let cells = self.cells.iter().map(|cell| cell.width());
        cells.chain([self.heading.width()]).max().unwrap_or(0)
    }

    /// A cell in `width` columns.
    fn cell(&self, text: &str, width: usize) -> String {
        let text = shortened(text, width);
        let space = " ".repeat(width.saturating_sub(text.width()));
        match self.kind {
            Kind::Figure => space + &text,
            Kind::Name(_) | Kind::Text => text + &space,
        }
    }
}

/// Lines of `columns` with their headings. On a terminal of `width` columns some are left out or
/// shortened; without a width none is.
#[must_use]
pub fn table(mut columns: Vec<Column>, width: Option<usize>) -> String {
    let total = |columns: &[Column]| {
        columns
            .iter()
            .map(|column| column.width() + 1)
            .sum::<usize>()
    };
    // The space after the last column is no part of the table.
    let room = width.map_or(usize::MAX, |width| width + 1);
    loop {
        let ranks = columns.iter().map(|column| column.rank).enumerate();
        let least = ranks
            .filter(|(_, rank)| *rank > 0)
            .max_by_key(|(_, rank)| *rank);
        match least {
            Some((place, _)) if total(&columns) > room => columns.remove(place),
            _ => break,
        };
    }
    let missing = total(&columns).saturating_sub(room);
    let widths: Vec<usize> = (columns.iter())
        .map(|column| match column.kind {
            Kind::Name(least) => {
                let (whole, least) = (column.width(), least.min(column.width()));
                whole.saturating_sub(missing).max(least)
            }
            Kind::Text | Kind::Figure => column.width(),
        })
        .collect();
    let line = |text: &dyn Fn(&Column) -> String| {
        let cells = columns.iter().zip(&widths);
        let cells = cells.map(|(column, width)| column.cell(&text(column), *width));
        cells.collect::<Vec<_>>().join(" ").trim_end().to_owned() + "\n"
    };
    let mut lines = line(&|column| column.heading.clone());
    for row in 0..columns.first().map_or(0, |column| column.cells.len()) {
        lines += &line(&|column| column.cells.get(row).cloned().unwrap_or_default());
    }
    lines
}
