//! The command line.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

use burn::train::Interrupter;
use clap::{Args, Parser, Subcommand};
use model::NetworkKind;

use crate::device::BackendName;
use crate::recipe::{self, Override};
use crate::run;
use crate::training::{self, TrainOptions};

/// Trains image classifiers on CIFAR-10 with Burn.
#[derive(Debug, Parser)]
#[command(name = "trainer", version, args_conflicts_with_subcommands = true)]
#[command(args_override_self = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    train: TrainArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Trains a recipe; what `trainer` alone does with the default one.
    Train(Box<TrainArgs>),
    /// Lists the built-in recipes.
    Recipes,
    /// Lists the runs of a folder.
    Runs {
        /// The folder with the runs.
        #[arg(long, default_value = "artifacts")]
        artifacts: PathBuf,
    },
}

#[derive(Debug, Args)]
#[command(args_override_self = true)]
#[command(after_help = "Example: trainer train --config tutorial --set optimizer.lr=0.002")]
struct TrainArgs {
    /// A built-in recipe's name, or a recipe file.
    #[arg(long, default_value = "default")]
    config: String,
    /// Sets a key of the recipe, such as optimizer.lr=0.1.
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// The network: simple_cnn, resnet20 or resnet18.
    #[arg(long)]
    network: Option<String>,
    /// Passes over the training images.
    #[arg(long)]
    epochs: Option<String>,
    /// Images in a step.
    #[arg(long)]
    batch_size: Option<String>,
    /// The peak learning rate.
    #[arg(long)]
    lr: Option<String>,
    /// The seed of weights, order and augmentation.
    #[arg(long)]
    seed: Option<String>,
    /// cifar10 or synthetic.
    #[arg(long)]
    dataset: Option<String>,
    /// Goes on with an interrupted run: a folder, a name in the artifacts folder, or latest.
    #[arg(long, value_name = "RUN", conflicts_with_all = ["config", "name"])]
    resume: Option<String>,
    /// The run's name in place of the recipe's.
    #[arg(long)]
    name: Option<String>,
    /// The backend: wgpu where it is compiled in, ndarray otherwise.
    #[arg(long, value_enum)]
    backend: Option<BackendName>,
    /// Threads of the CPU kernels.
    #[arg(long)]
    threads: Option<usize>,
    /// A folder with CIFAR-10.
    #[arg(long)]
    data_dir: Option<PathBuf>,
    /// Where run folders are made.
    #[arg(long, default_value = "artifacts")]
    artifacts: PathBuf,
}

/// Runs the program and gives its exit code: 0, 1 after an error, 2 for wrong usage, 130 after an
/// interrupt.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let outcome = match cli.command {
        Some(Command::Train(args)) => train(&args),
        None => train(&cli.train),
        Some(Command::Recipes) => {
            for recipe in recipe::builtin() {
                println!("{:10} {}", recipe.name, recipe.summary());
            }
            Ok(ExitCode::SUCCESS)
        }
        Some(Command::Runs { artifacts }) => runs(&artifacts),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("error: {error}");
        ExitCode::FAILURE
    })
}

type Outcome = Result<ExitCode, Box<dyn std::error::Error>>;

fn train(args: &TrainArgs) -> Outcome {
    let mut overrides = Vec::new();
    for text in &args.set {
        overrides.push(Override::parse_set(text)?);
    }
    for (option, key, value) in [
        ("--network", "network", &args.network),
        ("--epochs", "epochs", &args.epochs),
        ("--batch-size", "batch_size", &args.batch_size),
        ("--lr", "optimizer.lr", &args.lr),
        ("--seed", "seed", &args.seed),
        ("--dataset", "data.dataset", &args.dataset),
        ("--name", "name", &args.name),
    ] {
        if let Some(value) = value {
            overrides.push(Override::flag(option, key, value));
        }
    }
    // A resumed run goes on with the recipe that it began with, stored beside it.
    let config = match &args.resume {
        Some(run) => run::RunFolder::open(run::resolve(&args.artifacts, run)?)?
            .config()
            .display()
            .to_string(),
        None => args.config.clone(),
    };
    let recipe = recipe::load(&config, &overrides, &NetworkKind::NAMES)?;
    let interrupter = Interrupter::new();
    let asked = AtomicBool::new(false);
    ctrlc::set_handler({
        let interrupter = interrupter.clone();
        move || {
            if asked.swap(true, Ordering::SeqCst) {
                #[cfg(unix)]
                crate::terminal::restore();
                std::process::exit(130);
            }
            interrupter.stop(Some("interrupted"));
        }
    })?;
    let options = TrainOptions {
        backend: args.backend.unwrap_or_else(BackendName::default_backend),
        threads: args.threads,
        data_dir: args.data_dir.clone(),
        artifacts: args.artifacts.clone(),
        resume: args.resume.clone(),
    };
    let (folder, result) = training::train(&recipe, &options, &interrupter)?;
    if result.state == run::RunState::Interrupted {
        println!(
            "interrupted after step {} and saved; go on with: trainer train --resume {}",
            result.steps,
            folder.path().display()
        );
        return Ok(ExitCode::from(130));
    }
    println!(
        "test accuracy {:.2}% after {} epochs, {:.0} images a second, in {}",
        100.0 * result.test_accuracy.unwrap_or_default(),
        result.epochs,
        result.images_per_second,
        folder.path().display()
    );
    Ok(ExitCode::SUCCESS)
}

fn runs(artifacts: &std::path::Path) -> Outcome {
    for run in run::list(artifacts)? {
        println!("{run:?}");
    }
    Ok(ExitCode::SUCCESS)
}
