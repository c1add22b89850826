//! The head: what is known of the current CRL without reading it. Its JSON is KV metadata and
//! storage, so it is versioned.

use std::fmt;

use crl::{CrlNumber, UnixTime};
use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// What is known of a CRL without reading it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Stored", into = "Stored")]
pub struct Head {
    /// The CRLNumber (RFC 5280, section 5.2.3).
    pub number: CrlNumber,
    /// The SHA-256 of the DER.
    pub sha256: Sha256,
    /// How many bytes the DER has.
    pub size: u64,
    /// When it was issued.
    pub this_update: UnixTime,
    /// When the next one is due at the latest: it is not valid from then on.
    pub next_update: UnixTime,
    /// When the edge asks for the next one.
    pub refresh_after: Timestamp,
    /// When the edge committed it.
    pub committed_at: Timestamp,
    /// How many certificates it revokes.
    pub entry_count: u64,
}

/// A SHA-256. Text is lower-case hexadecimal.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Sha256(pub [u8; 32]);

/// The text is not 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a SHA-256 is 64 lower-case hexadecimal digits")]
pub struct Sha256Error;

impl fmt::Display for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut digits = [0; 64];
        f.write_str(base16ct::lower::encode_str(&self.0, &mut digits).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sha256({self})")
    }
}

impl std::str::FromStr for Sha256 {
    type Err = Sha256Error;

    fn from_str(text: &str) -> Result<Self, Sha256Error> {
        let mut bytes = [0; 32];
        match base16ct::lower::decode(text, &mut bytes) {
            Ok(decoded) if decoded.len() == 32 => Ok(Self(bytes)),
            _ => Err(Sha256Error),
        }
    }
}

impl TryFrom<String> for Sha256 {
    type Error = Sha256Error;

    fn try_from(text: String) -> Result<Self, Sha256Error> {
        text.parse()
    }
}

impl From<Sha256> for String {
    fn from(sha256: Sha256) -> Self {
        sha256.to_string()
    }
}

/// The stored form, version 1. Short names: KV metadata has room for 1,024 bytes.
#[derive(Serialize, Deserialize)]
struct Stored {
    v: u8,
    number: String,
    sha256: Sha256,
    size: u64,
    this: i64,
    next: i64,
    refresh: Timestamp,
    made: Timestamp,
    entries: u64,
}

/// What is stored is not a head that this release knows.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeadError {
    /// Written by a later release.
    #[error("the head has version {0}, and this release reads version 1")]
    Version(u8),
    /// The number is not one.
    #[error("the head's number {0:?} is not a CRLNumber")]
    Number(String),
}

impl From<Head> for Stored {
    fn from(head: Head) -> Self {
        Self {
            v: 1,
            number: head.number.to_string(),
            sha256: head.sha256,
            size: head.size,
            this: head.this_update.0,
            next: head.next_update.0,
            refresh: head.refresh_after,
            made: head.committed_at,
            entries: head.entry_count,
        }
    }
}

impl TryFrom<Stored> for Head {
    type Error = HeadError;

    fn try_from(stored: Stored) -> Result<Self, HeadError> {
        if stored.v != 1 {
            return Err(HeadError::Version(stored.v));
        }
        Ok(Self {
            number: stored
                .number
                .parse()
                .map_err(|_| HeadError::Number(stored.number))?,
            sha256: stored.sha256,
            size: stored.size,
            this_update: UnixTime(stored.this),
            next_update: UnixTime(stored.next),
            refresh_after: stored.refresh,
            committed_at: stored.made,
            entry_count: stored.entries,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STORED: &str = r#"{"v":1,"number":"1461501637330902918203684832716283019655932542975","sha256":"00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff","size":104857600,"this":1700000000,"next":1700604800,"refresh":1700405216000,"made":1700000001234,"entries":2000000}"#;

    #[test]
    fn the_stored_form_is_pinned_and_fits_into_kv_metadata() {
        let head: Head = serde_json::from_str(STORED).unwrap();
        assert_eq!(serde_json::to_string(&head).unwrap(), STORED);
        assert!(STORED.len() < 512);
    }

    #[test]
    fn a_later_version_is_refused_by_name() {
        let error =
            serde_json::from_str::<Head>(&STORED.replacen("\"v\":1", "\"v\":2", 1)).unwrap_err();
        assert!(error.to_string().contains("version 2"), "{error}");
    }

    #[test]
    fn a_hash_has_one_text() {
        for text in ["", "00", &"0".repeat(63), &"G".repeat(64), &"A".repeat(64)] {
            assert!(text.parse::<Sha256>().is_err(), "{text}");
        }
    }
}
