//! `trainer completions`.

use std::process::ExitCode;

use clap::builder::PossibleValuesParser;
use clap::{Arg, Args, Command, ValueHint};
use clap_complete::Shell;
use model::NetworkKind;

use super::options::Common;
use super::{Outcome, command};
use crate::device::BackendName;
use crate::recipe::{self, DatasetSpec};

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
        let mut command = completed(command());
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut command, "trainer", &mut script);
        print!("{}", String::from_utf8_lossy(&script));
        Ok(ExitCode::SUCCESS)
    }
}

/// `command` with what a shell offers for each option. The program itself takes these options as text: its
/// own messages name the nearest of the known names.
fn completed(command: Command) -> Command {
    command.mut_args(offered).mut_subcommands(completed)
}

/// `argument` with names where they are known, files where it takes any, and nothing for other texts: a
/// shell that knows no better offers the files of the working folder.
fn offered(argument: Arg) -> Arg {
    let takes_no_text = !argument.get_action().takes_values()
        || !argument.get_possible_values().is_empty()
        || argument.get_value_hint() != ValueHint::Unknown;
    let name = argument.get_id().as_str().to_owned();
    match name.as_str() {
        "artifacts" | "data_dir" | "run" | "runs" | "resume" => {
            argument.value_hint(ValueHint::DirPath)
        }
        _ if takes_no_text => argument,
        "network" => argument.value_parser(PossibleValuesParser::new(NetworkKind::NAMES)),
        "backend" => {
            let all = BackendName::ALL.into_iter();
            let names = all.filter(|backend| backend.is_compiled_in());
            argument.value_parser(PossibleValuesParser::new(names.map(BackendName::name)))
        }
        "dataset" => argument.value_parser(PossibleValuesParser::new(DatasetSpec::NAMES)),
        // The recipe that `trainer recipes` prints; a run's name is for who trains it to choose.
        "name" if argument.is_positional() => {
            let names = recipe::builtin().iter().map(|recipe| recipe.name);
            argument.value_parser(PossibleValuesParser::new(names))
        }
        // A name or a file.
        "config" | "weights" => argument.value_hint(ValueHint::FilePath),
        _ => argument.value_hint(ValueHint::Other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_offers_names_where_they_are_known_and_no_files_for_other_texts() {
        let mut command = completed(command());
        // Clap checks then that every default is among what is offered.
        command.build();
        for command in std::iter::once(&command).chain(command.get_subcommands()) {
            for argument in command.get_arguments() {
                let (id, hint) = (argument.get_id().as_str(), argument.get_value_hint());
                let names: Vec<String> = argument
                    .get_possible_values()
                    .iter()
                    .map(|value| value.get_name().to_owned())
                    .collect();
                match id {
                    "network" => assert_eq!(names, NetworkKind::NAMES),
                    "dataset" => assert_eq!(names, ["cifar10", "synthetic"]),
                    "backend" => assert!(names.contains(&"ndarray".to_owned())),
                    "run" | "resume" | "artifacts" => assert_eq!(hint, ValueHint::DirPath),
                    "epochs" | "lr" | "seed" | "set" | "device" => {
                        assert_eq!(hint, ValueHint::Other);
                    }
                    "config" => assert_eq!(hint, ValueHint::FilePath),
                    _ => {}
                }
            }
        }
    }
}
