//! Answers as rows.

use unicode_width::UnicodeWidthStr;

use crate::screen::{escaped, shortened, wrapped};

/// Columns of the terminal that the name of a photo has at least, where it stands before its classes.
const SHORTEST_NAME: usize = 24;
/// Spaces before classes that stand below a name.
const INDENT: usize = 4;
/// Columns of a class and its probability.
const CELL: usize = 18;

/// A row a photo, for a terminal of some width, or for none.
pub struct Rows {
    width: Option<usize>,
    rows: Vec<(String, Vec<(&'static str, f32)>)>,
}

impl Rows {
    /// No rows yet. Without a `width` nothing is shortened.
    pub fn new(width: Option<usize>) -> Self {
        Self {
            width,
            rows: Vec::new(),
        }
    }

    /// Adds what is on the photo called `name`: classes with their probabilities.
    pub fn add(&mut self, name: &str, classes: &[(&'static str, f32)]) {
        self.rows.push((escaped(name), classes.to_vec()));
    }

    /// The rows: a name and its classes side by side, or below it where a terminal has no room.
    pub fn text(&self) -> String {
        let names = self.rows.iter().map(|(name, _)| name.width());
        let longest = names.max().unwrap_or(0);
        let cells = self.rows.iter().map(|(_, classes)| classes.len()).max();
        let beside = cells.unwrap_or(0) * (CELL + 1);
        let name_width = match self.width {
            Some(width) if longest + beside > width => width.saturating_sub(beside),
            _ => longest,
        };
        let rows = self.rows.iter().map(|(name, classes)| {
            if name_width >= SHORTEST_NAME.min(longest) {
                let name = shortened(name, name_width);
                let space = " ".repeat(name_width - name.width());
                let cells = classes
                    .iter()
                    .map(|(class, p)| format!(" {class:>10} {:6.2}%", 100.0 * p));
                return format!("{name}{space}{}\n", cells.collect::<String>());
            }
            let name = shortened(name, self.width.unwrap_or(longest));
            // A class stays beside its probability: a space that is none to break at.
            let cells = classes
                .iter()
                .map(|(class, p)| format!("{class}\u{a0}{:.2}%", 100.0 * p));
            let cells = format!("{:INDENT$}{}", "", cells.collect::<Vec<_>>().join(" "));
            let below = wrapped(&cells, self.width, INDENT).replace('\u{a0}', " ");
            format!("{name}\n{below}\n")
        });
        rows.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOP: [(&str, f32); 5] = [
        ("automobile", 0.5),
        ("airplane", 0.25),
        ("truck", 0.125),
        ("ship", 0.0625),
        ("frog", 0.03125),
    ];

    fn text(width: Option<usize>, name: &str, top: usize) -> String {
        let mut rows = Rows::new(width);
        rows.add(name, &TOP[..top]);
        rows.text()
    }

    #[test]
    fn without_a_terminal_a_photo_has_one_line_with_everything() {
        let name = "photos/".repeat(30) + "a\u{1b}.png";
        let row = text(None, &name, 5);
        assert_eq!(row.lines().count(), 1);
        assert!(
            row.starts_with(&escaped(&name)) && row.contains("\\u{1b}"),
            "{row}"
        );
        assert!(row.ends_with("frog   3.12%\n"), "{row}");
    }

    #[test]
    fn a_narrow_terminal_has_short_names_or_classes_below_and_a_wide_one_neither() {
        let name = "holidays/2026/by-the-sea/in-the-evening/beach.png";
        for width in [24, 40, 80, 200] {
            for top in [1, 5] {
                let rows = text(Some(width), name, top);
                assert!(
                    rows.lines().all(|line| line.width() <= width),
                    "{width}:\n{rows}"
                );
                assert!(rows.contains("beach.png"), "{width}:\n{rows}");
                for (class, _) in &TOP[..top] {
                    assert!(rows.contains(class), "{width}:\n{rows}");
                }
            }
        }
        assert_eq!(
            text(Some(80), name, 5),
            format!(
                "{name}\n    automobile 50.00% airplane 25.00% truck 12.50% ship 6.25% frog 3.12%\n"
            )
        );
        assert_eq!(text(Some(60), name, 1).lines().count(), 1);
        assert!(text(Some(200), name, 5).starts_with(&format!("{name} automobile  50.00%")));
    }
}
