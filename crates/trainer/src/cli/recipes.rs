//! `trainer recipes`.

use std::process::ExitCode;

use clap::Args;
use model::NetworkKind;

use super::Outcome;
use super::options::Common;
use crate::recipe;
use crate::screen;

/// List the built-in recipes, or print one.
///
/// A recipe is a TOML file that says what a run trains and how. Print one, change it, and train it
/// with `trainer train --config FILE`. With --json the keys of a recipe are printed with the defaults
/// of all that it leaves out.
#[derive(Debug, Args)]
#[command(after_help = "Example: trainer recipes tutorial > mine.toml")]
pub struct Recipes {
    /// The recipe to print, as a start for one of your own.
    name: Option<String>,
}

impl Recipes {
    /// Prints the list, or the one recipe.
    pub fn run(&self, common: &Common) -> Outcome {
        if let Some(name) = &self.name {
            let found = recipe::builtin().iter().find(|recipe| recipe.name == name);
            let Some(found) = found else {
                let names = recipe::builtin().iter().map(|recipe| recipe.name);
                let meant = recipe::nearest(name, names).map_or_else(String::new, |nearest| {
                    format!(" (did you mean `{nearest}`?)")
                });
                let message = format!("there is no recipe `{name}`{meant}; see `trainer recipes`");
                return Err(message.into());
            };
            if common.json {
                let recipe = recipe::load(name, &[], &NetworkKind::NAMES)?;
                let keys: toml::Table = recipe.to_toml().parse()?;
                println!("{}", serde_json::to_string(&keys)?);
            } else {
                print!("{}", found.text);
            }
        } else if common.json {
            let list: Vec<_> = recipe::builtin()
                .iter()
                .map(|r| serde_json::json!({"name": r.name, "summary": r.summary()}))
                .collect();
            println!("{}", serde_json::to_string(&list)?);
        } else {
            // Names and summaries stand below each other, a summary's further lines too.
            const NAMES: usize = 15;
            for recipe in recipe::builtin() {
                let line = format!("{:1$} {2}", recipe.name, NAMES - 1, recipe.summary());
                println!("{}", screen::wrapped(&line, screen::width(), NAMES));
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}
