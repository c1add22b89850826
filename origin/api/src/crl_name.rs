//! Which list of an issuer: `full`, `delta`, `shard-0`, `shard-1`, …

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The name of one of an issuer's CRLs. Each text has one name and each name one text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum CrlName {
    /// The complete list.
    Full,
    /// What changed since a full list (RFC 5280, section 5.2.4).
    Delta,
    /// The list of one distribution point's certificates (RFC 5280, section 5.2.5).
    Shard(u32),
}

/// The text names no CRL.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a CRL is named full, delta, or shard-0 to shard-4294967295 without leading zeros, not {0:?}"
)]
pub struct CrlNameError(String);

impl FromStr for CrlName {
    type Err = CrlNameError;

    fn from_str(text: &str) -> Result<Self, CrlNameError> {
        match text {
            "full" => Some(Self::Full),
            "delta" => Some(Self::Delta),
            _ => text
                .strip_prefix("shard-")
                .and_then(shard_number)
                .map(Self::Shard),
        }
        .ok_or_else(|| CrlNameError(text.chars().take(32).collect()))
    }
}

/// Reads a number in the one way that it is written.
fn shard_number(digits: &str) -> Option<u32> {
    let canonical = digits == "0" || digits.starts_with(|c: char| matches!(c, '1'..='9'));
    canonical.then(|| digits.parse().ok()).flatten()
}

impl TryFrom<String> for CrlName {
    type Error = CrlNameError;

    fn try_from(text: String) -> Result<Self, CrlNameError> {
        text.parse()
    }
}

impl From<CrlName> for String {
    fn from(name: CrlName) -> Self {
        name.to_string()
    }
}

impl fmt::Display for CrlName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => f.pad("full"),
            Self::Delta => f.pad("delta"),
            Self::Shard(number) => f.pad(&format!("shard-{number}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_comes_back_from_its_text() {
        for name in [
            CrlName::Full,
            CrlName::Delta,
            CrlName::Shard(0),
            CrlName::Shard(7),
            CrlName::Shard(u32::MAX),
        ] {
            assert_eq!(name.to_string().parse(), Ok(name));
        }
    }

    #[test]
    fn a_name_is_written_in_one_way_only() {
        for text in [
            "",
            "Full",
            "shard",
            "shard-",
            "shard-01",
            "shard-+1",
            "shard--1",
            "shard-4294967296",
            "full ",
        ] {
            assert!(text.parse::<CrlName>().is_err(), "{text:?}");
        }
    }
}
