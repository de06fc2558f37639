//! Recipe, environment, and the commands that repeat the run.

use maud::{Markup, html};

use super::Contents;
use crate::run::RunFolder;
use crate::shell;

/// What the run was made of.
pub fn section(folder: &RunFolder, contents: &Contents) -> Markup {
    let environment = &contents.environment;
    let started = environment.command.iter().map(String::as_str);
    let config = folder.config().display().to_string();
    let (seed, threads) = (contents.recipe.seed, environment.threads.to_string());
    let again = [
        "trainer",
        "train",
        "--config",
        &config,
        "--backend",
        &environment.backend,
        "--threads",
        &threads,
    ];
    let facts: [(&str, String); 10] = [
        ("program", format!("trainer {}", environment.version)),
        (
            "commit",
            environment
                .git_commit
                .clone()
                .unwrap_or_else(|| "unknown".to_owned()),
        ),
        ("compiler", environment.rustc.clone()),
        ("Burn", environment.burn.clone()),
        ("backend", environment.backend.clone()),
        ("device", environment.device.clone()),
        ("threads", threads.clone()),
        ("processor", environment.cpu.clone()),
        (
            "system",
            format!("{} on {}", environment.os, environment.arch),
        ),
        (
            "data",
            format!(
                "{} from {}",
                environment.data.dataset, environment.data.origin
            ),
        ),
    ];
    html! {
        h2 { "Repeat it" }
        p { "As it was started:" }
        pre { (shell::line(started)) }
        p { "From this folder, with seed " (seed) ":" }
        pre { (shell::line(again)) }
        h2 { "Recipe" }
        pre { (contents.config) }
        h2 { "Environment" }
        div.scroll {
            table.facts {
                @for (name, value) in &facts {
                    tr { th scope="row" { (name) } td { (value) } }
                }
                @for (file, hash) in &environment.data.sha256 {
                    tr { th scope="row" { "SHA-256 of " (file) } td { code { (hash) } } }
                }
                tr { th scope="row" { "SHA-256 of the recipe" } td { code { (environment.recipe_hash) } } }
            }
        }
    }
}
