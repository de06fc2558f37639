//! `trainer eval`.
//!
//! | file | what it holds |
//! | --- | --- |
//! | here | accuracy and calibration |
//! | `robustness` | accuracy on corrupted images |

mod robustness;

use std::process::ExitCode;

use clap::builder::PossibleValue;
use clap::{Args, ValueEnum};

use super::Outcome;
use super::options::Common;
use crate::recipe::{Recipe, Tta};
use crate::run::{Prediction, RunFolder, RunResult, if_there};
use crate::statistics::{self, percent};
use crate::trained::{Trained, WeightChoice};
use crate::training::datasets;
use crate::{calibration, evaluation, run, screen};

/// Measure a run's network on the test set, the hold-out or corrupted test images.
#[derive(Debug, Args)]
#[command(args_override_self = true)]
#[command(
    after_help = "Examples:\n  trainer eval --run latest --weights best --split valid\n  \
    trainer eval --run latest --robustness"
)]
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
    /// Measures on the corruptions of CIFAR-10-C that can be computed from the test images: seventeen, in
    /// five severities.
    #[arg(long, conflicts_with = "split")]
    robustness: bool,
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
        let trained = Trained::open(&folder, &weights, &common.device.choice()?)?;
        let data = datasets::images(
            &trained.recipe,
            common.places.data_dir.as_deref(),
            common.verbosity.choice(),
        )?;
        if self.robustness {
            return self.corrupted(&folder, &trained, &data, common);
        }
        let Trained {
            recipe,
            network,
            device,
        } = &trained;
        let loaders = datasets::loaders(recipe, &data)?;
        let (name, loader) = match self.split {
            Split::Test => ("test", &loaders.test),
            Split::Valid if recipe.validation == 0 => {
                return Err("this run held no images out; evaluate it with --split test".into());
            }
            Split::Valid => ("valid", &loaders.valid),
        };
        let verbosity = common.verbosity.choice();
        let predictions =
            evaluation::predict(network, loader, device, self.tta, verbosity, &|| false)?;
        let accuracy = statistics::accuracy(&predictions).share;
        // The run's temperature is that of its own weights and of whole images.
        let own = weights == WeightChoice::Last && self.tta == Tta::None;
        let temperature = match if_there(&folder.result(), RunResult::read)? {
            Some(result) if own => result.temperature,
            _ => None,
        };
        let calibrated = Calibrated::of(&predictions, temperature);
        if common.json {
            let mut object = serde_json::json!({
                "run": folder.name(), "split": name, "weights": self.weights,
                "images": predictions.len(), self.field(): accuracy,
                "calibration_error": calibrated.error,
            });
            if let Some((temperature, error)) = calibrated.scaled {
                object["temperature"] = temperature.into();
                object["calibration_error_scaled"] = error.into();
            }
            println!("{object}");
        } else {
            println!(
                "{}: {name} accuracy {} of {} images{}",
                screen::escaped(&folder.name()),
                percent(accuracy),
                predictions.len(),
                self.views()
            );
            println!("{}", calibrated.describe(own, recipe));
        }
        Ok(ExitCode::SUCCESS)
    }

    /// The accuracy's name for other programs.
    fn field(&self) -> &'static str {
        match self.tta {
            Tta::None => "accuracy",
            Tta::Flip | Tta::FlipTranslate => "accuracy_tta",
        }
    }

    /// The views of an image in words.
    fn views(&self) -> &'static str {
        match self.tta {
            Tta::None => "",
            Tta::Flip => ", with mirror images",
            Tta::FlipTranslate => ", with mirror images and shifts",
        }
    }
}

/// How well probabilities agree with shares of right answers.
struct Calibrated {
    /// Expected calibration error.
    error: f64,
    /// The run's temperature, and the error with logits divided by it.
    scaled: Option<(f64, f64)>,
}

impl Calibrated {
    fn of(predictions: &[Prediction], temperature: Option<f64>) -> Self {
        let error = |predictions: &[Prediction]| statistics::calibration(predictions).error;
        let scaled = |temperature| error(&calibration::scaled(predictions, temperature));
        Self {
            error: error(predictions),
            scaled: temperature.map(|temperature| (temperature, scaled(temperature))),
        }
    }

    /// The errors in words. `own` says whether the run's temperature is that of what was evaluated.
    fn describe(&self, own: bool, recipe: &Recipe) -> String {
        let remark = match self.scaled {
            Some((temperature, error)) => {
                let error = percent(error);
                format!("{error} with temperature {temperature:.3} of the hold-out")
            }
            None if !own => {
                "the temperature of a run is that of its last weights on whole images".to_owned()
            }
            None if recipe.validation == 0 => {
                "no temperature, since the run held no images out".to_owned()
            }
            None => "the run has no temperature".to_owned(),
        };
        format!(
            "expected calibration error {}; {remark}",
            percent(self.error)
        )
    }
}
