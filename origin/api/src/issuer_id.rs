//! The short, stable name of an issuer.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// An issuer's id: 1 to 64 of `A-Z a-z 0-9 . _ -`, the first one a letter or a digit.
///
/// It is safe in a path, a URL, a KV key and a file name, and never `.` or `..`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct IssuerId(String);

impl IssuerId {
    /// The longest id, in bytes.
    pub const MAX_LEN: usize = 64;

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Why a text is not an issuer id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IssuerIdError {
    /// No character at all.
    #[error("an issuer id is not empty: 1 to 64 of A-Z a-z 0-9 . _ -")]
    Empty,
    /// More than [`IssuerId::MAX_LEN`] bytes.
    #[error("an issuer id has at most 64 characters")]
    TooLong,
    /// The first character is neither a letter nor a digit.
    #[error("an issuer id starts with a letter or a digit (A-Z a-z 0-9)")]
    BadStart,
    /// A character outside of the allowed set.
    #[error("an issuer id consists of A-Z a-z 0-9 . _ -, so not of {0:?}")]
    BadCharacter(char),
}

impl TryFrom<String> for IssuerId {
    type Error = IssuerIdError;

    fn try_from(text: String) -> Result<Self, IssuerIdError> {
        let first = text.chars().next().ok_or(IssuerIdError::Empty)?;
        if let Some(bad) = text.chars().find(|&c| !is_allowed(c)) {
            return Err(IssuerIdError::BadCharacter(bad));
        }
        if !first.is_ascii_alphanumeric() {
            return Err(IssuerIdError::BadStart);
        }
        if text.len() > Self::MAX_LEN {
            return Err(IssuerIdError::TooLong);
        }
        Ok(Self(text))
    }
}

fn is_allowed(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-')
}

impl FromStr for IssuerId {
    type Err = IssuerIdError;

    fn from_str(text: &str) -> Result<Self, IssuerIdError> {
        Self::try_from(text.to_owned())
    }
}

impl From<IssuerId> for String {
    fn from(id: IssuerId) -> Self {
        id.0
    }
}

impl AsRef<str> for IssuerId {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for IssuerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_what_the_contract_allows() {
        for text in ["a", "0", "demo-p256", "A.b_c-9", &"x".repeat(64)] {
            assert_eq!(
                text.parse::<IssuerId>().map(String::from),
                Ok(text.to_owned())
            );
        }
    }

    #[test]
    fn says_what_is_wrong_with_the_rest() {
        let error = |text: &str| text.parse::<IssuerId>().unwrap_err();
        assert_eq!(error(""), IssuerIdError::Empty);
        assert_eq!(error(".."), IssuerIdError::BadStart);
        assert_eq!(error("-a"), IssuerIdError::BadStart);
        assert_eq!(error("a/b"), IssuerIdError::BadCharacter('/'));
        assert_eq!(error("caf\u{e9}"), IssuerIdError::BadCharacter('\u{e9}'));
        assert_eq!(error(&"x".repeat(65)), IssuerIdError::TooLong);
    }

    #[test]
    fn json_is_parsed_with_the_same_rules() {
        assert!(serde_json::from_str::<IssuerId>(r#""../etc""#).is_err());
        assert_eq!(
            serde_json::to_string(&"ca-1".parse::<IssuerId>().unwrap()).unwrap(),
            r#""ca-1""#
        );
    }
}
