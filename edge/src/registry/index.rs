//! The index: every issuer's id and CRL names, as readers in all isolates hold it. Its JSON lies in
//! KV, so it is versioned.

use std::collections::BTreeMap;
use std::time::Duration;

use origin_api::{CrlName, IssuerId};
use serde::{Deserialize, Serialize};

use super::shrink::Shrink;
use crate::time::Timestamp;

/// Every issuer that is known, as of one reading of the origin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Stored", into = "Stored")]
pub struct Index {
    /// When the origin was read.
    pub read_at: Timestamp,
    /// The issuers.
    pub issuers: BTreeMap<IssuerId, Listed>,
    /// If so many vanished at once that they are still listed here.
    pub shrink: Option<Shrink>,
}

/// What the index tells of an issuer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// Its CRLs; none where it publishes elsewhere.
    pub crls: Vec<CrlName>,
    /// CRLs that the origin listed before and does not list now. Each is served for as long as it
    /// is valid.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub withdrawn: Vec<CrlName>,
    /// Since when the origin does not list it any more. It is served for as long as its CRL is
    /// valid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gone_since: Option<Timestamp>,
}

impl Listed {
    /// Whether the issuer may have a CRL of this name. True for an issuer that publishes elsewhere:
    /// only its object knows whether a CRL from before is still valid.
    #[must_use]
    pub fn may_have(&self, name: CrlName) -> bool {
        self.crls.is_empty() || self.crls.contains(&name)
    }
}

impl Index {
    /// Whether the origin was read so lately that this index can say who does not exist.
    #[must_use]
    pub fn is_fresh(&self, now: Timestamp, ttl: Duration) -> bool {
        now.since(self.read_at) < ttl
    }
}

/// The stored form, version 1.
#[derive(Serialize, Deserialize)]
struct Stored {
    version: u8,
    read_at: Timestamp,
    issuers: BTreeMap<IssuerId, Listed>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    shrink: Option<Shrink>,
}

/// What is stored is not an index that this release knows.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the registry's index has version {0}, and this release reads version 1")]
pub struct IndexError(u8);

impl From<Index> for Stored {
    fn from(index: Index) -> Self {
        Self {
            version: 1,
            read_at: index.read_at,
            issuers: index.issuers,
            shrink: index.shrink,
        }
    }
}

impl TryFrom<Stored> for Index {
    type Error = IndexError;

    fn try_from(stored: Stored) -> Result<Self, IndexError> {
        if stored.version != 1 {
            return Err(IndexError(stored.version));
        }
        Ok(Self {
            read_at: stored.read_at,
            issuers: stored.issuers,
            shrink: stored.shrink,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STORED: &str = r#"{"version":1,"read_at":1700000000000,"issuers":{"a":{"crls":["full","shard-0"],"withdrawn":["shard-1"]},"b":{"crls":[],"gone_since":1699999999999}}}"#;

    #[test]
    fn the_stored_form_is_pinned() {
        let index: Index = serde_json::from_str(STORED).unwrap();
        assert_eq!(serde_json::to_string(&index).unwrap(), STORED);
    }

    #[test]
    fn ten_thousand_issuers_are_a_small_value() {
        let ids = (0..10_000).map(|number| format!("{number:0>64}").parse().unwrap());
        let listed = || Listed {
            crls: vec![CrlName::Full],
            ..Listed::default()
        };
        let index = Index {
            read_at: Timestamp::from_millis(0),
            issuers: ids.map(|id: IssuerId| (id, listed())).collect(),
            shrink: None,
        };
        let stored = serde_json::to_string(&index).unwrap();
        assert!(stored.len() < 1_000_000, "{}", stored.len());
    }

    #[test]
    fn a_later_version_is_refused() {
        let later = STORED.replacen(r#""version":1"#, r#""version":2"#, 1);
        assert!(serde_json::from_str::<Index>(&later).is_err());
    }

    #[test]
    fn an_index_says_who_does_not_exist_until_its_time_is_over() {
        let index: Index = serde_json::from_str(STORED).unwrap();
        let ttl = Duration::from_mins(1);
        assert!(index.is_fresh(index.read_at.after(Duration::from_millis(59_999)), ttl));
        assert!(!index.is_fresh(index.read_at.after(ttl), ttl));
    }
}
