//! A recipe's text as a flat list of keys, each with its value and the place where it was written.

use std::collections::BTreeMap;

use super::error::{Candidates, Place, RecipeError};

/// A TOML value whose parts know where they were written.
#[derive(Debug, Clone)]
pub(super) enum Value {
    String(String),
    /// Integers beyond 128 bits are held at the limit; every range check refuses them.
    Integer(i128),
    Float(f64),
    Boolean(bool),
    /// A date or time, which no key takes.
    Datetime,
    Array(Vec<Entry>),
    /// Keys in alphabetical order, with the place of each key.
    Table(Vec<(String, Place, Entry)>),
}

impl Value {
    /// What a message says was found.
    fn describe(&self) -> String {
        match self {
            Self::String(text) => format!("the string \"{}\"", text.escape_debug()),
            Self::Integer(number) => format!("the integer {number}"),
            Self::Float(number) => format!("the number {number}"),
            Self::Boolean(flag) => format!("{flag}"),
            Self::Datetime => "a date or time".to_owned(),
            Self::Array(_) => "an array".to_owned(),
            Self::Table(_) => "a table".to_owned(),
        }
    }
}

/// A value, where it was written, and its text where that was the command line.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub value: Value,
    pub place: Place,
    /// The command line's own text, so that a key of type string takes `123` and `true` as they are.
    pub option_text: Option<String>,
}

impl Entry {
    /// The elements of an array of tables.
    pub fn elements(&self, key: &str, example: &'static str) -> Result<&[Self], RecipeError> {
        match &self.value {
            Value::Array(items) => Ok(items),
            _ => Err(self.wrong_type(key, example)),
        }
    }

    /// The fields of a table that is an element of the array `key`.
    pub fn fields(&self, key: &str) -> Result<&[(String, Place, Self)], RecipeError> {
        match &self.value {
            Value::Table(fields) => Ok(fields),
            _ => Err(self.wrong_type(key, "an array of tables such as [{ name = \"flip\" }]")),
        }
    }

    /// The value of one field.
    pub fn field(&self, key: &str, wanted: &str) -> Result<Option<&Self>, RecipeError> {
        let fields = self.fields(key)?;
        let found = fields.iter().find(|(name, ..)| name == wanted);
        Ok(found.map(|(.., entry)| entry))
    }

    /// The error for a value of another type than `expected`, such as "a number".
    pub fn wrong_type(&self, key: &str, expected: &'static str) -> RecipeError {
        RecipeError::WrongType {
            place: self.place.clone(),
            key: key.to_owned(),
            expected,
            found: self.value.describe(),
        }
    }

    /// The error for a value out of its range.
    pub fn invalid(&self, problem: impl Into<String>) -> RecipeError {
        RecipeError::Invalid {
            place: self.place.clone(),
            problem: problem.into(),
        }
    }

    pub fn as_number(&self, key: &str) -> Result<f64, RecipeError> {
        match self.value {
            Value::Float(number) => Ok(number),
            #[expect(
                clippy::cast_precision_loss,
                reason = "numbers this large are out of every range"
            )]
            Value::Integer(number) => Ok(number as f64),
            _ => Err(self.wrong_type(key, "a number")),
        }
    }

    /// A whole number from 0 to 2^63 - 1, the largest that TOML promises to keep.
    pub fn as_integer(&self, key: &str) -> Result<u64, RecipeError> {
        let Value::Integer(number) = self.value else {
            return Err(self.wrong_type(key, "an integer"));
        };
        if number < 0 {
            return Err(self.invalid(format!("`{key}` must not be negative, found {number}")));
        }
        i64::try_from(number)
            .ok()
            .and_then(|number| u64::try_from(number).ok())
            .ok_or_else(|| {
                self.invalid(format!(
                    "`{key}` is too large: {number}; the largest whole number in a recipe is {}",
                    i64::MAX
                ))
            })
    }

    pub fn as_count(&self, key: &str) -> Result<usize, RecipeError> {
        let number = self.as_integer(key)?;
        usize::try_from(number)
            .map_err(|_| self.invalid(format!("`{key}` is too large for this machine: {number}")))
    }

    pub fn as_flag(&self, key: &str) -> Result<bool, RecipeError> {
        match self.value {
            Value::Boolean(flag) => Ok(flag),
            _ => Err(self.wrong_type(key, "true or false")),
        }
    }

    pub fn as_text(&self, key: &str) -> Result<&str, RecipeError> {
        match (&self.value, &self.option_text) {
            (Value::String(text), _) | (_, Some(text)) => Ok(text),
            _ => Err(self.wrong_type(key, "a string")),
        }
    }

    /// The one of `choices` that the value names.
    pub fn as_choice(
        &self,
        key: &str,
        choices: &[&'static str],
    ) -> Result<&'static str, RecipeError> {
        let text = self.as_text(key)?;
        choices
            .iter()
            .find(|choice| **choice == text)
            .copied()
            .ok_or_else(|| self.unknown_choice(key, choices))
    }

    /// The error for a name that is not among `choices`.
    pub fn unknown_choice(&self, key: &str, choices: &[&str]) -> RecipeError {
        let value = match &self.value {
            Value::String(text) => text.clone(),
            other => other.describe(),
        };
        RecipeError::UnknownChoice {
            place: self.place.clone(),
            key: key.to_owned(),
            candidates: Box::new(Candidates::of(&value, choices)),
            value: value.escape_debug().to_string(),
        }
    }
}

/// All keys that the file and the command line set, by their dotted names.
#[derive(Debug)]
pub(super) struct Document {
    /// The file's name in messages.
    pub label: String,
    /// The recipe's name where the key `name` is absent.
    pub stem: String,
    pub entries: BTreeMap<String, Entry>,
}

impl Document {
    /// The element of an array of tables as a document of its own, whose keys are those of `known` after
    /// `section` and a dot. A key that is not `known` is refused by the name `section.kind.key`.
    pub fn of_element(
        section: &str,
        kind: &str,
        item: &Entry,
        known: &[&str],
    ) -> Result<Self, RecipeError> {
        let mut entries = BTreeMap::new();
        for (name, place, field) in item.fields(section)? {
            if !known.contains(&name.as_str()) {
                return Err(RecipeError::UnknownKey {
                    place: place.clone(),
                    key: format!("{section}.{kind}.{name}"),
                    candidates: Box::new(Candidates::of(name, known)),
                });
            }
            entries.insert(format!("{section}.{name}"), field.clone());
        }
        Ok(Self {
            label: item.place.to_string(),
            stem: String::new(),
            entries,
        })
    }

    pub fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries.get(key)
    }

    /// Whether the command line sets `key`.
    pub fn is_override(&self, key: &str) -> bool {
        self.entry(key)
            .is_some_and(|entry| matches!(entry.place, Place::CommandLine(_)))
    }

    /// Where a problem between several keys is best put right: at the first of them that the command
    /// line sets, else the first that the file sets, else the file as a whole.
    pub fn place(&self, keys: &[&str]) -> Place {
        let entries = || keys.iter().filter_map(|key| self.entry(key));
        entries()
            .find(|entry| matches!(entry.place, Place::CommandLine(_)))
            .or_else(|| entries().next())
            .map_or_else(
                || Place::Default(self.label.clone()),
                |entry| entry.place.clone(),
            )
    }

    /// The error for values that do not go together, at the [`Document::place`] of `keys`.
    pub fn conflict(&self, keys: &[&str], problem: impl Into<String>) -> RecipeError {
        RecipeError::Invalid {
            place: self.place(keys),
            problem: problem.into(),
        }
    }

    /// The number at `key`, which must satisfy `range`; `rule` says the range in words.
    pub fn number(
        &self,
        key: &str,
        default: f64,
        rule: &str,
        range: impl Fn(f64) -> bool,
    ) -> Result<f64, RecipeError> {
        let Some(entry) = self.entry(key) else {
            return Ok(default);
        };
        let number = entry.as_number(key)?;
        if range(number) {
            // Negative zero would pass as 0 and yet change the recipe's hash.
            Ok(if number == 0.0 { 0.0 } else { number })
        } else {
            Err(entry.invalid(format!("`{key}` must be {rule}, found {}", plain(number))))
        }
    }

    /// The whole number at `key`, which must be at least `least`.
    pub fn count(&self, key: &str, default: usize, least: usize) -> Result<usize, RecipeError> {
        let Some(entry) = self.entry(key) else {
            return Ok(default);
        };
        let count = entry.as_count(key)?;
        if count < least {
            return Err(entry.invalid(format!("`{key}` must be at least {least}, found {count}")));
        }
        Ok(count)
    }

    pub fn flag(&self, key: &str, default: bool) -> Result<bool, RecipeError> {
        self.entry(key)
            .map_or(Ok(default), |entry| entry.as_flag(key))
    }

    pub fn choice(
        &self,
        key: &str,
        default: &'static str,
        choices: &[&'static str],
    ) -> Result<&'static str, RecipeError> {
        self.entry(key)
            .map_or(Ok(default), |entry| entry.as_choice(key, choices))
    }
}

/// A number as a person would write it: large and small ones with an exponent.
fn plain(number: f64) -> String {
    if number != 0.0 && number.is_finite() && !(1e-6..1e15).contains(&number.abs()) {
        format!("{number:e}")
    } else {
        number.to_string()
    }
}
