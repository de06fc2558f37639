//! `trainer eval`.

use std::process::ExitCode;

use clap::builder::PossibleValue;
use clap::{Args, ValueEnum};

use super::Outcome;
use super::options::Common;
use crate::recipe::Tta;
use crate::run::RunFolder;
use crate::statistics::{self, percent};
use crate::trained::{Trained, WeightChoice};
use crate::training::datasets;
use crate::{evaluation, run};

/// Measure a run's network on the test set or the hold-out.
#[derive(Debug, Args)]
#[command(args_override_self = true)]
#[command(after_help = "Example: trainer eval --run latest --weights best --split valid")]
pub struct Eval {
    /// A run: a folder, a name in the artifacts folder, or latest.
    #[arg(long, value_name = "RUN", default_value = "latest")]
    run: String,
    /// Which images.
    #[arg(long, value_enum, default_value = "test")]
    split: Split,
    /// last, best, or a file: safetensors, burnpack or PyTorch's state_dict.
    #[arg(long, value_name = "last|best|FILE", default_value = "last")]
    weights: String,
    /// Averages the answers for views of each image: flip, its mirror image, or flip_translate, the
    /// same shifted by a pixel too.
    #[arg(long, value_enum, value_name = "VIEWS", num_args = 0..=1, require_equals = true,
        default_missing_value = "flip", default_value = "none")]
    tta: Tta,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Split {
    /// The 10,000 test images.
    Test,
    /// The training images that the run held out.
    Valid,
}

impl ValueEnum for Tta {
    fn value_variants<'a>() -> &'a [Self] {
        &Self::ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        let help = match self {
            Self::None => "The image alone",
            Self::Flip => "The image and its mirror image",
            Self::FlipTranslate => "Both, and both shifted by one pixel along a diagonal",
        };
        Some(PossibleValue::new(self.name()).help(help))
    }
}

impl Eval {
    /// Evaluates and prints the accuracy.
    pub fn run(&self, common: &Common) -> Outcome {
        let folder = RunFolder::open(run::resolve(&common.places.artifacts, &self.run)?)?;
        let weights = WeightChoice::from(self.weights.as_str());
        let Trained {
            recipe,
            network,
            device,
        } = Trained::open(&folder, &weights, common.device.choice()?)?;
        let data = datasets::images(
            &recipe,
            common.places.data_dir.as_deref(),
            common.verbosity.choice(),
        )?;
        let loaders = datasets::loaders(&recipe, &data)?;
        let (name, loader) = match self.split {
            Split::Test => ("test", &loaders.test),
            Split::Valid if recipe.validation == 0 => {
                return Err("this run held no images out; evaluate it with --split test".into());
            }
            Split::Valid => ("valid", &loaders.valid),
        };
        let (field, views) = match self.tta {
            Tta::None => ("accuracy", ""),
            Tta::Flip => ("accuracy_tta", ", with mirror images"),
            Tta::FlipTranslate => ("accuracy_tta", ", with mirror images and shifts"),
        };
        let verbosity = common.verbosity.choice();
        let predictions =
            evaluation::predict(&network, loader, &device, self.tta, verbosity, &|| false)?;
        let accuracy = statistics::accuracy(&predictions).share;
        if common.json {
            println!(
                "{}",
                serde_json::json!({
                    "run": folder.name(), "split": name, "weights": self.weights,
                    "images": predictions.len(), field: accuracy,
                })
            );
        } else {
            println!(
                "{}: {name} accuracy {} of {} images{}",
                folder.name(),
                percent(accuracy),
                predictions.len(),
                views
            );
        }
        Ok(ExitCode::SUCCESS)
    }
}
