//! What the issuer's object knows between refreshes. Its JSON is stored: fields may be added with a default, never change.

use origin_api::Issuer;
use serde::{Deserialize, Serialize};
use sha2::Digest as _;

use super::head::{Head, Sha256};
use super::seams::BodyId;
use crate::events::{EventId, Outcome};
use crate::time::Timestamp;

/// One CRL of the issuer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CrlState {
    /// The committed CRL.
    pub current: Option<Current>,
    /// The last `Revocation-Watermark` that came with a committed CRL.
    pub watermark: Option<u64>,
    /// Grows with every refresh, and is no less than its time in milliseconds: so it grows also where the object was lost.
    pub revision: u64,
    /// How the last refresh ended.
    pub last_outcome: Option<Outcome>,
    /// How long it took, in milliseconds.
    pub last_duration_ms: u64,
    /// The event of the last refresh that recorded one.
    pub last_event: Option<EventId>,
    /// Refreshes that failed or were refused since the last that did well.
    pub consecutive_failures: u32,
    /// When the first of them was.
    pub failing_since: Option<Timestamp>,
    /// Why the last of them did.
    pub last_error: Option<LastError>,
    /// When the alarm refreshes; none where only the cron or a request does.
    pub next_attempt: Option<Timestamp>,
    /// Requests cause no refresh before this: back-off.
    pub not_before: Option<Timestamp>,
    /// The origin wants nobody but an operator before this: its `Retry-After`.
    pub origin_closed_until: Option<Timestamp>,
    /// What is owed to KV.
    pub publication: Publication,
    /// What was replaced, but not yet in KV: its manifest may still be read there.
    pub replaced: Vec<Head>,
}

/// A committed CRL: its head, and where its body lies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Current {
    /// The head.
    pub head: Head,
    /// The body.
    pub body: BodyId,
    /// How many pieces the body has.
    pub pieces: u32,
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
    },
    /// KV has it.
    Done {
        /// Since when.
        at: Timestamp,
    },
}

impl CrlState {
    /// The head of the committed CRL.
    #[must_use]
    pub fn head(&self) -> Option<&Head> {
        self.current.as_ref().map(|current| &current.head)
    }

    /// The committed CRL, if it is valid at `now`.
    #[must_use]
    pub fn valid(&self, now: Timestamp) -> Option<&Current> {
        self.current
            .as_ref()
            .filter(|current| now < Timestamp::from(current.head.next_update))
    }

    /// When the last refresh ended, to a few milliseconds.
    #[must_use]
    pub fn refreshed_at(&self) -> Timestamp {
        Timestamp::from_millis(i64::try_from(self.revision).unwrap_or(i64::MAX))
    }

    /// Whether a refresh is due at `now`: also where the CRL expired sooner than it was to be refreshed.
    #[must_use]
    pub fn is_due(&self, now: Timestamp) -> bool {
        self.valid(now).is_none() || self.next_attempt.is_none_or(|at| at <= now)
    }
}

/// What is known of the issuer itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct IssuerState {
    /// The origin's record, and when it was read.
    pub record: Option<Record>,
    /// DER of the certificate that verified the first CRL that was admitted: the pinned one.
    pub pinned: Option<origin_api::Der>,
    /// DER of another one that the origin names now.
    pub waiting: Option<origin_api::Der>,
    /// When the last refresh began whose event says that there is no CRL to publish.
    pub skip_told_at: Option<Timestamp>,
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
pub fn fingerprint(certificate: &origin_api::Der) -> Sha256 {
    Sha256(sha2::Sha256::digest(&certificate.0).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_earlier_release_stored_is_read_with_defaults_for_the_rest() {
        let state: CrlState = serde_json::from_str(r#"{"revision":4}"#).unwrap();
        assert_eq!(state.revision, 4);
        assert_eq!(state.publication, Publication::Nothing);
        let issuer: IssuerState = serde_json::from_str("{}").unwrap();
        assert_eq!(issuer, IssuerState::default());
    }
}
