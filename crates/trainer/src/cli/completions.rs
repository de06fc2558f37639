//! `trainer completions`.

use std::process::ExitCode;

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::options::Common;
use super::{Cli, Outcome};

/// Print completions for a shell.
#[derive(Debug, Args)]
#[command(
    after_help = "Example: trainer completions bash > ~/.local/share/bash-completion/completions/trainer"
)]
pub struct Completions {
    /// The shell.
    #[arg(value_enum)]
    shell: Shell,
}

impl Completions {
    /// Prints the script.
    pub fn run(&self, _common: &Common) -> Outcome {
        clap_complete::generate(
            self.shell,
            &mut Cli::command(),
            "trainer",
            &mut std::io::stdout(),
        );
        Ok(ExitCode::SUCCESS)
    }
}
