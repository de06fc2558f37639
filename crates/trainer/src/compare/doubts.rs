//! Labels in doubt: test images on which runs agree with confidence against the label. Some of them are
//! labelled wrongly (Northcutt, Athalye and Mueller, 2021, arXiv:2103.14749), some only look like another
//! class.

use cifar10::{CLASS_NAMES, Images};
use maud::{Markup, html};

use super::{Compared, paired_images};
use crate::calibration;
use crate::report::ReportError;
use crate::report::mistakes::picture_of;
use crate::run::Prediction;

/// The confidence of each run from which an agreement counts, where the caller names no other.
pub const CONFIDENCE: f64 = 0.9;
/// The most pictures on a page.
const MOST: usize = 120;

/// A test image whose label is in doubt.
#[derive(Debug, Clone, PartialEq)]
pub struct Doubt {
    /// The image's index in the test set.
    pub index: usize,
    /// Its label, from 0 to 9.
    pub label: u8,
    /// The class that every run gives.
    pub answer: usize,
    /// The mean of the runs' probabilities of the answer.
    pub confidence: f64,
    /// The least of them, that of the run which is least sure.
    pub least: f64,
    /// The mean of the runs' probabilities of the label.
    pub of_label: f64,
}

/// What runs say together of the labels.
#[derive(Debug, Clone, PartialEq)]
pub enum Doubts {
    /// The labels in doubt.
    Found {
        /// The most confident answers first.
        doubts: Vec<Doubt>,
        /// [`Doubt::least`] of the surest agreement against a label that is not sure enough, where there is one.
        surest_other: Option<f64>,
    },
    /// The runs do not say it together.
    NotComparable(String),
}

impl Doubts {
    /// The labels in doubt; none where the runs cannot be compared.
    #[must_use]
    pub fn list(&self) -> &[Doubt] {
        match self {
            Self::Found { doubts, .. } => doubts,
            Self::NotComparable(_) => &[],
        }
    }

    /// What was found in words.
    #[must_use]
    pub fn describe(&self, runs: usize, confidence: f64) -> String {
        match self {
            Self::NotComparable(why) => format!("labels in doubt: not known, since {why}"),
            Self::Found { doubts, .. } => format!(
                "labels in doubt: {}, on which {}{}",
                doubts.len(),
                agreement(runs, confidence),
                self.lower_bar()
            ),
        }
    }

    /// As [`describe`](Self::describe), in a sentence below a heading that says of what.
    fn below_heading(&self, runs: usize, confidence: f64) -> String {
        let agreement = agreement(runs, confidence);
        match self {
            Self::NotComparable(why) => format!("Not known, since {why}."),
            Self::Found { doubts, .. } => match doubts.len() {
                0 => format!(
                    "None: there is no image on which {agreement}{}.",
                    self.lower_bar()
                ),
                1 => format!("1 image, on which {agreement}."),
                count => format!("{count} images, on which {agreement}."),
            },
        }
    }

    /// Where nothing was found: how sure the surest agreement is, and the option that lists it.
    fn lower_bar(&self) -> String {
        match self {
            Self::Found {
                doubts,
                surest_other: Some(least),
            } if doubts.is_empty() => {
                let bar = (100.0 * least).floor() / 100.0;
                format!("; the surest agreement has {least:.3}, and `--confidence {bar}` lists it")
            }
            _ => String::new(),
        }
    }
}

/// What puts a label in doubt.
fn agreement(runs: usize, confidence: f64) -> String {
    format!(
        "all {runs} runs agree against the label with a probability of {confidence} or more each"
    )
}

/// Two of `runs` that give the same answers to the last digit, as one run that is named twice does, or two
/// with one seed. They agree for no reason that has to do with the labels.
fn twins(runs: &[Compared]) -> Option<(&str, &str)> {
    runs.iter().enumerate().find_map(|(place, run)| {
        let mut earlier = runs.iter().take(place);
        let twin = earlier.find(|one| one.contents.predictions == run.contents.predictions)?;
        Some((twin.name.as_str(), run.name.as_str()))
    })
}

/// The test images on which all of `runs` give one class that is not the label, each with a probability of
/// `confidence` at least. Probabilities are those with a run's temperature, where it has one.
#[must_use]
pub fn doubts(runs: &[Compared], confidence: f64) -> Doubts {
    let Some((first, others)) = runs.split_first().filter(|(_, others)| !others.is_empty()) else {
        return Doubts::NotComparable("it takes two runs at least".to_owned());
    };
    for other in others {
        if let Err(why) = paired_images(first, other) {
            return Doubts::NotComparable(why);
        }
    }
    match twins(runs) {
        Some((one, other)) if one == other => {
            return Doubts::NotComparable(format!(
                "{one} is named twice, and is one witness; name other runs"
            ));
        }
        Some((one, other)) => {
            return Doubts::NotComparable(format!(
                "{one} and {other} give the same answers, and are one witness; name one of them"
            ));
        }
        None => {}
    }
    let answers: Vec<Vec<Prediction>> = runs
        .iter()
        .map(|run| {
            let predictions = run.contents.predictions.as_deref().unwrap_or_default();
            match run.contents.temperature() {
                Some(temperature) => calibration::scaled(predictions, temperature),
                None => predictions.to_vec(),
            }
        })
        .collect();
    let (doubts, others): (Vec<Doubt>, Vec<Doubt>) =
        (agreed(&answers).into_iter()).partition(|doubt| doubt.least >= confidence);
    Doubts::Found {
        doubts,
        surest_other: others.iter().map(|doubt| doubt.least).reduce(f64::max),
    }
}

/// The images on which all agree against the label, however sure, of answers that stand in the order of the
/// images; the most confident answers first.
fn agreed(answers: &[Vec<Prediction>]) -> Vec<Doubt> {
    let images = answers.iter().map(Vec::len).min().unwrap_or(0);
    let mut found: Vec<Doubt> = (0..images)
        .filter_map(|place| {
            let of_image: Vec<&Prediction> =
                answers.iter().filter_map(|run| run.get(place)).collect();
            let first = of_image.first()?;
            let (answer, label) = (first.class(), usize::from(first.label));
            let agree = of_image.iter().all(|one| one.class() == answer);
            let sureness = of_image.iter().map(|one| f64::from(one.confidence()));
            let mean = |class: usize| {
                let of_class = of_image
                    .iter()
                    .filter_map(|one| one.probabilities.get(class));
                of_class.copied().map(f64::from).sum::<f64>() / of_image.len() as f64
            };
            (agree && answer != label).then(|| Doubt {
                index: first.index,
                label: first.label,
                answer,
                confidence: mean(answer),
                least: sureness.fold(1.0, f64::min),
                of_label: mean(label),
            })
        })
        .collect();
    found.sort_by(|a, b| {
        b.confidence
            .total_cmp(&a.confidence)
            .then(a.index.cmp(&b.index))
    });
    found
}

/// The labels in doubt as a section of a page, with the pictures of `images`, the test set. Without images
/// they are named only.
///
/// # Errors
/// [`ReportError`] where the images are not those of the runs.
pub fn section(
    doubts: &Doubts,
    runs: usize,
    confidence: f64,
    images: Option<&Images>,
) -> Result<Markup, ReportError> {
    let shown: Vec<(Markup, &Doubt)> = doubts
        .list()
        .iter()
        .take(MOST)
        .map(|doubt| Ok((picture_of(doubt.index, images)?, doubt)))
        .collect::<Result<_, ReportError>>()?;
    let left = doubts.list().len() - shown.len();
    let name = |class: usize| CLASS_NAMES.get(class).copied().unwrap_or("?");
    let percent = |share: f64| format!("{:.1}%", 100.0 * share);
    Ok(html! {
        h2 { "Labels in doubt" }
        p.faint {
            (doubts.below_heading(runs, confidence))
            @if left > 0 { " The " (shown.len()) " most confident are shown." }
        }
        div.mistakes {
            @for (picture, doubt) in &shown {
                figure {
                    (picture)
                    figcaption {
                        b { (name(doubt.answer)) } " " (percent(doubt.confidence)) br;
                        "labelled " (name(doubt.label.into())) " " (percent(doubt.of_label)) br;
                        "image " (doubt.index)
                    }
                }
            }
        }
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::run::CLASSES;

    fn answer(index: usize, label: u8, class: usize, confidence: f32) -> Prediction {
        let mut probabilities = [(1.0 - confidence) / (CLASSES - 1) as f32; CLASSES];
        probabilities[class] = confidence;
        Prediction {
            index,
            label,
            probabilities,
        }
    }

    #[test]
    fn a_label_is_in_doubt_where_every_run_is_sure_of_one_other_class() {
        let first = vec![
            answer(0, 1, 2, 0.95),
            answer(1, 1, 2, 0.99),
            answer(2, 1, 1, 0.99),
            answer(3, 1, 2, 0.99),
            answer(4, 1, 2, 0.97),
        ];
        let second = vec![
            // Agrees, agrees but is not sure, has the label, has another class, agrees.
            answer(0, 1, 2, 0.92),
            answer(1, 1, 2, 0.80),
            answer(2, 1, 1, 0.99),
            answer(3, 1, 3, 0.99),
            answer(4, 1, 2, 0.99),
        ];
        let found = agreed(&[first, second]);
        let sure = |bar: f64| {
            let sure = found.iter().filter(move |doubt| doubt.least >= bar);
            sure.map(|doubt| doubt.index).collect::<Vec<_>>()
        };
        assert_eq!(sure(0.9), [4, 0]);
        assert_eq!((found[0].answer, found[0].label), (2, 1));
        let last = found.iter().find(|doubt| doubt.index == 0).unwrap();
        assert!((last.confidence - 0.935).abs() < 1e-6);
        assert!((last.of_label - 0.065 / 9.0).abs() < 1e-6);
        assert_eq!(sure(0.7).len(), 3);
        assert!(sure(0.98).is_empty());
    }

    #[test]
    fn where_no_agreement_is_sure_enough_the_option_that_lists_one_is_named() {
        let found = |doubts| Doubts::Found {
            doubts,
            surest_other: Some(0.7372),
        };
        let said = found(Vec::new()).describe(3, 0.9);
        assert!(
            said.contains("has 0.737, and `--confidence 0.73` lists it"),
            "{said}"
        );
        let doubt = Doubt {
            index: 0,
            label: 1,
            answer: 2,
            confidence: 0.95,
            least: 0.94,
            of_label: 0.01,
        };
        assert!(!found(vec![doubt]).describe(3, 0.9).contains("--confidence"));
    }
}
