//! The state of a CRL as operators see it.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use origin_api::CrlName;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::events::{EventFinding, Outcome};
use crate::tables::{CandidateStatus, StatusRow};
use crate::time::{Rfc3339, Timestamp};
use crate::validity::{Times, Validity};

/// The state of a CRL, in the order of urgency: what affects relying parties comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum State {
    /// Its nextUpdate has passed, so relying parties get no valid CRL. This also covers CRLs with
    /// failing refreshes, the usual cause.
    Expired,
    /// There is no CRL yet, or none to publish here; `last_outcome` says which.
    Absent,
    /// It is valid, but the last refresh failed or was rejected.
    Failing,
    /// It is valid, and its refresh time has come.
    Due,
    /// It is valid, and its refresh time lies ahead.
    Fresh,
}

impl State {
    /// The most urgent first.
    pub(crate) const ALL: [Self; 5] = [
        Self::Expired,
        Self::Absent,
        Self::Failing,
        Self::Due,
        Self::Fresh,
    ];

    #[must_use]
    pub(crate) const fn as_str(self) -> &'static str {
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

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a state is one of expired, absent, failing, due, fresh")]
pub(crate) struct StateError;

impl FromStr for State {
    type Err = StateError;

    fn from_str(text: &str) -> Result<Self, StateError> {
        let found = Self::ALL.into_iter().find(|state| state.as_str() == text);
        found.ok_or(StateError)
    }
}

/// One CRL, as `GET /v1/issuers` shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct CrlStatus {
    pub(crate) name: CrlName,
    pub(crate) state: State,
    /// The CRLNumber, decimal.
    pub(crate) number: Option<String>,
    pub(crate) this_update: Option<Rfc3339>,
    pub(crate) next_update: Option<Rfc3339>,
    /// When the edge asks the origin next; after a failure, when it retries.
    pub(crate) refresh_after: Option<Rfc3339>,
    /// When the edge committed it.
    pub(crate) generated_at: Option<Rfc3339>,
    /// The duration of the last refresh.
    pub(crate) duration_ms: Option<u64>,
    pub(crate) revoked_count: Option<u64>,
    /// The size of its DER.
    pub(crate) size_bytes: Option<u64>,
    /// The SHA-256 of its DER, in hexadecimal.
    pub(crate) sha256: Option<String>,
    /// The outcome of the last refresh; null before the first.
    pub(crate) last_outcome: Option<Outcome>,
    /// When the last refresh ended; null before the first, and if an earlier release wrote the row.
    pub(crate) last_checked_at: Option<Rfc3339>,
    /// Refreshes that failed or were rejected since the last success.
    pub(crate) consecutive_failures: u64,
    /// When the first of them started.
    pub(crate) failing_since: Option<Rfc3339>,
    /// Why the last of them failed.
    pub(crate) last_error: Option<LastError>,
    /// The SHA-256 of the certificate that verifies it, in hexadecimal.
    pub(crate) pinned_certificate_sha256: Option<String>,
    /// Whether a write to KV failed and is being retried.
    pub(crate) publish_owed: bool,
    /// Whether the origin no longer lists it. It is served while it is valid.
    pub(crate) withdrawn: bool,
    /// What is odd about the CRL that is held.
    pub(crate) findings: Vec<EventFinding>,
    /// The CRL that was refused last, if an operator may accept it.
    pub(crate) candidate: Option<CandidateStatus>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct LastError {
    pub(crate) code: String,
    /// The cause in words.
    pub(crate) message: String,
    /// Null if an earlier release wrote the row.
    pub(crate) at: Option<Rfc3339>,
}

impl CrlStatus {
    /// A CRL that was never refreshed.
    #[must_use]
    pub(crate) fn absent(name: CrlName) -> Self {
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
            last_checked_at: None,
            consecutive_failures: 0,
            failing_since: None,
            last_error: None,
            pinned_certificate_sha256: None,
            publish_owed: false,
            withdrawn: false,
            findings: Vec::new(),
            candidate: None,
        }
    }

    /// The CRL of a row, judged at `now`.
    #[must_use]
    pub(crate) fn of_row(row: StatusRow, now: Timestamp) -> Self {
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
            last_outcome: row.last_outcome,
            last_checked_at: row.last_checked_at,
            consecutive_failures: row.consecutive_failures,
            failing_since: row.failing_since,
            last_error,
            pinned_certificate_sha256: row.pinned_certificate_sha256,
            publish_owed: row.publish_owed != 0,
            withdrawn: false,
            findings: from_json(row.findings).unwrap_or_default(),
            candidate: from_json(row.candidate),
        }
        .judged(now)
    }

    /// Whether there is no CRL because its issuer publishes elsewhere, which is normal.
    #[must_use]
    pub(crate) fn is_published_elsewhere(&self) -> bool {
        self.state == State::Absent && self.last_outcome == Some(Outcome::Skipped)
    }

    /// Whether relying parties should find it here: metrics, alerts and the overall health are
    /// about these CRLs alone.
    #[must_use]
    pub(crate) fn is_expected(&self) -> bool {
        !self.withdrawn && !self.is_published_elsewhere()
    }

    /// A sort key, the most urgent first: by state, then by nextUpdate. CRLs that are not expected
    /// here come last.
    #[must_use]
    pub(crate) fn urgency(&self) -> impl Ord + use<> {
        let expires = self.next_update.map(|Rfc3339(at)| at);
        (!self.is_expected(), self.state, expires)
    }

    fn judged(self, now: Timestamp) -> Self {
        let validity = self.times().map(|times| {
            // Clocks do not matter here: a CRL that is not valid yet is fresh to operators.
            Validity::at(&times, now, Duration::ZERO)
        });
        let state = match validity {
            None => State::Absent,
            Some(Validity::Expired) => State::Expired,
            Some(_) if self.consecutive_failures > 0 => State::Failing,
            Some(Validity::Due) => State::Due,
            Some(Validity::Fresh | Validity::NotYetValid) => State::Fresh,
        };
        Self { state, ..self }
    }

    fn times(&self) -> Option<Times> {
        let Rfc3339(next_update) = self.next_update?;
        Some(Times {
            this_update: self
                .this_update
                .map_or(Timestamp::from_millis(0), |Rfc3339(at)| at),
            next_update,
            refresh_after: self.refresh_after.map(|Rfc3339(at)| at),
        })
    }
}

/// A column of JSON. A later release may have written what this one cannot read: it is not shown.
fn from_json<T: DeserializeOwned>(column: Option<String>) -> Option<T> {
    serde_json::from_str(&column?).ok()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::tables::testing::{NOW, status_row};

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
                row.last_outcome = Some(Outcome::Skipped);
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
}
