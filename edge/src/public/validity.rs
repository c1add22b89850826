//! How a CRL stands at a moment, judged from its head.

use std::time::Duration;

use crate::refresh::head::Head;
use crate::time::Timestamp;

/// How a CRL stands at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Validity {
    /// Its thisUpdate lies ahead by more than clocks may differ. Admission refuses such a CRL, so that a head in this
    /// state says that the clock has gone back. It is served: relying parties judge by their own clocks.
    NotYetValid,
    /// Nothing is to be done.
    Fresh,
    /// Valid, and it is time to ask for the next one.
    Due,
    /// Its nextUpdate has come (RFC 5280, section 5.1.2.5).
    Expired,
}

impl Validity {
    /// How the CRL with this head stands at `now`, where clocks may be apart by `clock_skew`.
    #[must_use]
    pub fn of(head: &Head, now: Timestamp, clock_skew: Duration) -> Self {
        if now >= head.next_update.into() {
            Self::Expired
        } else if now.after(clock_skew) < head.this_update.into() {
            Self::NotYetValid
        } else if now >= head.refresh_after {
            Self::Due
        } else {
            Self::Fresh
        }
    }
}

#[cfg(test)]
mod tests {
    use crl::UnixTime;

    use super::*;
    use crate::public::tables::head;

    const SKEW: Duration = Duration::from_mins(5);

    #[test]
    fn each_state_begins_on_its_millisecond() {
        let head = Head {
            this_update: UnixTime(10_000),
            refresh_after: Timestamp::from_millis(16_700_500),
            next_update: UnixTime(20_000),
            ..head()
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
            ..head()
        };
        let end = Timestamp::from(head.next_update);
        assert_eq!(Validity::of(&head, end, SKEW), Validity::Expired);
    }
}
