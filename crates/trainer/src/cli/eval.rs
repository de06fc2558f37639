//! `trainer eval`.

use std::process::ExitCode;

use burn::tensor::Bytes;
use clap::{Args, ValueEnum};
use model::{Network, NetworkKind};

use super::Outcome;
use super::options::Common;
use crate::run::{CLASSES, RunFolder};
use crate::training::checkpoint::{BEST, Store};
use crate::training::{datasets, weights};
use crate::{evaluation, recipe, run};

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
    /// last, best, or a burnpack file.
    #[arg(long, value_name = "last|best|FILE", default_value = "last")]
    weights: String,
    /// Averages the answers for each image and its mirror image.
    #[arg(long)]
    tta: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Split {
    /// The 10,000 test images.
    Test,
    /// The training images that the run held out.
    Valid,
}

impl Eval {
    /// Evaluates and prints the accuracy.
    pub fn run(&self, common: &Common) -> Outcome {
        let folder = RunFolder::open(run::resolve(&common.places.artifacts, &self.run)?)?;
        let config = folder.config().display().to_string();
        let recipe = recipe::load(&config, &[], &NetworkKind::NAMES)?;
        let weights = self.weights(&folder, recipe.validation)?;
        let device = common.device.choice()?.open()?;
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
        let kind = NetworkKind::from_name(&recipe.network)?;
        let network = Network::init(kind, CLASSES, recipe.seed, &device)?;
        let network = weights::from_bytes(network, Bytes::from_bytes_vec(weights))
            .map_err(|error| format!("the weights cannot be loaded: {error}"))?;
        let predictions = if self.tta {
            evaluation::predict_with_mirror(&network, loader, &device)?
        } else {
            evaluation::predict(&network, loader, &device)?
        };
        let accuracy = evaluation::accuracy(&predictions);
        let field = if self.tta { "accuracy_tta" } else { "accuracy" };
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
                "{}: {name} accuracy {:.2}% of {} images{}",
                folder.name(),
                100.0 * accuracy,
                predictions.len(),
                if self.tta { ", with mirror images" } else { "" }
            );
        }
        Ok(ExitCode::SUCCESS)
    }
    /// The weights that are asked for, as a burnpack.
    fn weights(
        &self,
        folder: &RunFolder,
        validation: usize,
    ) -> Result<Vec<u8>, Box<dyn std::error::Error>> {
        let path = match self.weights.as_str() {
            "best" if validation == 0 => {
                return Err("this run held no images out, so it has no best epoch".into());
            }
            "best" => {
                let found = Store::new(folder.checkpoints()).latest()?;
                let mut checkpoint = found
                    .checkpoint
                    .ok_or_else(|| format!("{} has no checkpoint yet", folder.path().display()))?;
                return Ok(checkpoint.take(BEST)?);
            }
            "last" => folder.model_burnpack(),
            file => file.into(),
        };
        if !path.is_file() {
            return Err(format!(
                "{} has no such weights: {} is absent",
                folder.path().display(),
                path.display(),
            )
            .into());
        }
        Ok(std::fs::read(&path)?)
    }
}
