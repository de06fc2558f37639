//! `trainer data`.

use std::path::PathBuf;
use std::process::ExitCode;

use cifar10::{CLASS_NAMES, SourceOptions};
use clap::{Args, Subcommand};

use super::Outcome;
use super::options::VerbosityOptions;
use crate::progress::FetchProgress;

/// Fetch, verify and describe CIFAR-10.
#[derive(Debug, Args)]
#[command(after_help = "Example: trainer data info --data-dir ~/datasets")]
pub struct Data {
    #[command(subcommand)]
    command: Action,
    #[command(flatten)]
    verbosity: VerbosityOptions,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Fetch the six files into the cache, or into a folder.
    Fetch {
        /// The folder to fetch into.
        #[arg(long, value_name = "DIR")]
        data_dir: Option<PathBuf>,
    },
    /// Check the six files by SHA-256; fetches nothing into a folder that is named.
    Verify {
        /// The folder to check.
        #[arg(long, value_name = "DIR")]
        data_dir: Option<PathBuf>,
    },
    /// Say where the data lies, what its hashes are and how many images a class has.
    Info {
        /// The folder to describe.
        #[arg(long, value_name = "DIR")]
        data_dir: Option<PathBuf>,
        /// Prints one JSON object.
        #[arg(long)]
        json: bool,
    },
}

impl Data {
    /// Runs the action.
    pub fn run(&self) -> Outcome {
        let progress = FetchProgress::new(self.verbosity.choice());
        let options = |data_dir: &Option<PathBuf>| SourceOptions {
            data_dir: data_dir.clone().or_else(cifar10::source::data_dir_from_env),
            ..Default::default()
        };
        match &self.command {
            Action::Fetch { data_dir } => {
                let data = match data_dir {
                    Some(dir) => cifar10::fetch_into(dir, &SourceOptions::default(), &progress)?,
                    None => cifar10::load(&SourceOptions::default(), &progress)?,
                };
                println!("CIFAR-10 is in {}", data.origin.folder.display());
            }
            Action::Verify { data_dir } => {
                let data = cifar10::load(&options(data_dir), &progress)?;
                for (file, hash) in &data.hashes {
                    println!("{hash}  {file}");
                }
                println!(
                    "all six files in {} are right",
                    data.origin.folder.display()
                );
            }
            Action::Info { data_dir, json } => {
                let info = cifar10::load(&options(data_dir), &progress)?.info();
                if *json {
                    println!("{}", json_of(&info));
                } else {
                    print(&info);
                }
            }
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
    println!("{}", info.folder.display());
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
