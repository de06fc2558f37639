//! The words of a command line, one option after the other.

use std::str::FromStr;

/// Options and their values. Both `--rounds 2` and `--rounds=2` are usual.
pub struct Arguments<'a> {
    rest: std::slice::Iter<'a, String>,
    name: &'a str,
    attached: Option<&'a str>,
}

impl<'a> Arguments<'a> {
    /// The options of `arguments`.
    pub fn new(arguments: &'a [String]) -> Self {
        Self {
            rest: arguments.iter(),
            name: "",
            attached: None,
        }
    }

    /// The next option as it was written, and its name alone.
    pub fn next(&mut self) -> Option<(&'a str, &'a str)> {
        let argument = self.rest.next()?;
        (self.name, self.attached) = match argument.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (argument.as_str(), None),
        };
        Some((argument, self.name))
    }

    /// The value of the option that came last.
    ///
    /// # Errors
    /// A message that names the option, where it has none.
    pub fn value(&mut self) -> Result<&'a str, String> {
        self.attached
            .or_else(|| self.rest.next().map(String::as_str))
            .ok_or_else(|| format!("{} needs a value", self.name))
    }

    /// The value of the option that came last, as a number of its kind.
    ///
    /// # Errors
    /// A message that names the option, where it has none or another value.
    pub fn number<N: FromStr>(&mut self) -> Result<N, String> {
        let value = self.value()?;
        value
            .parse()
            .map_err(|_| format!("{} takes a number, found {value}", self.name))
    }

    /// What follows the option that came last, as it was written.
    pub fn rest(self) -> Vec<String> {
        self.rest.cloned().collect()
    }
}
