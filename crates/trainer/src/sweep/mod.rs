//! A recipe with several settings and seeds: a plan of runs, each in a folder of its own.
//!
//! The plan is a function of the command line alone, and so is its folder's name. Machines that share a
//! folder need not talk to each other: each does its part of the plan, and whoever collects finds all.
//!
//! | file | what it holds |
//! | --- | --- |
//! | `mod` | the plan |
//! | `task` | one run of the plan, in a process of its own |
//! | `collect` | what the runs gave |

mod collect;
mod task;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use model::NetworkKind;

use crate::recipe::{self, Override, RecipeError};
use crate::run::{SWEEP, TASK};

pub use collect::{Row, collect};
pub use task::{State, Task, end};

/// More runs than anybody means.
const MOST_RUNS: usize = 10_000;

/// Why there is no plan.
#[derive(Debug, thiserror::Error)]
pub enum SweepError {
    /// A setting or the recipe is wrong.
    #[error(transparent)]
    Recipe(#[from] RecipeError),
    /// A file of a run cannot be read or written.
    #[error(transparent)]
    Run(#[from] crate::run::RunError),
    /// A run's process cannot be started.
    #[error("cannot start the trainer for {}: {source}", .path.display())]
    Start {
        /// The task's folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// No seed, or too many runs.
    #[error(
        "the plan has {runs} runs; a sweep takes from 1 to {MOST_RUNS}, so give other --seeds or fewer values"
    )]
    Size {
        /// Seeds times combinations.
        runs: usize,
    },
    /// A key that two settings name.
    #[error("--set {key} is given twice; give all its values in one, such as --set {key}=A,B")]
    KeyTwice {
        /// The key.
        key: String,
    },
    /// A run that stands in the plan twice, and would count twice in its figures.
    #[error(
        "the plan has one run twice: {first} and {second} train the same with seed {seed}; give each value once"
    )]
    RunTwice {
        /// The settings that stand first.
        first: String,
        /// Those that say the same.
        second: String,
        /// The seed of both.
        seed: u64,
    },
    /// A seed that is too large.
    #[error("the seeds go beyond 9223372036854775807; begin with a smaller seed")]
    Seed,
    /// `--task` names no run of the plan.
    #[error("--task {task}: the plan has the runs 1 to {runs}")]
    NoSuchTask {
        /// What was asked for.
        task: usize,
        /// Runs of the plan.
        runs: usize,
    },
}

/// All runs of a sweep: every combination of values with every seed.
#[derive(Debug)]
pub struct Plan {
    /// The sweep's folder.
    pub folder: PathBuf,
    /// The runs, numbered from 1. Those of one combination stand together.
    pub tasks: Vec<Task>,
}

impl Plan {
    /// The plan of the recipe `config` with each of `settings`, texts such as `optimizer.lr=0.1,0.2`,
    /// and `seeds` seeds from the recipe's on. Every run's recipe is checked, and no two are the same.
    ///
    /// # Errors
    /// [`SweepError`] with the setting that is wrong.
    pub fn new(
        artifacts: &Path,
        config: &str,
        settings: &[String],
        seeds: usize,
    ) -> Result<Self, SweepError> {
        let mut combinations = vec![Vec::new()];
        let mut keys = HashSet::new();
        for text in settings {
            let given = Override::parse_set(text)?;
            if !keys.insert(given.key.clone()) {
                return Err(SweepError::KeyTwice { key: given.key });
            }
            let values = values(&given.value);
            let count = combinations.len().saturating_mul(values.len());
            check_size(count.saturating_mul(seeds))?;
            combinations = combinations
                .into_iter()
                .flat_map(|before| values.iter().map(move |value| (before.clone(), value)))
                .map(|(mut settings, value)| {
                    settings.push(format!("{}={value}", given.key));
                    settings
                })
                .collect();
        }
        check_size(combinations.len().saturating_mul(seeds))?;
        let mut tasks = Vec::new();
        let mut known = HashMap::new();
        let (mut text, mut name) = (String::new(), String::new());
        for settings in &combinations {
            let overrides: Vec<Override> = settings
                .iter()
                .map(|text| Override::parse_set(text))
                .collect::<Result<_, _>>()?;
            let first = recipe::load(config, &overrides, &NetworkKind::NAMES)?;
            let mut recipe = first.clone();
            for offset in 0..seeds as u64 {
                let seed = first.seed.checked_add(offset);
                let seed = seed.filter(|seed| *seed <= i64::MAX as u64);
                let seed = seed.ok_or(SweepError::Seed)?;
                recipe.seed = seed;
                if let Some(earlier) = known.insert(recipe.hash(), settings) {
                    return Err(SweepError::RunTwice {
                        first: earlier.join(" "),
                        second: settings.join(" "),
                        seed,
                    });
                }
                text.push_str(&format!("{}{seed}\n", first.hash()));
                tasks.push(Task {
                    number: tasks.len() + 1,
                    folder: PathBuf::new(),
                    config: config.to_owned(),
                    settings: settings.clone(),
                    seed,
                });
            }
            name = first.name;
        }
        let hash = cifar10::checksum::sha256(text.as_bytes());
        let short = hash.get(..8).unwrap_or_default();
        let folder = artifacts.join(format!("{SWEEP}{name}-{short}"));
        for task in &mut tasks {
            task.folder = folder.join(format!("{TASK}{:04}", task.number));
        }
        Ok(Self { folder, tasks })
    }

    /// The run with this number, from 1.
    ///
    /// # Errors
    /// [`SweepError::NoSuchTask`].
    pub fn task(&self, number: usize) -> Result<&Task, SweepError> {
        let found = number.checked_sub(1).and_then(|at| self.tasks.get(at));
        found.ok_or(SweepError::NoSuchTask {
            task: number,
            runs: self.tasks.len(),
        })
    }
}

fn check_size(runs: usize) -> Result<(), SweepError> {
    if (1..=MOST_RUNS).contains(&runs) {
        Ok(())
    } else {
        Err(SweepError::Size { runs })
    }
}

/// The values of a list such as `1,2,[3, 4]`. Commas inside of brackets and quotes belong to a value.
fn values(text: &str) -> Vec<String> {
    let mut values = vec![String::new()];
    let (mut depth, mut quote) = (0_u32, None);
    for character in text.chars() {
        match (quote, character) {
            (None, '"' | '\'') => quote = Some(character),
            (Some(open), _) if open == character => quote = None,
            (None, '[' | '{') => depth += 1,
            (None, ']' | '}') => depth = depth.saturating_sub(1),
            (None, ',') if depth == 0 => {
                values.push(String::new());
                continue;
            }
            _ => {}
        }
        if let Some(value) = values.last_mut() {
            value.push(character);
        }
    }
    values.iter().map(|value| value.trim().to_owned()).collect()
}
