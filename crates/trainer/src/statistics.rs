//! What can be said of figures from samples: intervals, tests, calibration.

use crate::run::Prediction;

/// A fraction as people read it: `89.82%`.
#[must_use]
pub fn percent(fraction: f64) -> String {
    format!("{:.2}%", 100.0 * fraction)
}

/// As [`percent`]; a dash where there is none.
#[must_use]
pub fn percent_or_dash(fraction: Option<f64>) -> String {
    fraction.map_or_else(|| "-".to_owned(), percent)
}

/// The 97.5% quantile of the standard normal distribution, for intervals of 95%.
const Z: f64 = 1.959_963_984_540_054;

/// Bins of [`calibration`], as in Guo et al., "On Calibration of Modern Neural Networks" (2017).
pub const BINS: usize = 15;

/// Wilson's score interval of 95% for a share of which `hits` of `count` were seen, from 0 to 1
/// (E. B. Wilson, 1927). Without a sample everything is possible.
#[must_use]
pub fn wilson(hits: u64, count: u64) -> (f64, f64) {
    if count == 0 {
        return (0.0, 1.0);
    }
    let n = count as f64;
    let share = hits as f64 / n;
    let z2 = Z * Z;
    let centre = (share + z2 / (2.0 * n)) / (1.0 + z2 / n);
    let half = Z / (1.0 + z2 / n) * (share * (1.0 - share) / n + z2 / (4.0 * n * n)).sqrt();
    ((centre - half).max(0.0), (centre + half).min(1.0))
}

/// A share of a sample, from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Share {
    /// The share that was seen.
    pub share: f64,
    /// [`wilson`]'s interval.
    pub interval: (f64, f64),
}

impl Share {
    /// `hits` of `count`.
    #[must_use]
    pub fn of(hits: usize, count: usize) -> Self {
        Self {
            share: hits as f64 / count.max(1) as f64,
            interval: wilson(hits as u64, count as u64),
        }
    }
}

/// The share of right answers.
#[must_use]
pub fn accuracy(predictions: &[Prediction]) -> Share {
    let hits = predictions.iter().filter(|one| one.is_right()).count();
    Share::of(hits, predictions.len())
}

/// The p-value of McNemar's exact test, two-sided: how likely chance alone splits the images that
/// only one of two networks gets right at least as unevenly as `only_first` to `only_second`.
///
/// Twice the tail of the binomial distribution with a probability of one half (Q. McNemar, 1947).
#[must_use]
pub fn mcnemar(only_first: u64, only_second: u64) -> f64 {
    let n = only_first + only_second;
    // Terms are kept as logarithms, since 2^-n is no number of 64 bits for large n.
    let mut ln_term = -(n as f64) * std::f64::consts::LN_2;
    let mut tail = 0.0;
    for i in 0..=only_first.min(only_second) {
        tail += ln_term.exp();
        ln_term += ((n - i) as f64).ln() - ((i + 1) as f64).ln();
    }
    (2.0 * tail).min(1.0)
}

/// Mean and sample standard deviation (with n - 1) of `values`. A single value has no deviation.
#[must_use]
pub fn mean_and_deviation(values: &[f64]) -> Option<(f64, Option<f64>)> {
    if values.is_empty() {
        return None;
    }
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    Some((
        mean,
        (values.len() > 1).then(|| (squares / (n - 1.0)).sqrt()),
    ))
}

/// The images whose highest probability lies in one of [`BINS`] equal ranges.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Bin {
    /// Images.
    pub count: u64,
    /// Images of which the class was found.
    pub hits: u64,
    /// Mean of the highest probabilities.
    pub confidence: f64,
}

/// How well probabilities agree with shares of right answers.
#[derive(Debug, Clone, PartialEq)]
pub struct Calibration {
    /// The ranges, from the lowest.
    pub bins: [Bin; BINS],
    /// Expected calibration error: the mean distance of confidence and accuracy over the images.
    pub error: f64,
}

/// Sorts `predictions` by their highest probability.
#[must_use]
pub fn calibration(predictions: &[Prediction]) -> Calibration {
    let mut bins = [Bin::default(); BINS];
    for prediction in predictions {
        let confidence = f64::from(prediction.confidence());
        // A probability of 1 belongs to the last range; one that is no number to the first.
        let place = ((confidence * BINS as f64) as usize).min(BINS - 1);
        if let Some(bin) = bins.get_mut(place) {
            bin.count += 1;
            bin.hits += u64::from(prediction.is_right());
            bin.confidence += confidence;
        }
    }
    let mut error = 0.0;
    for bin in bins.iter_mut().filter(|bin| bin.count > 0) {
        bin.confidence /= bin.count as f64;
        let accuracy = bin.hits as f64 / bin.count as f64;
        error += (accuracy - bin.confidence).abs() * bin.count as f64 / predictions.len() as f64;
    }
    Calibration { bins, error }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::CLASSES;

    fn near(a: f64, b: f64) -> bool {
        (a - b).abs() < 1e-6
    }

    /// Values of `statsmodels.stats.proportion.proportion_confint(method="wilson")`.
    #[test]
    fn wilsons_interval_agrees_with_statsmodels() {
        for (hits, count, low, high) in [
            (81, 263, 0.255_289, 0.366_171),
            (0, 10, 0.0, 0.277_533),
            (10, 10, 0.722_467, 1.0),
        ] {
            let (l, h) = wilson(hits, count);
            assert!((l - low).abs() < 5e-4 && (h - high).abs() < 5e-4, "{l} {h}");
        }
        assert_eq!(wilson(0, 0), (0.0, 1.0));
    }

    #[test]
    fn mcnemars_test_gives_the_binomial_tail() {
        // 2 (1 + 10 + 45) / 1024, and no difference at all.
        assert!(near(mcnemar(2, 8), 0.109_375));
        assert!(near(mcnemar(8, 2), 0.109_375));
        assert!(near(mcnemar(5, 5), 1.0));
        assert!(near(mcnemar(0, 0), 1.0));
        // 2^-1999 and its neighbours are no numbers of 64 bits.
        let large = mcnemar(900, 1100);
        assert!(large > 5e-6 && large < 1e-5, "{large}");
    }

    #[test]
    fn the_deviation_is_the_one_with_n_minus_1() {
        let (mean, deviation) = mean_and_deviation(&[1.0, 2.0, 3.0, 4.0]).unwrap_or_default();
        assert!(near(mean, 2.5));
        assert!(near(deviation.unwrap_or_default(), 1.290_994_4));
        assert_eq!(mean_and_deviation(&[3.0]), Some((3.0, None)));
        assert_eq!(mean_and_deviation(&[]), None);
    }

    #[test]
    fn the_calibration_error_weighs_each_range_by_its_images() {
        let prediction = |label, confidence: f32| {
            let mut probabilities = [(1.0 - confidence) / 9.0; CLASSES];
            probabilities[0] = confidence;
            Prediction {
                index: 0,
                label,
                probabilities,
            }
        };
        // Three of four right at 0.75, which is no error; none of one right at 1, which is all of it.
        let predictions = [(0, 0.75), (0, 0.75), (0, 0.75), (1, 0.75), (1, 1.0)]
            .map(|(label, confidence)| prediction(label, confidence));
        let found = calibration(&predictions);
        assert!(near(found.error, 0.2), "{}", found.error);
        assert_eq!(found.bins[14].count, 1);
        assert_eq!(found.bins[11].hits, 3);
    }
}
