//! Every command that README.md and docs/ show is one that its program takes, and is run where it takes
//! less than a minute.

mod others;
mod run;
#[path = "../../../../../xtask/tests/shown/mod.rs"]
mod shown;

use std::collections::BTreeSet;
use std::path::Path;

use clap::ArgMatches;
use model::NetworkKind;
use shown::Code;
use trainer::recipe::{self, Override};
use trainer::sweep::Plan;

/// Options of other programs that the documents name beside this one's.
const OF_OTHERS: [&str; 4] = ["--features", "--short", "--sshlogin", "--wgpu"];

/// The words of the first command of this program in a line of a shell: its arguments, and the file that
/// it reads as its input.
struct Shown {
    arguments: Vec<String>,
    input: Option<String>,
}

impl Shown {
    /// Nothing where `text` has no command of this program.
    fn in_line(text: &str) -> Option<Self> {
        // What a shell computes is a number in the documents.
        let text = match (text.find("$(("), text.find("))")) {
            (Some(begin), Some(end)) => format!("{}1{}", &text[..begin], &text[end + 2..]),
            _ => text.to_owned(),
        };
        let words: Vec<String> = shlex::split(&text)?
            .into_iter()
            .map(|word| match word.as_str() {
                "{}" => "1".to_owned(),
                variable if variable.starts_with('$') => "1".to_owned(),
                _ => word,
            })
            .collect();
        let rest = arguments(&words)?;
        let end = ["|", ">", "<", ";", "&&", "2>"];
        let end = rest.iter().position(|word| end.contains(&word.as_str()));
        let (arguments, after) = rest.split_at(end.unwrap_or(rest.len()));
        let mut arguments = arguments.to_vec();
        if words.get(1).is_some_and(|word| word == "xtask") {
            let others = ["train", "--backend", "ndarray"].map(str::to_owned);
            arguments.splice(0..0, others);
        }
        let input = match after {
            [operator, file, ..] if operator == "<" => Some(file.clone()),
            _ => None,
        };
        Some(Self { arguments, input })
    }
}

/// What stands after the program's name, which may stand behind another program's.
fn arguments(words: &[String]) -> Option<&[String]> {
    let texts: Vec<&str> = words.iter().map(String::as_str).collect();
    let begin = match texts[..] {
        ["cargo", "xtask", "train-cpu", "--", ..] => 4,
        ["cargo", "xtask", "train-cpu", ..] => 3,
        ["cargo", "run", "-p", "trainer", ..] => {
            let hyphens = texts.iter().position(|word| *word == "--");
            hyphens.map_or(texts.len(), |place| place + 1)
        }
        ["cargo", ..] => return None,
        _ => texts.iter().position(|word| *word == "trainer")? + 1,
    };
    words.get(begin..)
}

/// Reads a command line as the program does, with the recipe and the keys that it names.
fn read(arguments: &[String]) -> Result<(), String> {
    let line = ["trainer".to_owned()].into_iter().chain(arguments.to_vec());
    let matches = trainer::cli::command().try_get_matches_from(line);
    let matches = matches.map_err(|error| error.to_string())?;
    match matches.subcommand() {
        None => read_recipe(&matches, &FLAGS),
        Some(("train", matches)) => read_recipe(matches, &FLAGS),
        Some(("sweep", matches)) => {
            let (config, settings) = recipe_of(matches);
            let seeds = *matches.get_one::<usize>("seeds").unwrap();
            let plan = Plan::new(Path::new("artifacts"), &config, &settings, seeds);
            plan.map(|_| ()).map_err(|error| error.to_string())
        }
        Some(("recipes", matches)) => match matches.get_one::<String>("name") {
            Some(name) if !stands_for_a_name(name) => load(name, &[]),
            _ => Ok(()),
        },
        _ => Ok(()),
    }
}

fn named(command: &str) -> Result<(), String> {
    let known = trainer::cli::command().find_subcommand(command).is_some();
    known
        .then_some(())
        .ok_or("there is no such command".to_owned())
}

/// Options of `train` and the recipe's keys that they set.
const FLAGS: [(&str, &str); 7] = [
    ("network", "network"),
    ("epochs", "epochs"),
    ("batch_size", "batch_size"),
    ("lr", "optimizer.lr"),
    ("seed", "seed"),
    ("dataset", "data.dataset"),
    ("name", "name"),
];

fn recipe_of(matches: &ArgMatches) -> (String, Vec<String>) {
    let config = matches.get_one::<String>("config").unwrap().clone();
    let settings = matches.get_many::<String>("set").unwrap_or_default();
    (config, settings.cloned().collect())
}

fn read_recipe(matches: &ArgMatches, flags: &[(&'static str, &str)]) -> Result<(), String> {
    let (config, settings) = recipe_of(matches);
    let mut overrides = Vec::new();
    for setting in &settings {
        overrides.push(Override::parse_set(setting).map_err(|error| error.to_string())?);
    }
    for (option, key) in flags {
        if let Some(value) = matches.get_one::<String>(option) {
            overrides.push(Override::flag(option, key, value));
        }
    }
    load(&config, &overrides)
}

fn load(config: &str, overrides: &[Override]) -> Result<(), String> {
    let loaded = recipe::load(config, overrides, &NetworkKind::NAMES);
    loaded.map(|_| ()).map_err(|error| error.to_string())
}

/// Whether a word stands for any name, as in `trainer recipes NAME`.
fn stands_for_a_name(word: &str) -> bool {
    word.chars().all(|letter| letter.is_ascii_uppercase())
}

#[test]
fn every_command_in_a_document_is_one_that_the_program_takes() {
    let code = shown::code();
    let commands: Vec<(&Code, Shown)> = code
        .iter()
        .filter_map(|code| Some((code, Shown::in_line(&code.text)?)))
        .collect();
    assert!(commands.len() > 30, "{} commands", commands.len());
    for (code, shown) in &commands {
        let read = match shown.arguments.as_slice() {
            // A sentence may name a command without what it needs.
            [name] if code.inline && !name.starts_with('-') => named(name),
            arguments => read(arguments),
        };
        if let Err(message) = read {
            panic!("{}: `{}`: {message}", code.place, code.text);
        }
    }
    for wrong in [
        "trainer predict --best cat.jpg",
        "trainer train --config absent",
        "trainer --set optimizer.rate=1",
        "cargo xtask train-cpu -- --threads many",
        "srun --cpus-per-task=4 trainer sweep --set optimizer.lr=0.1,fast",
        "cargo run -p trainer -- recipes absent",
        "trainer foretell",
        "trainer data",
    ] {
        let shown = Shown::in_line(wrong).unwrap();
        assert!(read(&shown.arguments).is_err(), "{wrong}");
    }
}

/// The long options of a command and of those below it.
fn options(command: &clap::Command, found: &mut BTreeSet<String>) {
    let longs = command.get_arguments().filter_map(clap::Arg::get_long);
    found.extend(longs.map(|name| format!("--{name}")));
    for below in command.get_subcommands() {
        options(below, found);
    }
}

#[test]
fn every_option_in_a_sentence_of_a_document_is_one_that_there_is() {
    let mut known: BTreeSet<String> = OF_OTHERS.map(str::to_owned).into();
    known.extend(["--help", "--version"].map(str::to_owned));
    options(&trainer::cli::command(), &mut known);
    let code = shown::code();
    let of_others = ["cargo", "python", "tensorboard"];
    let named: Vec<(&Code, &str)> = code
        .iter()
        .filter(|code| code.inline)
        .filter(|code| !of_others.iter().any(|name| code.text.starts_with(name)))
        .flat_map(|code| code.text.split_whitespace().map(move |word| (code, word)))
        .filter(|(_, word)| word.starts_with("--") && word.len() > 2)
        .map(|(code, word)| (code, word.split('=').next().unwrap_or(word)))
        .collect();
    assert!(named.len() > 20, "{named:?}");
    for (code, option) in named {
        assert!(known.contains(option), "{}: `{}`", code.place, code.text);
    }
}
