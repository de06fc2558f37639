//! Where two recipes differ.

use std::collections::BTreeMap;
use std::fmt;

use toml::Value;

use super::Recipe;

/// A key on which two recipes differ. Its display reads `key = one, not other`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The key with its sections, such as `optimizer.lr`.
    pub key: String,
    /// The first recipe's value as TOML; none where it has no such key.
    pub first: Option<String>,
    /// The second recipe's value.
    pub second: Option<String>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |value: &Option<String>| value.clone().unwrap_or_else(|| "absent".to_owned());
        let (first, second) = (shown(&self.first), shown(&self.second));
        write!(f, "{} = {first}, not {second}", self.key)
    }
}

impl Recipe {
    /// The keys on which this recipe and `other` differ, in alphabetical order. Names do not count.
    #[must_use]
    pub fn differences(&self, other: &Self) -> Vec<Difference> {
        let (first, second) = (self.values(), other.values());
        let mut keys: Vec<&String> = first.keys().chain(second.keys()).collect();
        keys.sort_unstable();
        keys.dedup();
        keys.into_iter()
            .filter(|key| first.get(*key) != second.get(*key))
            .map(|key| Difference {
                key: key.clone(),
                first: first.get(key).cloned(),
                second: second.get(key).cloned(),
            })
            .collect()
    }

    /// Each key but the names, with its value as TOML.
    fn values(&self) -> BTreeMap<String, String> {
        let mut values = BTreeMap::new();
        // The text is our own, so that it parses; one that did not would have no keys.
        flatten("", self.settings().parse().unwrap_or_default(), &mut values);
        values
    }
}

fn flatten(section: &str, table: toml::Table, values: &mut BTreeMap<String, String>) {
    for (name, value) in table {
        match value {
            Value::Table(inner) => flatten(&format!("{section}{name}."), inner, values),
            other => {
                values.insert(format!("{section}{name}"), other.to_string());
            }
        }
    }
}
