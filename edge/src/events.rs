//! Events: what each refresh did, one row each in the D1 table. Their shape; the SQL is in
//! `tables`.

pub mod pending;
pub mod retention;

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crl::{CrlNumber, UnixTime};
use origin_api::{CrlName, IssuerId};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::refresh::Head;
use crate::row::row;
use crate::time::Timestamp;

row! {
    /// One refresh: its row in `crl_generation_events`.
    #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
    pub struct Event {
        /// A UUIDv7, made once: appending the same event again changes nothing.
        pub id: EventId,
        /// Whose CRL.
        pub issuer_id: IssuerId,
        /// Which of its CRLs.
        pub crl_name: CrlName,
        /// Who asked for the refresh.
        pub trigger: Trigger,
        /// How it ended.
        pub outcome: Outcome,
        /// 1 where `outcome` is published, unchanged or skipped, else 0.
        pub succeeded: u8,
        /// The CRLNumber in decimal, of the CRL that was published, found unchanged or refused.
        pub crl_number: Option<String>,
        /// How many certificates that CRL revokes.
        pub revoked_count: Option<u64>,
        /// How many bytes it has.
        pub size_bytes: Option<u64>,
        /// Its SHA-256 in hexadecimal.
        pub sha256: Option<String>,
        /// Its thisUpdate, RFC 3339.
        pub this_update: Option<String>,
        /// Its nextUpdate, RFC 3339.
        pub next_update: Option<String>,
        /// When the refresh began, RFC 3339 in UTC with milliseconds.
        pub started_at: String,
        /// How long it took, in milliseconds.
        pub duration_ms: u64,
        /// The stable code of what went wrong.
        pub error_code: Option<String>,
        /// The same in words.
        pub error: Option<String>,
        /// How many entries that CRL has that the one held had not. Absent if they were not
        /// compared.
        #[serde(default)]
        pub entries_added: Option<u64>,
        /// How many entries of the one held it has not.
        #[serde(default)]
        pub entries_removed: Option<u64>,
        /// What is odd about that CRL. In the table as JSON.
        #[serde(default, deserialize_with = "findings::deserialize")]
        pub findings: Option<Vec<EventFinding>>,
    }
}

/// Something odd about a CRL that does not keep it from being served.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventFinding {
    /// The stable code.
    pub code: String,
    /// How often.
    pub count: u64,
    /// The first occurrence, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub example: Option<String>,
}

impl From<&crl::Finding> for EventFinding {
    fn from(finding: &crl::Finding) -> Self {
        Self {
            code: finding.kind.code().to_owned(),
            count: finding.count,
            example: finding.example.clone(),
        }
    }
}

/// Findings are an array in JSON, and that array as text in a row of the table.
mod findings {
    use std::fmt;

    use serde::de::value::SeqAccessDeserializer;
    use serde::de::{Deserialize as _, Deserializer, Error, SeqAccess, Visitor};

    use super::EventFinding;

    struct Findings;

    impl<'de> Visitor<'de> for Findings {
        type Value = Option<Vec<EventFinding>>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("findings")
        }

        fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
            Ok(None)
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
            if text.is_empty() {
                return Ok(None);
            }
            serde_json::from_str(text).map_err(E::custom)
        }

        fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Self::Value, A::Error> {
            Vec::deserialize(SeqAccessDeserializer::new(seq)).map(Some)
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Vec<EventFinding>>, D::Error> {
        deserializer.deserialize_any(Findings)
    }
}

impl Event {
    /// The row of a refresh that ran from `started_at` for `duration`, with what is known of the
    /// CRL.
    #[must_use]
    pub fn new(
        id: EventId,
        subject: (&IssuerId, CrlName),
        trigger: Trigger,
        outcome: Outcome,
        started_at: Timestamp,
        duration: Duration,
    ) -> Self {
        Self {
            id,
            issuer_id: subject.0.clone(),
            crl_name: subject.1,
            trigger,
            outcome,
            succeeded: u8::from(outcome.succeeded()),
            crl_number: None,
            revoked_count: None,
            size_bytes: None,
            sha256: None,
            this_update: None,
            next_update: None,
            started_at: started_at.to_string(),
            duration_ms: u64::try_from(duration.as_millis()).unwrap_or(u64::MAX),
            error_code: None,
            error: None,
            entries_added: None,
            entries_removed: None,
            findings: None,
        }
    }

    /// Tells what is known of the CRL.
    #[must_use]
    pub fn about(mut self, crl: &PartialCrl) -> Self {
        self.crl_number = crl.number.map(|number| number.to_string());
        self.revoked_count = crl.entry_count;
        self.size_bytes = crl.size;
        self.sha256 = crl.sha256.map(|sha256| sha256.to_string());
        self.this_update = crl.this_update.map(rfc_3339);
        self.next_update = crl.next_update.map(rfc_3339);
        self.entries_added = crl.entries_added;
        self.entries_removed = crl.entries_removed;
        self.findings = (!crl.findings.is_empty()).then(|| crl.findings.clone());
        self
    }

    /// Tells what went wrong.
    #[must_use]
    pub fn because(mut self, code: &str, words: String) -> Self {
        self.error_code = Some(code.to_owned());
        self.error = Some(words);
        self
    }
}

fn rfc_3339(time: UnixTime) -> String {
    Timestamp::from(time).to_string()
}

/// As much of a CRL as a refresh has read.
#[derive(Clone, Debug, Default)]
pub struct PartialCrl {
    /// The CRLNumber.
    pub number: Option<CrlNumber>,
    /// How many certificates it revokes.
    pub entry_count: Option<u64>,
    /// How many bytes came.
    pub size: Option<u64>,
    /// The SHA-256 of those bytes, once all had come.
    pub sha256: Option<crate::refresh::Sha256>,
    /// thisUpdate.
    pub this_update: Option<UnixTime>,
    /// nextUpdate.
    pub next_update: Option<UnixTime>,
    /// How many entries it has that the CRL held has not.
    pub entries_added: Option<u64>,
    /// How many entries of the CRL held it has not.
    pub entries_removed: Option<u64>,
    /// What is odd about it.
    pub findings: Vec<EventFinding>,
}

impl From<&Head> for PartialCrl {
    fn from(head: &Head) -> Self {
        Self {
            number: Some(head.number),
            entry_count: Some(head.entry_count),
            size: Some(head.size),
            sha256: Some(head.sha256),
            this_update: Some(head.this_update),
            next_update: Some(head.next_update),
            ..Self::default()
        }
    }
}

/// A UUIDv7 (RFC 9562, section 5.7): random, and in the order of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EventId(Uuid);

impl EventId {
    /// The id of an event at `now`; `random` makes it unique.
    #[must_use]
    pub fn new(now: Timestamp, random: [u8; 10]) -> Self {
        let millis = u64::try_from(now.as_millis()).unwrap_or(0);
        Self(uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid())
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for EventId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, uuid::Error> {
        text.parse().map(Self)
    }
}

/// Declares an enum whose variants have stable names, in JSON, in the table and in messages.
macro_rules! named {
    ($(#[$about:meta])* $name:ident, $error:ident { $($(#[$doc:meta])* $variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum $name { $($(#[$doc])* #[serde(rename = $text)] $variant),+ }

        impl $name {
            /// Every one, in the order of the documentation.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The stable name.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }

        /// The text is not one of the names.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
        #[error("one of {}", concat!($($text, " "),+).trim_end())]
        pub struct $error;

        impl FromStr for $name {
            type Err = $error;

            fn from_str(text: &str) -> Result<Self, $error> {
                match text { $($text => Ok(Self::$variant),)+ _ => Err($error) }
            }
        }
    };
}

named! {
    /// Who asked for a refresh.
    Trigger, TriggerError {
        /// The cron trigger's regenerate-all.
        Cron = "cron",
        /// The object's own alarm.
        Alarm = "alarm",
        /// A relying party's request found no valid CRL, or one that was due.
        Request = "request",
        /// An operator.
        Operator = "operator",
        /// The origin, after a revocation.
        Hook = "hook",
    }
}

named! {
    /// How a refresh ended.
    Outcome, OutcomeError {
        /// A new CRL was committed.
        Published = "published",
        /// What is held is current.
        Unchanged = "unchanged",
        /// The issuer has no CRL to publish here.
        Skipped = "skipped",
        /// The origin's CRL was refused.
        Rejected = "rejected",
        /// No CRL came.
        Failed = "failed",
    }
}

impl Outcome {
    /// Whether all is well.
    #[must_use]
    pub const fn succeeded(self) -> bool {
        matches!(self, Self::Published | Self::Unchanged | Self::Skipped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_uuid_v7_in_the_order_of_time() {
        let early = EventId::new(Timestamp::from_millis(1_700_000_000_000), [0xff; 10]);
        let late = EventId::new(Timestamp::from_millis(1_700_000_000_001), [0; 10]);
        assert!(early.to_string() < late.to_string());
        assert_eq!(early.0.get_version_num(), 7);
    }

    #[test]
    fn names_come_back_from_their_text() {
        for trigger in Trigger::ALL {
            assert_eq!(trigger.as_str().parse(), Ok(*trigger));
        }
        for outcome in Outcome::ALL {
            assert_eq!(outcome.as_str().parse(), Ok(*outcome));
        }
        assert_eq!(
            "x".parse::<Outcome>().unwrap_err().to_string(),
            "one of published unchanged skipped rejected failed"
        );
    }
}
