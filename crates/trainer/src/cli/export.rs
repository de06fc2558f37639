//! `trainer export`.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::options::Common;
use super::{Outcome, output};
use crate::export::{self, Description, Format};
use crate::run::{self, RunFolder};
use crate::screen;
use crate::trained::{Trained, WeightChoice};

/// Write a run's network for PyTorch, ONNX Runtime or Burn.
///
/// The file names the classes and the constants of the normalisation; docs/using-a-network.md shows
/// how each program loads it.
#[derive(Debug, Args)]
#[command(args_override_self = true)]
#[command(after_help = "Example: trainer export --run latest --format onnx --output model.onnx")]
pub struct Export {
    /// A run: a folder, a name in the artifacts folder, or latest.
    #[arg(long, value_name = "RUN", default_value = "latest")]
    run: String,
    /// last, best, or a file: safetensors, burnpack or PyTorch's state_dict.
    #[arg(long, value_name = "last|best|FILE", default_value = "last")]
    weights: String,
    /// The format of the file.
    #[arg(long, value_enum)]
    format: Format,
    /// The file, which must not exist; - for standard output.
    #[arg(long, short, value_name = "FILE")]
    output: PathBuf,
}

impl Export {
    /// Writes the file and says where it is.
    pub fn run(&self, common: &Common) -> Outcome {
        let to_output = self.output.as_os_str() == "-";
        if to_output && common.json {
            return Err(
                "standard output takes the network or the JSON, not both; name a file".into(),
            );
        }
        if to_output && std::io::stdout().is_terminal() {
            return Err(
                "a terminal cannot show a network; name a file, or send standard output to one"
                    .into(),
            );
        }
        if !to_output && self.output.exists() {
            let path = self.output.display();
            return Err(format!("{path}: this exists; name another file, or remove it").into());
        }
        let folder = RunFolder::open(run::resolve(&common.places.artifacts, &self.run)?)?;
        let weights = WeightChoice::from(self.weights.as_str());
        let trained = Trained::open(&folder, &weights, &common.device.choice()?)?;
        let description = Description::new(&trained, &folder.name());
        let bytes = export::to_bytes(&trained, &description, self.format)?;
        if to_output {
            output::write_bytes(&bytes);
            return Ok(ExitCode::SUCCESS);
        }
        run::write_atomic(&self.output, &bytes)?;
        let text = if common.json {
            serde_json::json!({ "run": folder.name(), "file": self.output, "bytes": bytes.len() })
                .to_string()
        } else {
            format!(
                "{} of {} in {}, {} bytes",
                trained.recipe.network,
                screen::escaped(&folder.name()),
                screen::path(&self.output),
                bytes.len()
            )
        };
        let _ = writeln!(std::io::stdout(), "{text}");
        Ok(ExitCode::SUCCESS)
    }
}
