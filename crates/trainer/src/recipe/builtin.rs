//! The recipes of `configs/`, embedded in the program so that an installed one has them anywhere.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;

use super::DatasetSpec;
use super::error::{Candidates, RecipeError};
use super::file::RecipeText;

/// More bytes than any recipe has. It keeps a wrong path, such as a data file, from being read whole.
const LARGEST_RECIPE: u64 = 1 << 16;

/// A recipe that is part of the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Builtin {
    /// What `--config` calls it.
    pub name: &'static str,
    /// The file's text, with the comment that says what it gives.
    pub text: &'static str,
}

macro_rules! embed {
    ($($name:literal),+ $(,)?) => {
        &[$(Builtin {
            name: $name,
            text: include_str!(concat!("../../../../configs/", $name, ".toml")),
        }),+]
    };
}

/// The built-in recipes, the default one first.
pub fn builtin() -> &'static [Builtin] {
    embed![
        "default",
        "resnet18",
        "resnet20",
        "resnet20-quick",
        "smoke",
        "speedrun-94",
        "speedrun-95",
        "speedrun-96",
        "tutorial"
    ]
}

impl Builtin {
    /// The first sentence of the file's comment: what the recipe gives, on one line.
    pub fn summary(&self) -> &'static str {
        self.text
            .lines()
            .next()
            .map_or("", |line| line.trim_start_matches('#').trim())
    }
}

/// The names of the built-in recipes that train `network` on CIFAR-10.
pub fn made_for(network: &str) -> Vec<&'static str> {
    let made = builtin().iter().filter(|recipe| {
        super::load(recipe.name, &[], &[network])
            .is_ok_and(|recipe| recipe.data.source == DatasetSpec::Cifar10)
    });
    made.map(|recipe| recipe.name).collect()
}

/// Finds the text of a recipe by the rule of [`super::load`].
pub(super) fn find(name_or_file: &str) -> Result<RecipeText, RecipeError> {
    let path = Path::new(name_or_file);
    let is_path = name_or_file.contains(std::path::is_separator)
        || path
            .extension()
            .is_some_and(|extension| extension.eq_ignore_ascii_case("toml"));
    if is_path {
        return read(path);
    }
    if let Some(recipe) = builtin().iter().find(|recipe| recipe.name == name_or_file) {
        return Ok(RecipeText {
            label: format!("configs/{}.toml", recipe.name),
            stem: recipe.name.to_owned(),
            text: recipe.text.to_owned(),
        });
    }
    if path.is_file() {
        return read(path);
    }
    Err(RecipeError::UnknownRecipe {
        name: name_or_file.to_owned(),
        candidates: Box::new(Candidates::of(name_or_file, &names())),
    })
}

fn names() -> Vec<&'static str> {
    builtin().iter().map(|recipe| recipe.name).collect()
}

fn read(path: &Path) -> Result<RecipeText, RecipeError> {
    let failed = |source: std::io::Error| match source.kind() {
        ErrorKind::NotFound => RecipeError::NotFound {
            path: path.to_owned(),
            known: names(),
        },
        _ => RecipeError::Unreadable {
            path: path.to_owned(),
            source,
        },
    };
    if path.is_dir() {
        return Err(RecipeError::IsFolder {
            path: path.to_owned(),
        });
    }
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(LARGEST_RECIPE + 1).read_to_end(&mut bytes))
        .map_err(failed)?;
    if bytes.len() as u64 > LARGEST_RECIPE {
        return Err(RecipeError::TooLarge {
            path: path.to_owned(),
            limit: LARGEST_RECIPE,
        });
    }
    let text = String::from_utf8(bytes).map_err(|error| RecipeError::NotUtf8 {
        path: path.to_owned(),
        offset: error.utf8_error().valid_up_to(),
    })?;
    Ok(RecipeText {
        label: path.display().to_string(),
        stem: path
            .file_stem()
            .map_or_else(String::new, |stem| stem.to_string_lossy().into_owned()),
        text,
    })
}
