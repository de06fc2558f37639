//! Commands that are shown to be typed.

use std::borrow::Cow;
use std::path::Path;

/// `words` as a line for a shell, each quoted where it has to be.
#[must_use]
pub fn line<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let words = words.into_iter().map(|word| {
        if word.chars().any(char::is_control) {
            return with_escapes(word);
        }
        // Only a word with a zero byte cannot be quoted, and that is one with a control character.
        shlex::try_quote(word).map_or_else(|_| with_escapes(word), Cow::into_owned)
    });
    words.collect::<Vec<_>>().join(" ")
}

/// `word` in the quotes of bash and zsh in which a control character has a form that can be shown and
/// typed.
fn with_escapes(word: &str) -> String {
    let letters = word.chars().map(|letter| match letter {
        '\'' | '\\' => format!("\\{letter}"),
        letter if letter.is_control() => {
            let mut bytes = [0; 4];
            let bytes = letter.encode_utf8(&mut bytes).bytes();
            bytes.map(|byte| format!("\\x{byte:02x}")).collect()
        }
        letter => letter.to_string(),
    });
    format!("$'{}'", letters.collect::<String>())
}

/// `path` as a word for a shell.
#[must_use]
pub fn path(path: &Path) -> String {
    line([path.to_string_lossy().as_ref()])
}

/// `path` from the root, for a command that is typed in any folder; as it is where the working folder
/// is gone.
#[must_use]
pub fn whole_path(path: &Path) -> String {
    let whole = std::path::absolute(path);
    let whole = whole.as_deref().unwrap_or(path);
    whole.to_string_lossy().into_owned()
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

    #[test]
    fn a_terminal_obeys_nothing_of_a_word_that_bash_reads_as_it_was() {
        let word = "it's\u{1b}[31m\n\\a\u{9b}";
        let shown = path(Path::new(word));
        assert_eq!(shown, r"$'it\'s\x1b[31m\x0a\\a\xc2\x9b'");
        let Ok(read) = std::process::Command::new("bash")
            .args(["-c", &format!("printf %s {shown}")])
            .output()
        else {
            return;
        };
        assert_eq!(read.stdout, word.as_bytes());
    }
}
