//! Text for standard output: a terminal has a width, obeys control characters and can open files; a
//! file or another program gets everything in full.

mod table;

use std::io::IsTerminal;
use std::path::Path;

pub use table::{Column, Kind, table};
use unicode_width::UnicodeWidthStr;

/// What stands for the middle of a name that has no room.
const CUT: &str = "…";

/// Columns of the terminal on standard output; nothing where there is no terminal, and nothing is to be
/// shortened.
#[must_use]
pub fn width() -> Option<usize> {
    let (width, _) = terminal_size::terminal_size_of(std::io::stdout())?;
    (width.0 > 0).then_some(width.0.into())
}

/// Whether standard output is a terminal that can move its cursor, which a dumb one cannot.
#[must_use]
pub fn can_be_filled() -> bool {
    let is_dumb = std::env::var_os("TERM").is_some_and(|name| name == "dumb");
    !is_dumb && std::io::stdout().is_terminal()
}

/// `text` with every character that a terminal would obey, or that changes the direction of writing, in
/// the form that Rust writes it in: a file's name can hold any.
#[must_use]
pub fn escaped(text: &str) -> String {
    escaped_but(text, &[])
}

/// As [`escaped`], for a message of several lines.
#[must_use]
pub fn escaped_message(text: &str) -> String {
    escaped_but(text, &['\n', '\t'])
}

fn escaped_but(text: &str, kept: &[char]) -> String {
    let is_shown = |letter: char| kept.contains(&letter) || !is_obeyed(letter);
    let mut shown = String::with_capacity(text.len());
    for letter in text.chars() {
        if is_shown(letter) {
            shown.push(letter);
        } else {
            shown.extend(letter.escape_default());
        }
    }
    shown
}

/// Control characters, and the marks of Unicode's bidirectional algorithm (UAX #9, table 4).
fn is_obeyed(letter: char) -> bool {
    letter.is_control()
        || matches!(letter, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// `path` for standard output, so that a terminal opens it at a click: whole, or from `./`, which
/// terminals know as a path; and as a link where the terminal may be sent more than text.
#[must_use]
pub fn path(path: &Path) -> String {
    let text = shown_path(path);
    let says = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    if says("NO_COLOR") || !says("TERM") || !can_be_filled() {
        return text;
    }
    match std::path::absolute(path) {
        Ok(whole) => link(&whole, &text),
        Err(_) => text,
    }
}

/// A path's text, which begins with `/`, a drive, `./` or `../`.
fn shown_path(path: &Path) -> String {
    let text = escaped(&path.display().to_string());
    let bare = path.is_relative() && !path.starts_with(".") && !path.starts_with("..");
    if bare { format!("./{text}") } else { text }
}

/// A hyperlink in the sequence that terminals agreed on (OSC 8), with an address in which only letters,
/// digits and `-._~/` stand for themselves.
fn link(whole: &Path, text: &str) -> String {
    let mut address = String::from("file://");
    for byte in whole.to_string_lossy().bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            address.push(byte.into());
        } else {
            address += &format!("%{byte:02X}");
        }
    }
    format!("\x1b]8;;{address}\x1b\\{text}\x1b]8;;\x1b\\")
}

/// `text` in at most `width` columns, without its middle where it is longer: the end of a file's name
/// says more than what is before it.
#[must_use]
pub fn shortened(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let room = width.saturating_sub(CUT.width());
    let begin: String = taken(text.chars(), room / 3).collect();
    let mut end: Vec<char> = taken(text.chars().rev(), room - begin.width()).collect();
    end.reverse();
    format!("{begin}{CUT}{}", end.into_iter().collect::<String>())
}

/// The first of `letters` that have room in `width` columns.
fn taken(letters: impl Iterator<Item = char>, width: usize) -> impl Iterator<Item = char> {
    let mut used = 0;
    letters.take_while(move |letter| {
        used += letter.to_string().width();
        used <= width
    })
}

/// `text` in lines of at most `width` columns where a terminal has that many, broken between words; all
/// lines but the first begin with `indent` spaces. A word that no line has room for is shortened.
#[must_use]
pub fn wrapped(text: &str, width: Option<usize>, indent: usize) -> String {
    let Some(width) = width else {
        return text.to_owned();
    };
    let (mut lines, mut line, mut is_fresh) = (String::new(), String::new(), true);
    for word in text.split(' ') {
        let word = shortened(word, width.saturating_sub(indent));
        if !line.trim().is_empty() && line.width() + 1 + word.width() > width {
            lines += line.trim_end();
            lines.push('\n');
            line = " ".repeat(indent);
            is_fresh = true;
        }
        if !is_fresh {
            line.push(' ');
        }
        line.push_str(&word);
        is_fresh = false;
    }
    lines + line.trim_end()
}

#[cfg(test)]
mod tests;
