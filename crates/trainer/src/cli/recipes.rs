//! `trainer recipes`.

use std::process::ExitCode;

use clap::Args;

use super::Outcome;
use crate::recipe;

/// List the built-in recipes, or print one.
#[derive(Debug, Args)]
#[command(after_help = "Example: trainer recipes tutorial > mine.toml")]
pub struct Recipes {
    /// The recipe to print, as a start for one of your own.
    name: Option<String>,
    /// Prints a JSON array.
    #[arg(long)]
    json: bool,
}

impl Recipes {
    /// Prints the list, or the one recipe.
    pub fn run(&self) -> Outcome {
        if let Some(name) = &self.name {
            let found = recipe::builtin().iter().find(|recipe| recipe.name == name);
            let Some(found) = found else {
                return Err(format!("there is no recipe `{name}`; see `trainer recipes`").into());
            };
            print!("{}", found.text);
        } else if self.json {
            let list: Vec<_> = recipe::builtin()
                .iter()
                .map(|r| serde_json::json!({"name": r.name, "summary": r.summary()}))
                .collect();
            println!("{}", serde_json::to_string(&list)?);
        } else {
            for recipe in recipe::builtin() {
                println!("{:10} {}", recipe.name, recipe.summary());
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}
