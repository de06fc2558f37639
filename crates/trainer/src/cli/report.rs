//! `trainer report`.

use std::process::ExitCode;

use clap::Args;

use super::Outcome;
use super::options::Common;
use crate::report::{self, Contents};
use crate::run::{self, RunFolder};
use crate::screen;
use crate::training::datasets;

/// Write a run's report.html and plots again, from what its folder holds.
#[derive(Debug, Args)]
#[command(args_override_self = true)]
#[command(after_help = "Example: trainer report --run latest")]
pub struct Report {
    /// A run: a folder, a name in the artifacts folder, or latest.
    #[arg(long, value_name = "RUN", default_value = "latest")]
    run: String,
}

impl Report {
    /// Writes the report and prints its path.
    pub fn run(&self, common: &Common) -> Outcome {
        let folder = RunFolder::open(run::resolve(&common.places.artifacts, &self.run)?)?;
        let contents = Contents::read(&folder)?;
        if let Some(missing) = contents.what_is_missing() {
            common.verbosity.choice().warn(&missing);
        }
        // Only the pictures of mistakes come from the data set.
        let data = contents
            .predictions
            .is_some()
            .then(|| {
                let data_dir = common.places.data_dir.as_deref();
                datasets::images(&contents.recipe, data_dir, common.verbosity.choice())
            })
            .transpose()?;
        let path = report::write(&folder, data.as_ref().map(|data| &data.test))?;
        if common.json {
            println!(
                "{}",
                serde_json::json!({ "run": folder.name(), "report": path })
            );
        } else {
            println!("{}", screen::path(&path));
        }
        Ok(ExitCode::SUCCESS)
    }
}
