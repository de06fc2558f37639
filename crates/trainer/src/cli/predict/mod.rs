//! `trainer predict`.

mod rows;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use cifar10::{CLASS_NAMES, Normalization};
use clap::Args;
use model::FoldedNetwork;
use serde_json::{Value, json};

use self::rows::Rows;
use super::Outcome;
use super::options::Common;
use crate::evaluation::{self, ranked};
use crate::photo::sources::{self, Source};
use crate::progress;
use crate::run::{self, CLASSES, RunFolder};
use crate::screen;
use crate::trained::{Trained, WeightChoice};
use crate::training::TrainError;

/// Photos that go through the network together.
const BATCH: usize = 64;

/// Say what is on photos: PNG, JPEG or WebP of any size, upright by their EXIF.
///
/// The network sees the middle square, 32 by 32 pixels. A file that is no photo is named and passed
/// over, and the exit code is then 1.
#[derive(Debug, Args)]
#[command(args_override_self = true)]
#[command(
    after_help = "Examples:\n  trainer predict --run latest cat.jpg holidays/\n  \
    curl -s https://example.org/cat.jpg | trainer predict --run latest --top 1 -"
)]
pub struct Predict {
    /// A run: a folder, a name in the artifacts folder, or latest.
    #[arg(long, value_name = "RUN", default_value = "latest")]
    run: String,
    /// last, best, or a file: safetensors, burnpack or PyTorch's state_dict.
    #[arg(long, value_name = "last|best|FILE", default_value = "last")]
    weights: String,
    /// How many classes to show, the most probable first.
    #[arg(long, value_name = "N", default_value = "5", value_parser = clap::value_parser!(u8).range(1..=CLASSES as i64))]
    top: u8,
    /// Files, folders, or - for standard input.
    #[arg(required = true, value_name = "PHOTO")]
    photos: Vec<PathBuf>,
}

/// What was said of the photos.
#[derive(Default)]
struct Answers {
    photos: Vec<Value>,
    refused: Vec<Value>,
}

/// How many of how many files are no photos.
fn refusal(refused: usize, total: usize) -> String {
    let (are, photos) = match refused {
        1 => ("is", "photo"),
        _ => ("are", "photos"),
    };
    let files = if total == 1 { "file" } else { "files" };
    format!("{refused} of {total} {files} {are} no {photos} that can be read")
}

impl Predict {
    /// Prints a row a photo, and names what is no photo.
    pub fn run(&self, common: &Common) -> Outcome {
        let folder = RunFolder::open(run::resolve(&common.places.artifacts, &self.run)?)?;
        let weights = WeightChoice::from(self.weights.as_str());
        let trained = Trained::open(&folder, &weights, &common.device.choice()?)?;
        let (network, normalization) = (trained.network.folded(), trained.normalization());
        let sources = sources::find(&self.photos);
        let total = sources.len();
        let bar = progress::bar(common.verbosity.choice(), total as u64, "photos");
        let mut answers = Answers::default();
        let mut sources = sources.into_iter().peekable();
        while sources.peek().is_some() {
            let batch = sources.by_ref().take(BATCH);
            let rows = self.batch(
                batch,
                &network,
                &normalization,
                &trained,
                &mut answers,
                &bar,
            )?;
            if !common.json {
                bar.suspend(|| print!("{rows}"));
            }
        }
        bar.finish_and_clear();
        if common.json {
            let answers = json!({
                "run": folder.name(), "photos": answers.photos, "refused": answers.refused,
            });
            println!("{answers}");
        }
        match answers.refused.len() {
            0 => Ok(ExitCode::SUCCESS),
            refused => Err(refusal(refused, total).into()),
        }
    }

    /// The rows of a batch of files.
    fn batch(
        &self,
        sources: impl Iterator<Item = Source>,
        network: &FoldedNetwork,
        normalization: &Normalization,
        trained: &Trained,
        answers: &mut Answers,
        bar: &indicatif::ProgressBar,
    ) -> Result<String, TrainError> {
        let (mut names, mut images) = (Vec::new(), Vec::new());
        for source in sources {
            let name = source.name.clone();
            match source.read() {
                Ok(photo) => {
                    photo.append_to(&mut images, normalization);
                    names.push(name);
                }
                Err(error) => {
                    // A closed standard error is no reason to leave the other photos out.
                    bar.suspend(|| {
                        let line = screen::escaped(&format!("{name}: {error}"));
                        let _ = writeln!(std::io::stderr(), "{line}");
                    });
                    answers
                        .refused
                        .push(json!({ "photo": name, "reason": error.to_string() }));
                }
            }
            bar.inc(1);
        }
        let probabilities = evaluation::classify(network, images, &trained.device)?;
        let mut rows = Rows::new(screen::width());
        for (name, probabilities) in names.into_iter().zip(&probabilities) {
            let top = ranked(probabilities).into_iter().take(self.top.into());
            let top = top.map(|(class, p)| (CLASS_NAMES.get(class).copied().unwrap_or("?"), p));
            let top: Vec<_> = top.collect();
            rows.add(&name, &top);
            let classes = top
                .iter()
                .map(|(class, p)| json!({ "class": class, "probability": p }));
            let classes: Vec<_> = classes.collect();
            answers
                .photos
                .push(json!({ "photo": name, "classes": classes }));
        }
        Ok(rows.text())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_counts_one_file_as_one() {
        assert_eq!(refusal(1, 1), "1 of 1 file is no photo that can be read");
        assert_eq!(refusal(1, 9), "1 of 9 files is no photo that can be read");
        assert_eq!(refusal(9, 9), "9 of 9 files are no photos that can be read");
    }
}
