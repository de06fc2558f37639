//! `trainer train`.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use clap::Args;
use model::NetworkKind;

use super::Outcome;
use super::options::{Common, DeviceOptions};
use super::signals;
use crate::recipe::{self, Override, Recipe};
use crate::run::{self, Environment, RunState};
use crate::screen;
use crate::shell;
use crate::statistics::percent;
use crate::training::{self, Stop, TrainOptions};

/// Train a recipe; what `trainer` alone does with the default one.
///
/// Ctrl-C finishes the step, saves, and exits 130; a second one, or one before the first step, ends
/// at once.
#[derive(Debug, Args)]
#[command(args_override_self = true, allow_negative_numbers = true)]
#[command(
    after_help = "Examples:\n  trainer train --config tutorial --set optimizer.lr=0.002\n  \
    trainer train --resume latest"
)]
pub struct Train {
    /// A built-in recipe (see `trainer recipes`), or a recipe file.
    #[arg(long, value_name = "NAME|FILE", default_value = "default")]
    config: String,
    /// Goes on with an interrupted run: a folder, a name in the artifacts folder, or latest.
    #[arg(long, value_name = "RUN", conflicts_with_all = ["config", "name", "init_from"])]
    resume: Option<String>,
    /// Begins with the weights of a safetensors file, a burnpack, or PyTorch's `state_dict`, by name
    /// and where the shapes agree; the others are drawn from the seed.
    #[arg(long, value_name = "FILE")]
    init_from: Option<PathBuf>,
    /// Sets a key of the recipe, such as optimizer.lr=0.1. May be repeated.
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// simple_cnn, resnet20, resnet18, resnet9, wrn16_4, airbench_narrow, airbench94, airbench95 or
    /// airbench96.
    #[arg(long, value_name = "NAME")]
    network: Option<String>,
    /// Passes over the training images; may have a fraction.
    #[arg(long, value_name = "N")]
    epochs: Option<String>,
    /// Images in a step.
    #[arg(long, value_name = "N")]
    batch_size: Option<String>,
    /// The peak learning rate.
    #[arg(long, value_name = "RATE")]
    lr: Option<String>,
    /// The seed of weights, order and augmentation.
    #[arg(long, value_name = "N")]
    seed: Option<String>,
    /// cifar10 or synthetic.
    #[arg(long, value_name = "NAME")]
    dataset: Option<String>,
    /// The run's name in place of the recipe's, which is kept as based_on.
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
}

impl Train {
    /// Trains, and prints where the run is and what comes next.
    pub fn run(&self, common: &Common) -> Outcome {
        if self.resume.is_some() {
            start_again_with_cpu_records()?;
        }
        let recipe = self.recipe(&common.places.artifacts)?;
        let (device, going_on) = self.device(common)?;
        let typed = device.typed();
        let mut devices = device.choices()?.into_iter();
        let device = devices.next().ok_or("no device was named")?;
        let options = TrainOptions {
            device,
            others: devices.collect(),
            trust_device: common.device.trust_device,
            data_dir: common.places.data_dir.clone(),
            artifacts: common.places.artifacts.clone(),
            resume: self.resume.clone(),
            init_from: self.init_from.clone(),
            verbosity: common.verbosity.choice(),
            remarks: self
                .of_another_network(&recipe)
                .into_iter()
                .chain(going_on)
                .collect(),
        };
        let (folder, result) = training::train(&recipe, &options, &*stop()?)?;
        let (path, word) = (screen::path(folder.path()), shell::path(folder.path()));
        let interrupted = result.state == RunState::Interrupted;
        let text = if common.json {
            serde_json::to_string(&result)?
        } else if interrupted {
            format!(
                "interrupted and saved after step {}. Go on with:\n  trainer train --resume {word}",
                result.steps
            )
        } else {
            format!(
                "test accuracy {}{}, trained with {:.0} images a second, in {path}\nnext: trainer eval --run {word}{typed}",
                percent(result.test_accuracy.unwrap_or_default()),
                result
                    .test_accuracy_tta
                    .map_or_else(String::new, |accuracy| format!(
                        ", {} with test-time augmentation",
                        percent(accuracy)
                    )),
                result.images_per_second,
            )
        };
        // Everything is in the run's folder, so that a closed standard output loses nothing.
        let _ = writeln!(std::io::stdout(), "{text}");
        Ok(if interrupted {
            ExitCode::from(130)
        } else {
            ExitCode::SUCCESS
        })
    }

    /// Where to compute: a run that goes on does so as it began, unless the options say otherwise, for
    /// another backend or precision rounds otherwise.
    fn device(
        &self,
        common: &Common,
    ) -> Result<(DeviceOptions, Option<String>), Box<dyn std::error::Error>> {
        let Some(name) = &self.resume else {
            return Ok((common.device.clone(), None));
        };
        let folder = run::RunFolder::open(run::resolve(&common.places.artifacts, name)?)?;
        // A run without this record never began, which is said where it would go on.
        Ok(match Environment::read(&folder.environment()) {
            Ok(began) => common.device.going_on(&began),
            Err(_) => (common.device.clone(), None),
        })
    }

    /// What to say of a recipe that is made for another network than the one that it is to train: with
    /// rates that suit one network another may diverge.
    fn of_another_network(&self, recipe: &Recipe) -> Option<String> {
        if self.resume.is_some() {
            return None;
        }
        let own = recipe::load(&self.config, &[], &NetworkKind::NAMES).ok()?;
        let (own, network) = (own.network, &recipe.network);
        (own != *network).then(|| {
            let made = recipe::made_for(network);
            let instead = match made.as_slice() {
                [] => "there is none for it; `--config resnet18` has rates that suit most".to_owned(),
                made => format!("for {network} there is --config {}", made.join(" and --config ")),
            };
            format!(
                "the recipe {} is made for {own}: its rates may be too high for {network}; {instead}",
                self.config
            )
        })
    }

    /// The recipe with the command line's changes. A resumed run goes on with the one it began
    /// with, which is stored beside it.
    fn recipe(&self, artifacts: &Path) -> Result<Recipe, Box<dyn std::error::Error>> {
        let mut overrides = Vec::new();
        for text in &self.set {
            overrides.push(Override::parse_set(text)?);
        }
        for (option, key, value) in [
            ("--network", "network", &self.network),
            ("--epochs", "epochs", &self.epochs),
            ("--batch-size", "batch_size", &self.batch_size),
            ("--lr", "optimizer.lr", &self.lr),
            ("--seed", "seed", &self.seed),
            ("--dataset", "data.dataset", &self.dataset),
            ("--name", "name", &self.name),
        ] {
            if let Some(value) = value {
                overrides.push(Override::flag(option, key, value));
            }
        }
        let networks = &NetworkKind::NAMES;
        let Some(name) = &self.resume else {
            return Ok(recipe::load(&self.config, &overrides, networks)?);
        };
        let folder = run::RunFolder::open(run::resolve(artifacts, name)?)?;
        let config = folder.config().display().to_string();
        let began_with = recipe::load(&config, &[], networks)?;
        let asked = recipe::load(&config, &overrides, networks)?;
        let differences = began_with.differences(&asked);
        if !differences.is_empty() {
            let differences: Vec<String> = differences.iter().map(ToString::to_string).collect();
            return Err(format!(
                "{} began with other settings ({}); a run is resumed as it began, so leave the \
                 recipe's options out, or start a new run",
                folder.path().display(),
                differences.join("; ")
            )
            .into());
        }
        Ok(began_with)
    }
}

/// How long after the first signal another one still counts as the same: a program such as `timeout`
/// or a shell may signal a process and then its group.
const SAME_SIGNAL: Duration = Duration::from_millis(500);

/// Stops the run after the current step at the first Ctrl-C, SIGTERM or SIGHUP, and the program at
/// the second. Before there is a run, the first one stops the program.
fn stop() -> std::io::Result<Arc<Stop>> {
    let stop = Arc::new(Stop::default());
    let asked = OnceLock::new();
    signals::on_end({
        let stop = stop.clone();
        move || {
            let first = *asked.get_or_init(Instant::now);
            if first.elapsed() > SAME_SIGNAL {
                super::end_at_once(
                    "ended at once, without saving first; the run goes on from its last checkpoint",
                    130,
                );
            }
            // What this says is held until the program has ended, so that no run begins meanwhile.
            if let Err(_not_begun) = stop.ask() {
                super::end_at_once("interrupted before the first step; no run was made", 130);
            }
        }
    })?;
    Ok(stop)
}

/// Burn puts an optimiser's loaded state on its default device first, which is a GPU where wgpu is
/// compiled in, whether there is one or not. `BURN_DEVICE` says otherwise and is read once, so
/// the program starts again with it.
fn start_again_with_cpu_records() -> std::io::Result<()> {
    const VARIABLE: &str = "BURN_DEVICE";
    if !cfg!(feature = "wgpu") || std::env::var_os(VARIABLE).is_some() {
        return Ok(());
    }
    let mut command = std::process::Command::new(std::env::current_exe()?);
    command
        .args(std::env::args_os().skip(1))
        .env(VARIABLE, "flex");
    #[cfg(unix)]
    return Err(std::os::unix::process::CommandExt::exec(&mut command));
    #[cfg(not(unix))]
    std::process::exit(command.status()?.code().unwrap_or(1));
}
