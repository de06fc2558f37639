//! The code that README.md and docs/ show.

use std::fs;
use std::path::{Path, PathBuf};

/// Code in a document.
#[derive(Debug)]
pub struct Code {
    /// File and line.
    pub place: String,
    /// A line of a block, with those that continue it, or what stands in a sentence.
    pub text: String,
    /// Whether it stands in a sentence.
    pub inline: bool,
}

/// The code of README.md and of each file in docs/.
pub fn code() -> Vec<Code> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .find(|folder| folder.join("Cargo.lock").exists())
        .unwrap();
    let mut files: Vec<PathBuf> = fs::read_dir(root.join("docs"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .collect();
    files.push(root.join("README.md"));
    files.sort();
    files.iter().flat_map(|file| code_of(file)).collect()
}

fn code_of(file: &Path) -> Vec<Code> {
    let text = fs::read_to_string(file).unwrap();
    let name = file.file_name().unwrap().to_string_lossy();
    let (mut found, mut fenced) = (Vec::<Code>::new(), false);
    for (number, line) in (1..).zip(text.lines()) {
        let place = format!("{name}:{number}");
        if line.starts_with("```") {
            fenced = !fenced;
        } else if fenced || line.starts_with("    ") {
            let line = without_remark(line.trim());
            match found.last_mut() {
                Some(before) if continues(before, line) => {
                    before.text = format!("{} {line}", before.text.trim_end_matches('\\').trim());
                }
                _ => found.push(Code {
                    place,
                    text: line.to_owned(),
                    inline: false,
                }),
            }
        } else {
            found.extend(line.split('`').skip(1).step_by(2).map(|span| Code {
                place: place.clone(),
                text: span.to_owned(),
                inline: true,
            }));
        }
    }
    found
}

/// Whether a line of a block belongs to the one before, by a backslash there or an option here.
fn continues(before: &Code, line: &str) -> bool {
    !before.inline && (before.text.ends_with('\\') || line.starts_with("--"))
}

fn without_remark(line: &str) -> &str {
    if line.starts_with('#') {
        return "";
    }
    line.split(" #").next().unwrap_or(line).trim_end()
}
