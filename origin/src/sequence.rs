//! Numbers that only grow: of CRLs, and of changes to the revocations.
//!
//! The next one is the last one plus one, or the milliseconds since 1970 if that is more. So they grow when the clock
//! steps back, and they grow when the database is restored from a backup, which has forgotten the last ones.

use std::time::Duration;

use crl::{CrlNumber, UnixTime};
use origin_api::Watermark;

use crate::clock::Moment;

/// The number of the next CRL; `None` after the last one of 20 octets.
#[must_use]
pub fn next_number(last: Option<CrlNumber>, now: Moment) -> Option<CrlNumber> {
    let floor = CrlNumber::from(now.0);
    match last {
        None => Some(floor),
        Some(last) => last.next().map(|next| next.max(floor)),
    }
}

/// The watermark after one more change.
#[must_use]
pub fn next_watermark(last: Watermark, now: Moment) -> Watermark {
    Watermark(last.0.saturating_add(1).max(now.0))
}

/// A last thisUpdate that lies further ahead than this was made by a clock that was wrong.
const FAR_AHEAD: Duration = Duration::from_hours(1);

/// The thisUpdate of the next CRL, never before the last one's.
///
/// Unless that one lies far ahead: nobody takes a CRL before its time, and nobody would take those that follow.
#[must_use]
pub fn next_this_update(last: Option<UnixTime>, now: Moment) -> UnixTime {
    let now = now.time();
    last.filter(|last| *last <= now.saturating_add(FAR_AHEAD))
        .map_or(now, |last| last.max(now))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: Moment = Moment(1_795_435_200_000);

    #[test]
    fn a_clock_that_steps_back_does_not_matter() {
        let last = next_number(None, NOON);
        let earlier = Moment(NOON.0 - 3_600_000);
        assert_eq!(
            next_number(last, earlier),
            last.and_then(|last| last.next())
        );
        assert_eq!(
            next_watermark(Watermark(NOON.0), earlier),
            Watermark(NOON.0 + 1)
        );
        assert_eq!(next_this_update(Some(NOON.time()), earlier), NOON.time());
    }

    #[test]
    fn a_clock_that_was_far_ahead_does_not_hold_up_the_lists_that_follow() {
        let next_year = NOON.time().saturating_add(Duration::from_hours(24 * 365));
        assert_eq!(next_this_update(Some(next_year), NOON), NOON.time());
        assert_eq!(next_this_update(None, NOON), NOON.time());
    }

    #[test]
    fn a_restored_backup_does_not_matter() {
        let forgotten = next_number(Some(CrlNumber::from(NOON.0)), NOON);
        let restored = next_number(Some(CrlNumber::from(5)), Moment(NOON.0 + 1000));
        assert!(restored > forgotten);
    }

    #[test]
    fn a_number_larger_than_any_clock_goes_on() {
        let imported: CrlNumber = "340282366920938463463374607431768211456".parse().unwrap();
        assert_eq!(next_number(Some(imported), NOON), imported.next());
        let last = CrlNumber::from_be_bytes(&[0xff; 20]).unwrap();
        assert_eq!(next_number(Some(last), NOON), None);
    }
}
