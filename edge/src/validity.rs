//! Whether a CRL is fresh, due or expired at a moment: the one judgement, for relying parties, for
//! refreshes and for operators.

use std::time::Duration;

use crate::refresh::Head;
use crate::time::Timestamp;

/// How a CRL stands at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Validity {
    /// Its thisUpdate is ahead by more than clocks may differ. Admission refuses such a CRL, so the
    /// edge's clock has gone back. It is served: relying parties judge by their own clocks.
    NotYetValid,
    /// Valid, and not due.
    Fresh,
    /// Valid, and its refresh time has come.
    Due,
    /// Its nextUpdate has come (RFC 5280, section 5.1.2.5).
    Expired,
}

/// The times that decide it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// thisUpdate.
    pub this_update: Timestamp,
    /// nextUpdate.
    pub next_update: Timestamp,
    /// When the next CRL is asked for; `None` if that is not known.
    pub refresh_after: Option<Timestamp>,
}

impl From<&Head> for Times {
    fn from(head: &Head) -> Self {
        Self {
            this_update: head.this_update.into(),
            next_update: head.next_update.into(),
            refresh_after: Some(head.refresh_after),
        }
    }
}

impl Validity {
    /// How a CRL with these times stands at `now`, if clocks may differ by `clock_skew`. A state
    /// begins on its millisecond.
    #[must_use]
    pub fn at(times: &Times, now: Timestamp, clock_skew: Duration) -> Self {
        if now >= times.next_update {
            Self::Expired
        } else if now.after(clock_skew) < times.this_update {
            Self::NotYetValid
        } else if times.refresh_after.is_some_and(|at| now >= at) {
            Self::Due
        } else {
            Self::Fresh
        }
    }

    /// How the CRL with this head stands at `now`, if clocks may differ by `clock_skew`.
    #[must_use]
    pub fn of(head: &Head, now: Timestamp, clock_skew: Duration) -> Self {
        Self::at(&head.into(), now, clock_skew)
    }

    /// Whether the next CRL should be asked for.
    #[must_use]
    pub const fn is_due(self) -> bool {
        matches!(self, Self::Due | Self::Expired)
    }

    /// Whether it may be served as valid.
    #[must_use]
    pub const fn is_valid(self) -> bool {
        !matches!(self, Self::Expired)
    }
}

#[cfg(test)]
mod tests {
    use crl::UnixTime;

    use super::*;
    use crate::refresh::testing::head;

    const SKEW: Duration = Duration::from_mins(5);

    #[test]
    fn each_state_begins_on_its_millisecond() {
        let head = Head {
            this_update: UnixTime(10_000),
            refresh_after: Timestamp::from_millis(16_700_500),
            next_update: UnixTime(20_000),
            ..head(1)
        };
        for (millis, expected) in [
            (9_699_999, Validity::NotYetValid),
            (9_700_000, Validity::Fresh),
            (16_700_499, Validity::Fresh),
            (16_700_500, Validity::Due),
            (19_999_999, Validity::Due),
            (20_000_000, Validity::Expired),
        ] {
            let now = Timestamp::from_millis(millis);
            assert_eq!(Validity::of(&head, now, SKEW), expected, "{millis}");
        }
    }

    #[test]
    fn a_refresh_time_past_the_end_does_not_prolong_it() {
        let head = Head {
            refresh_after: Timestamp::from_millis(i64::MAX),
            ..head(1)
        };
        let end = Timestamp::from(head.next_update);
        assert_eq!(Validity::of(&head, end, SKEW), Validity::Expired);
    }
}
