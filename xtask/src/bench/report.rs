//! Where the report goes.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use super::figures::Row;
use super::host::Host;
use super::measure::{Plan, State};
use super::{json, markdown};

/// A report that is written anew as figures come.
#[derive(Debug)]
pub struct Report {
    /// The folder and name without an ending.
    stem: PathBuf,
    /// What the figures belong to.
    pub host: Host,
    /// The command that a person typed.
    pub command: String,
}

impl Report {
    /// Takes a name in `folder` that no report has: the processor and the day, with a number from the day's second
    /// report on.
    ///
    /// # Errors
    /// A message where the folder cannot be made.
    pub fn create(folder: &Path, host: Host, command: String) -> Result<Self, String> {
        fs::create_dir_all(folder)
            .map_err(|error| format!("{} cannot be made: {error}", folder.display()))?;
        let name = format!("{}-{}", slug(&host.processor), host.date);
        let mut stem = folder.join(&name);
        let mut number = 1;
        while with_ending(&stem, "md").exists() || with_ending(&stem, "json").exists() {
            number += 1;
            stem = folder.join(format!("{name}-{number}"));
        }
        Ok(Self {
            stem,
            host,
            command,
        })
    }

    /// The file for people.
    pub fn markdown_path(&self) -> PathBuf {
        with_ending(&self.stem, "md")
    }

    /// Writes both files.
    ///
    /// # Errors
    /// A message with the path.
    pub fn write(&mut self, plan: &Plan<'_>, rows: &[Row], state: State) -> Result<(), String> {
        let text = markdown::report(&self.host, &self.command, plan, rows, state);
        replace(&self.markdown_path(), &text)?;
        let value = json::report(&self.host, &self.command, plan, rows, state);
        replace(&with_ending(&self.stem, "json"), &format!("{value:#}\n"))
    }
}

/// Writes beside, flushes and renames, so that an interruption leaves the old file or the new one.
fn replace(path: &Path, text: &str) -> Result<(), String> {
    let beside = with_ending(path, "new");
    let written = File::create(&beside).and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&beside, path)
    });
    written.map_err(|error| format!("{} cannot be written: {error}", path.display()))
}

/// The path with an ending more; a processor's name may have a dot of its own.
fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(ending);
    name.into()
}

/// A name of small letters, digits and single hyphens.
fn slug(name: &str) -> String {
    name.to_lowercase()
        .split(|character: char| !character.is_ascii_alphanumeric())
        .filter(|part| !part.is_empty())
        .collect::<Vec<_>>()
        .join("-")
}

#[cfg(test)]
pub mod tests {
    use super::super::cases::Case;
    use super::super::contenders::Contender::*;
    use super::super::figures::tests::row;
    use super::*;

    /// A machine that does not change.
    pub fn host() -> Host {
        Host {
            processor: "AMD EPYC".to_owned(),
            instruction_sets: vec!["avx2", "fma"],
            cores: 2,
            load: "0.10 0.20 0.30".to_owned(),
            system: "linux x86_64".to_owned(),
            versions: vec![
                ("Burn", "0.22.1".to_owned()),
                ("PyTorch", "2.15.0".to_owned()),
            ],
            date: "2026-01-02".to_owned(),
        }
    }

    /// A report in `folder`.
    fn report(folder: &Path) -> Report {
        Report::create(folder, host(), "cargo xtask bench --quick".to_owned()).unwrap()
    }

    #[test]
    fn a_slug_has_letters_digits_and_single_hyphens() {
        assert_eq!(
            slug("Intel(R) Xeon(R) CPU @ 2.20GHz"),
            "intel-r-xeon-r-cpu-2-20ghz"
        );
        assert_eq!(slug("AMD EPYC"), "amd-epyc");
    }

    #[test]
    fn a_report_never_takes_the_place_of_another() {
        let folder = std::env::temp_dir().join(format!("xtask-report-{}", std::process::id()));
        let case = Case::from_name("train-resnet20-128").unwrap();
        let plan = Plan {
            cases: &[case],
            rounds: 2,
            seconds: 1.0,
        };
        let rows = [row(case.name, &[(Ours, &[100.0]), (TorchNchw, &[200.0])])];
        let mut first = report(&folder);
        first.write(&plan, &rows, State::InRound(1)).unwrap();
        let partial = fs::read_to_string(first.markdown_path()).unwrap();
        first.write(&plan, &rows, State::Complete).unwrap();
        let complete = fs::read_to_string(first.markdown_path()).unwrap();
        let mut second = report(&folder);
        second.write(&plan, &rows, State::Complete).unwrap();
        let mut names: Vec<_> = fs::read_dir(&folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        fs::remove_dir_all(&folder).unwrap();
        names.sort();
        assert_eq!(
            names,
            [
                "amd-epyc-2026-01-02-2.json",
                "amd-epyc-2026-01-02-2.md",
                "amd-epyc-2026-01-02.json",
                "amd-epyc-2026-01-02.md"
            ]
        );
        assert!(partial.contains("Partial"));
        assert!(!complete.contains("Partial"));
    }
}
