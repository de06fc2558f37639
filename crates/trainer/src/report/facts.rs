//! Recipe, environment, and the commands that repeat the run.

use maud::{Markup, html};

use super::Contents;
use crate::device::BackendName;
use crate::run::{Environment, RunFolder};
use crate::shell;
use crate::training::datasets::GENERATED;

/// The command that starts the same run from the recipe in its folder.
pub(super) fn again(config: &str, environment: &Environment) -> String {
    let threads = environment.threads.to_string();
    let mut words = vec!["trainer", "train", "--config", config];
    words.extend(["--backend", &environment.backend]);
    // A worker computes as it was started.
    let is_remote = environment.backend == BackendName::Remote.name();
    if !is_remote {
        words.extend(["--threads", &threads]);
    }
    // What is asked for where nothing is said needs no words.
    if environment
        .asked_devices
        .iter()
        .any(|name| name != "default")
    {
        let devices = environment.asked_devices.iter();
        words.extend(devices.flat_map(|name| ["--device", name.as_str()]));
    }
    if environment.precision != "fast" && !is_remote {
        words.extend(["--precision", &environment.precision]);
    }
    let weights = environment.initial_weights.as_ref();
    let weights = weights.map(|weights| weights.file.to_string_lossy());
    if let Some(file) = &weights {
        words.extend(["--init-from", file]);
    }
    shell::line(words)
}

/// What the run was made of.
pub fn section(folder: &RunFolder, contents: &Contents) -> Markup {
    let environment = &contents.environment;
    let started = environment.command.iter().map(String::as_str);
    let config = shell::whole_path(&folder.config());
    let (seed, threads) = (contents.recipe.seed, environment.threads.to_string());
    let again = again(&config, environment);
    let facts: [(&str, String); 11] = [
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
        ("threads", threads),
        ("processor", environment.cpu.clone()),
        (
            "instruction set",
            environment.isa.clone().unwrap_or_else(|| "-".to_owned()),
        ),
        (
            "system",
            format!("{} on {}", environment.os, environment.arch),
        ),
        (
            "data",
            match environment.data.origin.as_str() {
                // No place, but how the images came about.
                GENERATED => format!("{}, {GENERATED}", environment.data.dataset),
                folder => format!("{} from {folder}", environment.data.dataset),
            },
        ),
    ];
    html! {
        h2 { "Repeat it" }
        p { "As it was started:" }
        pre { (shell::line(started)) }
        p { "From this folder, with seed " (seed) ":" }
        pre { (again) }
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
