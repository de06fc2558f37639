//! What was measured beside what was published.

use super::rows::{Aim, Reference, Row};

/// The runs of a row, in percent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Measured {
    /// Their mean.
    pub mean: f64,
    /// Their standard deviation, with n - 1; nothing with one run.
    pub deviation: Option<f64>,
    /// How many there are.
    pub n: u32,
}

/// What became of a row.
#[derive(Debug, PartialEq)]
pub struct Verdict {
    /// Lines for people.
    pub lines: Vec<String>,
    /// Whether the row is what it should be; nothing where a single run leaves it open.
    pub reached: Option<bool>,
}

impl Verdict {
    /// Compares what was `measured` of `row` with its reference and its aim.
    pub fn of(row: &Row, measured: Measured) -> Self {
        let Measured { mean, deviation, n } = measured;
        let spread = deviation.map_or_else(
            || "no deviation".to_owned(),
            |deviation| format!("deviation {deviation:.2}"),
        );
        let mut lines = vec![format!(
            "{}: {} {mean:.2}%, {spread}, n = {n}",
            row.name,
            row.figure.name()
        )];
        let agrees = row.reference.map(|reference| {
            let (line, agrees) = beside(&reference, measured);
            lines.push(line);
            agrees
        });
        let reached = match (row.aim, row.reference) {
            (Aim::AtLeast(least), _) => Some(mean >= least),
            (Aim::Below(points), Some(reference)) => Some(mean >= reference.mean - points),
            (Aim::Reference, Some(_)) => agrees.flatten(),
            (Aim::Below(_) | Aim::Reference, None) => None,
        };
        lines.push(format!(
            "aim, {}: {}",
            row.aim.describe(),
            match reached {
                Some(true) => "reached",
                Some(false) => "not reached",
                None => "open, since one run has no deviation",
            }
        ));
        Self { lines, reached }
    }
}

/// The distance from a reference in words, and whether it is within two standard errors of the difference
/// of the two means. A reference of unknown spread counts as exact.
fn beside(reference: &Reference, measured: Measured) -> (String, Option<bool>) {
    let difference = measured.mean - reference.mean;
    let of_mean = |deviation: f64, n: u32| deviation * deviation / f64::from(n.max(1));
    let published = format!("published {:.2}% ({})", reference.mean, reference.source);
    let published = match reference.spread {
        Some((deviation, n)) => format!("{published}, deviation {deviation:.2}, n = {n}"),
        None => published,
    };
    let Some(deviation) = measured.deviation else {
        let text = format!("{published}: a difference of {difference:+.2} points, from one run");
        return (text, None);
    };
    let variance = of_mean(deviation, measured.n)
        + reference
            .spread
            .map_or(0.0, |(deviation, n)| of_mean(deviation, n));
    let two_errors = 2.0 * variance.sqrt();
    let agrees = difference.abs() <= two_errors;
    let text = format!(
        "{published}: a difference of {difference:+.2} points, {} two standard errors ({two_errors:.2})",
        if agrees { "within" } else { "more than" }
    );
    (text, Some(agrees))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn of(name: &str, mean: f64, deviation: Option<f64>, n: u32) -> Verdict {
        let measured = Measured { mean, deviation, n };
        Verdict::of(Row::named(name).unwrap(), measured)
    }

    /// The tutorial: two standard errors are 2 sqrt(0.93^2 / 10 + 1.44^2 / 10) = 1.08.
    #[test]
    fn two_means_agree_within_two_standard_errors_of_their_difference() {
        let close = of("tutorial", 54.83, Some(0.93), 10);
        assert_eq!(close.reached, Some(true));
        assert!(close.lines[1].contains("-0.05 points, within two standard errors (1.08)"));
        for mean in [53.79, 55.97] {
            let far = of("tutorial", mean, Some(0.93), 10);
            assert_eq!(far.reached, Some(false), "{:?}", far.lines);
            assert!(far.lines[1].contains("more than"));
        }
        assert_eq!(of("tutorial", 54.9, None, 1).reached, None);
    }

    #[test]
    fn aims_that_are_a_figure_need_no_deviation() {
        assert_eq!(of("resnet20", 91.7, None, 1).reached, Some(true));
        assert_eq!(of("resnet20", 91.69, None, 1).reached, Some(false));
        assert_eq!(of("speedrun-95", 94.76, None, 1).reached, Some(true));
        assert_eq!(of("speedrun-95", 94.74, None, 1).reached, Some(false));
        assert_eq!(of("resnet20-quick", 91.2, Some(0.1), 3).reached, Some(true));
        let lines = of("resnet20", 91.7, None, 1).lines;
        assert!(lines[1].contains("+0.45 points, from one run"), "{lines:?}");
    }
}
