//! `cargo xtask check-scripts`: what other programs make of the trainer's files and pages, by the scripts
//! in `bench/`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::bench::{environment, root};
use crate::program;

const HELP: &str = "usage: cargo xtask check-scripts [SCRIPT]...

Runs the scripts of bench/ that compare the trainer's files and pages with what other programs make of
them: TensorBoard and pandas, a browser, PyTorch and ONNX Runtime, GNU parallel, Slurm. It installs the Python
packages that bench/requirements.txt names, and trains short runs in a folder of its own.

A script that lacks a program (Chromium, GNU parallel, Slurm) says so; the last lines name everything that was
not checked. Without a name all run:
";

/// The exit code of a script that lacks what it needs.
const LACKING: i32 = 77;
/// How a line begins by which a script says that it leaves a part out.
const SKIPPED: &str = "skipped: ";

/// A script and what it is given.
struct Script {
    /// Its file in `bench/`, without its ending.
    name: &'static str,
    /// What it shows.
    about: &'static str,
    /// The program and its arguments.
    command: fn(&Given) -> Result<Vec<String>, String>,
}

/// What scripts are given.
struct Given {
    root: PathBuf,
    trainer: String,
    python: String,
    artifacts: PathBuf,
}

const SCRIPTS: [Script; 8] = [
    Script {
        name: "read_logs",
        about: "TensorBoard, pandas and json read the same figures",
        command: |given| Ok(given.python("read_logs.py", &[given.latest("")])),
    },
    Script {
        name: "check_report",
        about: "a report in Chromium",
        command: |given| {
            let arguments = [&[given.latest("report.html")][..], &given.program()].concat();
            Ok(given.python("check_report.py", &arguments))
        },
    },
    Script {
        name: "check_serve",
        about: "the page of `trainer serve` in Chromium, and photos a second",
        command: |given| Ok(given.python("check_serve.py", &given.program())),
    },
    Script {
        name: "check_predict",
        about: "1,000 files of which 100 are no photos",
        command: |given| Ok(given.python("check_predict.py", &given.program())),
    },
    Script {
        name: "sweep_parallel",
        about: "a sweep under GNU parallel and in one process",
        command: |given| Ok(given.shell("sweep_parallel.sh")),
    },
    Script {
        name: "sweep_slurm",
        about: "a sweep as a job array of Slurm and in one process",
        command: |given| Ok(given.shell("sweep_slurm.sh")),
    },
    Script {
        name: "compare_optimisers",
        about: "fifty steps of every optimiser, schedule and average in PyTorch",
        command: |given| Ok(given.python("compare_optimisers.py", &[])),
    },
    Script {
        name: "check_exports",
        about: "three networks in PyTorch and ONNX Runtime, and back",
        command: |given| {
            let options = ["--trainer", &given.trainer, "--data", &given.data()?];
            Ok(given.python("check_exports.py", &options.map(str::to_owned)))
        },
    },
];

impl Given {
    /// A Python script and its arguments.
    fn python(&self, script: &str, arguments: &[String]) -> Vec<String> {
        let script = text(&self.root.join("bench").join(script));
        [&[self.python.clone(), script], arguments].concat()
    }

    /// A script of the shell, which is given the program.
    fn shell(&self, script: &str) -> Vec<String> {
        let script = text(&self.root.join("bench").join(script));
        vec!["sh".to_owned(), script, self.trainer.clone()]
    }

    /// The options by which a script finds the program and the run.
    fn program(&self) -> [String; 4] {
        let artifacts = text(&self.artifacts);
        ["--trainer", &self.trainer, "--artifacts", &artifacts].map(str::to_owned)
    }

    /// A file of the run that [`run`] trains.
    fn latest(&self, file: &str) -> String {
        text(&self.artifacts.join("latest").join(file))
    }

    /// The folder of CIFAR-10, which is fetched where it is not there.
    fn data(&self) -> Result<String, String> {
        let output = Command::new(&self.trainer)
            .args(["data", "info", "--json"])
            .stderr(Stdio::inherit())
            .output()
            .map_err(|error| format!("{} could not be started: {error}", self.trainer))?;
        let info: Option<Value> = serde_json::from_slice(&output.stdout).ok();
        let folder = info.as_ref().and_then(|info| info.get("folder")?.as_str());
        folder
            .map(str::to_owned)
            .ok_or_else(|| "CIFAR-10 could not be had: see above".to_owned())
    }
}

/// How a script ended.
enum End {
    /// All that it checks holds; what it left out, in its own words.
    Passed(Vec<String>),
    /// It lacks what it needs.
    Lacking(String),
    /// It failed.
    Failed(String),
}

/// Does what the arguments after `cargo xtask check-scripts` ask for.
///
/// # Errors
/// One message that names the scripts that failed, or what kept them from running.
pub fn run(arguments: &[String]) -> Result<(), String> {
    let (options, names): (Vec<_>, Vec<_>) =
        (arguments.iter().cloned()).partition(|word| word == "--help");
    let scripts = named(&names)?;
    if !options.is_empty() {
        print!("{HELP}");
        for script in &SCRIPTS {
            println!("  {:20}{}", script.name, script.about);
        }
        return Ok(());
    }
    let root = root()?;
    let python = text(&environment::interpreter(&root)?);
    let trainer = text(&program::build(&root, &[])?);
    let folder = std::env::temp_dir().join(format!("check-scripts-{}", std::process::id()));
    let given = Given {
        root,
        trainer,
        python,
        artifacts: folder.join("artifacts"),
    };
    let ends = train(&given).map(|()| {
        let ends = scripts
            .iter()
            .map(|script| (script.name, end(script, &given)));
        ends.collect::<Vec<_>>()
    });
    // What is left of it in the system's folder for such files harms nothing.
    let _ = fs::remove_dir_all(&folder);
    summary(&ends?)
}

/// The scripts that are named, or all.
fn named(names: &[String]) -> Result<Vec<&'static Script>, String> {
    if names.is_empty() {
        return Ok(SCRIPTS.iter().collect());
    }
    let find = |name: &String| {
        let found = SCRIPTS.iter().find(|script| script.name == name);
        found.ok_or_else(|| {
            let known = SCRIPTS.map(|script| script.name).join(", ");
            format!("there is no script {name}; there are {known}")
        })
    };
    names.iter().map(find).collect()
}

/// A short run on generated images, which scripts look at.
fn train(given: &Given) -> Result<(), String> {
    let status = Command::new(&given.trainer)
        .args(["train", "--config", "smoke", "--epochs", "3", "--quiet"])
        .args(["--backend", "ndarray", "--artifacts"])
        .arg(&given.artifacts)
        .stdin(Stdio::null())
        // The last lines name what is to be done next with the run, which is nothing here.
        .stdout(Stdio::null())
        .status()
        .map_err(|error| format!("{} could not be started: {error}", given.trainer))?;
    if status.success() {
        Ok(())
    } else {
        Err("the run that scripts look at could not be trained".to_owned())
    }
}

/// Runs a script, whose words go to the terminal when it has ended.
fn end(script: &Script, given: &Given) -> End {
    eprintln!("{}: {}", script.name, script.about);
    let command = match (script.command)(given) {
        Ok(command) => command,
        Err(reason) => return End::Lacking(reason),
    };
    let Some((program, arguments)) = command.split_first() else {
        return End::Failed("it has no command".to_owned());
    };
    let output = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output();
    let output = match output {
        Ok(output) => output,
        Err(error) => return End::Lacking(format!("{program} could not be started: {error}")),
    };
    let said = String::from_utf8_lossy(&output.stdout);
    print!("{said}");
    of(output.status.code(), &said)
}

/// What a script's exit code and words say.
fn of(code: Option<i32>, said: &str) -> End {
    let skipped = said.lines().filter_map(|line| line.strip_prefix(SKIPPED));
    let mut skipped = skipped.map(str::to_owned);
    match code {
        Some(0) => End::Passed(skipped.collect()),
        Some(LACKING) => End::Lacking(
            skipped
                .next()
                .unwrap_or_else(|| "it says not why".to_owned()),
        ),
        Some(code) => End::Failed(format!("it ended with {code}")),
        None => End::Failed("a signal ended it".to_owned()),
    }
}

/// Names what was not checked and what failed.
fn summary(ends: &[(&str, End)]) -> Result<(), String> {
    let mut failed = Vec::new();
    for (name, end) in ends {
        match end {
            End::Passed(left_out) if left_out.is_empty() => println!("{name}: passed"),
            End::Passed(left_out) => println!("{name}: passed, without {}", left_out.join("; ")),
            End::Lacking(reason) => println!("{name}: NOT RUN: {reason}"),
            End::Failed(reason) => {
                println!("{name}: FAILED: {reason}");
                failed.push(*name);
            }
        }
    }
    if failed.is_empty() {
        Ok(())
    } else {
        Err(format!("failed: {}", failed.join(", ")))
    }
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_that_could_not_run_is_neither_passed_nor_failed() {
        assert!(matches!(of(Some(0), "all agree\n"), End::Passed(left_out) if left_out.is_empty()));
        let End::Passed(left_out) = of(Some(0), "skipped: the page\n200 photos a second\n") else {
            unreachable!("exit code 0 passes");
        };
        assert_eq!(left_out, ["the page"]);
        let lacking = of(Some(LACKING), "skipped: there is no GNU parallel\n");
        assert!(matches!(lacking, End::Lacking(reason) if reason == "there is no GNU parallel"));
        assert!(matches!(of(Some(1), ""), End::Failed(_)));
        assert!(matches!(of(None, ""), End::Failed(_)));
        assert!(summary(&[("a", of(Some(LACKING), "")), ("b", of(Some(0), ""))]).is_ok());
        let failed = summary(&[("a", of(Some(0), "")), ("b", of(Some(2), ""))]);
        assert_eq!(failed, Err("failed: b".to_owned()));
    }

    #[test]
    fn every_script_is_there_and_another_name_is_an_error() {
        let all = named(&[]).unwrap();
        let names: Vec<String> = all.iter().map(|script| script.name.to_owned()).collect();
        assert_eq!(named(&names).unwrap().len(), SCRIPTS.len());
        assert!(named(&["absent".to_owned()]).is_err());
        let bench = root().unwrap().join("bench");
        for name in names {
            let file = |ending: &str| bench.join(&name).with_extension(ending).is_file();
            assert!(file("py") || file("sh"), "{name}");
        }
    }
}
