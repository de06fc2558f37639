//! What can be wrong with a recipe, and where.

use std::fmt;
use std::io;
use std::path::PathBuf;

use super::keys::nearest;

/// Where a value was written. Its display begins every message about that value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// In a recipe file, at a line and a column, both counted from 1 in characters.
    File {
        /// The file as the user named it, or `configs/NAME.toml` for a built-in recipe.
        file: String,
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
    },
    /// On the command line: the option with its value, such as `--lr 5000`.
    CommandLine(String),
    /// Nowhere: the value is a default of the recipe in this file.
    Default(String),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { file, line, column } => write!(f, "{file}:{line}:{column}"),
            Self::CommandLine(option) => write!(f, "`{}`", one_line(option)),
            Self::Default(file) => write!(f, "{file}"),
        }
    }
}

/// Why a recipe could not be loaded. Each message is one line.
#[derive(Debug, thiserror::Error)]
pub enum RecipeError {
    /// No built-in recipe has this name.
    #[error(
        "there is no recipe `{}`; {candidates}; a file is named by its path, such as `./my.toml`",
        one_line(.name)
    )]
    UnknownRecipe {
        /// What was asked for.
        name: String,
        /// What it may be.
        candidates: Box<Candidates>,
    },
    /// The file does not exist.
    #[error("{}: there is no such file; check the path, or name a built-in recipe: {}", .path.display(), .known.join(", "))]
    NotFound {
        /// The file.
        path: PathBuf,
        /// The names of all built-in recipes.
        known: Vec<&'static str>,
    },
    /// The path is a folder.
    #[error("{}: this is a folder; name the recipe's .toml file", .path.display())]
    IsFolder {
        /// The folder.
        path: PathBuf,
    },
    /// The file is larger than any recipe.
    #[error("{}: this is larger than {limit} bytes and so no recipe; name a recipe's .toml file", .path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The largest size read.
        limit: u64,
    },
    /// The file exists but cannot be read.
    #[error("{}: cannot read this file: {source}; check its permissions", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is not text.
    #[error("{}: not UTF-8 at byte {offset}; save the recipe as UTF-8 text", .path.display())]
    NotUtf8 {
        /// The file.
        path: PathBuf,
        /// The first byte that is not UTF-8, counted from 0.
        offset: usize,
    },
    /// The text is not TOML.
    #[error("{place}: not valid TOML: {message}; `trainer recipes smoke` prints an example")]
    Syntax {
        /// Where.
        place: Place,
        /// What the TOML parser said, on one line.
        message: String,
    },
    /// `--set` without a key and an equals sign.
    #[error("`--set {}`: expected KEY=VALUE, such as `--set optimizer.lr=0.1`", one_line(.text))]
    NotAnOverride {
        /// What was given.
        text: String,
    },
    /// A key that no recipe has.
    #[error("{place}: unknown key `{}`; {}", one_line(.key), .candidates.nearest_or_all())]
    UnknownKey {
        /// Where the key is.
        place: Place,
        /// The key with its sections, such as `optimizer.lr`.
        key: String,
        /// What it may be.
        candidates: Box<Candidates>,
    },
    /// A value of the wrong type.
    #[error("{place}: `{key}` must be {expected}, found {found}")]
    WrongType {
        /// Where the value is.
        place: Place,
        /// The key.
        key: String,
        /// The type it should have.
        expected: &'static str,
        /// The type it has.
        found: String,
    },
    /// A name that is not among the choices.
    #[error("{place}: `{key}` cannot be \"{value}\"; {candidates}")]
    UnknownChoice {
        /// Where the value is.
        place: Place,
        /// The key.
        key: String,
        /// The value.
        value: String,
        /// What it may be.
        candidates: Box<Candidates>,
    },
    /// A value out of its range, or one that does not go with another.
    #[error("{place}: {problem}")]
    Invalid {
        /// Where the value is.
        place: Place,
        /// What is wrong and what to do.
        problem: String,
    },
}

/// The text with line ends and other control characters escaped, so that a message stays one line.
fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() {
            line.extend(character.escape_default());
        } else {
            line.push(character);
        }
    }
    line
}

/// The names that were possible where another one was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidates {
    /// The one most likely meant, where one is near enough.
    pub nearest: Option<String>,
    /// All of them.
    pub all: Vec<String>,
}

impl Candidates {
    /// The `all` names, the nearest to `name` among them found by `keys::nearest`.
    pub(super) fn of(name: &str, all: &[&str]) -> Self {
        Self {
            nearest: nearest(name, all.iter().copied()),
            all: all.iter().map(|name| (*name).to_owned()).collect(),
        }
    }

    /// The nearest name, or the list where none is near: keys are too many to list each time.
    fn nearest_or_all(&self) -> String {
        match &self.nearest {
            Some(nearest) => format!("did you mean `{nearest}`?"),
            None => format!("known here: {}", self.all.join(", ")),
        }
    }
}

impl fmt::Display for Candidates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = self.all.join(", ");
        match &self.nearest {
            Some(nearest) => write!(f, "did you mean `{nearest}`? (known here: {all})"),
            None => write!(f, "known here: {all}"),
        }
    }
}
