//! Commands of other programs: what they name is there, and they are run where the program is installed
//! and they take less than a minute.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::shown::{self, Code};
use crate::finished;

/// The beginnings of commands of other programs that documents show.
const PROGRAMS: [&str; 5] = ["cargo ", "python ", "bench/", "curl ", "tensorboard "];

fn root() -> &'static Path {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap()
}

/// Why a command of another program is none that it takes.
fn refused(text: &str) -> Option<String> {
    let words = shlex::split(text)?;
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let reason = |reason: String| Some(reason);
    let value = |option: &str| {
        let place = words.iter().position(|word| *word == option)?;
        words.get(place + 1).copied()
    };
    match words[..] {
        // The tests of xtask and of this program read the rest.
        ["cargo", "xtask", ..] => None,
        ["cargo", "run" | "test", ..] => {
            let package = value("-p").or(value("--package"))?;
            let folder = root().join("crates").join(package);
            if !folder.join("Cargo.toml").is_file() {
                return reason(format!("there is no package {package}"));
            }
            let example = value("--example")?;
            let file = folder.join("examples").join(example).with_extension("rs");
            (!file.is_file()).then(|| format!("there is no example {example}"))
        }
        ["python", script, ref options @ ..] => {
            let Ok(code) = fs::read_to_string(root().join(script)) else {
                return reason(format!("there is no script {script}"));
            };
            let unknown = options.iter().find(|word| {
                word.starts_with("--") && !code.contains(&format!("add_argument(\"{word}\""))
            });
            unknown.map(|option| format!("{script} has no option {option}"))
        }
        ["curl", "--data-binary", data, url] => {
            let is_known = data.starts_with('@') && url.starts_with("http://localhost:");
            (!is_known).then(|| "it is another request".to_owned())
        }
        ["tensorboard", "--logdir", "artifacts"] => None,
        [file, ..] if file.starts_with("bench/") => {
            (!root().join(file).exists()).then(|| format!("there is no {file}"))
        }
        _ => reason("it is not known here".to_owned()),
    }
}

#[test]
fn every_command_of_another_program_names_what_there_is() {
    let mut read = 0;
    for code in shown::code() {
        if PROGRAMS
            .iter()
            .any(|program| code.text.starts_with(program))
        {
            read += 1;
            assert_eq!(refused(&code.text), None, "{}: `{}`", code.place, code.text);
        }
    }
    assert!(read > 30, "{read} commands");
    for wrong in [
        "cargo run -p absent",
        "cargo run -p model --example absent",
        "python bench/absent.py",
        "python bench/check_exports.py --absent",
        "curl --data-binary cat.jpg http://localhost:8000/photo",
        "tensorboard --log artifacts",
        "bench/absent.sh",
    ] {
        assert!(refused(wrong).is_some(), "{wrong}");
    }
}

/// A program that is installed, or stands in the environment that `cargo xtask bench` makes.
fn installed(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let peers = std::env::var_os("HOME")
        .map(|home| Path::new(&home).join(".cache/cifar10-trainer/peers/bin"));
    let mut folders = std::env::split_paths(&path).chain(peers);
    folders.find_map(|folder| Some(folder.join(name)).filter(|file| file.is_file()))
}

/// Whether a command succeeds, and what it says.
fn succeeds(command: &mut Command) -> (bool, String) {
    let output = command.stdin(Stdio::null()).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (
        output.status.success(),
        String::from_utf8_lossy(&said).into_owned(),
    )
}

/// The request of the documents to the page at `url`.
pub fn curl(code: &[Code], folder: &Path, url: &str) {
    let shown = code.iter().find(|code| code.text.starts_with("curl "));
    let shown = &shown.unwrap().text;
    let Some(program) = installed("curl") else {
        eprintln!("not run, for lack of curl: {shown}");
        return;
    };
    let text = shown.replace("http://localhost:8000/", url);
    assert_ne!(&text, shown);
    let words = shlex::split(&text).unwrap();
    let (ends_well, said) = succeeds(
        Command::new(program)
            .args(["--silent", "--fail"])
            .args(&words[1..])
            .current_dir(folder),
    );
    assert!(ends_well && said.contains("probability"), "{text}: {said}");
}

#[test]
fn python_reads_every_script_that_a_document_names() {
    let Some(python) = installed("python3") else {
        eprintln!("not run, for lack of python3");
        return;
    };
    let code = shown::code();
    let scripts = code
        .iter()
        .filter_map(|code| code.text.strip_prefix("python "));
    for script in scripts.filter_map(|rest| rest.split(' ').next()) {
        let check = "import ast, sys; ast.parse(open(sys.argv[1]).read())";
        let (ends_well, said) = succeeds(
            Command::new(&python)
                .args(["-c", check, script])
                .current_dir(root()),
        );
        assert!(ends_well, "{script}: {said}");
    }
}

#[test]
fn tensorboard_finds_what_a_run_logs_where_the_document_says() {
    let Some(program) = installed("tensorboard") else {
        eprintln!("not run, for lack of tensorboard");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    finished(&folder.path().join("artifacts"), &[]);
    let shown = "tensorboard --logdir artifacts";
    assert!(shown::code().iter().any(|code| code.text == shown));
    let words = shlex::split(shown).unwrap();
    // It says what it would show, in place of showing it.
    let (ends_well, said) = succeeds(
        Command::new(program)
            .args(&words[1..])
            .arg("--inspect")
            .current_dir(folder.path()),
    );
    assert!(ends_well && said.contains("loss/step"), "{said}");
}

/// Runs a script that spreads a sweep and compares its table, unless it says that it lacks what it needs.
fn gives_the_table_of_one_process(script: &str) {
    assert!(shown::code().iter().any(|code| code.text == script));
    let program = env!("CARGO_BIN_EXE_trainer");
    let (ends_well, said) = succeeds(
        Command::new("sh")
            .args([script, program])
            .current_dir(root()),
    );
    if said.starts_with("skipped: ") {
        eprintln!("not run, {script}: {said}");
        return;
    }
    assert!(
        ends_well && said.contains("the table of one process"),
        "{said}"
    );
}

#[test]
fn the_sweep_under_gnu_parallel_gives_the_table_of_one_process() {
    gives_the_table_of_one_process("bench/sweep_parallel.sh");
}

#[test]
fn the_sweep_under_slurm_gives_the_table_of_one_process() {
    gives_the_table_of_one_process("bench/sweep_slurm.sh");
}
