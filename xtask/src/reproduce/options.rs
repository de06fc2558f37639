//! The command line of `cargo xtask reproduce`.

use std::path::PathBuf;

use super::rows::Row;
use crate::arguments::Arguments;

/// What `--help` prints.
pub const HELP: &str = "\
Trains a row of docs/results.md again, and compares it with what was published.

usage: cargo xtask reproduce [ROW] [OPTIONS]

  --backend NAME   ndarray, flex or wgpu (default ndarray)
  --artifacts DIR  where the runs lie (default: reproduce in this program's folder in the user's cache)
  --print          prints the trainer's command and runs nothing
  --help           prints this

Without a row the rows are listed. What is finished is not trained again, and what was cut off goes on: give the
same command once more. To train a row anew delete its folder, which is named at the start.
";

/// What a command line asks for.
#[derive(Debug, PartialEq)]
pub enum Request {
    /// The text of `--help`.
    Help,
    /// The rows' names.
    List,
    /// A row.
    Row(Options),
}

/// A row, and how it is trained.
#[derive(Debug, PartialEq)]
pub struct Options {
    /// The row.
    pub row: &'static Row,
    /// The trainer's backend.
    pub backend: String,
    /// Where runs lie; the cache if absent.
    pub artifacts: Option<PathBuf>,
    /// Whether the command is only printed.
    pub print: bool,
}

/// Reads the arguments after `reproduce`.
///
/// # Errors
/// A message that names the argument.
pub fn parse(arguments: &[String]) -> Result<Request, String> {
    let mut row = None;
    let mut backend = "ndarray".to_owned();
    let (mut artifacts, mut print) = (None, false);
    let mut help = false;
    let mut arguments = Arguments::new(arguments);
    while let Some((argument, name)) = arguments.next() {
        match name {
            "--help" => help = true,
            "--print" => print = true,
            "--backend" => backend = arguments.value()?.to_owned(),
            "--artifacts" => artifacts = Some(PathBuf::from(arguments.value()?)),
            _ if name.starts_with('-') => {
                return Err(format!("there is no option {argument}; see --help"));
            }
            _ if row.is_some() => return Err(format!("one row at a time; {argument} is a second")),
            _ => row = Some(Row::named(argument)?),
        }
    }
    Ok(match row {
        _ if help => Request::Help,
        None => Request::List,
        Some(row) => Request::Row(Options {
            row,
            backend,
            artifacts,
            print,
        }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(line: &str) -> Result<Request, String> {
        let arguments: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        parse(&arguments)
    }

    #[test]
    fn a_row_is_asked_for_by_its_name_and_wrong_words_are_refused() {
        assert_eq!(asked(""), Ok(Request::List));
        assert_eq!(asked("tutorial --help"), Ok(Request::Help));
        let Ok(Request::Row(options)) = asked("tutorial --backend=wgpu --artifacts x --print")
        else {
            unreachable!("this is a row");
        };
        assert_eq!(
            (options.row.name, options.backend.as_str()),
            ("tutorial", "wgpu")
        );
        assert!(options.print && options.artifacts == Some(PathBuf::from("x")));
        assert!(asked("tutoral").is_err_and(|error| error.contains("speedrun-94")));
        assert!(asked("tutorial resnet20").is_err_and(|error| error.contains("a second")));
        assert!(asked("tutorial --seeds 3").is_err_and(|error| error.contains("--seeds")));
        assert!(asked("absent --help").is_err());
    }
}
