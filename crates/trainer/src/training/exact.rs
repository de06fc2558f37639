//! Numbers in JSON that read back bit for bit: the bits of an `f64` as sixteen hexadecimal digits.
//!
//! Decimal text would do with a reader that rounds correctly. Bits need no such reader. Those of an infinity
//! and of what is no number are refused: no run that goes on has one.

use serde::{Deserialize, Deserializer, Serializer};

/// For `#[serde(with = "exact")]` on an `f64`.
pub fn serialize<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&digits(*value))
}

/// For `#[serde(with = "exact")]` on an `f64`.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    parse(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
}

fn digits(value: f64) -> String {
    format!("{:016x}", value.to_bits())
}

fn parse(text: &str) -> Result<f64, String> {
    let digits = text
        .bytes()
        .all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    if text.len() != 16 || !digits {
        return Err(format!("`{}` is no number's bits", text.escape_debug()));
    }
    let bits = u64::from_str_radix(text, 16).map_err(|error| error.to_string())?;
    let value = f64::from_bits(bits);
    if value.is_finite() {
        Ok(value)
    } else {
        Err(format!("`{text}` stands for {value}"))
    }
}

/// For `#[serde(with = "exact::option")]` on an `Option<f64>`.
pub mod option {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    /// For `#[serde(with = "exact::option")]`.
    pub fn serialize<S: Serializer>(value: &Option<f64>, serializer: S) -> Result<S::Ok, S::Error> {
        value.map(super::digits).serialize(serializer)
    }

    /// For `#[serde(with = "exact::option")]`.
    pub fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<f64>, D::Error> {
        Option::<String>::deserialize(deserializer)?
            .map(|text| super::parse(&text).map_err(serde::de::Error::custom))
            .transpose()
    }
}
