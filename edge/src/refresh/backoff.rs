//! When to refresh next: ahead of expiry, spread by chance, slower after failures. Pure arithmetic
//! on moments.

use std::time::Duration;

use super::head::Head;
use crate::fraction::Fraction;
use crate::time::Timestamp;

/// The shortest wait between two refreshes that nobody asked for.
const SHORTEST: Duration = Duration::from_secs(10);
/// The first wait after a failure.
const FIRST_BACK_OFF: Duration = Duration::from_secs(15);
/// The longest.
const LONGEST_BACK_OFF: Duration = Duration::from_mins(15);
/// A `Retry-After` beyond this counts as this: a mistaken one must not silence an issuer for days.
const LONGEST_RETRY_AFTER: Duration = Duration::from_hours(1);

/// Chance, from 0 to 255: so many 256ths of the room for jitter.
pub(super) type Chance = u8;

/// When a CRL with these times is refreshed: at `refresh_at` of its validity, and up to a tenth of
/// the validity earlier, so that many issuers made at once do not come at once. Where that has
/// passed, at the same part of what is left.
#[must_use]
pub(super) fn refresh_time(
    this_update: Timestamp,
    next_update: Timestamp,
    refresh_at: Fraction,
    now: Timestamp,
    chance: Chance,
) -> Timestamp {
    let planned = part_of(this_update, next_update, refresh_at, chance);
    if planned > now {
        planned
    } else {
        part_of(now, next_update, refresh_at, chance).max(now.after(SHORTEST))
    }
}

fn part_of(from: Timestamp, to: Timestamp, part: Fraction, chance: Chance) -> Timestamp {
    let whole = to.since(from);
    let jitter = whole.mul_f64(f64::from(chance) / 256.0 / 10.0);
    from.after(part.of(whole).saturating_sub(jitter))
}

/// When to try again after `failures` failures in a row, the first being 1: doubling, with jitter,
/// and soon enough that a CRL that is held does not expire while the origin is back. `retry_after`
/// is the origin's own wish.
#[must_use]
pub(super) fn retry_time(
    failures: u32,
    head: Option<&Head>,
    retry_after: Option<Duration>,
    now: Timestamp,
    chance: Chance,
) -> Timestamp {
    let doublings = failures.saturating_sub(1).min(16);
    let back_off = FIRST_BACK_OFF
        .saturating_mul(1 << doublings)
        .min(LONGEST_BACK_OFF);
    let jitter = back_off.mul_f64(f64::from(chance) / 256.0 / 4.0);
    let jittered = back_off.saturating_sub(jitter);
    let left = head.map(|head| Timestamp::from(head.next_update).since(now));
    // Halving what is left leaves many tries before expiry, however long the back-off has grown.
    let longest = match left {
        Some(left) if !left.is_zero() => left.mul_f64(0.5).max(SHORTEST),
        _ => Duration::MAX,
    };
    let retry_after = retry_after.unwrap_or_default().min(LONGEST_RETRY_AFTER);
    now.after(jittered.max(retry_after).min(longest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two_thirds() -> Fraction {
        crate::config::tests::parse(&[]).unwrap().refresh_at
    }

    const HOUR: Duration = Duration::from_hours(1);
    const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

    #[test]
    fn a_new_crl_is_refreshed_at_two_thirds_of_its_validity_less_up_to_a_tenth() {
        let at = |chance| {
            refresh_time(NOW, NOW.after(100 * HOUR), two_thirds(), NOW, chance)
                .since(NOW)
                .as_secs()
                / 3600
        };
        assert_eq!(at(0), 67);
        assert_eq!(at(255), 57);
    }

    #[test]
    fn the_plan_counts_from_the_issue_of_the_crl_and_not_from_its_arrival() {
        let made = NOW.before(10 * HOUR);
        let at = refresh_time(made, NOW.after(90 * HOUR), two_thirds(), NOW, 0);
        assert_eq!(at.since(NOW).as_secs() / 3600, 57);
    }

    #[test]
    fn a_crl_that_is_past_that_is_refreshed_at_two_thirds_of_what_is_left() {
        let made = NOW.before(90 * HOUR);
        let at = refresh_time(made, NOW.after(10 * HOUR), two_thirds(), NOW, 0);
        assert_eq!(at.since(NOW).as_secs(), 24_120);
    }

    #[test]
    fn an_expired_crl_is_not_asked_for_without_a_pause() {
        let at = refresh_time(NOW.before(2 * HOUR), NOW.before(HOUR), two_thirds(), NOW, 0);
        assert_eq!(at.since(NOW), SHORTEST);
    }

    #[test]
    fn at_its_refresh_time_a_crl_is_refreshed_at_a_part_of_what_is_left() {
        let at_once = crate::config::tests::parse(&[("REFRESH_AT", "0.1")]).unwrap();
        let made = NOW.before(10 * HOUR);
        let at = refresh_time(made, NOW.after(90 * HOUR), at_once.refresh_at, NOW, 0);
        assert_eq!(at.since(NOW), 9 * HOUR);
    }

    #[test]
    fn an_expired_crl_does_not_shorten_the_back_off() {
        let mut head = crate::refresh::testing::head(1);
        head.next_update = NOW.before(HOUR).as_unix_time();
        let at = retry_time(20, Some(&head), None, NOW, 0);
        assert_eq!(at.since(NOW), LONGEST_BACK_OFF);
    }

    #[test]
    fn back_off_doubles_up_to_a_quarter_of_an_hour() {
        let wait = |failures| {
            retry_time(failures, None, None, NOW, 0)
                .since(NOW)
                .as_secs()
        };
        assert_eq!(
            [1, 2, 3, 4, 7, 8, 99].map(wait),
            [15, 30, 60, 120, 900, 900, 900]
        );
        assert!(retry_time(1, None, None, NOW, 255).since(NOW).as_secs() >= 11);
    }

    #[test]
    fn back_off_never_sleeps_through_the_expiry_of_what_is_held() {
        let mut head = crate::refresh::testing::head(1);
        head.next_update = NOW.after(Duration::from_mins(10)).as_unix_time();
        let mut now = NOW;
        let mut tries = 0;
        while now < Timestamp::from(head.next_update) {
            now = retry_time(20, Some(&head), None, now, 0);
            tries += 1;
        }
        assert!(tries >= 6, "{tries}");
    }

    #[test]
    fn retry_after_never_lets_a_valid_crl_expire_without_further_tries() {
        let mut head = crate::refresh::testing::head(1);
        head.next_update = NOW.after(Duration::from_mins(10)).as_unix_time();
        let mut now = NOW;
        let mut tries = 0;
        while now < Timestamp::from(head.next_update) {
            now = retry_time(1, Some(&head), Some(HOUR), now, 0);
            tries += 1;
        }
        assert!(tries >= 6, "{tries}");
    }

    #[test]
    fn the_origins_retry_after_is_honoured() {
        let at = retry_time(1, None, Some(HOUR), NOW, 0);
        assert_eq!(at.since(NOW), HOUR);
        let at = retry_time(1, None, Some(1000 * HOUR), NOW, 0);
        assert_eq!(at.since(NOW), HOUR);
    }
}
