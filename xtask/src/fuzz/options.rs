//! The command line of `cargo xtask fuzz`.

use std::path::PathBuf;

use crate::arguments::Arguments;

/// What `--help` prints.
pub const HELP: &str = "\
Gives damaged input to the readers of the project, guided by their coverage.

usage: cargo xtask fuzz [OPTIONS] [-- OPTIONS OF LIBFUZZER]

  --target NAME   fuzzes this target only; may stand several times
  --seconds N     how long each target runs (default 600)
  --replay FILE   gives this input to the target, once
  --list          prints the names of the targets
  --help          prints this

Inputs that were found stay in the target folder, below fuzz/NAME: corpus, failures, the slowest input, the log.
";

/// What a command line asks for.
#[derive(Debug, PartialEq)]
pub enum Request {
    /// The text of `--help`.
    Help,
    /// The names of the targets.
    List,
    /// A run of the fuzzer.
    Fuzz(Options),
}

/// What to fuzz, and how long.
#[derive(Debug, PartialEq)]
pub struct Options {
    /// The targets, at least one; exactly one with `replay`.
    pub targets: Vec<String>,
    /// Seconds for each, at least 1.
    pub seconds: u64,
    /// An input to run once.
    pub replay: Option<PathBuf>,
    /// More options of libFuzzer, as it takes them.
    pub libfuzzer: Vec<String>,
}

/// Reads the arguments after `fuzz`, where `known` are the targets there are.
///
/// # Errors
/// A message that names the argument.
pub fn parse(arguments: &[String], known: &[String]) -> Result<Request, String> {
    let mut options = Options {
        targets: Vec::new(),
        seconds: 600,
        replay: None,
        libfuzzer: Vec::new(),
    };
    let mut arguments = Arguments::new(arguments);
    while let Some((argument, name)) = arguments.next() {
        match name {
            "--target" => options
                .targets
                .push(known_target(arguments.value()?, known)?),
            "--seconds" => options.seconds = whole(arguments.value()?)?,
            "--replay" => options.replay = Some(arguments.value()?.into()),
            "--list" => return Ok(Request::List),
            "--help" | "-h" => return Ok(Request::Help),
            "--" => {
                options.libfuzzer = arguments.rest();
                break;
            }
            _ => {
                return Err(format!(
                    "{argument} is no option of fuzz; `cargo xtask fuzz --help` lists them"
                ));
            }
        }
    }
    if options.replay.is_some() && options.targets.len() != 1 {
        return Err("--replay needs one --target".to_owned());
    }
    if options.targets.is_empty() {
        options.targets = known.to_vec();
    }
    Ok(Request::Fuzz(options))
}

fn known_target(name: &str, known: &[String]) -> Result<String, String> {
    if known.iter().any(|target| target == name) {
        Ok(name.to_owned())
    } else {
        Err(format!(
            "there is no target {name}; there are {}",
            known.join(", ")
        ))
    }
}

fn whole(text: &str) -> Result<u64, String> {
    match text.parse() {
        Ok(seconds) if seconds > 0 => Ok(seconds),
        _ => Err(format!("{text} is no whole number of seconds above 0")),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn parsed(line: &str) -> Result<Request, String> {
        let words: Vec<_> = line.split_whitespace().map(str::to_owned).collect();
        parse(&words, &["pickle".to_owned(), "recipe".to_owned()])
    }

    #[test]
    fn without_arguments_every_target_runs_for_ten_minutes() {
        let Request::Fuzz(options) = parsed("").unwrap() else {
            panic!("no run");
        };
        assert_eq!(options.targets, ["pickle", "recipe"]);
        assert_eq!(options.seconds, 600);
    }

    #[test]
    fn what_stands_after_two_hyphens_goes_to_libfuzzer() {
        let Request::Fuzz(options) = parsed("--target=recipe --seconds 5 -- -jobs=2").unwrap()
        else {
            panic!("no run");
        };
        assert_eq!(options.targets, ["recipe"]);
        assert_eq!(options.seconds, 5);
        assert_eq!(options.libfuzzer, ["-jobs=2"]);
    }

    #[test]
    fn wrong_arguments_are_refused_by_name() {
        for (line, part) in [
            ("--target png", "no target png; there are pickle, recipe"),
            ("--seconds 0", "0 is no whole number"),
            ("--seconds", "--seconds needs a value"),
            ("--replay file", "needs one --target"),
            ("--tagret", "--tagret is no option"),
        ] {
            let message = parsed(line).unwrap_err();
            assert!(message.contains(part), "{message}");
        }
    }
}
