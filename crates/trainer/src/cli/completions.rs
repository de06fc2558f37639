//! `trainer completions`.

use std::process::ExitCode;

use clap::Args;
use clap_complete::Shell;

use super::options::Common;
use super::{Outcome, command};

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
        let mut command = command();
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut command, "trainer", &mut script);
        print!("{}", String::from_utf8_lossy(&script));
        Ok(ExitCode::SUCCESS)
    }
}
