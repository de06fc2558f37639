//! The most confident mistakes as pictures.

use cifar10::{CLASS_NAMES, Images};
use maud::{Markup, html};

use super::ReportError;
use super::picture::{SIDE, data_uri, of_planes};
use crate::run::Prediction;

/// How many are shown.
const MOST: usize = 30;

/// The mistakes with the highest probabilities. Without images they are named only.
pub fn section(predictions: &[Prediction], images: Option<&Images>) -> Result<Markup, ReportError> {
    let mut mistakes: Vec<&Prediction> = predictions.iter().filter(|one| !one.is_right()).collect();
    let count = mistakes.len();
    mistakes.sort_by(|a, b| {
        b.confidence()
            .total_cmp(&a.confidence())
            .then(a.index.cmp(&b.index))
    });
    mistakes.truncate(MOST);
    let shown: Vec<(Markup, &Prediction)> = mistakes
        .into_iter()
        .map(|one| Ok((picture_of(one.index, images)?, one)))
        .collect::<Result<_, ReportError>>()?;
    let name = |class: usize| CLASS_NAMES.get(class).copied().unwrap_or("?");
    let percent = |class: usize, one: &Prediction| {
        let probability = one.probabilities.get(class).copied().unwrap_or_default();
        format!("{:.1}%", 100.0 * probability)
    };
    Ok(html! {
        h2 { "The most confident mistakes" }
        p.faint {
            (count) " of " (predictions.len()) " test images got a wrong answer. These are the "
            (shown.len()) " with the highest probabilities."
        }
        div.mistakes {
            @for (image, one) in &shown {
                figure {
                    (image)
                    figcaption {
                        b { (name(one.class())) } " " (percent(one.class(), one)) br;
                        "is " (name(one.label.into())) " " (percent(one.label.into(), one)) br;
                        "image " (one.index)
                    }
                }
            }
        }
    })
}

/// The picture of the test image `index`, where there are images.
///
/// # Errors
/// [`ReportError`] where there is no such image.
pub(crate) fn picture_of(index: usize, images: Option<&Images>) -> Result<Markup, ReportError> {
    let Some(images) = images else {
        return Ok(html! {});
    };
    let (planes, _) = images.get(index).ok_or(ReportError::NoSuchImage {
        index,
        images: images.len(),
    })?;
    let uri = data_uri(&of_planes(planes)?);
    Ok(html! {
        img src=(uri) width=(SIDE) height=(SIDE) alt={ "test image " (index) };
    })
}
