//! TOML text and the command line's overrides to a [`Document`].

use std::collections::BTreeMap;
use std::ops::Range;

use toml::de::{DeTable, DeValue};

use super::document::{Document, Entry, Value};
use super::error::{Candidates, Place, RecipeError};
use super::keys::{self, KEYS};
use super::validate::is_plain_name;

/// A recipe's text with its names.
#[derive(Debug)]
pub(super) struct RecipeText {
    /// The file's name in messages.
    pub label: String,
    /// The recipe's name where the key `name` is absent.
    pub stem: String,
    pub text: String,
}

/// One value from the command line, which replaces the file's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Override {
    /// The key with its sections, such as `optimizer.lr`.
    pub key: String,
    /// A TOML value, or a bare word, which is a string.
    pub value: String,
    /// The option that gave it, for messages.
    pub origin: Origin,
}

/// The option that an [`Override`] came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// `--set KEY=VALUE`.
    Set,
    /// An option with a name of its own, such as `--lr`.
    Flag(&'static str),
}

impl Override {
    /// Reads the argument of `--set`.
    ///
    /// # Errors
    /// [`RecipeError::NotAnOverride`] where there is no `=` or no key before it.
    pub fn parse_set(text: &str) -> Result<Self, RecipeError> {
        match text.split_once('=') {
            Some((key, value)) if !key.trim().is_empty() => Ok(Self {
                key: key.trim().to_owned(),
                value: value.trim().to_owned(),
                origin: Origin::Set,
            }),
            _ => Err(RecipeError::NotAnOverride {
                text: text.to_owned(),
            }),
        }
    }

    /// The value of an option with a name of its own: `Override::flag("--lr", "optimizer.lr", &0.1)`.
    pub fn flag(option: &'static str, key: &str, value: &impl ToString) -> Self {
        Self {
            key: key.to_owned(),
            value: value.to_string(),
            origin: Origin::Flag(option),
        }
    }

    /// The option as the user typed it.
    fn place(&self) -> Place {
        Place::CommandLine(match self.origin {
            Origin::Set => format!("--set {}={}", self.key, self.value),
            Origin::Flag(option) => format!("{option} {}", self.value),
        })
    }
}

/// Reads the text, then puts the overrides over it in their order.
pub(super) fn read(text: &RecipeText, overrides: &[Override]) -> Result<Document, RecipeError> {
    // Some editors begin a file with a byte order mark, which is no character of the first line.
    let toml = text.text.strip_prefix('\u{feff}').unwrap_or(&text.text);
    let places = Places::of(&text.label, toml);
    let place = |span: Range<usize>| places.at(span.start);
    let table = DeTable::parse(toml).map_err(|error| syntax_error(&error, &place))?;
    let mut document = Document {
        label: text.label.clone(),
        stem: text.stem.clone(),
        entries: BTreeMap::new(),
    };
    for (name, name_place, entry) in read_table(table.into_inner(), &place) {
        insert(&mut document.entries, &name, &name_place, entry)?;
    }
    note_own_name(&mut document, overrides);
    for given in overrides {
        let place = given.place();
        insert(
            &mut document.entries,
            &given.key,
            &place,
            read_override(given)?,
        )?;
    }
    Ok(document)
}

/// Keeps the recipe's own name, where `overrides` give the run another. That of a run that is repeated stays.
fn note_own_name(document: &mut Document, overrides: &[Override]) {
    let Some(given) = overrides.iter().find(|given| given.key == "name") else {
        return;
    };
    let own = match document.entries.get("name").map(|entry| &entry.value) {
        None => &document.stem,
        Some(Value::String(text)) => text,
        Some(_) => return,
    };
    if !document.entries.contains_key("based_on") && is_plain_name(own) {
        let entry = Entry {
            value: Value::String(own.clone()),
            place: given.place(),
            option_text: None,
        };
        document.entries.insert("based_on".to_owned(), entry);
    }
}

/// Puts a value at `key`, and the values of a section each at its own key.
fn insert(
    entries: &mut BTreeMap<String, Entry>,
    key: &str,
    key_place: &Place,
    entry: Entry,
) -> Result<(), RecipeError> {
    if KEYS.contains(&key) {
        entries.insert(key.to_owned(), entry);
        return Ok(());
    }
    if !keys::is_section(key) {
        return Err(RecipeError::UnknownKey {
            place: key_place.clone(),
            key: key.to_owned(),
            candidates: Box::new(Candidates {
                nearest: keys::nearest_key(key),
                all: keys::siblings(key),
            }),
        });
    }
    let Value::Table(fields) = entry.value else {
        return Err(entry.wrong_type(key, "a table"));
    };
    for (name, place, field) in fields {
        insert(entries, &format!("{key}.{name}"), &place, field)?;
    }
    Ok(())
}

/// The override's value as TOML, or as a string where it is a bare word.
fn read_override(given: &Override) -> Result<Entry, RecipeError> {
    let place = given.place();
    let anywhere = |_: Range<usize>| place.clone();
    let mut entry = match DeValue::parse(&given.value) {
        Ok(value) => read_value(value.into_inner(), place.clone(), &anywhere),
        Err(error) if given.value.starts_with(['"', '\'', '[', '{']) => {
            return Err(syntax_error(&error, &anywhere));
        }
        Err(_) => Entry {
            value: Value::String(given.value.clone()),
            place: place.clone(),
            option_text: None,
        },
    };
    entry.option_text = Some(given.value.clone());
    Ok(entry)
}

fn read_table(
    table: DeTable<'_>,
    place: &impl Fn(Range<usize>) -> Place,
) -> Vec<(String, Place, Entry)> {
    table
        .into_iter()
        .map(|(key, value)| {
            let value_place = place(value.span());
            let key_place = place(key.span());
            let entry = read_value(value.into_inner(), value_place, place);
            (key.into_inner().into_owned(), key_place, entry)
        })
        .collect()
}

fn read_value(value: DeValue<'_>, at: Place, place: &impl Fn(Range<usize>) -> Place) -> Entry {
    let value = match value {
        DeValue::String(text) => Value::String(text.into_owned()),
        DeValue::Integer(number) => Value::Integer(
            i128::from_str_radix(number.as_str(), number.radix()).unwrap_or(i128::MAX),
        ),
        // The TOML parser has checked the number's form; what `f64` still cannot read is no number.
        DeValue::Float(number) => Value::Float(number.as_str().parse().unwrap_or(f64::NAN)),
        DeValue::Boolean(flag) => Value::Boolean(flag),
        DeValue::Datetime(_) => Value::Datetime,
        DeValue::Array(items) => Value::Array(
            items
                .into_iter()
                .map(|item| {
                    let item_place = place(item.span());
                    read_value(item.into_inner(), item_place, place)
                })
                .collect(),
        ),
        DeValue::Table(table) => Value::Table(read_table(table, place)),
    };
    Entry {
        value,
        place: at,
        option_text: None,
    }
}

fn syntax_error(error: &toml::de::Error, place: &impl Fn(Range<usize>) -> Place) -> RecipeError {
    RecipeError::Syntax {
        place: place(error.span().unwrap_or(0..0)),
        message: error.message().lines().collect::<Vec<_>>().join("; "),
    }
}

/// Line and column of each byte of a file, counted from 1 in characters.
///
/// They are counted once: counting from the beginning for each value takes seconds where a long list
/// fills a recipe of the largest size.
struct Places<'a> {
    file: &'a str,
    of_bytes: Vec<(usize, usize)>,
}

impl<'a> Places<'a> {
    fn of(file: &'a str, text: &str) -> Self {
        let mut of_bytes = Vec::with_capacity(text.len() + 1);
        let (mut line, mut column) = (1, 1);
        for character in text.chars() {
            of_bytes.push((line, column));
            if character == '\n' {
                line += 1;
                column = 1;
            } else {
                column += 1;
            }
            // A character's further bytes belong to the place after it.
            let further = character.len_utf8() - 1;
            of_bytes.resize(of_bytes.len() + further, (line, column));
        }
        of_bytes.push((line, column));
        Self { file, of_bytes }
    }

    /// The place of a byte offset; of the end where it lies beyond.
    fn at(&self, offset: usize) -> Place {
        let place = self.of_bytes.get(offset).or(self.of_bytes.last());
        let (line, column) = place.copied().unwrap_or((1, 1));
        Place::File {
            file: self.file.to_owned(),
            line,
            column,
        }
    }
}
