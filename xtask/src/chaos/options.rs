//! The command line of `cargo xtask chaos`.

use crate::arguments::Arguments;

/// What `--help` prints.
pub const HELP: &str = "\
Ends runs in every way that a run can end, and checks that each resumes to the same weights and tables.

usage: cargo xtask chaos [OPTIONS]

  --kills N       kills at random moments (default 60)
  --points N      kills at points inside a save (default 40)
  --second N      kills with a second one during the resumption (default 20)
  --damage N      flipped bytes and cut files (default 320)
  --disk N        full disks (default 20)
  --interrupts N  Ctrl-C with the dashboard, without it, and closed terminals, so often each (default 20)
  --panics N      panics in another thread (default 3)
  --workers N     workers that die, come back, are absent or have another token (default 20); 0 spares the
                  build with them
  --epochs N      epochs over which memory is watched; 0 for not at all (default 30)
  --saving N      ResNet-20 epochs over which saving is timed; 0 for not at all (default 2)
  --short         two of each, no workers and no long runs, to see that everything works
  --only WORDS    only rows whose name has these words
  --seed N        chooses other moments and places (default 1)
  --help          prints this

A row a line, as a table in Markdown. A full disk takes root, to mount a small file system; without, a limit on the
size of files stands for it. The dashboard's rows take the program `script` of util-linux.
The row of closed terminals is not run, and the command fails, where SIGHUP is ignored, as `nohup` has it.
";

/// What a command line asks for.
#[derive(Debug, PartialEq)]
pub enum Request {
    /// The text of `--help`.
    Help,
    /// The rows.
    Run(Options),
}

/// How often each row is tried; 0 leaves it out.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Counts {
    pub kills: usize,
    pub points: usize,
    pub second: usize,
    pub damage: usize,
    pub disk: usize,
    pub interrupts: usize,
    pub panics: usize,
    pub workers: usize,
    pub epochs: usize,
    pub saving: usize,
}

const FULL: Counts = Counts {
    kills: 60,
    points: 40,
    second: 20,
    damage: 320,
    disk: 20,
    interrupts: 20,
    panics: 3,
    workers: 20,
    epochs: 30,
    saving: 2,
};

const SHORT: Counts = Counts {
    kills: 2,
    points: 2,
    second: 2,
    damage: 2,
    disk: 2,
    interrupts: 2,
    panics: 1,
    workers: 0,
    epochs: 0,
    saving: 0,
};

/// What to try, and how often.
#[derive(Debug, PartialEq)]
pub struct Options {
    /// How often each row is tried.
    pub counts: Counts,
    /// Words that a row's name must have.
    pub only: Option<String>,
    /// What moments and places are chosen by.
    pub seed: u64,
}

impl Options {
    /// Whether the row `name` is asked for.
    pub fn wants(&self, name: &str) -> bool {
        self.only.as_ref().is_none_or(|words| name.contains(words))
    }
}

/// Reads the arguments after `chaos`.
///
/// # Errors
/// A message that names the argument.
pub fn parse(arguments: &[String]) -> Result<Request, String> {
    let mut options = Options {
        counts: FULL,
        only: None,
        seed: 1,
    };
    let mut arguments = Arguments::new(arguments);
    while let Some((argument, name)) = arguments.next() {
        let counts = &mut options.counts;
        let count = match name {
            "--help" => return Ok(Request::Help),
            "--short" => {
                *counts = SHORT;
                continue;
            }
            "--only" => {
                options.only = Some(arguments.value()?.to_owned());
                continue;
            }
            "--seed" => {
                options.seed = arguments.number()?;
                continue;
            }
            "--kills" => &mut counts.kills,
            "--points" => &mut counts.points,
            "--second" => &mut counts.second,
            "--damage" => &mut counts.damage,
            "--disk" => &mut counts.disk,
            "--interrupts" => &mut counts.interrupts,
            "--panics" => &mut counts.panics,
            "--workers" => &mut counts.workers,
            "--epochs" => &mut counts.epochs,
            "--saving" => &mut counts.saving,
            _ => return Err(format!("there is no option {argument}; see --help")),
        };
        *count = arguments.number()?;
    }
    Ok(Request::Run(options))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(line: &str) -> Result<Request, String> {
        let arguments: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        parse(&arguments)
    }

    #[test]
    fn counts_are_taken_and_wrong_ones_are_refused_by_name() {
        let Ok(Request::Run(options)) = asked("--short --kills=5 --seed 9 --only kill") else {
            unreachable!("these are options");
        };
        assert_eq!((options.counts.kills, options.counts.points), (5, 2));
        assert_eq!(options.seed, 9);
        assert!(options.wants("a second kill") && !options.wants("a full disk"));
        assert!(asked("--kills many").is_err_and(|error| error.contains("--kills")));
        assert!(asked("--kill 3").is_err_and(|error| error.contains("--kill")));
    }
}
