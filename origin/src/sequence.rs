//! CRL numbers, watermarks and thisUpdate: values that never go back.

use std::time::Duration;

use crl::{CrlNumber, UnixTime};
use origin_api::{Timestamp, Watermark};

/// The number of the next CRL: the last one plus one, and at least the milliseconds since 1970, so
/// that numbers also increase after a backup is restored. `None` after the last one of 20 octets.
#[must_use]
pub fn next_number(last: Option<CrlNumber>, now: Timestamp) -> Option<CrlNumber> {
    let floor = CrlNumber::from(u64::try_from(now.as_millis()).unwrap_or(0));
    match last {
        None => Some(floor),
        Some(last) => last.next().map(|next| next.max(floor)),
    }
}

/// The watermark after one more change. It counts changes and does not depend on the clock: a
/// restored backup must be recognizable by its lower watermark.
#[must_use]
pub fn next_watermark(last: Watermark) -> Watermark {
    Watermark(last.0.saturating_add(1))
}

/// A thisUpdate further ahead than this came from a clock that was wrong: no edge takes such a CRL,
/// as its `CLOCK_SKEW_SECONDS` is 300 by default.
const CLOCK_SKEW: Duration = Duration::from_mins(5);

/// The thisUpdate of the next CRL: now, or the last thisUpdate if the clock has stepped back a
/// little. A last thisUpdate far in the future does not hold the following ones in the future.
#[must_use]
pub fn next_this_update(last: Option<UnixTime>, now: Timestamp) -> UnixTime {
    let now = now.as_unix_time();
    last.filter(|last| *last <= now.saturating_add(CLOCK_SKEW))
        .map_or(now, |last| last.max(now))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: Timestamp = Timestamp::from_millis(1_795_435_200_000);

    #[test]
    fn numbers_increase_when_the_clock_steps_back() {
        let last = next_number(None, NOON);
        let earlier = NOON.before(Duration::from_hours(1));
        assert_eq!(
            next_number(last, earlier),
            last.and_then(|last| last.next())
        );
    }

    #[test]
    fn numbers_increase_when_a_backup_is_restored() {
        let lost = next_number(None, NOON);
        let restored = next_number(
            Some(CrlNumber::from(5)),
            NOON.after(Duration::from_millis(1)),
        );
        assert!(restored > lost);
    }

    #[test]
    fn this_update_repeats_while_the_clock_is_a_little_behind() {
        let earlier = NOON.before(Duration::from_mins(5));
        assert_eq!(
            next_this_update(Some(NOON.as_unix_time()), earlier),
            NOON.as_unix_time()
        );
        assert_eq!(next_this_update(None, NOON), NOON.as_unix_time());
    }

    #[test]
    fn this_update_does_not_stay_ahead_beyond_the_skew_of_an_edge() {
        let ahead = NOON.after(Duration::from_secs(301)).as_unix_time();
        assert_eq!(next_this_update(Some(ahead), NOON), NOON.as_unix_time());
    }

    #[test]
    fn a_number_beyond_the_clock_is_continued() {
        let imported: CrlNumber = "340282366920938463463374607431768211456".parse().unwrap();
        assert_eq!(next_number(Some(imported), NOON), imported.next());
        let last = CrlNumber::from_be_bytes(&[0xff; 20]).unwrap();
        assert_eq!(next_number(Some(last), NOON), None);
    }
}
