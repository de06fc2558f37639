//! The command line of `cargo xtask bench`.

use super::cases::{CASES, Case};
use crate::arguments::Arguments;

/// What `--help` prints.
pub const HELP: &str = "\
Compares this project's speed with its peers', in turn on this machine.

usage: cargo xtask bench [OPTIONS]

  --rounds N     rounds over all cases; the median counts (default 5)
  --seconds S    how long a measurement lasts, about (default 5)
  --quick        two rounds of one second, to see that everything runs
  --case NAME    measures this case only; may stand several times
  --no-peers     measures this project alone, without Python
  --list         prints the names of the cases
  --help         prints this

The report goes to bench/results and is written anew after each case, so that Ctrl-C leaves a partial one. The peers
are installed once into the user's cache folder; CIFAR10_TRAINER_PYTHON names an interpreter that has them already.
The tutorial and the epoch read CIFAR-10, and take as long as they take: a minute or two each, every round.
";

/// What a command line asks for.
#[derive(Debug, PartialEq)]
pub enum Request {
    /// The text of `--help`.
    Help,
    /// The names of the cases.
    List,
    /// A comparison.
    Measure(Options),
}

/// What to measure, and how long.
#[derive(Debug, PartialEq)]
pub struct Options {
    /// Rounds over all cases, at least 1.
    pub rounds: usize,
    /// Seconds of a measurement, above 0.
    pub seconds: f64,
    /// The cases, in the report's order.
    pub cases: Vec<&'static Case>,
    /// Whether the peers are measured.
    pub peers: bool,
}

/// Reads the arguments after `bench`.
///
/// # Errors
/// A message that names the argument.
pub fn parse(arguments: &[String]) -> Result<Request, String> {
    let (mut rounds, mut seconds, mut quick, mut peers) = (None, None, false, true);
    let mut chosen: Vec<&'static Case> = Vec::new();
    let mut arguments = Arguments::new(arguments);
    while let Some((argument, name)) = arguments.next() {
        match name {
            "--rounds" => rounds = Some(whole(arguments.value()?)?),
            "--seconds" => seconds = Some(positive(arguments.value()?)?),
            "--case" => chosen.push(Case::from_name(arguments.value()?)?),
            "--quick" => quick = true,
            "--no-peers" => peers = false,
            "--list" => return Ok(Request::List),
            "--help" | "-h" => return Ok(Request::Help),
            _ => {
                return Err(format!(
                    "{argument} is no option of bench; `cargo xtask bench --help` lists them"
                ));
            }
        }
    }
    let (usual_rounds, usual_seconds) = if quick { (2, 1.0) } else { (5, 5.0) };
    Ok(Request::Measure(Options {
        rounds: rounds.unwrap_or(usual_rounds),
        seconds: seconds.unwrap_or(usual_seconds),
        cases: CASES
            .iter()
            .filter(|case| chosen.is_empty() || chosen.contains(case))
            .collect(),
        peers,
    }))
}

fn whole(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(number) if number > 0 => Ok(number),
        _ => Err(format!(
            "--rounds needs a whole number above 0, found '{text}'"
        )),
    }
}

fn positive(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() && number > 0.0 => Ok(number),
        _ => Err(format!("--seconds needs a number above 0, found '{text}'")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Request, String> {
        let arguments: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        parse(&arguments)
    }

    fn options(line: &str) -> Options {
        match parsed(line).unwrap() {
            Request::Measure(options) => options,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn without_options_everything_is_measured_in_five_rounds_of_five_seconds() {
        let options = options("");
        assert_eq!((options.rounds, options.seconds), (5, 5.0));
        assert_eq!(options.cases.len(), CASES.len());
        assert!(options.peers);
    }

    #[test]
    fn quick_is_short_and_gives_way_to_what_is_said_outright() {
        let short = options("--quick");
        assert_eq!((short.rounds, short.seconds), (2, 1.0));
        let mixed = options("--seconds 0.5 --quick --no-peers");
        assert_eq!((mixed.rounds, mixed.seconds), (2, 0.5));
        assert!(!mixed.peers);
    }

    #[test]
    fn cases_keep_the_order_of_the_report() {
        let options = options("--case infer-resnet20-1 --case=train-resnet20-8");
        let names: Vec<_> = options.cases.iter().map(|case| case.name).collect();
        assert_eq!(names, ["train-resnet20-8", "infer-resnet20-1"]);
    }

    #[test]
    fn list_and_help_measure_nothing() {
        assert_eq!(parsed("--list"), Ok(Request::List));
        assert_eq!(parsed("--quick --help"), Ok(Request::Help));
    }

    #[test]
    fn a_wrong_argument_is_named() {
        for (line, message) in [
            (
                "--rounds 0",
                "--rounds needs a whole number above 0, found '0'",
            ),
            (
                "--seconds -1",
                "--seconds needs a number above 0, found '-1'",
            ),
            (
                "--seconds NaN",
                "--seconds needs a number above 0, found 'NaN'",
            ),
            ("--rounds", "--rounds needs a value"),
            (
                "--fast",
                "--fast is no option of bench; `cargo xtask bench --help` lists them",
            ),
        ] {
            assert_eq!(parsed(line).unwrap_err(), message);
        }
        assert!(
            parsed("--case resnet20")
                .unwrap_err()
                .contains("'resnet20'")
        );
    }
}
