//! Recipes and the command line's `--set`.

use model::NetworkKind;
use trainer::recipe::{self, Override, Recipe, RecipeError};

use super::Read;

/// A recipe's text.
pub(super) fn recipe(input: &[u8]) -> Read {
    let Ok(text) = std::str::from_utf8(input) else {
        return Read::Refused;
    };
    checked(recipe::from_text("input", text, &[], &NetworkKind::NAMES))
}

/// Arguments of `--set`, a line each, over the default recipe.
pub(super) fn overrides(input: &[u8]) -> Read {
    let Ok(text) = std::str::from_utf8(input) else {
        return Read::Refused;
    };
    let overrides = text.lines().map(Override::parse_set);
    checked(
        overrides
            .collect::<Result<Vec<_>, _>>()
            .and_then(|overrides| recipe::load("default", &overrides, &NetworkKind::NAMES)),
    )
}

/// A recipe that is read and written again reads the same, and every refusal is one line.
fn checked(read: Result<Recipe, RecipeError>) -> Read {
    match &read {
        Ok(recipe) => {
            let text = recipe.to_toml();
            let again = recipe::from_text("again", &text, &[], &NetworkKind::NAMES);
            assert_eq!(again.as_ref().ok(), Some(recipe), "{text}");
            assert_eq!(again.map(|again| again.hash()).ok(), Some(recipe.hash()));
        }
        Err(error) => {
            let message = error.to_string();
            assert!(
                !message.is_empty() && !message.chars().any(char::is_control),
                "{message:?}"
            );
        }
    }
    Read::of(&read)
}
