//! Medians, ranges and ratios of what was measured.

use serde_json::{Map, Value};

use super::cases::Case;
use super::contenders::Contender;

/// What a contender gave on a case.
#[derive(Debug)]
pub struct Measured {
    /// Who.
    pub contender: Contender,
    /// One figure a round, in the unit of the case's metric.
    pub figures: Vec<f64>,
    /// Why it failed. One failure ends a contender's part in a case.
    pub failure: Option<String>,
    /// What its program said of itself, in the last round.
    pub reported: Map<String, Value>,
}

/// A case with everything that was measured of it so far.
#[derive(Debug)]
pub struct Row {
    /// The case.
    pub case: &'static Case,
    /// This project first, then the peers.
    pub measured: Vec<Measured>,
}

impl Measured {
    /// A contender before its first round.
    pub fn new(contender: Contender) -> Self {
        Self {
            contender,
            figures: Vec::new(),
            failure: None,
            reported: Map::new(),
        }
    }

    /// The median over the rounds; none before the first, or where it failed.
    pub fn median(&self) -> Option<f64> {
        match self.failure {
            Some(_) => None,
            None => median(&self.figures),
        }
    }
}

impl Row {
    /// What `contender` gave, where it takes part.
    pub fn of(&self, contender: Contender) -> Option<&Measured> {
        self.measured
            .iter()
            .find(|measured| measured.contender == contender)
    }

    /// The peer with the best median, where one has any.
    pub fn best_peer(&self) -> Option<&Measured> {
        let mut best: Option<(&Measured, f64)> = None;
        for measured in &self.measured {
            let Some(figure) = measured.median() else {
                continue;
            };
            let better = best.is_none_or(|(_, other)| self.case.metric.is_better(figure, other));
            if measured.contender != Contender::Ours && better {
                best = Some((measured, figure));
            }
        }
        best.map(|(measured, _)| measured)
    }

    /// This project's median over the best peer's.
    pub fn ratio(&self) -> Option<f64> {
        let ours = self.of(Contender::Ours)?.median()?;
        let best = self.best_peer()?.median()?;
        (best > 0.0).then(|| ours / best)
    }
}

/// The middle of the figures, or the mean of the two in the middle.
pub fn median(figures: &[f64]) -> Option<f64> {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    let upper = sorted.get(sorted.len() / 2)?;
    let lower = sorted.get(sorted.len().checked_sub(1)? / 2)?;
    Some((lower + upper) / 2.0)
}

/// The least and the greatest figure.
pub fn range(figures: &[f64]) -> Option<(f64, f64)> {
    let least = figures.iter().copied().min_by(f64::total_cmp)?;
    let greatest = figures.iter().copied().max_by(f64::total_cmp)?;
    Some((least, greatest))
}

#[cfg(test)]
pub mod tests {
    use super::super::contenders::Contender::*;
    use super::*;

    /// A row of a case with the figures of its contenders.
    pub fn row(case: &str, figures: &[(Contender, &[f64])]) -> Row {
        let case = Case::from_name(case).unwrap();
        let measured = figures
            .iter()
            .map(|(contender, figures)| Measured {
                figures: figures.to_vec(),
                ..Measured::new(*contender)
            })
            .collect();
        Row { case, measured }
    }

    #[test]
    fn the_median_is_the_middle_in_any_order() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[7.0]), Some(7.0));
        assert_eq!(median(&[9.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 100.0]), Some(3.0));
    }

    #[test]
    fn the_range_is_the_least_and_the_greatest() {
        assert_eq!(range(&[]), None);
        assert_eq!(range(&[3.0, 1.0, 2.0]), Some((1.0, 3.0)));
    }

    #[test]
    fn the_ratio_is_against_the_fastest_peer() {
        let row = row(
            "train-resnet20-128",
            &[
                (Ours, &[300.0]),
                (TorchNchw, &[200.0]),
                (TorchCompiled, &[400.0]),
            ],
        );
        assert_eq!(row.best_peer().unwrap().contender, TorchCompiled);
        assert_eq!(row.ratio(), Some(0.75));
    }

    #[test]
    fn for_memory_the_best_peer_is_the_smallest() {
        let row = row(
            "memory-resnet20-128",
            &[
                (Ours, &[300.0]),
                (TorchNchw, &[600.0]),
                (TorchCompiled, &[900.0]),
            ],
        );
        assert_eq!(row.best_peer().unwrap().contender, TorchNchw);
        assert_eq!(row.ratio(), Some(0.5));
    }

    #[test]
    fn a_failed_contender_counts_neither_as_best_nor_in_the_ratio() {
        let mut row = row(
            "train-resnet20-128",
            &[
                (Ours, &[300.0]),
                (TorchNchw, &[200.0]),
                (BurnFlex, &[900.0]),
            ],
        );
        row.measured[2].failure = Some("killed".to_owned());
        assert_eq!(row.best_peer().unwrap().contender, TorchNchw);
        row.measured[0].failure = Some("killed".to_owned());
        assert_eq!(row.ratio(), None);
    }

    #[test]
    fn without_peers_there_is_no_ratio() {
        let row = row("train-resnet20-128", &[(Ours, &[300.0])]);
        assert!(row.best_peer().is_none());
        assert_eq!(row.ratio(), None);
    }
}
