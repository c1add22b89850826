//! Numbers that only grow: of CRLs, and of changes to the revocations.
//!
//! The next one is the last one plus one, or the milliseconds since 1970 if that is more. So they grow when the clock
//! steps back, and they grow when the database is restored from a backup, which has forgotten the last ones.

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

/// The thisUpdate of the next CRL, never before the last one's.
#[must_use]
pub fn next_this_update(last: Option<UnixTime>, now: Moment) -> UnixTime {
    last.map_or(now.time(), |last| last.max(now.time()))
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
