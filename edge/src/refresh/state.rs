//! What an issuer's object knows between refreshes. Its JSON is stored: fields may be added with a
//! default, and their stored names never change.

use std::collections::VecDeque;
use std::time::Duration;

use crl::{Certificates, Coverage, CrlNumber, Reasons};
use origin_api::{CrlName, Der, Issuer};
use serde::{Deserialize, Serialize};
use sha2::Digest as _;

use super::error::RefreshError;
use super::head::{Head, Sha256};
use crate::events::{EventFinding, Outcome, PartialCrl, Trigger};
use crate::time::Timestamp;
use crate::validity::Validity;

/// One CRL of the issuer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CrlState {
    /// The committed CRL.
    pub current: Option<Current>,
    /// The last `Revocation-Watermark` that came with a committed CRL.
    pub watermark: Option<u64>,
    /// Grows with every refresh, and is at least its time in milliseconds: so it also grows if the
    /// object's storage was lost.
    pub revision: u64,
    /// How the last refresh ended.
    pub last_outcome: Option<Outcome>,
    /// How long it took, in milliseconds.
    pub last_duration_ms: u64,
    /// Refreshes that failed or were refused since the last that succeeded.
    pub consecutive_failures: u32,
    /// When the first of them was.
    pub failing_since: Option<Timestamp>,
    /// Why the last of them failed.
    pub last_error: Option<LastError>,
    /// The last failure that has an event.
    pub recorded_failure: Option<RecordedFailure>,
    /// When the alarm refreshes; `None` if only the cron or a request does.
    pub next_attempt: Option<Timestamp>,
    /// Requests cause no refresh before this: back-off.
    pub not_before: Option<Timestamp>,
    /// The origin wants no calls but an operator's before this: its `Retry-After`.
    pub origin_closed_until: Option<Timestamp>,
    /// What is owed to KV.
    pub publication: Publication,
    /// A write to KV whose outcome is not known may still land: KV is compared until then.
    pub unsettled: Option<Unsettled>,
    /// CRLs that were replaced, but not yet in KV: its manifest may still be read there.
    pub replaced: Vec<Head>,
    /// Refreshes since the object's storage began, by trigger and outcome.
    pub counts: Vec<RefreshCount>,
    /// The last CRL, after it was removed: what comes back under this name must not be older.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remembered: Option<Head>,
    /// Whether D1 still has rows of the CRL that was removed.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub removal_owed: bool,
    /// What is odd about the committed CRL.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<EventFinding>,
    /// The CRL that was refused last, if an operator may accept it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub candidate: Option<Candidate>,
    /// Since when the removal gate has withheld CRLs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub withheld_since: Option<Timestamp>,
    /// Since when it has not been known whether entries that left this shard are on others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unconfirmed_since: Option<Timestamp>,
    /// The index of the committed CRL, if it was needed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub index: Option<StoredIndex>,
    /// The shards to which entries moved when the committed CRL came: KV gets theirs first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub moved_to: Vec<CrlName>,
    /// What the last CRLs added and removed; `None` until one is committed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub changes: Option<Changes>,
}

/// A committed CRL: its head, and its body's place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Current {
    /// The head.
    pub head: Head,
    /// The body.
    pub body: BodyId,
    /// How many pieces the body has.
    pub pieces: u32,
    /// What the CRL covers; `None` if an earlier release committed it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub coverage: Option<StoredCoverage>,
}

/// The index of a list: a body. Its last piece has the index itself, the others have its rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredIndex {
    pub(super) body: BodyId,
    pub(super) pieces: u32,
}

/// What a CRL covers, as stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredCoverage {
    /// The kind of certificates, by its name.
    certificates: String,
    /// The reasons, as bits.
    reasons: u16,
}

impl From<Coverage> for StoredCoverage {
    fn from(coverage: Coverage) -> Self {
        Self {
            certificates: coverage.certificates.name().to_owned(),
            reasons: coverage.reasons.bits(),
        }
    }
}

impl StoredCoverage {
    /// `None` if a later release stored a kind that this one does not know.
    pub(super) fn coverage(&self) -> Option<Coverage> {
        Some(Coverage {
            certificates: Certificates::from_name(&self.certificates)?,
            reasons: Reasons::from_bits(self.reasons),
        })
    }
}

/// A CRL that was refused by a rule that an operator may overrule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Candidate {
    /// Its SHA-256, by which the operator names it.
    pub sha256: Sha256,
    /// Its body, which is kept in storage.
    pub body: BodyId,
    /// How many pieces the body has.
    pub pieces: u32,
    /// The `Revocation-Watermark` that came with it.
    pub watermark: Option<u64>,
    /// Its CRLNumber in decimal.
    pub number: Option<String>,
    /// How many certificates it revokes.
    pub entry_count: u64,
    /// The stable code of the rule that refused it.
    pub code: String,
    /// When it was refused.
    pub refused_at: Timestamp,
    /// The serial numbers of the first entries that are missing from it without an explanation.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<String>,
}

impl Candidate {
    /// Whether the removal gate withholds it.
    pub(super) fn lost_entries(&self) -> bool {
        self.code == "entries_vanished"
    }

    pub(super) fn partial(&self) -> PartialCrl {
        PartialCrl {
            number: self.number.as_ref().and_then(|number| number.parse().ok()),
            entry_count: Some(self.entry_count),
            sha256: Some(self.sha256),
            ..PartialCrl::default()
        }
    }
}

/// Why a refresh failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastError {
    /// The stable code.
    pub code: String,
    /// The same in words.
    pub message: String,
    /// When.
    pub at: Timestamp,
}

/// A failure that has an event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedFailure {
    /// The stable code.
    pub code: String,
    /// When.
    pub at: Timestamp,
}

/// How many refreshes ended in one way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefreshCount {
    /// Who asked for them.
    pub trigger: Trigger,
    /// How they ended.
    pub outcome: Outcome,
    /// How many there were.
    pub refreshes: u64,
    /// How long they took together, in milliseconds.
    pub duration_ms: u64,
}

/// The changes of one CRL name that are kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changes {
    /// All changes since the CRL of this number are kept.
    #[serde(with = "decimal")]
    pub(super) since: CrlNumber,
    /// The oldest first. CRLs with the entries of the one before are left out.
    pub(super) sets: VecDeque<ChangeSet>,
}

/// The changes that one CRL brought.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ChangeSet {
    #[serde(with = "decimal")]
    pub(super) number: CrlNumber,
    pub(super) this_update: Timestamp,
    pub(super) body: BodyId,
    pub(super) pieces: u32,
    pub(super) size: u64,
}

impl Changes {
    /// The bodies that have the lines.
    pub(super) fn bodies(&self) -> impl Iterator<Item = BodyId> {
        self.sets.iter().map(|set| set.body)
    }
}

/// Whether KV has the committed CRL.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Publication {
    /// Nothing was committed yet.
    #[default]
    Nothing,
    /// KV has yet to get it.
    Owed {
        /// How often it was tried.
        attempts: u32,
        /// When it is tried next.
        retry_at: Timestamp,
        /// How many parts of it KV has.
        #[serde(default)]
        parts_done: u32,
        /// Whether a write was begun whose outcome is not known: it may land at any time.
        #[serde(default)]
        is_begun: bool,
    },
    /// KV has it.
    Done {
        /// Since when.
        at: Timestamp,
    },
}

/// How long KV is compared with the committed CRL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unsettled {
    /// When the next comparison is.
    pub compare_at: Timestamp,
    /// The first comparison from then on that KV answers is the last one.
    pub until: Timestamp,
}

/// Names a body in storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BodyId(pub u32);

/// How the edge names a CRL to the origin, which can conclude from it that it lost its state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldCrl {
    /// The SHA-256 of its DER (`If-None-Match`).
    pub sha256: Sha256,
    /// Its CRLNumber (`CRL-Number`).
    pub number: CrlNumber,
    /// The watermark that came with it, if one did (`Revocation-Watermark`).
    pub watermark: Option<u64>,
}

impl CrlState {
    /// The head of the committed CRL.
    #[must_use]
    pub fn head(&self) -> Option<&Head> {
        self.current.as_ref().map(|current| &current.head)
    }

    /// The head of the committed CRL, or of the last one if that was removed.
    #[must_use]
    pub fn last_head(&self) -> Option<&Head> {
        self.head().or(self.remembered.as_ref())
    }

    /// What remains of the CRL when it is removed.
    #[must_use]
    pub fn removed(self) -> Self {
        Self {
            remembered: self.last_head().cloned(),
            watermark: self.watermark,
            revision: self.revision.saturating_add(1),
            removal_owed: true,
            ..Self::default()
        }
    }

    /// Whether there is something of this CRL that can be removed.
    #[must_use]
    pub const fn is_removable(&self) -> bool {
        self.current.is_some() || self.last_outcome.is_some()
    }

    /// The committed CRL, if it is valid at `now`.
    #[must_use]
    pub fn valid(&self, now: Timestamp) -> Option<&Current> {
        self.current
            .as_ref()
            .filter(|current| validity(&current.head, now).is_valid())
    }

    /// When the last refresh ended, to a few milliseconds.
    #[must_use]
    pub fn refreshed_at(&self) -> Timestamp {
        Timestamp::from_millis(i64::try_from(self.revision).unwrap_or(i64::MAX))
    }

    /// Whether a refresh is due at `now`.
    #[must_use]
    pub fn is_due(&self, now: Timestamp) -> bool {
        self.head().is_none_or(|head| validity(head, now).is_due())
    }

    /// Whether a request may cause a refresh at `now`: one is due, and no back-off forbids it.
    #[must_use]
    pub fn may_refresh(&self, now: Timestamp) -> bool {
        self.is_due(now) && self.not_before.is_none_or(|not_before| not_before <= now)
    }

    /// How the origin learns which CRL is held.
    #[must_use]
    pub fn held(&self) -> Option<HeldCrl> {
        self.last_head().map(|head| HeldCrl {
            sha256: head.sha256,
            number: head.number,
            watermark: self.watermark,
        })
    }

    /// The bodies that this state names.
    pub(crate) fn bodies(&self) -> Vec<BodyId> {
        let current = self.current.as_ref().map(|current| current.body);
        let candidate = self.candidate.as_ref().map(|candidate| candidate.body);
        let index = self.index.map(|index| index.body);
        let named = [current, candidate, index].into_iter().flatten();
        let mut bodies: Vec<_> = named.collect();
        bodies.extend(self.changes.iter().flat_map(Changes::bodies));
        bodies
    }

    /// Whether KV did not take the committed CRL, and is tried again. A first try is about to come.
    #[must_use]
    pub const fn is_publish_overdue(&self) -> bool {
        matches!(self.publication, Publication::Owed { attempts: 1.., .. })
    }
}

/// The clocks' difference does not matter here: what is not yet valid is neither due nor expired.
fn validity(head: &Head, now: Timestamp) -> Validity {
    Validity::of(head, now, Duration::ZERO)
}

/// A CRLNumber is stored in decimal.
pub(super) mod decimal {
    use crl::CrlNumber;
    use serde::{Deserialize as _, Deserializer, Serializer, de};

    pub(in crate::refresh) fn serialize<S: Serializer>(
        number: &CrlNumber,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_str(number)
    }

    pub(in crate::refresh) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<CrlNumber, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

/// What is known of the issuer itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct IssuerState {
    /// The origin's record, and when it was read.
    pub record: Option<Record>,
    /// DER of the certificate that verified the first CRL that was admitted: the pinned one.
    pub pinned: Option<Der>,
    /// DER of another one that the origin names now.
    #[serde(rename = "waiting")]
    pub pending_certificate: Option<Der>,
    /// Since when the registry has not listed the issuer, as far as this object knows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gone_since: Option<Timestamp>,
}

impl IssuerState {
    /// The certificate to verify with: the origin's, which must be the pinned one if one is pinned.
    pub(super) fn trusted_certificate(&self, record: &Issuer) -> Result<Der, RefreshError> {
        match &self.pinned {
            Some(pinned) if *pinned != record.certificate => Err(RefreshError::IssuerChanged),
            _ => Ok(record.certificate.clone()),
        }
    }

    /// Whether the origin's record lists this CRL.
    #[must_use]
    pub fn lists(&self, name: CrlName) -> bool {
        self.record
            .as_ref()
            .is_some_and(|record| record.issuer.crls.iter().any(|crl| crl.name == name))
    }

    /// Whether the origin is known not to list this CRL any more.
    #[must_use]
    pub fn has_withdrawn(&self, name: CrlName) -> bool {
        self.gone_since.is_some() || (self.record.is_some() && !self.lists(name))
    }

    /// The issuer's CRLs, as far as is known: the full one, if nothing is.
    #[must_use]
    pub fn listed(&self) -> Vec<CrlName> {
        match &self.record {
            Some(record) if !record.issuer.crls.is_empty() => {
                record.issuer.crls.iter().map(|crl| crl.name).collect()
            }
            _ => vec![CrlName::Full],
        }
    }
}

/// The origin's record of the issuer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// As the origin gave it.
    pub issuer: Issuer,
    /// When.
    pub read_at: Timestamp,
}

/// The SHA-256 of a certificate, by which operators compare it.
#[must_use]
pub fn fingerprint(certificate: &Der) -> Sha256 {
    Sha256(sha2::Sha256::digest(&certificate.0).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_earlier_release_stored_is_read_with_defaults_for_the_rest() {
        let state: CrlState = serde_json::from_str(
            r#"{"revision":4,"publication":{"owed":{"attempts":2,"retry_at":5}}}"#,
        )
        .unwrap();
        assert_eq!(state.revision, 4);
        assert_eq!(
            state.publication,
            Publication::Owed {
                attempts: 2,
                retry_at: Timestamp::from_millis(5),
                parts_done: 0,
                is_begun: false,
            }
        );
        let issuer: IssuerState = serde_json::from_str("{}").unwrap();
        assert_eq!(issuer, IssuerState::default());
    }
}
