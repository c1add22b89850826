//! How a CRL stands, as operators see it: from its row in D1, or from its issuer's object. Pure: time is an argument.

use std::fmt;
use std::str::FromStr;

use origin_api::{CrlName, IssuerId};
use serde::{Deserialize, Serialize};

use crate::events::Outcome;
use crate::refresh::{CrlState, Publication};
use crate::time::{Rfc3339, Timestamp};

/// A row of `crl_status`, by its columns.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[expect(missing_docs, reason = "the migration says what each column holds")]
pub struct StatusRow {
    pub issuer_id: IssuerId,
    pub crl_name: CrlName,
    pub crl_number: Option<String>,
    pub revoked_count: Option<u64>,
    pub size_bytes: Option<u64>,
    pub sha256: Option<String>,
    pub this_update: Option<Rfc3339>,
    pub next_update: Option<Rfc3339>,
    pub refresh_after: Option<Rfc3339>,
    pub generated_at: Option<Rfc3339>,
    pub duration_ms: Option<u64>,
    pub last_outcome: Outcome,
    pub consecutive_failures: u64,
    pub last_error_code: Option<String>,
    pub last_error: Option<String>,
    pub last_error_at: Option<Rfc3339>,
    pub pinned_certificate_sha256: Option<String>,
    pub waiting_certificate_sha256: Option<String>,
    pub publish_owed: u8,
    pub events_owed: u64,
    pub failing_since: Option<Rfc3339>,
}

/// How a CRL stands. The order is that of urgency: what relying parties feel comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Its nextUpdate has passed: relying parties get no valid CRL. Also where refreshes fail, which is why.
    Expired,
    /// There is none yet, or there is none to publish here: `last_outcome` tells which.
    Absent,
    /// It is valid, but the last refresh failed or was refused, and none did well since.
    Failing,
    /// It is valid, and its refresh time has come.
    Due,
    /// It is valid, and its refresh time is to come.
    Fresh,
}

impl State {
    /// Every one, the most urgent first.
    pub const ALL: [Self; 5] = [
        Self::Expired,
        Self::Absent,
        Self::Failing,
        Self::Due,
        Self::Fresh,
    ];

    /// The stable name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::Absent => "absent",
            Self::Failing => "failing",
            Self::Due => "due",
            Self::Fresh => "fresh",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The text names no state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a state is one of expired, absent, failing, due, fresh")]
pub struct StateError;

impl FromStr for State {
    type Err = StateError;

    fn from_str(text: &str) -> Result<Self, StateError> {
        let found = Self::ALL.into_iter().find(|state| state.as_str() == text);
        found.ok_or(StateError)
    }
}

/// One CRL as operators see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CrlStatus {
    /// Which of the issuer's CRLs.
    pub name: CrlName,
    /// How it stands.
    pub state: State,
    /// The CRLNumber, decimal.
    pub number: Option<String>,
    /// thisUpdate.
    pub this_update: Option<Rfc3339>,
    /// nextUpdate.
    pub next_update: Option<Rfc3339>,
    /// When the edge asks for the next one; after failures, when it tries again.
    pub refresh_after: Option<Rfc3339>,
    /// When the edge took it in.
    pub generated_at: Option<Rfc3339>,
    /// How long the last refresh took, in milliseconds.
    pub duration_ms: Option<u64>,
    /// How many certificates it revokes.
    pub revoked_count: Option<u64>,
    /// How many bytes its DER has.
    pub size_bytes: Option<u64>,
    /// The SHA-256 of its DER, hexadecimal.
    pub sha256: Option<String>,
    /// How the last refresh ended; null before the first.
    pub last_outcome: Option<Outcome>,
    /// Refreshes that failed or were refused since the last that did well.
    pub consecutive_failures: u64,
    /// When the first of them was.
    pub failing_since: Option<Rfc3339>,
    /// Why the last of them did.
    pub last_error: Option<LastError>,
    /// The SHA-256 of the certificate that verifies it, hexadecimal.
    pub pinned_certificate_sha256: Option<String>,
    /// Whether KV did not take it, and is tried again.
    pub publish_owed: bool,
}

/// Why a refresh failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LastError {
    /// The stable code.
    pub code: String,
    /// The same in words.
    pub message: String,
    /// When; null where the row was written by a release that did not say.
    pub at: Option<Rfc3339>,
}

impl CrlStatus {
    /// A CRL that was never refreshed.
    #[must_use]
    pub fn absent(name: CrlName) -> Self {
        Self {
            name,
            state: State::Absent,
            number: None,
            this_update: None,
            next_update: None,
            refresh_after: None,
            generated_at: None,
            duration_ms: None,
            revoked_count: None,
            size_bytes: None,
            sha256: None,
            last_outcome: None,
            consecutive_failures: 0,
            failing_since: None,
            last_error: None,
            pinned_certificate_sha256: None,
            publish_owed: false,
        }
    }

    /// What the row says of it, at `now`.
    #[must_use]
    pub fn of_row(row: StatusRow, now: Timestamp) -> Self {
        let last_error = match (row.last_error_code, row.last_error) {
            (Some(code), message) => Some(LastError {
                code,
                message: message.unwrap_or_default(),
                at: row.last_error_at,
            }),
            (None, _) => None,
        };
        Self {
            name: row.crl_name,
            state: State::Absent,
            number: row.crl_number,
            this_update: row.this_update,
            next_update: row.next_update,
            refresh_after: row.refresh_after,
            generated_at: row.generated_at,
            duration_ms: row.duration_ms,
            revoked_count: row.revoked_count,
            size_bytes: row.size_bytes,
            sha256: row.sha256,
            last_outcome: Some(row.last_outcome),
            consecutive_failures: row.consecutive_failures,
            failing_since: row.failing_since,
            last_error,
            pinned_certificate_sha256: row.pinned_certificate_sha256,
            publish_owed: row.publish_owed != 0,
        }
        .judged(now)
    }

    /// What the issuer's object says of it, at `now`.
    #[must_use]
    pub fn of_state(
        name: CrlName,
        state: &CrlState,
        pinned_certificate_sha256: Option<String>,
        now: Timestamp,
    ) -> Self {
        let head = state.head();
        Self {
            name,
            state: State::Absent,
            number: head.map(|head| head.number.to_string()),
            this_update: head.map(|head| Rfc3339(head.this_update.into())),
            next_update: head.map(|head| Rfc3339(head.next_update.into())),
            refresh_after: state.next_attempt.map(Rfc3339),
            generated_at: head.map(|head| Rfc3339(head.generated_at)),
            duration_ms: state.last_outcome.map(|_| state.last_duration_ms),
            revoked_count: head.map(|head| head.entry_count),
            size_bytes: head.map(|head| head.size),
            sha256: head.map(|head| head.sha256.to_string()),
            last_outcome: state.last_outcome,
            consecutive_failures: state.consecutive_failures.into(),
            failing_since: state.failing_since.map(Rfc3339),
            last_error: state.last_error.as_ref().map(|error| LastError {
                code: error.code.clone(),
                message: error.message.clone(),
                at: Some(Rfc3339(error.at)),
            }),
            pinned_certificate_sha256,
            publish_owed: matches!(state.publication, Publication::Owed { attempts, .. } if attempts > 0),
        }
        .judged(now)
    }

    /// Whether there is no CRL because its issuer publishes elsewhere, which is nothing to worry about.
    #[must_use]
    pub fn is_published_elsewhere(&self) -> bool {
        self.state == State::Absent && self.last_outcome == Some(Outcome::Skipped)
    }

    /// What sorts the most urgent first: the state, then who expires first. What is published elsewhere comes last.
    #[must_use]
    pub fn urgency(&self) -> impl Ord + use<> {
        let expires = self.next_update.map(|Rfc3339(at)| at);
        (self.is_published_elsewhere(), self.state, expires)
    }

    fn judged(self, now: Timestamp) -> Self {
        let state = match self.next_update {
            None => State::Absent,
            Some(Rfc3339(next_update)) if next_update <= now => State::Expired,
            Some(_) if self.consecutive_failures > 0 => State::Failing,
            Some(_) if self.refresh_after.is_some_and(|Rfc3339(at)| at <= now) => State::Due,
            Some(_) => State::Fresh,
        };
        Self { state, ..self }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::operator::testing::{NOW, status_row};

    const HOUR: Duration = Duration::from_hours(1);

    fn state_of(change: impl FnOnce(&mut StatusRow)) -> State {
        let mut row = status_row("a");
        change(&mut row);
        CrlStatus::of_row(row, NOW).state
    }

    #[test]
    fn what_relying_parties_feel_is_told_before_what_they_do_not() {
        let past = Some(Rfc3339(NOW.before(HOUR)));
        assert_eq!(state_of(|_| ()), State::Fresh);
        assert_eq!(state_of(|row| row.refresh_after = past), State::Due);
        assert_eq!(
            state_of(|row| {
                row.refresh_after = past;
                row.consecutive_failures = 1;
            }),
            State::Failing
        );
        assert_eq!(
            state_of(|row| {
                row.next_update = past;
                row.consecutive_failures = 1;
            }),
            State::Expired
        );
        assert_eq!(
            state_of(|row| {
                row.next_update = None;
                row.consecutive_failures = 1;
            }),
            State::Absent
        );
    }

    #[test]
    fn a_crl_expires_in_the_moment_of_its_next_update() {
        assert_eq!(
            state_of(|row| row.next_update = Some(Rfc3339(NOW))),
            State::Expired
        );
    }

    #[test]
    fn the_most_urgent_come_first_and_what_is_published_elsewhere_last() {
        let status = |name: &str, change: &dyn Fn(&mut StatusRow)| {
            let mut row = status_row(name);
            change(&mut row);
            row.sha256 = Some(name.to_owned());
            CrlStatus::of_row(row, NOW)
        };
        let at = |hours| Some(Rfc3339(NOW.after(HOUR * hours)));
        let mut all = [
            status("elsewhere", &|row| {
                row.next_update = None;
                row.last_outcome = Outcome::Skipped;
            }),
            status("fresh-longer", &|row| row.next_update = at(9)),
            status("fresh", &|row| row.next_update = at(8)),
            status("failing", &|row| row.consecutive_failures = 3),
            status("absent", &|row| row.next_update = None),
            status("expired", &|row| row.next_update = at(0)),
        ];
        all.sort_by_key(CrlStatus::urgency);
        let order = all.map(|status| status.sha256.unwrap());
        assert_eq!(
            order,
            [
                "expired",
                "absent",
                "failing",
                "fresh",
                "fresh-longer",
                "elsewhere"
            ]
        );
    }

    #[test]
    fn the_row_and_the_object_say_the_same() {
        let head = crate::refresh::testing::head(7);
        let state = CrlState {
            current: Some(crate::refresh::Current {
                head: head.clone(),
                body: crate::refresh::BodyId(1),
                pieces: 1,
            }),
            last_outcome: Some(Outcome::Rejected),
            last_duration_ms: 12,
            consecutive_failures: 2,
            failing_since: Some(NOW.before(HOUR)),
            last_error: Some(crate::refresh::LastError {
                code: "bad_signature".to_owned(),
                message: "no".to_owned(),
                at: NOW,
            }),
            next_attempt: Some(NOW),
            publication: Publication::Done { at: NOW },
            ..CrlState::default()
        };
        let row = StatusRow {
            crl_number: Some(head.number.to_string()),
            revoked_count: Some(head.entry_count),
            size_bytes: Some(head.size),
            sha256: Some(head.sha256.to_string()),
            this_update: Some(Rfc3339(head.this_update.into())),
            next_update: Some(Rfc3339(head.next_update.into())),
            refresh_after: Some(Rfc3339(NOW)),
            generated_at: Some(Rfc3339(head.generated_at)),
            duration_ms: Some(12),
            last_outcome: Outcome::Rejected,
            consecutive_failures: 2,
            failing_since: Some(Rfc3339(NOW.before(HOUR))),
            last_error_code: Some("bad_signature".to_owned()),
            last_error: Some("no".to_owned()),
            last_error_at: Some(Rfc3339(NOW)),
            pinned_certificate_sha256: Some("aa".to_owned()),
            ..status_row("a")
        };
        assert_eq!(
            CrlStatus::of_row(row, NOW),
            CrlStatus::of_state(CrlName::Full, &state, Some("aa".to_owned()), NOW)
        );
    }
}
