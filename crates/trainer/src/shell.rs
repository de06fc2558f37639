//! Commands that are shown to be typed.

use std::path::Path;

/// `words` as a line for a shell, each quoted where it has to be.
#[must_use]
pub fn line<'a>(words: impl IntoIterator<Item = &'a str> + Clone) -> String {
    // A word with a zero byte cannot come from a command line, and is shown as it is.
    shlex::try_join(words.clone())
        .unwrap_or_else(|_| words.into_iter().collect::<Vec<_>>().join(" "))
}

/// `path` as a word for a shell.
#[must_use]
pub fn path(path: &Path) -> String {
    line([path.to_string_lossy().as_ref()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_shell_would_take_apart_is_quoted_and_nothing_else() {
        assert_eq!(path(Path::new("artifacts/smoke-1")), "artifacts/smoke-1");
        let spaced = path(Path::new("my runs/it's"));
        assert_eq!(
            shlex::split(&spaced),
            Some(vec!["my runs/it's".to_owned()]),
            "{spaced}"
        );
        assert_eq!(
            line(["trainer", "eval", "--run", "a b"]),
            "trainer eval --run 'a b'"
        );
    }
}
